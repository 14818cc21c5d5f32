//! `wiregate reload`.

use std::time::Duration;

use serde_json::Value;
use wiregate_sdk::Registry;

use super::admin::AdminArguments;
use super::{Failure, Outcome, REFUSED};

/// Longer than any reload takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Make a running gateway read its configuration again.
///
/// Asks the gateway over its admin API, whose address the configuration gives. With `--wait`, prints
/// the problems where the new configuration is refused: the running one stays, and the exit code is
/// 78. Without it, ends as soon as the gateway has heard of it, whose log tells the outcome.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    admin: AdminArguments,
    /// Wait for the outcome.
    #[arg(long)]
    wait: bool,
}

#[expect(clippy::print_stdout, reason = "this is the command's answer")]
pub(super) fn run(_registry: &Registry, arguments: &Arguments) -> Outcome {
    if !arguments.wait {
        let (status, body) = arguments.admin.ask("/reload?wait=false", DEADLINE)?;
        if status != 202 {
            return Err(Failure::Other(answered(status, &body)));
        }
        println!("the gateway reads its configuration again");
        return Ok(());
    }
    let (status, body) = arguments.admin.ask("/reload", DEADLINE)?;
    let answer: Value =
        serde_json::from_str(&body).map_err(|_| Failure::Other(answered(status, &body)))?;
    if let Some(generation) = answer.get("generation") {
        println!("configuration {generation} is live");
        return Ok(());
    }
    eprint!(
        "{}",
        answer.get("text").and_then(Value::as_str).unwrap_or(&body)
    );
    eprintln!("wiregate: the new configuration is refused, the running one stays");
    std::process::exit(REFUSED.into());
}

fn answered(status: u16, body: &str) -> String {
    format!("the gateway answered {status}: {}", body.trim())
}
