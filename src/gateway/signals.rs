//! The signals that a gateway acts on.

use std::io;
use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::proxy::Shared;
use crate::reload::Reloader;
use crate::upgrade::{DEADLINE, Successor, Upgrades};

/// Why a gateway ends.
pub(super) enum End {
    /// It was told to; what is in flight may finish.
    Patient,
    /// It was told to, at once.
    AtOnce,
    /// Another process has taken over.
    TakenOver(Successor),
}

/// The signals that a gateway acts on.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reopen: Signal,
    upgrade: Signal,
}

/// What signals act on.
pub(super) struct Reach {
    pub(super) shared: Arc<Shared>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) upgrades: Arc<Upgrades>,
}

impl Signals {
    /// From now on, signals that are asked of a gateway that runs end no process that is about to be one:
    /// they do nothing as long as nobody [listens](Self::listen).
    pub(super) fn spare_the_process() -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let _inside = runtime.enter();
        // The handler of a signal stays for as long as the process lives.
        for kind in [
            SignalKind::hangup(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ] {
            drop(signal(kind)?);
        }
        Ok(())
    }

    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    /// Acts on signals until one of them, or an upgrade, ends the gateway.
    pub(super) async fn until_the_end(
        &mut self,
        reach: &Reach,
        successors: &mut UnboundedReceiver<Successor>,
    ) -> End {
        let patient = loop {
            tokio::select! {
                biased;
                Some(successor) = successors.recv() => return End::TakenOver(successor),
                _ = self.terminate.recv() => break true,
                _ = self.interrupt.recv() => break false,
                _ = self.hangup.recv() => {
                    // Signals that come meanwhile are acted upon.
                    let reloader = reach.reloader.clone();
                    tokio::spawn(async move { drop(reloader.reload_aside().await) });
                }
                _ = self.upgrade.recv() => {
                    let upgrades = reach.upgrades.clone();
                    tokio::spawn(async move { drop(upgrades.upgrade(DEADLINE).await) });
                }
                _ = self.reopen.recv() => reopen(&reach.shared),
            }
        };
        reach.upgrades.close().await;
        match (successors.try_recv(), patient) {
            // The signal was meant for whoever runs the show by now.
            (Ok(successor), _) => {
                successor.terminate();
                End::TakenOver(successor)
            }
            (Err(_), true) => End::Patient,
            (Err(_), false) => End::AtOnce,
        }
    }

    /// Returns when whoever asked the gateway to end asks again. Until then its log may still be moved
    /// away.
    pub(super) async fn until_impatient(mut self, shared: Arc<Shared>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.reopen.recv() => reopen(&shared),
            }
        }
    }
}

fn reopen(shared: &Shared) {
    let log = shared.access_log.load();
    if let Some(Err(error)) = log.as_ref().as_ref().map(|log| log.reopen()) {
        tracing::error!(%error, "the access log cannot be opened anew, the old file stays");
    }
}
