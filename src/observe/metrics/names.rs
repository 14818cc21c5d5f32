//! The routes, filters, upstreams and listeners that have series: those of the running configuration.
//!
//! Requests that began under an earlier configuration may end after it is gone, and an attempt to
//! load one may fail. Neither leaves series behind: a handle for a name that is not in force
//! counts for nobody.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{Counter, Histogram, HistogramOpts, IntCounter, IntGauge};

use super::Metrics;

/// What one configuration has that is counted by name.
#[derive(Debug, Default)]
pub struct Names {
    /// The routes.
    pub routes: HashSet<Arc<str>>,
    /// The filters' labels, with their routes.
    pub links: HashSet<(Arc<str>, String)>,
    /// The upstreams, with their endpoints.
    pub upstreams: HashMap<Arc<str>, HashSet<Arc<str>>>,
    /// The stores of the cache.
    pub caches: HashSet<Arc<str>>,
    /// The listeners.
    pub listeners: HashSet<String>,
    /// When certificates expire, by their listeners and names.
    pub certificates: HashMap<(String, String), i64>,
}

impl Names {
    /// Whether a series with these labels may exist.
    fn have(&self, labels: &HashMap<&str, &str>) -> bool {
        let label = |name: &str| labels.get(name).copied();
        if let Some(cache) = label("cache") {
            return self.caches.contains(cache);
        }
        match (label("route"), label("filter"), label("upstream")) {
            (Some(route), Some(filter), _) => {
                self.links.contains(&(route.into(), filter.to_owned()))
            }
            (Some(route), None, _) => self.routes.contains(route),
            (None, _, Some(upstream)) => match (self.upstreams.get(upstream), label("endpoint")) {
                (Some(endpoints), Some(endpoint)) => endpoints.contains(endpoint),
                (upstream, _) => upstream.is_some(),
            },
            (None, _, None) => match (label("listener"), label("name")) {
                (Some(listener), Some(name)) => {
                    let key = (listener.to_owned(), name.to_owned());
                    self.certificates.contains_key(&key)
                }
                (Some(listener), None) => self.listeners.contains(listener),
                (None, _) => true,
            },
        }
    }
}

impl Metrics {
    /// From now on only these names have series; those of all others are gone.
    pub fn keep_only(&self, names: Names) {
        let mut present = self.names.write().unwrap_or_else(PoisonError::into_inner);
        *present = names;
        prune(&self.requests, &present);
        prune(&self.duration, &present);
        prune(&self.in_flight, &present);
        prune(&self.upstream_requests, &present);
        prune(&self.upstream_duration, &present);
        prune(&self.upstream_in_flight, &present);
        prune(&self.upstream_refreshes, &present);
        prune(&self.upstream_errors, &present);
        prune(&self.upstream_retries, &present);
        prune(&self.upstream_waiting, &present);
        prune(&self.upstream_circuit, &present);
        prune(&self.upstream_circuit_turns, &present);
        prune(&self.endpoint_healthy, &present);
        prune(&self.endpoint_in_flight, &present);
        prune(&self.endpoint_ejections, &present);
        prune(&self.cache_requests, &present);
        prune(&self.cache_bytes, &present);
        prune(&self.cache_entries, &present);
        prune(&self.cache_events, &present);
        prune(&self.filter_runs, &present);
        prune(&self.filter_refusals, &present);
        prune(&self.filter_answers, &present);
        prune(&self.filter_observed, &present);
        prune(&self.filter_degraded, &present);
        prune(&self.filter_seconds, &present);
        prune(&self.connections, &present);
        prune(&self.connections_refused, &present);
        prune(&self.handshake_failures, &present);
        prune(&self.certificate_expiry, &present);
        for ((listener, name), expires) in &present.certificates {
            let gauge = self.certificate_expiry.with_label_values(&[listener, name]);
            gauge.set(*expires);
        }
    }

    /// From now on only these endpoints of an upstream have series.
    pub(super) fn keep_endpoints(&self, upstream: &str, endpoints: HashSet<Arc<str>>) {
        let mut present = self.names.write().unwrap_or_else(PoisonError::into_inner);
        // A retired configuration may still look for the endpoints of an upstream that is gone.
        if let Some(known) = present.upstreams.get_mut(upstream) {
            *known = endpoints;
            prune(&self.endpoint_healthy, &present);
            prune(&self.endpoint_in_flight, &present);
        }
    }

    /// The series with these labels, given in the order of their declaration; or one that nobody
    /// sees, where the configuration does not have what it is about.
    pub(super) fn series<B>(&self, family: &MetricVec<B>, labels: &[(&str, &str)]) -> B::M
    where
        B: MetricVecBuilder,
        B::M: Unseen,
    {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let labels: HashMap<&str, &str> = labels.iter().copied().collect();
        if names.have(&labels) {
            family.with(&labels)
        } else {
            B::M::unseen()
        }
    }
}

fn prune<B: MetricVecBuilder>(family: &MetricVec<B>, names: &Names)
where
    MetricVec<B>: Collector,
{
    for metric in family
        .collect()
        .iter()
        .flat_map(|family| family.get_metric())
    {
        let labels = metric.get_label().iter();
        let labels: HashMap<_, _> = labels.map(|label| (label.name(), label.value())).collect();
        if !names.have(&labels) {
            // It was there a moment ago; gone is what it should be.
            let _ = family.remove(&labels);
        }
    }
}

/// A metric that is in no exposition.
pub(super) trait Unseen {
    fn unseen() -> Self;
}

const NAME: &str = "unseen";
const VALID: &str = "the name is valid";

impl Unseen for IntCounter {
    fn unseen() -> Self {
        Self::new(NAME, NAME).expect(VALID)
    }
}

impl Unseen for Counter {
    fn unseen() -> Self {
        Self::new(NAME, NAME).expect(VALID)
    }
}

impl Unseen for IntGauge {
    fn unseen() -> Self {
        Self::new(NAME, NAME).expect(VALID)
    }
}

impl Unseen for Histogram {
    fn unseen() -> Self {
        Self::with_opts(HistogramOpts::new(NAME, NAME)).expect(VALID)
    }
}
