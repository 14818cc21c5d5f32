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

use std::sync::{Arc, RwLock};
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
        };
        this.process.begin();
        this.traces.begin();
        Arc::new(this)
    }

    /// All metrics in the Prometheus text format.
    pub fn render(&self) -> Vec<u8> {
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
