//! `wiregate check`.

use wiregate_sdk::Registry;

use super::{ConfigArgument, Failure, Format, Outcome};
use crate::config::report;
use crate::observe::metrics::Metrics;
use crate::reload;

/// Say whether a configuration is good, or everything that is wrong with it.
///
/// Does all that a start does, short of opening sockets: secrets are read, filters built, routes
/// compiled. Exits with 78 where the configuration is refused. Warns of the folder of a cache that the user
/// who runs this cannot make or write: a start as that user would be refused.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[expect(clippy::print_stdout, reason = "this is the command's answer")]
pub(super) fn run(registry: &Registry, arguments: &Arguments) -> Outcome {
    let path = &arguments.config.config;
    let loaded = reload::load(path, registry, &Metrics::new(), reload::From::Paper);
    if arguments.format == Format::Json {
        let problems = match &loaded {
            Ok(_) => serde_json::Value::Array(Vec::new()),
            Err(refused) => report::json(&refused.problems),
        };
        println!("{problems:#}");
    }
    let loaded = loaded.map_err(|refused| Failure::Refused(Box::new(refused)))?;
    let snapshot = &loaded.snapshot;
    let folders = snapshot.stores.iter();
    let folders = folders.filter_map(|store| store.lacks_folder());
    for why in snapshot.takes_too_much().into_iter().chain(folders) {
        eprintln!("wiregate: warning: {why}");
    }
    if arguments.format == Format::Text {
        let counts = [
            (snapshot.listeners.len(), "listener"),
            (snapshot.routes.len(), "route"),
            (snapshot.upstreams.len(), "upstream"),
        ];
        let counts = counts.map(|(count, what)| {
            let plural = if count == 1 { "" } else { "s" };
            format!("{count} {what}{plural}")
        });
        println!("{} is good: {}", path.display(), counts.join(", "));
    }
    Ok(())
}
