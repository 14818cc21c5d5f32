//! Whether there is room for one more request, or one more connection.

mod controller;
mod load;
mod memory;
mod places;

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wiregate_sdk::value::ShortOrFull;

use crate::config::model::Limits;
use crate::observe::metrics::Metrics;

pub use load::Load;
pub use memory::{Level, Mark, left_below_soft, look_on as watch_memory, soft_mark};
use places::Places;

/// More connections than this there are only where the configuration says so.
const MOST_CONNECTIONS: usize = 100_000;

/// What the gateway has taken on, over all workers.
pub struct Overload {
    places: Arc<Places>,
    workers: AtomicUsize,
    connections: AtomicUsize,
    memory: AtomicU8,
    loads: Mutex<Vec<Arc<Load>>>,
    /// How many connections there may be where the configuration does not say.
    connections_by_default: usize,
    metrics: Arc<Metrics>,
}

/// Why a request is shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// The worker has more to do than it can.
    Delay,
    /// As many requests are under way as may be.
    Requests,
    /// The process takes as much memory as it may.
    Memory,
}

impl Shed {
    /// All reasons, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::Delay, Self::Requests, Self::Memory];

    /// Its word in the metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Requests => "requests",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for Shed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delay => "requests would have to wait too long",
            Self::Requests => "as many requests are under way as may be",
            Self::Memory => "the process takes as much memory as it may",
        })
    }
}

/// The place of a request that is under way; free again when dropped.
pub struct Place(Arc<Load>);

/// The place of a connection; free again when dropped.
pub struct Seat(Arc<Overload>);

impl Overload {
    /// Nothing is taken on yet. The process may open this many files.
    pub fn new(metrics: Arc<Metrics>, descriptors: usize) -> Self {
        Self {
            places: Arc::default(),
            workers: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            memory: AtomicU8::new(Level::Low as u8),
            loads: Mutex::default(),
            connections_by_default: (descriptors / 4 * 3).clamp(1, MOST_CONNECTIONS),
            metrics,
        }
    }

    /// A worker begins: what is known of how much it has to do.
    pub fn worker(&self) -> Arc<Load> {
        let load = Arc::new(Load::new(self.places.clone()));
        self.loads().push(load.clone());
        self.workers.fetch_add(1, Ordering::Relaxed);
        load
    }

    /// A place for a request with this path that has come to a worker.
    ///
    /// # Errors
    /// Why there is none.
    pub fn admit(&self, load: &Arc<Load>, limits: &Limits, path: &str) -> Result<Place, Shed> {
        let (place, free) = self.occupy(load, limits);
        if limits.never_shed.iter().any(|spared| spared == path) {
            // What is served whatever happens does not tell whether others would have to be shed.
            load.probe();
            return Ok(place);
        }
        let why = self.look(load, limits);
        let Some(why) = why.or((!free).then_some(Shed::Requests)) else {
            return Ok(place);
        };
        self.metrics.shed(why);
        Err(why)
    }

    /// A place for what goes on by itself, as the fetches of the cache do; whether one was free. Where none was, it
    /// counts nevertheless.
    pub fn occupy(&self, load: &Arc<Load>, limits: &Limits) -> (Place, bool) {
        let limit = limits.requests.get() as usize;
        let workers = self.workers.load(Ordering::Relaxed);
        let free = (self.places).take(load.held(), limit, workers, || self.take_back());
        (Place(load.clone()), free)
    }

    /// Takes places back that workers hold and do not use; whether there were any. Where somebody else is at
    /// it there is no need to.
    fn take_back(&self) -> bool {
        let Ok(loads) = self.loads.try_lock() else {
            return false;
        };
        let back = |load: &&Arc<Load>| self.places.take_back(load.held());
        loads.iter().filter(back).count() > 0
    }

    fn look(&self, load: &Load, limits: &Limits) -> Option<Shed> {
        if self.level() >= Level::Soft {
            return Some(Shed::Memory);
        }
        let looked_at = matches!(limits.overload, ShortOrFull::Full(_));
        (looked_at && !load.admits()).then_some(Shed::Delay)
    }

