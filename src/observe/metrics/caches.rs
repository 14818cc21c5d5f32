//! What is counted about the stores of the cache.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::Metrics;
use super::family::families;
use crate::cache::store::Figures;

families! {
    /// Cache
    pub(super) struct Caches {
        /// Requests to a route with a cache, by what came of them: `hit`, `stale`, `revalidated`,
        /// `miss`, `collapsed` or `pass`.
        requests: IntCounterVec = "wiregate_cache_requests_total" [route, result];
        /// What a cache takes of `memory` and of `disk`.
        bytes: IntGaugeVec = "wiregate_cache_bytes" [cache, kind];
        /// Responses in a cache.
        entries: IntGaugeVec = "wiregate_cache_entries" [cache];
        /// Responses that were `evicted`, `rejected`, `purged`, `discarded`, `corrupt` or
        /// `unwritten`.
        events: IntCounterVec = "wiregate_cache_events_total" [cache, event];
    }
}

impl Metrics {
    /// Shows what is in a store of the cache, and what happened there.
    pub fn show_cache(&self, name: &str, figures: &Figures) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for (kind, bytes) in [("memory", figures.memory), ("disk", figures.disk)] {
            let labels = [("cache", name), ("kind", kind)];
            self.series(&self.caches.bytes, &labels).set(gauge(bytes));
        }
        let entries = self.series(&self.caches.entries, &[("cache", name)]);
        entries.set(gauge(figures.entries));
        for (event, count) in [
            ("evicted", figures.evicted),
            ("rejected", figures.rejected),
            ("purged", figures.purged),
            ("discarded", figures.discarded),
            ("corrupt", figures.corrupt),
            ("unwritten", figures.unwritten),
        ] {
            let labels = [("cache", name), ("event", event)];
            let counter = self.series(&self.caches.events, &labels);
            if count < counter.get() {
                counter.reset(); // a store that took another one's place
            }
            counter.inc_by(count - counter.get());
        }
    }
}
