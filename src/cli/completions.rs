//! `wiregate completions`.

use clap_complete::Shell;

use super::Outcome;

/// Print what a shell needs to complete this command line.
///
/// The Debian package has them in place for bash, zsh and fish.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let mut command = super::command();
    let name = command.get_name().to_owned();
    let mut written = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut written);
    std::io::Write::write_all(&mut std::io::stdout(), &written)?;
    Ok(())
}
