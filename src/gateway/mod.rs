//! A running gateway: how it starts, by itself or in the place of another process, and how it ends.

mod opened;
mod signals;
mod told;
mod workers;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use wiregate_sdk::Registry;
use wiregate_sdk::build::Packed;

use crate::admin::{Admin, Serving};
use crate::compile::{Arriving, Snapshot, Wanted};
use crate::config::model::Bind;
use crate::listen::{FAREWELL, Handed, Listeners};
use crate::overload::watch_memory;
use crate::proxy::{Phase, Shared};
use crate::reload::{Refused, Reloader};
use crate::systemd::{Notify, Systemd};
use crate::upgrade::{Predecessor, Program, Successor, Told, Upgrades};
use opened::{accept, open, serve_admin};
use signals::{End, Reach, Signals};
use workers::Workers;

/// How long the log may take to write, and the exporter of traces to send, what they still have at the
/// end.
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
    /// The process whose place this one has taken.
    predecessor: Option<Arc<Predecessor>>,
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
    Signals::spare_the_process()?;
    let (mut gateway, mut signals) = Gateway::begin(start, Signals::listen)?;
    let reach = Reach {
        shared: gateway.shared.clone(),
        reloader: gateway.reloader.clone(),
        upgrades: gateway.upgrades.clone(),
    };
    let end = signals.until_the_end(&reach, &mut gateway.successors);
    match gateway.control.block_on(end) {
        End::Patient => gateway.stop_unless(signals.until_impatient(reach.shared)),
        End::TakenOver(successor) => {
            return gateway.leave(successor, signals.until_impatient(reach.shared));
        }
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

    /// Starts a gateway; listens for signals when it is about to accept connections. Before that, TERM
    /// and INT end a process that is to take the place of another one, which stays; HUP, USR1 and USR2 do nothing.
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
            control.block_on(told::first_answers_or(
                &opened.snapshot,
                predecessor.ended(),
            ))?;
            opened
                .snapshot
                .take_in(&heir_of(predecessor, &opened.snapshot, &shared)?);
            opened.snapshot.take_folders(&shared.clock);
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
        let others = before(start.predecessor.clone());
        control.spawn(watch_memory(shared.clone(), others));
        let (upgrades, successors) = Upgrades::new(
            start.program,
            shared.clone(),
            listeners.clone(),
            reloader.clone(),
            start.predecessor.clone(),
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
        match start.predecessor {
            // What there is to wait for was waited for before it was told to begin.
            Some(predecessor) => {
                told::ready(&this.shared, &this.notify);
                this.take_over(predecessor);
            }
            None => this.be_ready(),
        }
        this.tell(start.systemd.watchdog);
        Ok((this, signals))
    }

    /// From here on, the gateway is this process.
    fn take_over(&mut self, predecessor: Arc<Predecessor>) {
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
        self.predecessor = Some(predecessor);
    }

    /// Says that the gateway is ready as soon as it is.
    fn be_ready(&self) {
        let (shared, notify) = (self.shared.clone(), self.notify.clone());
        let snapshot = shared.live.load_full();
        let most = Duration::from(snapshot.settings.limits.start_deadline) + MARGIN;
        notify.tell(&told::needs(most));
        self.control.spawn(async move {
            told::first_answers(&snapshot).await;
            told::ready(&shared, &notify);
        });
    }

    /// Tells systemd how the gateway is, from now on.
    fn tell(&self, watchdog: Option<Duration>) {
        let (shared, notify) = (self.shared.clone(), self.notify.clone());
        if notify.is_heard() {
            let others = before(self.predecessor.clone());
            let state = told::state(shared.clone(), notify.clone(), others);
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
        if let Some(admin) = &self.admin {
            admin.leave();
        }
        let deadline = Duration::from(self.shared.live.load().settings.limits.drain_deadline);
        tracing::info!(
            pid = successor,
            ?deadline,
            "no more connections: another process takes them, requests in flight go on"
        );
        let most = deadline + FAREWELL + MARGIN;
        tokio::join!(workers.end(most), outlived(former, most));
        if let Some(admin) = &self.admin {
            admin.finish().await;
        }
    }

    /// Another process accepts connections: finishes what this one has.
    fn leave(
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
        let notify = self.notify.clone();
        let insist = move || notify.insist(&format!("MAINPID={pid}"));
        let mut told = self.control.spawn_blocking(insist);
        let forwarding = successor.forwarding();
        let broken = broken(successor);
        let workers = std::mem::take(&mut self.workers);
        let outcome = self.control.block_on(async {
            let end = async {
                // Connections are accepted as long as systemd takes this process for the gateway.
                let _ = (&mut told).await; // it does not panic
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
        if !told.is_finished() {
            let _ = self.control.block_on(told); // what is told below comes behind it
        }
        if let Some(forwarding) = forwarding {
            forwarding.tell();
        }
        close_logs(&self.shared);
        outcome.map_err(|ended| {
            // Nobody accepts connections now: whoever watches the gateway is to start it anew.
            let why = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            self.notify
                .insist(&format!("MAINPID={}", std::process::id()));
            io::Error::other(format!(
                "process {pid}, which has taken over, has ended: {why}"
            ))
            .into()
        })
    }
}

/// Waits until this process may begin in the place of another one, and takes in meanwhile what that one has stored; returns what
/// it has packed.
fn heir_of(
    predecessor: &Predecessor,
    snapshot: &Snapshot,
    shared: &Arc<Shared>,
) -> io::Result<Packed> {
    let arriving = Arc::new(Arriving::default());
    let (shared, arrived) = (shared.clone(), arriving.clone());
    predecessor.heed(move |told| {
        // It tells what it purges later on, too, whatever is live by then.
        let live = shared.live.load();
        match told {
            Told::Purged(purges) => live.heed(&purges),
            Told::Stored { cache, anew, piece } => arrived.take(&live.stores, &cache, anew, &piece),
        }
    });
    let packed = predecessor.ready(Wanted::by(&snapshot.stores))?;
    arriving.tell();
    Ok(packed)
}

/// The processes before this one that still finish what they have.
fn before(predecessor: Option<Arc<Predecessor>>) -> impl Fn() -> Vec<u32> + Send {
    move || (predecessor.as_ref()).map_or_else(Vec::new, |former| former.living())
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
