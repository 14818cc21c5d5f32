//! What the manual pages say beside what is generated.

/// The end of the page of the program itself.
pub(super) const PROGRAM_END: &str = include_str!("program.md");

/// The end of the page of each command.
pub(super) const COMMAND_END: &str = "## See also\n\n**wiregate**(1), **wiregate.yaml**(5)\n";

/// The beginning of the page of the configuration file.
pub(super) const FILE: &str = include_str!("file.md");

/// Its end.
pub(super) const FILE_END: &str = "\n## See also\n\n**wiregate**(1), **wiregate-check**(1), \
                                   **wiregate-explain**(1), **wiregate-schema**(1)\n";
