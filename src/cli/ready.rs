//! `wiregate ready`.

use std::time::Duration;

use wiregate_sdk::Registry;

use super::admin::AdminArguments;
use super::{Failure, Outcome};

/// How long the gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ask a running gateway whether it takes requests.
///
/// Asks `/readyz` of the admin API, whose address the configuration gives, and prints what that says:
/// `ok`, `starting` or `draining`. Exits with 0 where the gateway takes requests, and with 1 where it
/// does not, or does not answer within 5 seconds: what a container's health check wants. Such a check
/// names the address with `--admin`: a configuration that cannot be read ends the command with 78,
/// though the gateway may go on with the last good one.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    admin: AdminArguments,
}

#[expect(clippy::print_stdout, reason = "this is the command's answer")]
pub(super) fn run(_registry: &Registry, arguments: &Arguments) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let asking = arguments.admin.asking(PATIENCE)?;
    let (status, body) = (runtime.block_on(asking.get("/readyz"))).map_err(Failure::Other)?;
    print!("{body}");
    match status {
        200 => Ok(()),
        _ => Err(Failure::No),
    }
}
