//! What is counted about spans.

use prometheus::{IntCounter, IntCounterVec};

use super::Metrics;
use super::family::families;

families! {
    /// Traces
    pub(super) struct Traces {
        /// Spans that the receiver of traces has taken.
        exported: IntCounter = "wiregate_traces_exported_total" [];
        /// Spans that were not exported: no room (`queue_full`), batches that were given up
        /// (`failed`), what the receiver did not want (`rejected`), and what was left at the end
        /// (`shutdown`).
        dropped: IntCounterVec = "wiregate_traces_dropped_total" [reason];
    }
}

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

const REASONS: [&str; 4] = ["queue_full", "failed", "rejected", "shutdown"];

impl Traces {
    /// What is there from the beginning, so that the first loss is an increase.
    pub(super) fn begin(&self) {
        for reason in REASONS {
            let _ = self.dropped.with_label_values(&[reason]);
        }
    }
}

impl Metrics {
    /// What becomes of spans.
    pub fn traces(&self) -> TraceMetrics {
        let reason = |reason: &str| self.traces.dropped.with_label_values(&[reason]);
        TraceMetrics {
            exported: self.traces.exported.clone(),
            queue_full: reason("queue_full"),
            rejected: reason("rejected"),
            failed: reason("failed"),
            shutdown: reason("shutdown"),
        }
    }
}
