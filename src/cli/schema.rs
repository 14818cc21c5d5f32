//! `wiregate schema`.

use wiregate_sdk::Registry;

use super::Outcome;
use crate::config::schema::schema;

/// Print the JSON Schema of the configuration file, with every filter's options.
///
/// An editor that knows it completes and checks while one writes: put
/// `# yaml-language-server: $schema=./schema.json` at the head of the file.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

#[expect(clippy::print_stdout, reason = "this is the command's answer")]
pub(super) fn run(registry: &Registry, _arguments: &Arguments) -> Outcome {
    println!("{:#}", schema(registry));
    Ok(())
}
