//! `wiregate man`.

mod date;
mod roff;
mod text;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap_mangen::Man;
use serde_json::Value;
use wiregate_sdk::Registry;

use self::roff::roff;
use super::docs::page::Page;
use super::{Failure, Outcome};
use crate::config::schema::{generator, options, schema};

/// What the pages belong to, as their foot tells it.
const SOURCE: &str = concat!("wiregate ", env!("CARGO_PKG_VERSION"));
/// What they are, as their head tells it.
const MANUAL: &str = "Wiregate";

/// The moment of the sources, in seconds since 1970, as builds tell it.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// A summary that is longer ends with its first clause.
const LONGEST_SUMMARY: usize = 72;

/// Write the manual pages into a folder: of each command, of the configuration file, and of each
/// filter.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder; it is made where it is not there.
    #[arg(long)]
    out: PathBuf,
    /// The day that the pages tell, such as `2026-11-26`. Without it: that of the variable
    /// SOURCE_DATE_EPOCH where it is set, and otherwise that of this version's release.
    #[arg(long, value_parser = date::parse)]
    date: Option<String>,
}

pub(super) fn run(registry: &Registry, arguments: &Arguments) -> Outcome {
    let date = match &arguments.date {
        Some(date) => date.clone(),
        None => {
            let epoch = std::env::var_os(EPOCH);
            let epoch = epoch.as_ref().map(|epoch| epoch.to_string_lossy());
            date::usual(epoch.as_deref()).map_err(Failure::Other)?
        }
    };
    write_all(registry, &arguments.out, &date)
}

fn write_all(registry: &Registry, out: &Path, date: &str) -> Outcome {
    std::fs::create_dir_all(out)?;
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    commands(&command, None, out, date)?;
    let write = |name: &str, summary: &str, body: &str| {
        let page = file_page(name, summary, date, body);
        std::fs::write(out.join(format!("{name}.5")), page)
    };
    let mut filters = String::from("\n## Filters\n\nEach has a page of its own.\n");
    for entry in registry.entries() {
        let mut generator = generator();
        let schema = options(entry, &mut generator);
        let definitions = Value::Object(generator.take_definitions(true));
        let page = Page::new(&schema, &definitions);
        let (name, summary) = (page_of_filter(entry.name), page.summary());
        let _ = write!(filters, "\n- **{name}**(5): {summary}\n");
        let body = format!(
            "## Description\n\n{}\n## See also\n\n{}\n",
            without_title(&page.write(entry.name)),
            "**wiregate.yaml**(5), **wiregate-check**(1)"
        );
        write(&name, &one_line(&summary), &body)?;
    }
    let all = schema(&Registry::new());
    let definitions = all.get("$defs").unwrap_or(&Value::Null);
    let options = Page::new(&all, definitions).write("wiregate.yaml");
    let options = without_title(&options);
    let body = format!("{}{options}{filters}{}", text::FILE, text::FILE_END);
    write("wiregate.yaml", "the configuration of a gateway", &body)?;
    Ok(())
}

/// The pages of a command, and of those under it.
fn commands(
    command: &clap::Command,
    parent: Option<&str>,
    out: &Path,
    date: &str,
) -> std::io::Result<()> {
    let name = match parent {
        Some(parent) => format!("{parent}-{}", command.get_name()),
        None => command.get_name().to_owned(),
    };
    let subcommands = command.get_subcommands().filter(|one| !one.is_hide_set());
    for subcommand in subcommands {
        commands(subcommand, Some(&name), out, date)?;
    }
    // A sentence has a full stop, a line under NAME has none.
    let about = command.get_about().map(ToString::to_string);
    let about = one_line(&about.unwrap_or_default());
    let long = command.get_long_about().or(command.get_about()).cloned();
    let described = command.clone().about(about);
    let described = described.long_about(long.unwrap_or_default());
    let page = Man::new(described).title(&name).source(SOURCE);
    let page = page.date(date).manual(MANUAL);
    let mut written = Vec::new();
    page.render(&mut written)?;
    let end = match parent {
        None => text::PROGRAM_END,
        Some(_) => text::COMMAND_END,
    };
    written.extend(roff(end).bytes());
    std::fs::write(out.join(format!("{name}.1")), written)
}

fn page_of_filter(name: &str) -> String {
    format!("wiregate-filter-{name}")
}

/// A page of section 5.
fn file_page(name: &str, summary: &str, date: &str, body: &str) -> String {
    let [name, summary] = [name, summary].map(roff::plain);
    // Neither stretched nor hyphenated: most of it are words that are typed.
    format!(
        ".TH \"{name}\" 5 \"{date}\" \"{SOURCE}\" \"{MANUAL}\"\n.nh\n.ad l\n\
         .SH NAME\n{name} \\- {summary}\n{}",
        roff(body)
    )
}

/// The text below the title.
fn without_title(page: &str) -> &str {
    page.split_once("\n\n").map_or(page, |(_, rest)| rest)
}

/// The first sentence, or as much of it as stands in a list of pages.
fn one_line(text: &str) -> String {
    let text = text.replace('`', "");
    let mut sentence = text.split_once(". ").map_or(&*text, |(first, _)| first);
    if sentence.len() > LONGEST_SUMMARY {
        let end = sentence.find([',', ';', ':', '(']);
        sentence = end.map_or(sentence, |end| sentence[..end].trim_end());
    }
    let mut letters = sentence.trim_end_matches('.').chars();
    let first = letters.next().into_iter().flat_map(char::to_lowercase);
    first.chain(letters).collect()
}
