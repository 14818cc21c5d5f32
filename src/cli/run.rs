//! `wiregate run`.

use std::net::SocketAddr;
use std::sync::Arc;

use wiregate_sdk::Registry;

use super::{ConfigArgument, Failure, Outcome};
use crate::config::report;
use crate::echo::Echo;
use crate::gateway::{self, Start};
use crate::systemd::Systemd;
use crate::upgrade::{Predecessor, Program};

/// Run the gateway.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Run an echo server on this address as well, to have an upstream to try things on; may be
    /// repeated. A gateway with one cannot be upgraded: its address does not go over.
    #[arg(long)]
    echo: Vec<SocketAddr>,
}

pub(super) fn run(registry: Registry, arguments: Arguments) -> Outcome {
    let systemd = Systemd::of_process()?;
    let program = Program::of_process()?;
    let mut predecessor = Predecessor::of_process()?;
    let sockets = predecessor.as_mut().map(Predecessor::take_sockets);
    let predecessor = predecessor.map(Arc::new);
    let start = Start {
        registry,
        path: arguments.config.config,
        program,
        systemd,
        predecessor: predecessor.clone(),
        sockets: sockets.unwrap_or_default(),
    };
    let outcome = (|| {
        let _echo = (!arguments.echo.is_empty())
            .then(|| Echo::start(&arguments.echo))
            .transpose()?;
        gateway::run(start)
    })();
    outcome.map_err(|failure| {
        if let Some(predecessor) = predecessor {
            predecessor.refuse(why(&failure));
        }
        match failure {
            gateway::Failure::Refused(refused) => Failure::Refused(Box::new(refused)),
            gateway::Failure::System(error) => error.into(),
        }
    })
}

/// What whoever asked for an upgrade gets to read.
fn why(failure: &gateway::Failure) -> String {
    match failure {
        gateway::Failure::Refused(refused) => {
            let text = report::text(&refused.problems, &refused.sources, false);
            format!(
                "the new process refuses the configuration:\n{}",
                text.trim_end()
            )
        }
        gateway::Failure::System(error) => error.to_string(),
    }
}
