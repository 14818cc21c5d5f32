//! What is only looked at when somebody asks for the metrics.

use std::sync::atomic::Ordering;

use super::{Phase, Shared};
use crate::observe::access_log::AccessLog;

impl Shared {
    /// All metrics, in the Prometheus text format.
    pub fn render_metrics(&self) -> Vec<u8> {
        let present = self
            .access_log
            .load()
            .as_ref()
            .as_ref()
            .map_or(0, AccessLog::dropped);
        let dropped = self.formerly_dropped.load(Ordering::Relaxed) + present;
        self.metrics.show_log_dropped(dropped);
        self.metrics.show_phase(match self.phase() {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Draining | Phase::HandedOver => "draining",
        });
        self.metrics
            .show_overloaded(self.overload.overloaded_workers());
        let live = self.live.load();
        let body_memory = live.settings.limits.body_memory;
        self.metrics.show_body_memory_limit(body_memory.get());
        for upstream in live.upstreams.values() {
            upstream.show_endpoints();
        }
        for store in &live.stores {
            self.metrics
                .show_cache(&store.name, &store.store().figures());
        }
        for fetches in live.fetches() {
            self.metrics.show_fetches(&fetches);
        }
        self.metrics.render()
    }
}
