//! Taking a new configuration live, and keeping the old one when the new one is refused.

mod folders;
mod held;
mod load;
mod restart;
mod thread;
mod watched;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use wiregate_sdk::Registry;
use wiregate_sdk::value::{Problem, Value};

use crate::compile::{Snapshot, UNROUTED};
use crate::config::{Sources, report};
use crate::listen::tls::Tls;
use crate::listen::{Listeners, Prepared, Unbound};
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::{Metrics, Names, Reloaded};
use crate::proxy::Shared;
use folders::Folders;
pub use held::Held;
pub use load::{From, Loaded, load, open_log};
use restart::needs_restart;
pub use thread::making_way;
use watched::Watched;

/// How often it is looked whether a retired configuration is still in use.
const BURIAL: Duration = Duration::from_millis(500);
/// From so many retired configurations in memory on, each reload says how many there are.
const MANY: i64 = 10;
/// How long the log may take to write what it still has when another takes its place.
const LOG_GRACE: Duration = Duration::from_secs(5);
/// A change of files is acted upon when nothing more changed for this long.
const SETTLED: Duration = Duration::from_millis(200);

/// Why a configuration is not running.
#[derive(Debug)]
pub struct Refused {
    /// The texts, to show places in.
    pub sources: Sources,
    /// Every problem.
    pub problems: Vec<Problem>,
}

/// Takes new configurations live.
pub struct Reloader {
    path: PathBuf,
    registry: Registry,
    shared: Arc<Shared>,
    listeners: Arc<Listeners>,
    runtime: Handle,
    reloading: Mutex<()>,
    /// Whether the configuration is to stay as it is.
    held: watch::Sender<bool>,
    watched: Mutex<Watched>,
}

impl Reloader {
    /// A reloader of this configuration, whose first version is live already.
    pub fn new(
        path: PathBuf,
        registry: Registry,
        shared: Arc<Shared>,
        listeners: Arc<Listeners>,
        runtime: Handle,
        sources: &Sources,
    ) -> Self {
        Self {
            path,
            registry,
            shared,
            listeners,
            runtime,
            reloading: Mutex::default(),
            held: watch::Sender::new(false),
            watched: Mutex::new(Watched::new(&sources.watch)),
        }
    }

    /// Reads the configuration again and takes it live; returns its number. Blocks.
    ///
    /// # Errors
    /// Every problem; the running configuration stays.
    pub fn reload(&self) -> Result<u64, Refused> {
        let _one_at_a_time = self
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (metrics, began) = (&self.shared.metrics, Instant::now());
        if *self.held.borrow() {
            tracing::warn!("there is no reload while another process is to take this one's place");
            metrics.reloaded(Reloaded::HeldBack, began.elapsed());
            return Err(self.held_back());
        }
        self.watched().reading();
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
        let mut problems = needs_restart(old, &snapshot, &value);
        let opened = self.open_listeners(&snapshot, &value);
        let opened = opened.map_err(|more| problems.extend(more));
        let mut log = NextLog::Same;
        if problems.is_empty() {
            match open_next_log(old, &snapshot, &value) {
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
        let snapshot = Arc::new(snapshot);
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
                Problem::new(place, std::io::Error::from(unbound).to_string())
            };
            unbound.into_iter().map(problem).collect()
        })
    }

    /// Opens the stores of the cache that are not open yet.
    fn open_stores(&self, old: &Snapshot, new: &Snapshot, value: &Value) -> Vec<Problem> {
        let failed = new.open_stores_over(old, &self.shared.clock).err();
        let problem = |(name, error): (Arc<str>, std::io::Error)| {
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
        let traces = new.traces.as_ref()?;
        let error = self.shared.exporters.start(&traces.exporter).err()?;
        let place = value.get("traces").unwrap_or(value).place.clone();
        let message = format!("the thread that exports traces cannot be started: {error}");
        Some(Problem::new(place, message))
    }

    fn change_log(&self, log: Option<AccessLog>) {
        let former = self.shared.access_log.swap(Arc::new(log));
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
            Ok(folders) => folders,
            Err(error) => {
                tracing::warn!(%error, "files cannot be watched: reload by signal or by the admin API");
                return;
            }
        };
        let mut before = None;
        loop {
            folders.watch(&self.watched().folders());
            let changed = self.watched().changed();
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

    /// Reloads on a thread that may block and makes way for the workers; nothing where the reload itself broke.
    pub async fn reload_aside(self: &Arc<Self>) -> Option<Result<u64, Refused>> {
        let (this, began) = (self.clone(), Instant::now());
        match thread::aside(move || this.reload()).await {
            Ok(outcome) => Some(outcome),
            Err(error) => {
                // Before or after the swap: either way nobody may believe that all is well.
                let metrics = &self.shared.metrics;
                metrics.reloaded(Reloaded::Broken, began.elapsed());
                tracing::error!(%error, "the reload broke off");
                None
            }
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Opens the access log of the next version, unless it is open.
fn open_next_log(old: &Snapshot, new: &Snapshot, value: &Value) -> Result<NextLog, Problem> {
    let log = &new.settings.access_log;
    if *log == old.settings.access_log {
        return Ok(NextLog::Same);
    }
    let opened = open_log(log.as_ref()).map_err(|error| {
        let place = value.get("access_log").unwrap_or(value).place.clone();
        Problem::new(place, format!("the access log cannot be opened: {error}"))
    })?;
    Ok(opened.map_or(NextLog::None, NextLog::Other))
}

/// Holds a retired configuration until no request does, so that no worker has to take ten thousand
/// routes apart while requests wait.
async fn bury(retired: Arc<Snapshot>, metrics: Arc<Metrics>) {
    let held = metrics.retires();
    if held >= MANY {
        tracing::warn!(
            held,
            "requests that go on for long hold former configurations in memory"
        );
    }
    while Arc::strong_count(&retired) > 1 {
        tokio::time::sleep(BURIAL).await;
    }
    if let Err(error) = thread::aside(move || drop(retired)).await {
        tracing::error!(%error, "a retired configuration was not taken apart");
    }
    metrics.buries();
}

/// What a configuration has that is counted by name.
pub fn names(snapshot: &Snapshot) -> Names {
    let mut names = Names::default();
    names.routes.insert(UNROUTED.into());
    for route in &snapshot.routes {
        names.routes.insert(route.name.clone());
        let labels = route.chain.links.iter().map(|link| link.label.clone());
        names
            .links
            .extend(labels.map(|label| (route.name.clone(), label)));
    }
    for listening in &snapshot.listeners {
        let most = listening.max_connections;
        names.listeners.insert(listening.name.clone(), most);
        let entries = listening.tls.iter().flat_map(Tls::entries);
        names.certificates.extend(entries.map(|entry| {
            let key = (listening.name.clone(), entry.name.clone());
            (key, entry.expires)
        }));
    }
    let fetches = snapshot.fetches().into_iter();
    names
        .fetches
        .extend(fetches.map(|fetches| (fetches.filter, fetches.from.clone())));
    names
        .caches
        .extend(snapshot.stores.iter().map(|store| store.name.clone()));
    for (name, upstream) in &snapshot.upstreams {
        let members = upstream.members();
        let labels = members
            .endpoints
            .iter()
            .map(|endpoint| endpoint.label.clone());
        names.upstreams.insert(name.clone(), labels.collect());
    }
    names
}

#[cfg(test)]
mod tests;
