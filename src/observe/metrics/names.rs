//! The routes, filters, upstreams and listeners that have series: those of the running configuration.
//!
//! Requests that began under an earlier configuration may end after it is gone, and an attempt to
//! load one may fail. Neither leaves series behind: a handle for a name that is not in force
//! counts for nobody.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError, RwLockReadGuard};

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{IntCounter, IntGauge};

use super::Metrics;
use super::shards::{Cells, Series};

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
    /// How many connections the listeners may have, by name.
    pub listeners: HashMap<String, usize>,
    /// What filters fetch, by their own words and where it comes from.
    pub fetches: HashSet<(&'static str, Arc<str>)>,
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
        if let (Some(filter), Some(from)) = (label("filter"), label("from")) {
            let mut fetches = self.fetches.iter();
            return fetches.any(|known| known.0 == filter && *known.1 == *from);
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
                (Some(listener), None) => self.listeners.contains_key(listener),
                (None, _) => true,
            },
        }
    }
}

impl Metrics {
    /// From now on only these names have series; those of all others are gone.
    pub fn keep_only(&self, names: Names) {
        let _one_at_a_time = self.renaming();
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names;
        // Long work, and workers do not wait for it: whatever they add meanwhile has a name that is in force.
        let present = self.names();
        self.requests.prune(&present);
        self.overload.prune(&present);
        self.filters.prune(&present);
        self.upstreams.prune(&present);
        self.listeners.prune(&present);
        self.caches.prune(&present);
        self.traces.prune(&present);
        self.process.prune(&present);
        self.system.prune(&present);
        let all = &self.listeners;
        for (listener, most) in &present.listeners {
            let most = i64::try_from(*most).unwrap_or(i64::MAX);
            all.limit.with_label_values(&[listener]).set(most);
        }
        for ((listener, name), expires) in &present.certificates {
            all.expiry
                .with_label_values(&[listener, name])
                .set(*expires);
        }
    }

    /// From now on only these endpoints of an upstream have series.
    pub(super) fn keep_endpoints(&self, upstream: &str, endpoints: HashSet<Arc<str>>) {
        let _one_at_a_time = self.renaming();
        let mut present = self.names.write().unwrap_or_else(PoisonError::into_inner);
        // A retired configuration may still look for the endpoints of an upstream that is gone.
        if let Some(known) = present.upstreams.get_mut(upstream) {
            *known = endpoints;
            drop(present);
            let present = self.names();
            prune(&self.upstreams.healthy, &present);
            prune(&self.upstreams.at_endpoint, &present);
            prune(&self.upstreams.checked, &present);
            prune(&self.upstreams.endpoint_errors, &present);
        }
    }

    /// Held by whoever changes the names, until what is not among them is gone: nobody waits to write while
    /// another reads for long, since readers wait behind writers.
    fn renaming(&self) -> MutexGuard<'_, ()> {
        self.renaming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The series with these labels, given in the order of their declaration; or one that nobody
    /// sees, where the configuration does not have what it is about.
    pub(super) fn series<B>(&self, family: &MetricVec<B>, labels: &[(&str, &str)]) -> B::M
    where
        B: MetricVecBuilder,
        B::M: Unseen,
    {
        let names = self.names();
        let labels: HashMap<&str, &str> = labels.iter().copied().collect();
        if names.have(&labels) {
            family.with(&labels)
        } else {
            B::M::unseen()
        }
    }
}

pub(super) fn prune<B: MetricVecBuilder>(family: &MetricVec<B>, names: &Names)
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

impl Unseen for IntGauge {
    fn unseen() -> Self {
        Self::new(NAME, NAME).expect(VALID)
    }
}

impl<T: Cells> Unseen for Series<T> {
    fn unseen() -> Self {
        Self::hidden()
    }
}
