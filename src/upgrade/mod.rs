//! Another process takes this one's place, without a connection lost.
//!
//! The running process starts the program anew, over a line that only the two of them have, and
//! hands it all its sockets and what it knows. The new one compiles the configuration, opens what is
//! missing, and says that it is ready; then it is told to begin. When it accepts connections, and
//! not before, the old one stops accepting, finishes what it has, and ends. Whatever goes wrong
//! until then, the new one is killed, and the old one has not missed a connection: both accept from
//! the same sockets, and no queue is ever closed.

mod elders;
mod predecessor;
mod program;
mod purges;
mod successor;
mod wire;

use std::io::{self, PipeWriter};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex as Turn, mpsc};

pub use predecessor::{Predecessor, Told, has_gone};
pub use program::Program;
pub use purges::Forwarding;
pub use successor::Successor;

use wiregate_sdk::build::Packed;

use crate::admin::Serving;
use crate::compile::{Passing, Snapshot};
use crate::listen::{Handed, Listeners};
use crate::lock::lock;
use crate::overload::left_below_soft;
use crate::proxy::Shared;
use crate::reload::{Reloader, making_way};
use elders::Elder;
use wire::Line;

/// This version, as another process gets to know it.
pub const VERSION: &str = concat!("wiregate/", env!("CARGO_PKG_VERSION"));
/// How long a new process may take to get ready, where nothing else is said.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// How long all that caches have in memory may take to be found and to go over, and what was stored meanwhile.
const STORED: Duration = Duration::from_secs(5);
const SINCE: Duration = Duration::from_millis(500);
/// How long all caches together may take to write what waits, before their folders go over.
const FOLDERS: Duration = Duration::from_secs(5);
/// The key under which goes over when the service was started.
const SERVICE_START: &str = "service start";
/// Why there is no upgrade of a gateway that is tried out.
const ECHO: &str = "a gateway that was started with `--echo` cannot be upgraded: the address of its echo server does not go over";
/// How long it may take to accept connections when it may.
const BEGIN: Duration = Duration::from_secs(10);

/// Upgrades of this process.
pub struct Upgrades {
    program: Program,
    shared: Arc<Shared>,
    listeners: Arc<Listeners>,
    reloader: Arc<Reloader>,
    answering: OnceLock<Arc<[Serving]>>,
    /// The process whose place this one has taken.
    predecessor: Option<Arc<Predecessor>>,
    /// Kept for as long as this process lives, once another one has taken its place, which sees by that whether it does.
    life: OnceLock<PipeWriter>,
    /// Held while there is an upgrade.
    turn: Arc<Turn<()>>,
    stage: Mutex<Stage>,
    taken_over: mpsc::UnboundedSender<Successor>,
}

/// How far an upgrade is.
#[derive(Debug, Default)]
enum Stage {
    /// There is none.
    #[default]
    None,
    /// A new process gets ready; it can be given up.
    Preparing(Line),
    /// It was told to begin.
    Beginning,
    /// There are to be none any more.
    Closed,
}

/// Who has taken over.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
}

impl Upgrades {
    /// Upgrades to what is where this program was; and whoever has taken over.
    pub fn new(
        program: Program,
        shared: Arc<Shared>,
        listeners: Arc<Listeners>,
        reloader: Arc<Reloader>,
        predecessor: Option<Arc<Predecessor>>,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Successor>) {
        let (taken_over, successors) = mpsc::unbounded_channel();
        let this = Self {
            program,
            shared,
            listeners,
            reloader,
            answering: OnceLock::new(),
            predecessor,
            life: OnceLock::new(),
            turn: Arc::default(),
            stage: Mutex::default(),
            taken_over,
        };
        (Arc::new(this), successors)
    }

    /// The sockets of the admin API and the metrics go over as well.
    pub fn with_answering(&self, serving: Arc<[Serving]>) {
        let _ = self.answering.set(serving); // it is said once
    }

    /// Has another process take this one's place; in this time, or not at all.
    ///
    /// # Errors
    /// Why not; all is as it was before.
    pub async fn upgrade(self: &Arc<Self>, deadline: Duration) -> Result<Taken, String> {
        let Ok(turn) = self.turn.clone().try_lock_owned() else {
            return Err("another upgrade is under way".to_owned());
        };
        let this = self.clone();
        // It waits for another process. The turn goes along: who asked for it may lose patience.
        let upgrade = tokio::task::spawn_blocking(move || {
            let outcome = this.run(deadline);
            match &outcome {
                Ok(taken) => {
                    tracing::info!(
                        pid = taken.pid,
                        version = taken.version,
                        "another process has taken over"
                    );
                }
                Err(why) => {
                    this.shared.metrics.upgraded(false);
                    tracing::error!(why, "the upgrade is off, all goes on as before");
                }
            }
            drop(turn);
            outcome
        });
        (upgrade.await).unwrap_or_else(|error| Err(format!("the upgrade broke off: {error}")))
    }

