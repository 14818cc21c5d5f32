//! `wiregate reload`.

use serde_json::Value;
use wiregate_sdk::Registry;

use super::admin::AdminArguments;
use super::{Failure, Outcome, REFUSED};

/// Make a running gateway read its configuration again.
///
/// Asks the gateway over its admin API, whose address the configuration gives, and prints the
/// problems where the new configuration is refused: the running one stays, and the exit code is
/// 78.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    admin: AdminArguments,
    /// Wait for the outcome. (A gateway answers when it is known; the word is for scripts that
    /// want to say so.)
    #[arg(long)]
    wait: bool,
}

#[expect(clippy::print_stdout, reason = "this is the command's answer")]
pub(super) fn run(_registry: &Registry, arguments: &Arguments) -> Outcome {
    let (status, body) = arguments.admin.post("/reload")?;
    let answer: Value = serde_json::from_str(&body)
        .map_err(|_| Failure::Other(format!("the gateway answered {status}: {}", body.trim())))?;
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
