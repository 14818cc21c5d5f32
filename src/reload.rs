//! Taking a new configuration live, and keeping the old one when the new one is refused.

mod burial;
mod folders;
mod held;
mod load;
mod names;
mod restart;
mod thread;
mod watched;

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared as Joined};
use tokio::runtime::Handle;
use tokio::sync::watch;
use wiregate_sdk::Registry;
use wiregate_sdk::build::Files;
use wiregate_sdk::value::{Problem, Value};

use crate::compile::Snapshot;
use crate::config::{Sources, report};
use crate::listen::{Listeners, Prepared, Unbound};
use crate::lock::lock;
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::Reloaded;
use crate::proxy::Shared;
use burial::bury;
use folders::Folders;
pub use held::Held;
pub use load::{From, Loaded, load, open_log};
pub use names::names;
use restart::needs_restart;
pub use thread::making_way;
use watched::Watched;

/// How long the log may take to write what it still has when another takes its place.
const LOG_GRACE: Duration = Duration::from_secs(5);
/// A change of files is acted upon when nothing more changed for this long.
const SETTLED: Duration = Duration::from_millis(200);
/// A look at all files takes no longer, unless a file system hangs.
const LOOK: Duration = Duration::from_secs(10);

/// Why a configuration is not running.
#[derive(Debug)]
pub struct Refused {
    /// The texts, to show places in.
    pub sources: Sources,
    /// Every problem.
    pub problems: Vec<Problem>,
}

/// What came of a reload: the number of the configuration that is live.
pub type Outcome = Result<u64, Arc<Refused>>;

/// A reload that several may wait for; nothing comes of it where the reload itself broke.
type Asked = Joined<BoxFuture<'static, Option<Outcome>>>;

/// Takes new configurations live.
pub struct Reloader {
    path: PathBuf,
    registry: Registry,
    shared: Arc<Shared>,
    listeners: Arc<Listeners>,
    runtime: Handle,
    reloading: Mutex<()>,
    /// The reload that was asked for and has not begun: whoever else asks gets its outcome.
    next: Mutex<Option<Asked>>,
    /// Whether the configuration is to stay as it is.
    held: watch::Sender<bool>,
    watched: Mutex<Watched>,
}

impl Reloader {
    /// A reloader of this configuration, whose first version is live already, and was read from these files.
    pub fn new(
        path: PathBuf,
        registry: Registry,
        shared: Arc<Shared>,
        listeners: Arc<Listeners>,
        runtime: Handle,
        read: Files,
    ) -> Self {
        Self {
            path,
            registry,
            shared,
            listeners,
            runtime,
            reloading: Mutex::default(),
            next: Mutex::default(),
            held: watch::Sender::new(false),
            watched: Mutex::new(Watched::new(read)),
        }
    }

    /// Reads the configuration again and takes it live; returns its number. Blocks.
    ///
    /// # Errors
    /// Every problem; the running configuration stays.
    pub fn reload(&self) -> Result<u64, Refused> {
        let _one_at_a_time = self.one_at_a_time();
        self.reload_now()
    }

    fn reload_now(&self) -> Result<u64, Refused> {
        let (metrics, began) = (&self.shared.metrics, Instant::now());
        if *self.held.borrow() {
            tracing::warn!("there is no reload while another process is to take this one's place");
            metrics.reloaded(Reloaded::HeldBack, began.elapsed());
            return Err(self.held_back());
        }
        // Nobody waits for a file system that hangs but this.
        let mut watched = self.watched().clone();
        watched.reading();
        *self.watched() = watched;
        let old = self.shared.live.load_full();
        let outcome = load(
            &self.path,
            &self.registry,
            &self.shared.metrics,
            From::Running(&old),
        )
        .and_then(|new| self.swap(&old, new));
        match &outcome {
            Ok((generation, sources)) => {
                metrics.reloaded(Reloaded::Ok, began.elapsed());
                self.watched().have(&sources.watch);
                tracing::info!(generation, "the configuration is live");
            }
            Err(refused) => {
                // What was missing may appear: its place is watched as well.
                self.watched().also(&refused.sources.watch);
                metrics.reloaded(Reloaded::Refused, began.elapsed());
                tracing::error!(
                    problems = refused.problems.len(),
                    first = refused.problems.first().map(|first| format!(
                        "{}: {}",
                        first.place,
                        report::message(first)
                    )),
                    "the new configuration is refused, the running one stays"
                );
            }
        }
        outcome.map(|(generation, _)| generation)
    }

