//! What is counted about spans.

use prometheus::{IntCounter, Registry};

use super::{counter, counters};

/// What becomes of spans.
#[derive(Clone, Debug)]
pub struct TraceMetrics {
    /// The receiver has taken them.
    pub exported: IntCounter,
    /// There was no room for them in the queue.
    pub queue_full: IntCounter,
    /// The receiver did not want them.
    pub rejected: IntCounter,
    /// The receiver could not be reached, or could not take them.
    pub failed: IntCounter,
    /// The gateway has ended before they were sent.
    pub shutdown: IntCounter,
}

impl TraceMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let dropped = counters(
            registry,
            "traces_dropped_total",
            "Spans that were not exported, by reason: queue_full, rejected, failed or shutdown.",
            &["reason"],
        );
        // They are there from the start, so that an alert sees the first one.
        let reason = |reason: &str| dropped.with_label_values(&[reason]);
        Self {
            exported: counter(
                registry,
                "traces_exported_total",
                "Spans that the receiver of traces has taken.",
            ),
            queue_full: reason("queue_full"),
            rejected: reason("rejected"),
            failed: reason("failed"),
            shutdown: reason("shutdown"),
        }
    }
}
