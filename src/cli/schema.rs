//! `wiregate schema`.

use wiregate_sdk::Registry;

use super::{Outcome, put};
use crate::config::schema::schema;

/// Print the JSON Schema of the configuration file, with every filter's options.
///
/// An editor that knows it completes and checks while one writes: put
/// `# yaml-language-server: $schema=./schema.json` at the head of the file.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(registry: &Registry, _arguments: &Arguments) -> Outcome {
    put(&format!("{:#}\n", schema(registry)))
}
