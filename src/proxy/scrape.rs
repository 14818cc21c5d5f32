//! What is only looked at when somebody asks for the metrics.

use std::sync::atomic::Ordering;

use super::{Phase, Shared};
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::Metrics;

impl Shared {
    /// All metrics, in the Prometheus text format.
    pub fn render_metrics(&self) -> Vec<u8> {
        self.metrics.scrape(|metrics| self.look(metrics))
    }

    fn look(&self, metrics: &Metrics) {
        let present = self
            .access_log
            .load()
            .as_ref()
            .as_ref()
            .map_or(0, AccessLog::dropped);
        let dropped = self.formerly_dropped.load(Ordering::Relaxed) + present;
        metrics.show_log_dropped(dropped);
        metrics.show_phase(match self.phase() {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Draining | Phase::HandedOver => "draining",
        });
        metrics.show_overloaded(self.overload.overloaded_workers());
        let live = self.live.load();
        let body_memory = live.settings.limits.body_memory;
        metrics.show_body_memory_limit(body_memory.get());
        for upstream in live.upstreams.values() {
            upstream.show_in_flight();
        }
        for store in &live.stores {
            metrics.show_cache(&store.name, &store.store().figures());
        }
        for fetches in live.fetches() {
            metrics.show_fetches(&fetches);
        }
    }
}
