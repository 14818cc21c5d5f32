//! `wiregate cache`.

use std::time::Duration;

use clap::Subcommand;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use wiregate_sdk::Registry;

use super::admin::AdminArguments;
use super::{Failure, Outcome};

/// Longer than any purge takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Look after the cache of a running gateway.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Purge(Purge),
}

/// Take responses out of the cache, or make them stale.
///
/// Asks the gateway over its admin API, whose address the configuration gives, and prints how many stored
/// responses were hit. Fetches that are under way are hit as well.
#[derive(Debug, clap::Args)]
struct Purge {
    #[command(flatten)]
    admin: AdminArguments,
    #[command(flatten)]
    hit: Hit,
    /// Make responses stale, instead of taking them out: they are validated before their next use, and
    /// stand in where the upstream fails.
    #[arg(long)]
    soft: bool,
    /// Purge this cache only.
    #[arg(long)]
    cache: Option<String>,
}

/// What a purge hits.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Hit {
    /// All responses of this URL, whatever else tells them apart.
    #[arg(long)]
    url: Option<String>,
    /// All responses whose URL begins with this.
    #[arg(long)]
    prefix: Option<String>,
    /// All responses with this tag.
    #[arg(long)]
    tag: Option<String>,
    /// All responses.
    #[arg(long)]
    all: bool,
}

pub(super) fn run(_registry: &Registry, arguments: &Arguments) -> Outcome {
    match &arguments.what {
        What::Purge(purge) => purge.run(),
    }
}

impl Purge {
    #[expect(clippy::print_stdout, reason = "this is the command's answer")]
    fn run(&self) -> Outcome {
        let (status, body) = self
            .admin
            .ask(&format!("/caches/purge?{}", self.query()), DEADLINE)?;
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        let Some(purged) = answer.get("purged").and_then(Value::as_u64) else {
            let why = format!("the gateway answered {status}: {}", body.trim());
            return Err(Failure::Other(why));
        };
        let (noun, done) = match (purged, self.soft) {
            (1, false) => ("response", "purged"),
            (_, false) => ("responses", "purged"),
            (1, true) => ("response", "made stale"),
            (_, true) => ("responses", "made stale"),
        };
        println!("{purged} {noun} {done}");
        Ok(())
    }

    fn query(&self) -> String {
        let pairs = [
            ("url", &self.hit.url),
            ("prefix", &self.hit.prefix),
            ("tag", &self.hit.tag),
            ("cache", &self.cache),
        ];
        let pairs = pairs.into_iter().filter_map(|(name, value)| {
            let value = utf8_percent_encode(value.as_ref()?, NON_ALPHANUMERIC);
            Some(format!("{name}={value}"))
        });
        let flags = [("all", self.hit.all), ("soft", self.soft)];
        let flags = flags.into_iter().filter(|(_, set)| *set);
        let flags = flags.map(|(name, _)| name.to_owned());
        pairs.chain(flags).collect::<Vec<_>>().join("&")
    }
}
