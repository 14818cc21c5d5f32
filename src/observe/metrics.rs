//! The metrics, with labels of known size only. Handles are looked up once and kept.

mod caches;
mod family;
mod filters;
mod gateway;
mod listeners;
mod names;
mod overload;
mod requests;
mod shards;
mod system;
mod traces;
mod upstreams;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Encoder, IntCounter, IntGauge, Registry, TextEncoder};

use caches::Caches;
pub use family::{Family, Group};
use filters::Filters;
pub use filters::{LinkMetrics, LinkTimes};
use gateway::Process;
pub use gateway::Reloaded;
use listeners::Listeners;
pub use listeners::{ListenerMetrics, Refusal, Resets};
pub use names::Names;
use overload::{Handles, Overload};
use requests::Requests;
pub use requests::{Ended, RouteMetrics};
pub use shards::count_as;
use system::System;
pub use traces::TraceMetrics;
use traces::Traces;
use upstreams::Upstreams;
pub use upstreams::{Seen, UpstreamMetrics};

/// All metrics that are declared, in the order of the reference.
pub const GROUPS: [Group; 9] = [
    Requests::GROUP,
    Overload::GROUP,
    Filters::GROUP,
    Upstreams::GROUP,
    Listeners::GROUP,
    Caches::GROUP,
    Traces::GROUP,
    Process::GROUP,
    System::GROUP,
];

/// All metrics of one gateway.
pub struct Metrics {
    registry: Registry,
    /// What the running configuration has; all else gets no series.
    names: RwLock<Names>,
    renaming: Mutex<()>,
    requests: Requests,
    overload: Overload,
    sheds: Handles,
    filters: Filters,
    upstreams: Upstreams,
    listeners: Listeners,
    caches: Caches,
    traces: Traces,
    process: Process,
    system: System,
    resets: Resets,
    asked: Mutex<()>,
}

impl Metrics {
    /// Fresh metrics, in a registry of their own.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let registry = Registry::new();
        let listeners = Listeners::new(&registry);
        let overload = Overload::new(&registry);
        let this = Self {
            names: RwLock::default(),
            renaming: Mutex::default(),
            requests: Requests::new(&registry),
            sheds: Handles::new(&overload),
            overload,
            filters: Filters::new(&registry),
            upstreams: Upstreams::new(&registry),
            caches: Caches::new(&registry),
            traces: Traces::new(&registry),
            process: Process::new(&registry),
            system: System::new(&registry),
            resets: Resets::new(&listeners),
            listeners,
            registry,
            asked: Mutex::default(),
        };
        this.process.begin();
        this.traces.begin();
        Arc::new(this)
    }

    /// All metrics in the Prometheus text format, without what is only looked at when somebody asks.
    #[cfg(test)]
    pub(crate) fn render(&self) -> Vec<u8> {
        self.scrape(|_| {})
    }

    /// All metrics in the Prometheus text format, after `look` has shown what is only looked at when somebody asks. One at a time: a
    /// counter that follows another one gets what it lacks, and would get it twice.
    pub fn scrape(&self, look: impl FnOnce(&Self)) -> Vec<u8> {
        let _one_at_a_time = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        look(self);
        self.system.look();
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("writing to memory does not fail");
        text
    }

    /// Panics of filters and in the choice of a route.
    pub fn panics(&self) -> &IntCounter {
        &self.requests.panics
    }

    /// Bytes of bodies held in memory.
    pub fn body_memory(&self) -> &IntGauge {
        &self.requests.body_memory
    }

    /// Streams of HTTP/2 that were reset.
    pub fn resets(&self) -> &Resets {
        &self.resets
    }
}

/// Seconds since 1970.
fn timestamp(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn of_those_who_ask_at_once_one_looks_at_a_time() {
        let (metrics, all_there) = (Metrics::new(), Barrier::new(8));
        let (looking, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
        let look = |metrics: &Metrics| {
            assert_eq!(looking.fetch_add(1, Ordering::SeqCst), 0);
            metrics.show_log_dropped(dropped.fetch_add(1, Ordering::SeqCst) + 1);
            (0..100).for_each(|_| std::thread::yield_now());
            looking.fetch_sub(1, Ordering::SeqCst);
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    all_there.wait();
                    (0..50).for_each(|_| drop(metrics.scrape(look)));
                });
            }
        });
        let shown = String::from_utf8(metrics.render()).unwrap();
        assert!(shown.contains("\nwiregate_access_log_dropped_total 400\n"));
    }
}