    fn swap(&self, old: &Arc<Snapshot>, new: Loaded) -> Result<(u64, Sources), Refused> {
        let Loaded {
            snapshot,
            sources,
            value,
        } = new;
        let snapshot = Arc::new(snapshot);
        let mut problems = needs_restart(old, &snapshot, &value);
        let opened = self.open_listeners(&snapshot, &value);
        let opened = opened.map_err(|more| problems.extend(more));
        let mut log = NextLog::Same;
        if problems.is_empty() {
            match self.open_changed_log(old, &snapshot, &value) {
                Ok(next) => log = next,
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            problems.extend(self.open_stores(old, &snapshot, &value));
        }
        if problems.is_empty() {
            problems.extend(self.start_exporter(&snapshot, &value));
        }
        let Some(opened) = opened.ok().filter(|_| problems.is_empty()) else {
            return Err(Refused { sources, problems });
        };
        match log {
            NextLog::Same => {}
            NextLog::Other(log) => self.change_log(Some(log)),
            NextLog::None => self.change_log(None),
        }
        match snapshot.takes_too_much() {
            Some(why) if Some(&why) != old.takes_too_much().as_ref() => tracing::warn!("{why}"),
            _ => {}
        }
        let generation = snapshot.generation;
        snapshot.prepare(&self.runtime);
        let names = names(&snapshot);
        // First of all: nothing of the old one may change what the metrics are about from here on.
        old.retire();
        self.shared.metrics.keep_only(names);
        self.shared.live.store(snapshot.clone());
        self.listeners.change_to(opened);
        let bury = bury(old.clone(), self.shared.metrics.clone());
        self.runtime.spawn(bury);
        snapshot.go_live(&self.runtime);
        self.shared.metrics.is_live(generation);
        Ok((generation, sources))
    }

    /// Opens the sockets that a configuration needs and that are not there yet.
    fn open_listeners(&self, new: &Snapshot, value: &Value) -> Result<Prepared, Vec<Problem>> {
        self.listeners.prepare(&new.listeners).map_err(|unbound| {
            let problem = |unbound: Unbound| {
                let listener = value
                    .get("listeners")
                    .and_then(|all| all.get(&unbound.name));
                let place = listener
                    .map_or(value, |listener| listener.at("bind"))
                    .place
                    .clone();
                Problem::new(place, io::Error::from(unbound).to_string())
            };
            unbound.into_iter().map(problem).collect()
        })
    }

    /// Opens the access log of the next version, unless it is open.
    fn open_changed_log(
        &self,
        old: &Snapshot,
        new: &Snapshot,
        value: &Value,
    ) -> Result<NextLog, Problem> {
        let log = new.settings.access_log.clone();
        if log == old.settings.access_log {
            return Ok(NextLog::Same);
        }
        let opened = thread::usually(&self.runtime, move || open_log(log.as_ref()));
        let opened = opened.flatten().map_err(|error| {
            let place = value.get("access_log").unwrap_or(value).place.clone();
            Problem::new(place, format!("the access log cannot be opened: {error}"))
        })?;
        Ok(opened.map_or(NextLog::None, NextLog::Other))
    }

    /// Opens the stores of the cache that are not open yet.
    fn open_stores(&self, old: &Arc<Snapshot>, new: &Arc<Snapshot>, value: &Value) -> Vec<Problem> {
        let (old, new, clock) = (old.clone(), new.clone(), self.shared.clock.clone());
        let opened = thread::usually(&self.runtime, move || new.open_stores_over(&old, &clock));
        let failed = match opened {
            Ok(opened) => opened.err(),
            Err(error) => return vec![Problem::new(value.place.clone(), error.to_string())],
        };
        let problem = |(name, error): (Arc<str>, io::Error)| {
            let cache = value.get("caches").and_then(|all| all.get(&name));
            let place = cache.unwrap_or(value).place.clone();
            Problem::new(
                place,
                format!("the cache `{name}` cannot be opened: {error}"),
            )
        };
        failed.into_iter().flatten().map(problem).collect()
    }

    /// Starts what sends spans, unless it runs already.
    fn start_exporter(&self, new: &Snapshot, value: &Value) -> Option<Problem> {
        let exporter = new.traces.as_ref()?.exporter.clone();
        let shared = self.shared.clone();
        let started = thread::usually(&self.runtime, move || shared.exporters.start(&exporter));
        let error = started.flatten().err()?;
        let place = value.get("traces").unwrap_or(value).place.clone();
        let message = format!("the thread that exports traces cannot be started: {error}");
        Some(Problem::new(place, message))
    }

    fn change_log(&self, log: Option<AccessLog>) {
        let former = self.shared.change_log(log);
        let shared = self.shared.clone();
        std::thread::spawn(move || {
            if let Some(log) = &*former {
                shared.retire_log(log, LOG_GRACE);
            }
        });
    }

    /// Reloads whenever one of the files changes, until dropped.
    pub async fn watch(self: Arc<Self>) {
        let folders = match Folders::new() {
            Ok(folders) => Arc::new(folders),
            Err(error) => {
                tracing::warn!(%error, "files cannot be watched: reload by signal or by the admin API");
                return;
            }
        };
        let mut before = None;
        loop {
            let changed = match self.look(&folders).await {
                Ok(changed) => changed,
                Err(error) => {
                    tracing::warn!(%error, "the files of the configuration could not be looked at");
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
            };
            if changed.is_some() && changed == before {
                before = None;
                let mut held = self.held.subscribe();
                if held.wait_for(|held| !held).await.is_err() {
                    return;
                }
                self.reload_aside().await;
                continue;
            }
            let quiet = changed.is_none();
            before = changed;
            tokio::time::sleep(SETTLED).await;
            // Other files in these folders may change all the time.
            if quiet && let Err(error) = folders.news().await {
                tracing::warn!(%error, "files are no longer watched: reload by signal or by the admin API");
                return;
            }
        }
    }

    /// What has changed, if anything has. It is looked for aside: who serves others does not wait for a file
    /// system that hangs.
    async fn look(&self, folders: &Arc<Folders>) -> io::Result<Option<Files>> {
        let (watched, folders) = (self.watched().clone(), folders.clone());
        let mut looking = pin!(thread::aside(move || {
            folders.watch(&watched.folders());
            watched.changed()
        }));
        if let Ok(looked) = tokio::time::timeout(LOOK, &mut looking).await {
            return looked;
        }
        tracing::warn!(
            "a file system hangs: until it answers, no change of the configuration is noticed"
        );
        looking.await
    }

    /// Reloads on a thread that may block and makes way for the workers; nothing where the reload itself broke.
    /// All who ask before it begins get the outcome of one.
    pub async fn reload_aside(self: &Arc<Self>) -> Option<Outcome> {
        let ask = || self.clone().ask().boxed().shared();
        let asked = lock(&self.next).get_or_insert_with(ask).clone();
        asked.await
    }

    async fn ask(self: Arc<Self>) -> Option<Outcome> {
        let (this, began) = (self.clone(), Instant::now());
        let reload = move || {
            let _one_at_a_time = this.one_at_a_time();
            // What changes from here on may not be read any more.
            drop(lock(&this.next).take());
            this.reload_now()
        };
        match thread::aside(reload).await {
            Ok(outcome) => Some(outcome.map_err(Arc::new)),
            Err(error) => {
                drop(lock(&self.next).take()); // it may not have begun at all
                // Before or after the swap: either way nobody may believe that all is well.
                let metrics = &self.shared.metrics;
                metrics.reloaded(Reloaded::Broken, began.elapsed());
                tracing::error!(%error, "the reload broke off");
                None
            }
        }
    }

    fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        lock(&self.reloading)
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        lock(&self.watched)
    }
}

/// The access log of the next version of the configuration.
enum NextLog {
    /// The one that is open.
    Same,
    /// Another one.
    Other(AccessLog),
    /// None at all.
    None,
}

#[cfg(test)]
mod tests;
