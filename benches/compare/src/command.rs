//! What the programs here have in common as commands.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// The outcome of a run: any error ends it, with its words.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The folder of this program, where the others are that were built with it.
///
/// # Errors
/// The system does not tell.
pub fn folder() -> Result<PathBuf> {
    let program = env::current_exe()?;
    let folder = program.parent();
    Ok(folder
        .ok_or("expected a folder around the program")?
        .to_owned())
}

/// Runs with options, or says how they are written.
pub fn main<O>(options: Result<O>, usage: &str, run: impl FnOnce(&O) -> Result<()>) -> ExitCode {
    let options = match options {
        Ok(options) => options,
        Err(problem) => {
            eprint!("{problem}\n{usage}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
