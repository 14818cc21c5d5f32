//! `wiregate docs`.

mod metrics;
pub(super) mod page;

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::Value;
use wiregate_sdk::Registry;

use self::page::Page;
use super::Outcome;
use crate::config::schema::{generator, options};

/// Write the reference pages into a folder: one for each filter and a list of them under `filters`,
/// and one for the metrics.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder; it is made where it is not there.
    #[arg(long)]
    out: PathBuf,
}

pub(super) fn run(registry: &Registry, arguments: &Arguments) -> Outcome {
    let filters = arguments.out.join("filters");
    std::fs::create_dir_all(&filters)?;
    let mut list = String::from("# Filters\n\nGenerated from the code by `wiregate docs`.\n\n");
    for entry in registry.entries() {
        let mut generator = generator();
        let schema = options(entry, &mut generator);
        let definitions = Value::Object(generator.take_definitions(true));
        let page = Page::new(&schema, &definitions);
        let _ = writeln!(list, "- [`{0}`]({0}.md): {1}", entry.name, page.summary());
        let file = filters.join(format!("{}.md", entry.name));
        std::fs::write(file, page.write(entry.name))?;
    }
    std::fs::write(filters.join("README.md"), list)?;
    std::fs::write(arguments.out.join("metrics.md"), metrics::page())?;
    Ok(())
}