    /// A place for one more connection, where there is one.
    pub fn seat(self: &Arc<Self>, limits: &Limits) -> Option<Seat> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(self.clone());
        (before < self.most_connections(limits)).then_some(seat)
    }

    fn most_connections(&self, limits: &Limits) -> usize {
        let written = limits.connections.map(|most| most.get() as usize);
        written.unwrap_or(self.connections_by_default)
    }

    /// Whether connections that do nothing are in the way of others.
    pub fn is_crowded(&self, limits: &Limits) -> bool {
        let open = self.connections.load(Ordering::Relaxed);
        self.level() >= Level::Soft || is_nearly(open, self.most_connections(limits))
    }

    /// How much memory the process takes.
    pub fn level(&self) -> Level {
        Level::of(self.memory.load(Ordering::Relaxed))
    }

    /// How many workers have more to do than they can.
    pub fn overloaded_workers(&self) -> usize {
        self.loads().iter().filter(|load| load.is_over()).count()
    }

    /// Has the worker whose turn it is give memory back. One after the other, as long as there is too
    /// little: what a worker gives back was freed since, and giving back takes its time.
    fn spill(&self, turn: usize) {
        let loads = self.loads();
        if let Some(load) = loads.get(turn % loads.len().max(1)) {
            load.spill();
        }
    }

    fn loads(&self) -> MutexGuard<'_, Vec<Arc<Load>>> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether seven eighths of them are there.
pub fn is_nearly(open: usize, most: usize) -> bool {
    open.saturating_mul(8) >= most.saturating_mul(7)
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.give_place();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn overload(descriptors: usize) -> Arc<Overload> {
        Arc::new(Overload::new(Metrics::new(), descriptors))
    }

    #[test]
    fn places_are_free_again_and_some_paths_are_spared() {
        let overload = overload(100);
        let load = overload.worker();
        let limits = Limits {
            requests: NonZeroU32::new(2).unwrap(),
            never_shed: vec!["/healthz".into()],
            ..Limits::default()
        };
        let one = overload.admit(&load, &limits, "/").unwrap();
        let _two = overload.admit(&load, &limits, "/").unwrap();
        let full = overload.admit(&load, &limits, "/").err().unwrap();
        assert_eq!(full, Shed::Requests);
        let spared = overload.admit(&load, &limits, "/healthz").unwrap();
        drop((one, spared));
        assert!(overload.admit(&load, &limits, "/").is_ok());
    }

    #[test]
    fn three_quarters_of_the_descriptors_are_for_clients() {
        for (descriptors, expected) in [(1, 1), (1024, 768), (1 << 30, 100_000)] {
            let most = overload(descriptors).most_connections(&Limits::default());
            assert_eq!(most, expected);
        }
        let overload = overload(1024);
        let limits = Limits {
            connections: NonZeroU32::new(8),
            ..Limits::default()
        };
        let mut seats: Vec<_> = (0..7).map(|_| overload.seat(&limits).unwrap()).collect();
        assert!(overload.is_crowded(&limits));
        seats.push(overload.seat(&limits).unwrap());
        assert!(overload.seat(&limits).is_none());
        seats.truncate(6);
        assert!(!overload.is_crowded(&limits));
        assert!(overload.seat(&limits).is_some());
    }

    #[test]
    fn what_is_spared_counts_for_nothing_in_what_is_shed() {
        let overload = overload(100);
        let load = Arc::new(load::tests::over(5000));
        let limits = Limits {
            never_shed: vec!["/healthz".into()],
            ..Limits::default()
        };
        let admitted = |path| {
            let mut times = 0..100;
            times.all(|_| overload.admit(&load, &limits, path).is_ok())
        };
        assert!(admitted("/healthz"));
        let flow = load.flow();
        assert_eq!((flow.came, flow.shed), (0, 0));
        assert!(!admitted("/"));
        let flow = load.flow();
        assert!(flow.came > 1 && flow.shed == 1, "{flow:?}");
    }

    #[test]
    fn workers_give_memory_back_in_turns() {
        let overload = overload(100);
        overload.spill(0); // there is no worker yet
        let loads: Vec<_> = (0..3).map(|_| overload.worker()).collect();
        for turn in 5..12 {
            overload.spill(turn);
            let asked: Vec<_> = loads.iter().map(|load| load.spills()).collect();
            let expected: Vec<_> = (0..3).map(|worker| worker == turn % 3).collect();
            assert_eq!(asked, expected, "{turn}");
        }
    }

    #[test]
    fn too_much_memory_sheds_all() {
        let overload = overload(1024);
        let (load, limits) = (overload.worker(), Limits::default());
        overload.memory.store(Level::Soft as u8, Ordering::Relaxed);
        let shed = overload.admit(&load, &limits, "/").err().unwrap();
        assert_eq!(shed, Shed::Memory);
        assert!(overload.is_crowded(&limits));
    }
}
