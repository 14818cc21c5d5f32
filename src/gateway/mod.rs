//! A running gateway: how it starts, by itself or in the place of another process, and how it ends.

mod ending;
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
use wiregate_sdk::Registry;
use wiregate_sdk::build::Packed;

use crate::admin::{Admin, Serving};
use crate::compile::{Arriving, Snapshot, Wanted};
use crate::config::model::Bind;
use crate::listen::{Handed, Listeners};
use crate::overload::watch_memory;
use crate::proxy::Shared;
use crate::reload::{Refused, Reloader};
use crate::systemd::{Notify, Systemd};
use crate::upgrade::{Predecessor, Program, Successor, Told, Upgrades};
use ending::MARGIN;
use opened::{accept, answer, open};
use signals::{End, Reach, Signals};
use workers::Workers;

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
    /// Its sockets: those of its listeners, and those of its admin API and its metrics.
    pub sockets: (Vec<Handed>, Vec<Handed>),
}

/// A running gateway. Dropped, it accepts nothing more, and waits for nobody: requests in flight have
/// `limits.drain_deadline`, as long as the process lives. It is to be dropped where a thread may block.
pub struct Gateway {
    listeners: Arc<Listeners>,
    shared: Arc<Shared>,
    reloader: Arc<Reloader>,
    upgrades: Arc<Upgrades>,
    successors: UnboundedReceiver<Successor>,
    /// The admin API and the metrics.
    answering: Arc<[Serving]>,
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
    /// Starts a gateway within another program: no signal acts on it, and systemd hears nothing. It raises how many
    /// files the process may open to what the system allows. Blocks: not from within a runtime.
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
            opened.read,
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
        let admin = |scope| Admin::new(scope, shared.clone(), reloader.clone(), upgrades.clone());
        // Whoever asks the new process must not hear that it is starting: what there is to wait for was waited for before
        // it was told to begin.
        let takes_over = start.predecessor.is_some() && told::become_ready(&shared);
        let answering = answer(opened.answering, admin, &upgrades, &control)?;
        let mut this = Self {
            listeners,
            shared,
            reloader,
            upgrades,
            successors,
            answering,
            notify: Arc::new(start.systemd.notify),
            predecessor: None,
            workers,
            control,
        };
        match start.predecessor {
            Some(predecessor) => {
                if takes_over {
                    told::tell_ready(&this.notify);
                }
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
        self.answering.iter().for_each(Serving::own);
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
            if told::become_ready(&shared) {
                told::tell_ready(&notify);
            }
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

    /// Reads the configuration again and takes it live; returns its number. Blocks: not from within a runtime.
    ///
    /// # Errors
    /// Every problem; the running configuration stays.
    pub fn reload(&self) -> Result<u64, Refused> {
        self.reloader.reload()
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
            Told::Stored(piece) => arrived.take(&live.stores, &piece),
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
