//! `wiregate run`.

use std::net::SocketAddr;

use wiregate_sdk::Registry;

use super::{ConfigArgument, Failure, Outcome};
use crate::echo::Echo;
use crate::gateway;

/// Run the gateway.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Run an echo server on this address as well, to have an upstream to try things on; may be
    /// repeated.
    #[arg(long)]
    echo: Vec<SocketAddr>,
}

pub(super) fn run(registry: Registry, arguments: Arguments) -> Outcome {
    let _echo = (!arguments.echo.is_empty())
        .then(|| Echo::start(&arguments.echo))
        .transpose()?;
    gateway::run(registry, arguments.config.config).map_err(|failure| match failure {
        gateway::Failure::Refused(refused) => Failure::Refused(Box::new(refused)),
        gateway::Failure::System(error) => error.into(),
    })
}
