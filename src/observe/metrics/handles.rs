//! What is counted about one route, one filter of it, or one upstream. Each handle is made with
//! its first use and kept, so that counting is an addition.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus::{Counter, Histogram, IntCounter, IntCounterVec, IntGauge};

use wiregate_sdk::Reply;

use super::Metrics;
use crate::cache::Dealt;
use crate::upstream::{Cause, Endpoint, Hedged, Turn};

/// The methods that have a label of their own; all else is `other`.
const METHODS: [Method; 8] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::HEAD,
    Method::OPTIONS,
    Method::PATCH,
    Method::TRACE,
];

/// What is counted about one route.
pub struct RouteMetrics {
    metrics: Arc<Metrics>,
    route: Arc<str>,
    handles: OnceLock<RouteHandles>,
}

struct RouteHandles {
    duration: Histogram,
    in_flight: IntGauge,
    requests: [OnceLock<ByCode>; METHODS.len() + 1],
    cache: [OnceLock<IntCounter>; Dealt::ALL.len()],
}

impl RouteMetrics {
    /// The metrics of a route.
    pub fn new(metrics: Arc<Metrics>, route: Arc<str>) -> Self {
        Self {
            metrics,
            route,
            handles: OnceLock::new(),
        }
    }

    fn handles(&self) -> &RouteHandles {
        let (metrics, labels) = (&self.metrics, [("route", &*self.route)]);
        self.handles.get_or_init(|| RouteHandles {
            duration: metrics.series(&metrics.duration, &labels),
            in_flight: metrics.series(&metrics.in_flight, &labels),
            requests: Default::default(),
            cache: Default::default(),
        })
    }

    /// A request has begun.
    pub fn begin(&self) {
        self.handles().in_flight.inc();
    }

    /// What came of a request in the cache.
    pub fn dealt(&self, dealt: Dealt) {
        let counter = self.handles().cache[dealt as usize].get_or_init(|| {
            let labels = [("route", &*self.route), ("result", dealt.word())];
            self.metrics.series(&self.metrics.cache_requests, &labels)
        });
        counter.inc();
    }

    /// A request has ended; no status means that no response was sent, which counts as code 0.
    pub fn end(&self, method: &Method, status: Option<StatusCode>, duration: Duration) {
        let handles = self.handles();
        handles.in_flight.dec();
        handles.duration.observe(duration.as_secs_f64());
        let method = METHODS
            .iter()
            .position(|known| known == method)
            .unwrap_or(METHODS.len());
        let by_code = handles.requests[method].get_or_init(ByCode::default);
        by_code.count(status, |code| {
            let method = METHODS.get(method).map_or("other", Method::as_str);
            let labels = [("route", &*self.route), ("method", method), ("code", code)];
            self.metrics.series(&self.metrics.requests, &labels)
        });
    }
}

/// What is counted about one link of a chain.
pub struct LinkMetrics {
    metrics: Arc<Metrics>,
    route: Arc<str>,
    filter: Arc<str>,
    handles: OnceLock<LinkHandles>,
    /// What few filters ever do: the others have no series for it.
    observed: OnceLock<IntCounter>,
    degraded: OnceLock<IntCounter>,
}

struct LinkHandles {
    runs: IntCounter,
    refusals: IntCounter,
    answers: IntCounter,
    seconds: Counter,
}

impl LinkMetrics {
    /// The metrics of a filter in a route.
    pub fn new(metrics: Arc<Metrics>, route: Arc<str>, filter: &str) -> Self {
        Self {
            metrics,
            route,
            filter: filter.into(),
            handles: OnceLock::new(),
            observed: OnceLock::new(),
            degraded: OnceLock::new(),
        }
    }

    fn handles(&self) -> &LinkHandles {
        let (metrics, filter) = (&self.metrics, &*self.filter);
        let labels = [("route", &*self.route), ("filter", filter)];
        self.handles.get_or_init(|| LinkHandles {
            runs: metrics.series(&metrics.filter_runs, &labels),
            refusals: metrics.series(&metrics.filter_refusals, &labels),
            answers: metrics.series(&metrics.filter_answers, &labels),
            seconds: metrics.series(&metrics.filter_seconds, &labels),
        })
    }

