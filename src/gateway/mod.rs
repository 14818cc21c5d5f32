//! A running gateway: how it starts, by itself or in the place of another process, and how it ends.

mod opened;
mod signals;
mod told;
mod workers;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{oneshot, watch};
use wiregate_sdk::Registry;

use crate::admin::{Admin, Serving};
use crate::config::model::Bind;
use crate::listen::{FAREWELL, Handed, Listeners};
use crate::overload::watch_memory;
use crate::proxy::{Phase, Shared};
use crate::reload::{Refused, Reloader};
use crate::systemd::{Notify, Systemd};
use crate::upgrade::{Predecessor, Program, Successor, Upgrades};
use opened::{accept, open, serve_admin};
use signals::{End, Reach, Signals};
use workers::Workers;

/// How long the log may take to write what it still has at the end.
const LOG_GRACE: Duration = Duration::from_secs(5);
/// How much longer than all that they have to do, at the end.
const MARGIN: Duration = Duration::from_secs(2);

/// Why a gateway did not start, or did not go on.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is refused.
    Refused(Refused),
    /// The system does not allow something.
    System(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// What a gateway starts from.
pub struct Start {
    /// The filters that there are.
    pub registry: Registry,
    /// The configuration.
    pub path: PathBuf,
    /// What the next process is started from.
    pub program: Program,
    /// What systemd has given.
    pub systemd: Systemd,
    /// The process whose place this one takes.
    pub predecessor: Option<Arc<Predecessor>>,
    /// Its sockets: those of its listeners, and that of its admin API.
    pub sockets: (Vec<Handed>, Option<Handed>),
}

/// A running gateway. Dropping it stops it at once.
pub struct Gateway {
    listeners: Arc<Listeners>,
    shared: Arc<Shared>,
    reloader: Arc<Reloader>,
    upgrades: Arc<Upgrades>,
    successors: UnboundedReceiver<Successor>,
    admin: Option<Arc<Serving>>,
    notify: Arc<Notify>,
    /// Says when the process has ended whose place this one has taken.
    predecessor: Option<watch::Receiver<bool>>,
    workers: Workers,
    control: Runtime,
}

/// Runs a gateway until a signal ends it, or another process takes its place. TERM lets requests in
/// flight finish, INT and a second TERM do not; HUP reloads the configuration, USR1 opens the access
/// log anew, USR2 starts an upgrade.
///
/// # Errors
/// Why it did not start, or that whoever has taken its place has broken down at once.
pub fn run(start: Start) -> Result<(), Failure> {
    let (mut gateway, mut signals) = Gateway::begin(start, Signals::listen)?;
    let reach = Reach {
        shared: gateway.shared.clone(),
        reloader: gateway.reloader.clone(),
        upgrades: gateway.upgrades.clone(),
    };
    let end = signals.until_the_end(&reach, &mut gateway.successors);
    match gateway.control.block_on(end) {
        End::Patient => gateway.stop_unless(signals.until_impatient()),
        End::TakenOver(successor) => return gateway.leave(successor, signals.until_impatient()),
        End::AtOnce => {}
    }
    Ok(())
}

impl Gateway {
    /// Starts a gateway within another program: no signal acts on it, and systemd hears nothing.
    ///
    /// # Errors
    /// Why it did not start.
    pub fn start(registry: Registry, path: PathBuf) -> Result<Self, Failure> {
        let start = Start {
            registry,
            path,
            program: Program::of_process()?,
            systemd: Systemd::default(),
            predecessor: None,
            sockets: Default::default(),
        };
        Self::begin(start, || Ok(())).map(|(gateway, ())| gateway)
    }

    /// Starts a gateway; listens for signals when it is about to accept connections. Before that, a
    /// process that is to take the place of another one ends by any signal, and the other one stays.
    fn begin<S>(
        mut start: Start,
        listen: impl FnOnce() -> io::Result<S>,
    ) -> Result<(Self, S), Failure> {
        // Pingora brings another provider along; whoever comes first is used by all TLS here.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let opened = open(&mut start)?;
        let control = opened.control;
        let (shared, listeners) = (opened.shared, opened.listeners);
        opened.snapshot.go_live(control.handle());
        let workers = Workers::start(&shared, &opened.snapshot, opened.tasks)?;
        if let Some(predecessor) = &start.predecessor {
            control.block_on(told::first_checks_or(&opened.snapshot, predecessor.ended()))?;
            opened.snapshot.take_in(&predecessor.ready()?);
        } else if let [bind, ..] = &*listeners.close_unasked() {
            let message = format!("systemd passes a socket on {bind}, and no listener binds that");
            return Err(io::Error::other(message).into());
        }
        let signals = {
            let _runtime = control.enter();
            listen()?
        };
        accept(&control, &listeners, opened.prepared)?;
        let reloader = Reloader::new(
            start.path,
            start.registry,
            shared.clone(),
            listeners.clone(),
            control.handle().clone(),
            &opened.sources,
        );
        let reloader = Arc::new(reloader);
        control.spawn(reloader.clone().watch());
        control.spawn(watch_memory(shared.clone()));
        let (upgrades, successors) = Upgrades::new(
            start.program,
            shared.clone(),
            listeners.clone(),
            reloader.clone(),
        );
        let admin = opened.admin.map(|socket| {
            let admin = Admin::new(shared.clone(), reloader.clone(), upgrades.clone());
            serve_admin(socket, admin, &upgrades, &control)
        });
        let mut this = Self {
            listeners,
            shared,
            reloader,
            upgrades,
            successors,
            admin: admin.transpose()?,
            notify: Arc::new(start.systemd.notify),
            predecessor: None,
            workers,
            control,
        };
        this.take_over(start.predecessor.as_deref());
        this.tell(start.systemd.watchdog, start.predecessor.as_deref());
        Ok((this, signals))
    }

    /// From here on, the gateway is this process.
    fn take_over(&mut self, predecessor: Option<&Predecessor>) {
        let Some(predecessor) = predecessor else {
            return;
        };
        self.listeners.own(true);
        if let Some(admin) = &self.admin {
            admin.own();
        }
        for bind in self.listeners.close_unasked() {
            tracing::info!(address = %bind, "nothing listens there any more");
        }
        let (pid, version) = (predecessor.pid, &predecessor.version);
        if let Err(error) = predecessor.begun() {
            tracing::warn!(%error, pid, "the process whose place this one takes has gone already");
        }
        tracing::info!(pid, version, "taken over from another process");
        self.shared.metrics.upgraded(true);
        self.predecessor = Some(predecessor.ended());
    }

    /// Tells systemd how the gateway is, from now on.
    fn tell(&self, watchdog: Option<Duration>, predecessor: Option<&Predecessor>) {
        let (shared, notify) = (self.shared.clone(), self.notify.clone());
        let snapshot = shared.live.load_full();
        self.control.spawn(async move {
            told::first_checks(&snapshot).await;
            told::ready(&shared, &notify);
        });
        let (shared, notify) = (self.shared.clone(), self.notify.clone());
        if notify.is_heard() {
            let former = predecessor.map(|former| (former.pid, former.ended()));
            let state = told::state(shared.clone(), notify.clone(), former);
            self.control.spawn(state);
            if let Some(every) = watchdog {
                let listeners = self.listeners.clone();
                self.control
                    .spawn(told::life(every, notify, shared, listeners));
            }
        }
    }

    /// The address of a listener on TCP, with the port that the system chose where 0 was asked for.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        match self.listeners.address(listener)? {
            Bind::Tcp(address) => Some(address),
            Bind::Unix(_) => None,
        }
    }

    /// Reads the configuration again and takes it live; returns its number.
    ///
    /// # Errors
    /// Every problem; the running configuration stays.
    pub fn reload(&self) -> Result<u64, Refused> {
        self.reloader.reload()
    }

    /// Accepts no more connections, and lets requests in flight finish within
    /// `limits.drain_deadline`.
    pub fn stop(self) {
        self.stop_unless(std::future::pending());
    }

    /// The same, but returns at once when told to.
    fn stop_unless(mut self, impatient: impl Future<Output = ()>) {
        let limits = self.shared.live.load().settings.limits.clone();
        let deadline: Duration = limits.drain_deadline.into();
        self.notify.tell("STOPPING=1");
        self.shared.phase.send_replace(Phase::Draining);
        let delay = limits.drain_delay.map_or(Duration::ZERO, Duration::from);
        tracing::info!(?delay, ?deadline, "stopping: not ready any more");
        let former = self.predecessor.take();
        let ended = self.control.block_on(async {
            let end = async {
                tokio::time::sleep(delay).await;
                tracing::info!("no more connections, requests in flight go on");
                self.listeners.stop();
                let former = async {
                    if let Some(mut former) = former {
                        // Were this process to end first, systemd would kill the other one.
                        let ended = former.wait_for(|ended| *ended);
                        let _ = tokio::time::timeout(deadline, ended).await;
                    }
                };
                tokio::join!(self.workers.end(deadline + FAREWELL + MARGIN), former);
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
        close_log(&self.shared);
    }

    /// Accepts nothing any more since another process does, and finishes what it has.
    fn leave(
        self,
        mut successor: Successor,
        impatient: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let pid = successor.pid();
        self.notify.tell(&format!("MAINPID={pid}"));
        self.shared.phase.send_replace(Phase::HandedOver);
        self.listeners.own(false);
        self.listeners.stop();
        if let Some(admin) = &self.admin {
            admin.leave();
        }
        let deadline: Duration = self
            .shared
            .live
            .load()
            .settings
            .limits
            .drain_deadline
            .into();
        tracing::info!(
            pid,
            ?deadline,
            "no more connections: another process takes them, requests in flight go on"
        );
        let (tell, broken) = oneshot::channel();
        std::thread::spawn(move || {
            let ended = successor.wait();
            // One that ends in order leaves the rest of this process's time to it.
            if ended.as_ref().map_or(true, |status| !status.success()) {
                let _ = tell.send(ended);
            }
        });
        let admin = self.admin.clone();
        let outcome = self.control.block_on(async {
            let end = async {
                self.workers.end(deadline + FAREWELL + MARGIN).await;
                if let Some(admin) = &admin {
                    admin.finish().await;
                }
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
        close_log(&self.shared);
        outcome.map_err(|ended| {
            // Nobody accepts connections now: whoever watches the gateway is to start it anew.
            let why = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            self.notify.tell(&format!("MAINPID={}", std::process::id()));
            io::Error::other(format!(
                "process {pid}, which has taken over, has ended: {why}"
            ))
            .into()
        })
    }
}

fn close_log(shared: &Shared) {
    if let Some(log) = &**shared.access_log.load() {
        log.close(LOG_GRACE);
    }
}
