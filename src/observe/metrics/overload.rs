//! What is counted about overload.

use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::Metrics;
use super::family::families;
use super::shards::{Family, Histogram, Times};
use crate::overload::{Level, Shed};

families! {
    /// Overload
    pub(super) struct Overload {
        /// Requests that got a 503 because the gateway had too much to do, by reason: `delay`,
        /// `requests` or `memory`.
        shed: IntCounterVec = "wiregate_requests_shed_total" [reason];
        /// How long what is ready waits for its worker, measured when requests come.
        delay: Family<Histogram> = "wiregate_worker_delay_seconds" [];
        /// Workers that have more to do than they can, and shed requests.
        workers: IntGauge = "wiregate_overloaded_workers" [];
        /// What the marks of memory are shares of; 0 where it is not looked at.
        memory_limit: IntGauge = "wiregate_memory_limit_bytes" [];
        /// The mark that the process's memory has reached: 0 is none, 1 the soft one, 2 the hard
        /// one.
        memory_level: IntGauge = "wiregate_memory_level" [];
    }
}

/// What is counted often.
pub(super) struct Handles {
    shed: [IntCounter; Shed::ALL.len()],
    delay: Times,
}

impl Handles {
    pub(super) fn new(all: &Overload) -> Self {
        Self {
            shed: Shed::ALL.map(|why| all.shed.with_label_values(&[why.word()])),
            delay: all.delay.with_label_values::<&str>(&[]),
        }
    }
}

impl Metrics {
    /// A request was shed.
    pub fn shed(&self, why: Shed) {
        self.sheds.shed[why as usize].inc();
    }

    /// What was ready has waited so long for its worker.
    pub fn delayed(&self, delay: Duration) {
        self.sheds.delay.observe(delay);
    }

    /// Shows how many workers have more to do than they can.
    pub fn show_overloaded(&self, workers: usize) {
        let workers = i64::try_from(workers).unwrap_or(i64::MAX);
        self.overload.workers.set(workers);
    }

    /// The memory of the process was looked at.
    pub fn show_memory(&self, limit: u64, level: Level) {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.overload.memory_limit.set(limit);
        self.overload.memory_level.set(level as i64);
    }
}