    /// The filter's request hook has run for this long.
    pub fn ran(&self, duration: Duration) {
        let handles = self.handles();
        handles.runs.inc();
        handles.seconds.inc_by(duration.as_secs_f64());
    }

    /// The filter is only looked at, and would have ended the request.
    pub fn observed(&self) {
        let series = || self.series(&self.metrics.filter_observed);
        self.observed.get_or_init(series).inc();
    }

    /// The filter had to do without something, and let the request go on.
    pub fn degraded(&self) {
        let series = || self.series(&self.metrics.filter_degraded);
        self.degraded.get_or_init(series).inc();
    }

    fn series(&self, family: &IntCounterVec) -> IntCounter {
        let labels = [("route", &*self.route), ("filter", &*self.filter)];
        self.metrics.series(family, &labels)
    }

    /// The filter has ended the request: it has refused it with a problem, or answered it.
    pub fn stopped(&self, reply: &Reply) {
        let handles = self.handles();
        match reply.reason() {
            Some(_) => handles.refusals.inc(),
            None => handles.answers.inc(),
        }
    }
}

/// What is counted about one upstream.
pub struct UpstreamMetrics {
    metrics: Arc<Metrics>,
    upstream: Arc<str>,
    handles: OnceLock<(Histogram, IntGauge)>,
    requests: ByCode,
    errors: [OnceLock<IntCounter>; Cause::ALL.len()],
    waiting: OnceLock<IntGauge>,
}

impl UpstreamMetrics {
    /// The metrics of an upstream.
    pub fn new(metrics: Arc<Metrics>, upstream: Arc<str>) -> Self {
        Self {
            metrics,
            upstream,
            handles: OnceLock::new(),
            requests: ByCode::default(),
            errors: Default::default(),
            waiting: OnceLock::new(),
        }
    }

    fn handles(&self) -> &(Histogram, IntGauge) {
        let (metrics, labels) = (&self.metrics, [("upstream", &*self.upstream)]);
        self.handles.get_or_init(|| {
            (
                metrics.series(&metrics.upstream_duration, &labels),
                metrics.series(&metrics.upstream_in_flight, &labels),
            )
        })
    }

    /// An attempt has begun.
    pub fn begin(&self) {
        self.handles().1.inc();
    }

    /// The head of a response has come, this long after the attempt began.
    pub fn answered(&self, status: StatusCode, duration: Duration) {
        self.handles().0.observe(duration.as_secs_f64());
        self.count(Some(status));
    }

    /// An attempt has ended; one without a response counts as code 0.
    pub fn end(&self, answered: bool) {
        self.handles().1.dec();
        if !answered {
            self.count(None);
        }
    }

    fn count(&self, status: Option<StatusCode>) {
        self.requests.count(status, |code| {
            let labels = [("upstream", &*self.upstream), ("code", code)];
            self.metrics
                .series(&self.metrics.upstream_requests, &labels)
        });
    }

    /// A source of its endpoints was asked, with this result.
    pub fn refreshed(&self, source: &str, result: &str) {
        let labels = [
            ("upstream", &*self.upstream),
            ("source", source),
            ("result", result),
        ];
        let counter = self
            .metrics
            .series(&self.metrics.upstream_refreshes, &labels);
        counter.inc();
    }

    /// An attempt has failed, or a request has found no endpoint.
    pub fn failed(&self, cause: Cause) {
        let counter = self.errors[cause.index()].get_or_init(|| {
            let labels = [("upstream", &*self.upstream), ("error", cause.word())];
            self.metrics.series(&self.metrics.upstream_errors, &labels)
        });
        counter.inc();
    }

    /// An attempt is repeated, or is not because the budget for retries is used up.
    pub fn retried(&self, made: bool) {
        let outcome = if made { "made" } else { "no_budget" };
        let labels = [("upstream", &*self.upstream), ("outcome", outcome)];
        let family = &self.metrics.upstream_retries;
        self.metrics.series(family, &labels).inc();
    }

