//! `wiregate upgrade`.

use std::time::Duration;

use serde_json::Value;
use wiregate_sdk::Registry;
use wiregate_sdk::types::Period;

use super::admin::AdminArguments;
use super::{Failure, Outcome};

/// How long the gateway may take beyond the deadline, which is for the new process alone.
const MARGIN: Duration = Duration::from_secs(30);

/// Have a new process take a running gateway's place, without a request lost.
///
/// The gateway starts its program anew, from the path that it was started with. The new process
/// compiles the configuration, takes all sockets over and gets ready; only then the old one stops
/// accepting, finishes what it has, and ends. Where the new one ends, refuses the configuration, or is
/// not ready in time, the old one goes on as if nothing had been asked: then this prints why, and
/// exits with 1.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    admin: AdminArguments,
    /// How long the new process may take to get ready.
    #[arg(long, default_value = "60s")]
    deadline: Period,
}

#[expect(clippy::print_stdout, reason = "this is the command's answer")]
pub(super) fn run(_registry: &Registry, arguments: &Arguments) -> Outcome {
    let path = format!("/upgrade?deadline={}", arguments.deadline);
    let patience = Duration::from(arguments.deadline) + MARGIN;
    let (status, body) = arguments.admin.ask(&path, patience)?;
    let answer: Value = serde_json::from_str(&body)
        .map_err(|_| Failure::Other(format!("the gateway answered {status}: {}", body.trim())))?;
    let who = |answer: &Value| {
        let version = answer["version"].as_str().unwrap_or("?");
        format!("process {} ({version})", answer["pid"])
    };
    match answer["why"].as_str() {
        Some(why) => Err(Failure::Other(format!("the upgrade is off: {why}"))),
        None => {
            println!(
                "{} has taken over from {}",
                who(&answer),
                who(&answer["from"])
            );
            Ok(())
        }
    }
}
