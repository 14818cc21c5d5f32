//! What is counted about overload.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

use super::{counters, gauge, opts, register};
use crate::overload::Shed;

/// Waits for a worker, in seconds.
const DELAYS: [f64; 10] = [
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5,
];

/// What is counted about overload.
pub struct OverloadMetrics {
    shed: [IntCounter; Shed::ALL.len()],
    /// How long what is ready waits for its worker, in seconds.
    pub delay: Histogram,
    /// Workers that have more to do than they can.
    pub workers: IntGauge,
    /// How much memory the process may take.
    pub memory_limit: IntGauge,
    /// Which of its marks it has reached.
    pub memory_level: IntGauge,
}

impl OverloadMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let shed = counters(
            registry,
            "requests_shed_total",
            "Requests that got a 503 because the gateway had too much to do, by reason.",
            &["reason"],
        );
        let delay = opts(
            "worker_delay_seconds",
            "How long what is ready waits for its worker, measured when requests come.",
        );
        let delay = HistogramOpts::from(delay).buckets(DELAYS.to_vec());
        Self {
            shed: Shed::ALL.map(|why| shed.with_label_values(&[why.word()])),
            delay: register(registry, Histogram::with_opts(delay)),
            workers: gauge(
                registry,
                "overloaded_workers",
                "Workers that have more to do than they can, and shed requests.",
            ),
            memory_limit: gauge(
                registry,
                "memory_limit_bytes",
                "What the marks of memory are shares of; 0 where it is not looked at.",
            ),
            memory_level: gauge(
                registry,
                "memory_level",
                "The mark that the process's memory has reached: 0 is none, 1 the soft one, 2 the hard one.",
            ),
        }
    }

    /// A request was shed.
    pub fn shed(&self, why: Shed) {
        self.shed[why as usize].inc();
    }
}