    /// What came of a second endpoint for a request whose first one was slow.
    pub fn hedged(&self, outcome: Hedged) {
        let outcome = match outcome {
            Hedged::Won => "won",
            Hedged::Lost => "lost",
            Hedged::Failed => "failed",
            Hedged::Abandoned => "abandoned",
            Hedged::NoBudget => "no_budget",
            Hedged::NoEndpoint => "no_endpoint",
        };
        let labels = [("upstream", &*self.upstream), ("outcome", outcome)];
        let family = &self.metrics.upstream_hedges;
        self.metrics.series(family, &labels).inc();
    }

    /// So many more requests wait for their turn.
    pub fn waiting(&self, more: i64) {
        let gauge = self.waiting.get_or_init(|| {
            let labels = [("upstream", &*self.upstream)];
            self.metrics.series(&self.metrics.upstream_waiting, &labels)
        });
        gauge.add(more);
    }

    /// The circuit breaker has opened or closed.
    pub fn turned(&self, turn: Turn) {
        let word = match turn {
            Turn::Opened => "opened",
            Turn::Closed => "closed",
        };
        let labels = [("upstream", &*self.upstream), ("turn", word)];
        let family = &self.metrics.upstream_circuit_turns;
        self.metrics.series(family, &labels).inc();
        self.circuit_open(turn == Turn::Opened);
    }

    /// Whether the circuit breaker is open.
    pub fn circuit_open(&self, open: bool) {
        let labels = [("upstream", &*self.upstream)];
        let gauge = self.metrics.series(&self.metrics.upstream_circuit, &labels);
        gauge.set(i64::from(open));
    }

    /// Whether an endpoint gets requests.
    pub fn healthy(&self, endpoint: &str, healthy: bool) {
        let labels = [("upstream", &*self.upstream), ("endpoint", endpoint)];
        let gauge = self.metrics.series(&self.metrics.endpoint_healthy, &labels);
        gauge.set(i64::from(healthy));
    }

    /// How many attempts are under way at an endpoint.
    pub fn endpoint_in_flight(&self, endpoint: &str, count: u32) {
        let labels = [("upstream", &*self.upstream), ("endpoint", endpoint)];
        let family = &self.metrics.endpoint_in_flight;
        self.metrics.series(family, &labels).set(i64::from(count));
    }

    /// An endpoint was taken out because of its answers.
    pub fn ejected(&self, reason: &str) {
        let labels = [("upstream", &*self.upstream), ("reason", reason)];
        let family = &self.metrics.endpoint_ejections;
        self.metrics.series(family, &labels).inc();
    }

    /// From now on only these endpoints of it have series.
    pub fn keep_only(&self, endpoints: &[Arc<Endpoint>]) {
        let labels = endpoints.iter().map(|endpoint| endpoint.label.clone());
        self.metrics
            .keep_endpoints(&self.upstream, labels.collect());
    }
}

const FIRST_CODE: u16 = 100;
/// Codes from 600 on mean nothing (RFC 9110, 15) and share a label.
const LAST_CODE: u16 = 600;
const CODES: usize = (LAST_CODE - FIRST_CODE) as usize;

/// A counter for each status code, made when the code is first seen.
struct ByCode(Box<[OnceLock<IntCounter>]>);

impl Default for ByCode {
    fn default() -> Self {
        Self((0..=CODES).map(|_| OnceLock::new()).collect())
    }
}

impl ByCode {
    fn count(&self, status: Option<StatusCode>, make: impl FnOnce(&str) -> IntCounter) {
        let code = status.map_or(0, |status| status.as_u16());
        // No response shares its slot with a 100, which is never final.
        let slot = usize::from(code.saturating_sub(FIRST_CODE)).min(CODES);
        let counter = self.0[slot].get_or_init(|| match code {
            LAST_CODE.. => make("other"),
            _ => make(&code.to_string()),
        });
        counter.inc();
    }
}
