//! Spans that are sent together, and what became of them.

use std::time::{Duration, Instant};

use crate::observe::metrics::TraceMetrics;

/// The least time between two messages of one kind.
const QUIET: Duration = Duration::from_secs(60);

/// So many spans on their way. Where nothing is said of them they are lost: the gateway has ended.
pub(super) struct Batch<'m> {
    count: u64,
    metrics: &'m TraceMetrics,
}

impl<'m> Batch<'m> {
    pub(super) fn new(count: usize, metrics: &'m TraceMetrics) -> Self {
        Self {
            count: count as u64,
            metrics,
        }
    }

    /// The receiver has taken them, but for these.
    pub(super) fn taken(mut self, rejected: u64) {
        let rejected = rejected.min(self.count);
        self.metrics.exported.inc_by(self.count - rejected);
        self.metrics.rejected.inc_by(rejected);
        self.count = 0;
    }

    /// The receiver does not want them.
    pub(super) fn rejected(mut self) {
        self.metrics.rejected.inc_by(self.count);
        self.count = 0;
    }

    /// The receiver could not be reached, or could not take them, however often it was tried.
    pub(super) fn failed(mut self) {
        self.metrics.failed.inc_by(self.count);
        self.count = 0;
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.metrics.shutdown.inc_by(self.count);
    }
}

/// What operators hear of the export, which is little: metrics count.
#[derive(Debug, Default)]
pub(super) struct Reports {
    failed: Option<Instant>,
    /// Whether it was said that it fails, and not yet that it works again.
    failing: bool,
    partial: Option<Instant>,
}

impl Reports {
    /// It does not work. Said once, until it works again, and once a minute at most.
    pub(super) fn fails(&mut self, why: &str) {
        if !self.failing && is_over(&mut self.failed) {
            tracing::warn!(why, "the traces cannot be exported");
            self.failing = true;
        }
    }

    /// It works.
    pub(super) fn works(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("the traces are exported again");
        }
    }

    /// The receiver has taken them, and has something to say all the same.
    pub(super) fn partly(&mut self, rejected: u64, why: &str) {
        if is_over(&mut self.partial) {
            tracing::warn!(
                rejected,
                why,
                "the receiver of traces did not take all spans"
            );
        }
    }
}

/// Whether the last message was long enough ago; this one is the last one then.
fn is_over(last: &mut Option<Instant>) -> bool {
    let over = last.is_none_or(|last| last.elapsed() >= QUIET);
    if over {
        *last = Some(Instant::now());
    }
    over
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::Metrics;

    #[test]
    fn each_span_is_counted_once() {
        let metrics = Metrics::new();
        let all = &metrics.traces();
        Batch::new(10, all).taken(3);
        Batch::new(10, all).taken(11);
        Batch::new(5, all).rejected();
        Batch::new(6, all).failed();
        drop(Batch::new(7, all));
        let counts = [&all.exported, &all.rejected, &all.failed, &all.shutdown];
        assert_eq!(counts.map(prometheus::IntCounter::get), [7, 18, 6, 7]);
        assert_eq!(all.queue_full.get(), 0);
    }
}
