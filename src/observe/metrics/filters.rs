//! What is counted about filters, by route.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};
use wiregate_sdk::build::Fetches;
use wiregate_sdk::chain::{Hook, Watch};
use wiregate_sdk::{Clock, Reply};

use super::Metrics;
use super::family::families;
use super::shards::{Count, Counted, Family, Spent, Time};

families! {
    /// Filters
    pub(super) struct Filters {
        /// Requests that reached a filter.
        runs: Family<Counted> = "wiregate_filter_runs_total" [route, filter];
        /// Requests that a filter refused, or failed at, with a problem.
        refusals: IntCounterVec = "wiregate_filter_refusals_total" [route, filter];
        /// Requests that a filter answered: a redirect, a preflight, a fixed response.
        answers: IntCounterVec = "wiregate_filter_answers_total" [route, filter];
        /// Requests that a filter with `mode: observe` would have ended.
        observed: IntCounterVec = "wiregate_filter_observed_total" [route, filter];
        /// Requests that a filter decided on without something that it needs, such as a store:
        /// those that it refused nevertheless are among them.
        degraded: IntCounterVec = "wiregate_filter_degraded_total" [route, filter];
        /// Time spent in a filter's hooks, by hook: `request`, `upstream`, `response`,
        /// `request_body`, `response_body` and `done`. In `request`, and in `response_body` of one
        /// that wants the whole, waiting is included. One exchange of 32 is measured, and counts 32
        /// times. Where a cache is alone on its route and a request asks for nothing special, no
        /// hooks run, and none takes time here.
        seconds: Family<Time> = "wiregate_filter_seconds_total" [route, filter, hook];
        /// What filters fetch in the background, such as the keys of an issuer, by where it comes
        /// from and how that ended: `ok` or `error`.
        fetches: IntCounterVec = "wiregate_filter_fetches_total" [filter, from, result];
        /// When a filter has last fetched what it fetches in the background; 0 where it never has.
        fetched: IntGaugeVec = "wiregate_filter_fetch_success_timestamp_seconds" [filter, from];
    }
}

/// One exchange of so many is measured: two readings of the clock for each hook of six filters are
/// a microsecond.
const SAMPLE: u32 = 32;

/// What is counted about one link of a chain.
pub struct LinkMetrics {
    metrics: Arc<Metrics>,
    route: Arc<str>,
    filter: Arc<str>,
    runs: OnceLock<Count>,
    /// What not every filter ever does: the others have no series for it.
    refusals: OnceLock<IntCounter>,
    answers: OnceLock<IntCounter>,
    observed: OnceLock<IntCounter>,
    degraded: OnceLock<IntCounter>,
    seconds: OnceLock<Box<ByHook>>,
}

type ByHook = [OnceLock<Spent>; Hook::ALL.len()];

impl LinkMetrics {
    /// The metrics of a filter in a route.
    pub fn new(metrics: Arc<Metrics>, route: Arc<str>, filter: &str) -> Self {
        Self {
            metrics,
            route,
            filter: filter.into(),
            runs: OnceLock::new(),
            refusals: OnceLock::new(),
            answers: OnceLock::new(),
            observed: OnceLock::new(),
            degraded: OnceLock::new(),
            seconds: OnceLock::new(),
        }
    }

    /// A request has reached the filter.
    pub fn ran(&self) {
        let runs = || {
            // Whoever asks for refusals is to see that there were none so far.
            let _ = self.refusals.get_or_init(|| self.refusals());
            let _ = self.answers.get_or_init(|| self.answers());
            self.metrics
                .series(&self.metrics.filters.runs, &self.labels())
        };
        self.runs.get_or_init(runs).inc();
    }

    /// A hook of it has taken this long.
    fn took(&self, hook: Hook, time: Duration) {
        let by_hook = self.seconds.get_or_init(Box::default);
        let seconds = by_hook[hook as usize].get_or_init(|| {
            let [route, filter] = self.labels();
            let labels = [route, filter, ("hook", hook.word())];
            self.metrics.series(&self.metrics.filters.seconds, &labels)
        });
        seconds.add(time, SAMPLE);
    }

    /// The filter is only looked at, and would have ended the request.
    pub fn observed(&self) {
        let series = || self.series(&self.metrics.filters.observed);
        self.observed.get_or_init(series).inc();
    }

    /// The filter had to do without something, and let the request go on.
    pub fn degraded(&self) {
        let series = || self.series(&self.metrics.filters.degraded);
        self.degraded.get_or_init(series).inc();
    }

    /// The filter has ended the request: it has refused it with a problem, or answered it.
    pub fn stopped(&self, reply: &Reply) {
        match reply.reason() {
            Some(_) => self.refusals.get_or_init(|| self.refusals()).inc(),
            None => self.answers.get_or_init(|| self.answers()).inc(),
        }
    }

    fn refusals(&self) -> IntCounter {
        self.series(&self.metrics.filters.refusals)
    }

    fn answers(&self) -> IntCounter {
        self.series(&self.metrics.filters.answers)
    }

    fn labels(&self) -> [(&str, &str); 2] {
        [("route", &*self.route), ("filter", &*self.filter)]
    }

    fn series(&self, family: &IntCounterVec) -> IntCounter {
        self.metrics.series(family, &self.labels())
    }
}

/// The links of one route, which the chain tells how long their hooks take.
pub struct LinkTimes {
    /// In the order of the chain.
    pub links: Arc<[LinkMetrics]>,
    /// Where time comes from.
    pub clock: Clock,
}

impl Watch for LinkTimes {
    fn measures(&self) -> bool {
        fastrand::u32(..SAMPLE) == 0
    }

    fn now(&self) -> Instant {
        self.clock.instant()
    }

    fn took(&self, link: usize, hook: Hook, time: Duration) {
        if let Some(link) = self.links.get(link) {
            link.took(hook, time);
        }
    }
}

impl Metrics {
    /// Shows what a filter has fetched in the background.
    pub fn show_fetches(&self, fetches: &Fetches) {
        let (filter, from) = (("filter", fetches.filter), ("from", &*fetches.from));
        for (word, count) in [("ok", fetches.succeeded()), ("error", fetches.failed())] {
            let labels = [filter, from, ("result", word)];
            let counter = self.series(&self.filters.fetches, &labels);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        let last = fetches.last_success();
        let at = last.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let seconds = at.map_or(0, |at| i64::try_from(at.as_secs()).unwrap_or(i64::MAX));
        self.series(&self.filters.fetched, &[filter, from])
            .set(seconds);
    }
}
