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
    let path = match arguments.wait {
        true => "/reload",
        false => "/reload?wait=false",
    };
    let (status, body) = arguments.admin.ask(path, DEADLINE)?;
    if status == 202 {
        println!("the gateway reads its configuration again");
        return Ok(());
    }
    // A gateway of a version that does not know `wait=false` waits all the same, and tells the outcome.
    let answer: Value =
        serde_json::from_str(&body).map_err(|_| Failure::Other(answered(status, &body)))?;
    if let Some(generation) = answer.get("generation") {
        println!("configuration {generation} is live");
        return Ok(());
    }
    let Some(problems) = answer.get("text").and_then(Value::as_str) else {
        return Err(Failure::Other(answered(status, &body)));
    };
    eprint!("{problems}");
    eprintln!("wiregate: the new configuration is refused, the running one stays");
    std::process::exit(REFUSED.into());
}

fn answered(status: u16, body: &str) -> String {
    format!("the gateway answered {status}: {}", body.trim())
}