    fn run(&self, deadline: Duration) -> Result<Taken, String> {
        tracing::info!(program = %self.program.path().display(), "a new process is to take over");
        if self.program.has_echo() {
            return Err(ECHO.to_owned());
        }
        let until = Instant::now() + deadline;
        self.enter(Stage::None)?;
        let held = self.reloader.hold();
        let mut successor = Successor::start(&self.program)?;
        let outcome = self.lead(&mut successor, until);
        if let Err(why) = outcome {
            drop(successor); // whatever it has is free then
            self.shared
                .live
                .load()
                .take_folders_back(&self.shared.clock);
            let mut stage = lock(&self.stage);
            if !matches!(*stage, Stage::Closed) {
                *stage = Stage::None;
            }
            return Err(why);
        }
        *lock(&self.stage) = Stage::Closed;
        held.for_good();
        successor.forward(self.shared.live.load_full());
        let taken = Taken {
            pid: successor.pid(),
            version: successor.version().to_owned(),
        };
        self.taken_over
            .send(successor)
            .map_err(|_| "the gateway has ended meanwhile".to_owned())?;
        Ok(taken)
    }

    fn lead(&self, successor: &mut Successor, until: Instant) -> Result<(), String> {
        let system = |error: io::Error| format!("sockets cannot be handed over: {error}");
        self.enter(Stage::Preparing(successor.line().map_err(system)?))?;
        let sockets = self.sockets().map_err(system)?;
        let (own, life) = Elder::own().map_err(system)?;
        let packed = self.pack();
        successor.prepare(&sockets, &packed, until)?;
        let live = self.shared.live.load_full();
        let mut passing = self.passing(&live, successor, &packed);
        drop(packed);
        // What is on disk is not to want for time because of what is in memory.
        let now = Instant::now();
        let stored = now + STORED.min(until.saturating_duration_since(now) / 2);
        passing.find(stored);
        // It makes way for requests, which go on, and which wait for the locks that `find` takes.
        making_way(|| successor.stored(&mut passing, stored))
            .map_err(|error| format!("what caches have cannot be handed over: {error}"))??;
        // It can be given up until here: whoever ends the gateway meanwhile waits for `FOLDERS` at most.
        live.give_up_folders(until.min(Instant::now() + FOLDERS));
        self.enter(Stage::Beginning)?;
        let until = Instant::now() + BEGIN;
        let stored = Instant::now() + SINCE;
        passing.find(stored);
        successor.stored(&mut passing, stored)?;
        passing.tell();
        successor.purged(live.purges(false), until)?;
        let elders = self.predecessor.iter().flat_map(|former| former.elders());
        let elders: Vec<_> = elders.chain([own]).collect();
        successor.begin(&self.pack(), &elders, until)?;
        let _ = self.life.set(life); // this happens once
        Ok(())
    }

    /// What the caches of the new process take of those here, as far as there is memory for it: both have it until this one
    /// has ended. Half of what is left is for whatever else the two need until then; and what is packed, each has once more.
    fn passing<'s>(
        &self,
        live: &'s Snapshot,
        successor: &Successor,
        packed: &Packed,
    ) -> Passing<'s> {
        let mut others = vec![successor.pid()];
        others.extend(self.predecessor.iter().flat_map(|former| former.living()));
        let left = left_below_soft(&live.settings.limits.memory, &others);
        let packed: u64 = packed.values().map(|bytes| bytes.len() as u64).sum();
        let most = left.map(|left| left.saturating_sub(2 * packed) / 2);
        Passing::of(&live.stores, successor.wanted(), most)
    }

    /// What the new process is to know.
    fn pack(&self) -> Packed {
        let mut packed = self.shared.live.load_full().pack();
        let start = self.shared.metrics.service_start().to_le_bytes();
        packed.insert(SERVICE_START.to_owned(), start.into());
        packed
    }

    /// Goes on to this stage.
    fn enter(&self, next: Stage) -> Result<(), String> {
        let mut stage = lock(&self.stage);
        if matches!(*stage, Stage::Closed) {
            let why = "this process ends, or another one has taken its place";
            return Err(why.to_owned());
        }
        *stage = next;
        Ok(())
    }

    fn sockets(&self) -> io::Result<Vec<Handed>> {
        let mut sockets = self.listeners.hand_out()?;
        // That of the admin API is the first: other versions know no other one without a name.
        for serving in self.answering.get().into_iter().flat_map(|all| all.iter()) {
            let bound = serving.hand_out()?;
            sockets.push(Handed {
                name: None,
                bind: bound.address.clone(),
                bound: vec![bound],
            });
        }
        Ok(sockets)
    }

    /// There are to be no upgrades any more: the gateway ends. One that gets ready is given up; one
    /// that was told to begin is waited for.
    pub async fn close(&self) {
        match std::mem::replace(&mut *lock(&self.stage), Stage::Closed) {
            Stage::Preparing(line) => line.cut(),
            Stage::Beginning => {}
            Stage::None | Stage::Closed => return,
        }
        let turn = self.turn.clone().lock_owned();
        drop(turn.await); // bounded by `FOLDERS`, or by `BEGIN` and what packing takes
    }
}
