//! How a gateway ends: told to, or because another process has taken its place.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::workers::Workers;
use super::{Failure, Gateway, told};
use crate::admin::Serving;
use crate::listen::FAREWELL;
use crate::proxy::{Phase, Shared};
use crate::upgrade::{Predecessor, Successor};

/// How long the log may take to write, and the exporter of traces to send, what they still have at the
/// end.
const LOG_GRACE: Duration = Duration::from_secs(5);
/// How long those who have asked the admin API may take to be told, such as why an upgrade was given up.
const TELLING: Duration = Duration::from_millis(250);
/// How much longer than all that they have to do, at the end.
pub(super) const MARGIN: Duration = Duration::from_secs(2);

impl Gateway {
    /// Accepts no more connections, and lets requests in flight finish within
    /// `limits.drain_deadline`.
    pub fn stop(self) {
        self.stop_unless(std::future::pending());
    }

    /// The same, but returns at once when told to.
    pub(super) fn stop_unless(mut self, impatient: impl Future<Output = ()>) {
        let limits = self.shared.live.load().settings.limits.clone();
        let deadline: Duration = limits.drain_deadline.into();
        let delay = limits.drain_delay.map_or(Duration::ZERO, Duration::from);
        let most = delay + deadline + FAREWELL + MARGIN + LOG_GRACE + MARGIN;
        self.notify
            .insist_aside(&format!("STOPPING=1\n{}", told::needs(most)));
        self.shared.phase.send_replace(Phase::Draining);
        tracing::info!(?delay, ?deadline, "stopping: not ready any more");
        let former = self.predecessor.take();
        let ended = self.control.block_on(async {
            let end = async {
                tokio::time::sleep(delay).await;
                tracing::info!("no more connections, requests in flight go on");
                self.listeners.stop();
                let most = deadline + FAREWELL + MARGIN;
                tokio::join!(self.workers.end(most), outlived(former.as_deref(), most));
                let told = join_all(self.answering.iter().map(Serving::finish));
                let _ = tokio::time::timeout(TELLING, told).await;
            };
            tokio::select! {
                () = end => true,
                () = impatient => false,
            }
        });
        if !ended {
            tracing::warn!("requests in flight are cut off by a signal");
            return;
        }
        close_logs(&self.shared);
    }

    /// Accepts nothing any more, and finishes what it has, within its time.
    async fn finish(&self, workers: Workers, former: Option<&Predecessor>, successor: u32) {
        self.shared.phase.send_replace(Phase::HandedOver);
        self.listeners.own(false);
        self.listeners.stop();
        self.answering.iter().for_each(Serving::leave);
        let deadline = Duration::from(self.shared.live.load().settings.limits.drain_deadline);
        tracing::info!(
            pid = successor,
            ?deadline,
            "no more connections: another process takes them, requests in flight go on"
        );
        let most = deadline + FAREWELL + MARGIN;
        tokio::join!(workers.end(most), outlived(former, most));
        join_all(self.answering.iter().map(Serving::finish)).await;
    }

    /// Another process accepts connections: finishes what this one has.
    pub(super) fn leave(
        mut self,
        successor: Successor,
        impatient: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let pid = successor.pid();
        // First: from here on, the end of this process is nothing to it.
        let former = self.predecessor.take();
        let former = former.as_deref();
        if let Some(former) = former {
            former.handed_over();
        }
        let mut telling = self.tell_main(pid);
        let forwarding = successor.forwarding();
        let broken = broken(successor);
        let workers = std::mem::take(&mut self.workers);
        let outcome = self.control.block_on(async {
            let end = async {
                // Connections are accepted as long as systemd takes this process for the gateway.
                if let Some(told) = &mut telling {
                    let _ = told.await; // or it was given up
                    telling = None;
                }
                self.finish(workers, former, pid).await;
            };
            tokio::select! {
                () = end => Ok(()),
                Ok(ended) = broken => Err(ended),
                () = impatient => {
                    tracing::warn!("requests in flight are cut off by a signal");
                    Ok(())
                }
            }
        });
        match telling {
            // What is told below comes behind it.
            Some(told) if outcome.is_err() => drop(self.control.block_on(told)),
            Some(_) => self.notify.tell(&main_is(pid)), // whoever has no patience is not held up
            None => {}
        }
        if let Some(forwarding) = forwarding {
            forwarding.tell();
        }
        close_logs(&self.shared);
        outcome.map_err(|ended| self.broken_down(pid, ended))
    }

    /// Tells systemd which process is the main one. Where that has no room for it, a thread does so, which the end of the process
    /// does not wait for; what comes back ends when it is told or given up.
    fn tell_main(&self, pid: u32) -> Option<oneshot::Receiver<()>> {
        let main = main_is(pid);
        (!self.notify.tell_at_once(&main)).then(|| {
            let (notify, (tell, told)) = (self.notify.clone(), oneshot::channel());
            let thread = std::thread::Builder::new().name("notify".to_owned());
            let telling = thread.spawn(move || {
                notify.insist(&main);
                let _ = tell.send(()); // nobody may wait any more
            });
            if let Err(error) = telling {
                tracing::warn!(%error, pid, "systemd does not hear which process is the main one");
            }
            told
        })
    }

    /// Nobody accepts connections now: whoever watches the gateway is to start it anew.
    fn broken_down(&self, successor: u32, ended: io::Result<ExitStatus>) -> Failure {
        let why = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        self.notify.insist(&main_is(std::process::id()));
        let message = format!("process {successor}, which has taken over, has ended: {why}");
        io::Error::other(message).into()
    }
}

/// What tells systemd which process is the main one.
fn main_is(pid: u32) -> String {
    format!("MAINPID={pid}")
}

/// Waits for the process whose place this one has taken, and all before that, to end, but not longer than this. Were this
/// one to end first, nobody would know that another one still has something to finish, and systemd would kill it.
async fn outlived(former: Option<&Predecessor>, most: Duration) {
    if let Some(former) = former {
        let mut ended = former.all_ended();
        let _ = tokio::time::timeout(most, ended.wait_for(|ended| *ended)).await;
    }
}

/// How the process that has taken over has ended, if that was a failure and nobody has taken its place.
fn broken(mut successor: Successor) -> oneshot::Receiver<io::Result<ExitStatus>> {
    let (tell, broken) = oneshot::channel();
    std::thread::spawn(move || {
        let ended = match successor.wait() {
            Ok(None) => return successor.bury(),
            // One that ends in order leaves the rest of this process's time to it.
            Ok(Some(status)) if status.success() => return,
            Ok(Some(status)) => Ok(status),
            Err(error) => Err(error),
        };
        let _ = tell.send(ended);
    });
    broken
}

/// Has the access log and the traces get to their end, both at the same time.
fn close_logs(shared: &Shared) {
    shared.exporters.close(LOG_GRACE);
    if let Some(log) = &**shared.access_log.load() {
        log.close(LOG_GRACE);
    }
    shared.exporters.ended(LOG_GRACE + MARGIN);
}
