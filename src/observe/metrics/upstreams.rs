//! What is counted about upstreams and their endpoints.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::Metrics;
use super::family::families;
use super::names::Unseen;
use super::requests::ByCode;
use super::shards::{Count, Counted, Family, Histogram, Level, Risen, Times};
use crate::upstream::{Cause, Endpoint, Hedged, Turn};

families! {
    /// Upstreams
    pub(super) struct Upstreams {
        /// Attempts by upstream and status code; code 0 means that no response came.
        requests: Family<Counted> = "wiregate_upstream_requests_total" [upstream, code];
        /// From the start of an attempt to the head of its response, without the time that the
        /// client has taken for its body.
        duration: Family<Histogram> = "wiregate_upstream_duration_seconds" [upstream];
        /// Attempts under way.
        in_flight: Family<Risen> = "wiregate_upstream_requests_in_flight" [upstream];
        /// Attempts that have got a connection: a `new` one, or a `reused` one, which over HTTP/2
        /// may have other requests.
        connections: Family<Counted> = "wiregate_upstream_connections_total" [upstream, kind];
        /// From the start of an attempt to a new connection, with its TLS.
        connect: Family<Histogram> = "wiregate_upstream_connect_duration_seconds" [upstream];
        /// Attempts that failed, and requests that found no endpoint, by upstream and cause.
        errors: IntCounterVec = "wiregate_upstream_errors_total" [upstream, error];
        /// Attempts that were to be repeated, and were (`made`), or were not for want of budget
        /// (`no_budget`).
        retries: IntCounterVec = "wiregate_upstream_retries_total" [upstream, outcome];
        /// Requests whose first endpoint was slow, by what came of a second one: `won`, `lost`,
        /// `failed`, `abandoned`, or none because of `no_budget` or `no_endpoint`.
        hedges: IntCounterVec = "wiregate_upstream_hedges_total" [upstream, outcome];
        /// Requests that wait for their turn.
        waiting: IntGaugeVec = "wiregate_upstream_requests_waiting" [upstream];
        /// 1 while the circuit breaker lets no requests through, or only probes.
        circuit: IntGaugeVec = "wiregate_upstream_circuit_open" [upstream];
        /// How often the circuit breaker has `opened` and `closed`.
        turns: IntCounterVec = "wiregate_upstream_circuit_turns_total" [upstream, turn];
        /// Health checks that an endpoint has `passed` or `failed`, or that were `skipped`, as the process had no descriptor for them.
        checks: IntCounterVec = "wiregate_upstream_health_checks_total" [upstream, result];
        /// Questions to DNS (`dns`) about endpoints, and changed files of them (`file`): `ok`,
        /// `empty`, `timeout` or `error`.
        refreshes: IntCounterVec = "wiregate_upstream_refreshes_total" [upstream, source, result];
        /// When DNS (`dns`) or a changed file (`file`) has last told of endpoints.
        refreshed: IntGaugeVec = "wiregate_upstream_refresh_success_timestamp_seconds" [upstream, source];
        /// 1 while an endpoint gets requests: it has passed its checks, where there are any, and is
        /// not ejected. 0 means that it gets none, unless so few are left that health is not looked
        /// at (`panic`).
        healthy: IntGaugeVec = "wiregate_endpoint_healthy" [upstream, endpoint];
        /// Endpoints that an upstream has; 0 where it has only names, and none of them was ever resolved.
        endpoints: IntGaugeVec = "wiregate_upstream_endpoints" [upstream];
        /// Attempts under way at an endpoint.
        at_endpoint: IntGaugeVec = "wiregate_endpoint_requests_in_flight" [upstream, endpoint];
        /// 1 for an endpoint that a health check has looked at; 0 where there are none, or none yet.
        checked: IntGaugeVec = "wiregate_endpoint_checked" [upstream, endpoint];
        /// Attempts at an endpoint that failed there, or got a status from 500 on.
        endpoint_errors: IntCounterVec = "wiregate_endpoint_errors_total" [upstream, endpoint];
        /// Endpoints taken out because of their answers: `consecutive_errors`, `error_rate` or
        /// `slow`.
        ejections: IntCounterVec = "wiregate_endpoint_ejections_total" [upstream, reason];
    }
}

/// What is counted about one upstream.
pub struct UpstreamMetrics {
    metrics: Arc<Metrics>,
    upstream: Arc<str>,
    handles: OnceLock<Handles>,
    requests: ByCode,
    errors: [OnceLock<IntCounter>; Cause::ALL.len()],
    retries: [OnceLock<IntCounter>; 2],
    hedges: [OnceLock<IntCounter>; HEDGED.len()],
    waiting: OnceLock<IntGauge>,
}

/// What is looked at of an endpoint when somebody asks.
pub struct Seen<'a> {
    /// Its name in labels.
    pub endpoint: &'a str,
    /// How many attempts are under way there.
    pub in_flight: u32,
    /// How many have failed there so far.
    pub failures: u64,
    /// Whether a health check has looked at it.
    pub checked: bool,
}

struct Handles {
    duration: Times,
    in_flight: Level,
    new: Count,
    reused: Count,
    connect: Times,
}

/// The words for what came of a second endpoint, in the order of their declaration.
const HEDGED: [&str; 6] = [
    "won",
    "lost",
    "failed",
    "abandoned",
    "no_budget",
    "no_endpoint",
];

impl UpstreamMetrics {
    /// The metrics of an upstream.
    pub fn new(metrics: Arc<Metrics>, upstream: Arc<str>) -> Self {
        Self {
            metrics,
            upstream,
            handles: OnceLock::new(),
            requests: ByCode::default(),
            errors: Default::default(),
            retries: Default::default(),
            hedges: Default::default(),
            waiting: OnceLock::new(),
        }
    }

    fn all(&self) -> &Upstreams {
        &self.metrics.upstreams
    }

    fn handles(&self) -> &Handles {
        let upstream = ("upstream", &*self.upstream);
        let (metrics, all) = (&self.metrics, self.all());
        let connections = |kind| metrics.series(&all.connections, &[upstream, ("kind", kind)]);
        self.handles.get_or_init(|| Handles {
            duration: metrics.series(&all.duration, &[upstream]),
            in_flight: metrics.series(&all.in_flight, &[upstream]),
            new: connections("new"),
            reused: connections("reused"),
            connect: metrics.series(&all.connect, &[upstream]),
        })
    }

    /// A counter with one more label.
    fn counter(&self, family: &IntCounterVec, name: &str, value: &str) -> IntCounter {
        let labels = [("upstream", &*self.upstream), (name, value)];
        self.metrics.series(family, &labels)
    }

    /// An attempt has begun.
    pub fn begin(&self) {
        self.handles().in_flight.add(1);
    }

    /// An attempt has got a new connection, this long after it began.
    pub fn connected(&self, waited: Duration) {
        let handles = self.handles();
        handles.new.inc();
        handles.connect.observe(waited);
    }

    /// An attempt has got a connection that was there.
    pub fn reused(&self) {
        self.handles().reused.inc();
    }

    /// The head of a response has come, this long after the attempt began.
    pub fn answered(&self, status: StatusCode, duration: Duration) {
        self.handles().duration.observe(duration);
        self.count(Some(status));
    }

    /// An attempt has ended; one without a response counts as code 0.
    pub fn end(&self, answered: bool) {
        self.handles().in_flight.add(-1);
        if !answered {
            self.count(None);
        }
    }

    fn count(&self, status: Option<StatusCode>) {
        self.requests.count(status, |code| {
            let labels = [("upstream", &*self.upstream), ("code", code)];
            self.metrics.series(&self.all().requests, &labels)
        });
    }

    /// A source of its endpoints was asked, with this result.
    pub fn refreshed(&self, source: &str, result: &str) {
        let (upstream, source) = (("upstream", &*self.upstream), ("source", source));
        let labels = [upstream, source, ("result", result)];
        self.metrics.series(&self.all().refreshes, &labels).inc();
        if result == "ok" {
            let last = self
                .metrics
                .series(&self.all().refreshed, &[upstream, source]);
            last.set(super::timestamp(SystemTime::now()));
        }
    }

    /// An endpoint was checked; or was not, for want of a descriptor.
    pub fn checked(&self, passed: Option<bool>) {
        let result = match passed {
            Some(true) => "passed",
            Some(false) => "failed",
            None => "skipped",
        };
        self.counter(&self.all().checks, "result", result).inc();
    }

    /// An attempt has failed, or a request has found no endpoint.
    pub fn failed(&self, cause: Cause) {
        let counter = || self.counter(&self.all().errors, "error", cause.word());
        self.errors[cause.index()].get_or_init(counter).inc();
    }

    /// An attempt is repeated, or is not because the budget for retries is used up.
    pub fn retried(&self, made: bool) {
        let outcome = if made { "made" } else { "no_budget" };
        let counter = || self.counter(&self.all().retries, "outcome", outcome);
        self.retries[usize::from(made)].get_or_init(counter).inc();
    }

    /// What came of a second endpoint for a request whose first one was slow.
    pub fn hedged(&self, outcome: Hedged) {
        let slot = outcome as usize;
        let counter = || self.counter(&self.all().hedges, "outcome", HEDGED[slot]);
        self.hedges[slot].get_or_init(counter).inc();
    }

    /// So many more requests wait for their turn.
    pub fn waiting(&self, more: i64) {
        let gauge = self.waiting.get_or_init(|| {
            let labels = [("upstream", &*self.upstream)];
            self.metrics.series(&self.all().waiting, &labels)
        });
        gauge.add(more);
    }

    /// The circuit breaker has opened or closed.
    pub fn turned(&self, turn: Turn) {
        let word = match turn {
            Turn::Opened => "opened",
            Turn::Closed => "closed",
        };
        self.counter(&self.all().turns, "turn", word).inc();
    }

    /// Whether the circuit breaker is open.
    pub fn circuit_open(&self, open: bool) {
        let labels = [("upstream", &*self.upstream)];
        let gauge = self.metrics.series(&self.all().circuit, &labels);
        gauge.set(i64::from(open));
    }

    /// There is no circuit breaker, or none any more.
    pub fn has_no_circuit(&self) {
        // Most have never had one.
        let _ = self.all().circuit.remove_label_values(&[&*self.upstream]);
    }

    /// How many endpoints it has.
    pub fn endpoints(&self, count: usize) {
        let labels = [("upstream", &*self.upstream)];
        let gauge = self.metrics.series(&self.all().endpoints, &labels);
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether an endpoint gets requests.
    pub fn healthy(&self, endpoint: &str, healthy: bool) {
        let gauge = self.of_endpoint(&self.all().healthy, endpoint);
        gauge.set(i64::from(healthy));
    }

    /// What was seen of an endpoint, by one at a time.
    pub fn endpoint(&self, seen: &Seen<'_>) {
        let all = self.all();
        let in_flight = self.of_endpoint(&all.at_endpoint, seen.endpoint);
        in_flight.set(seen.in_flight.into());
        let checked = self.of_endpoint(&all.checked, seen.endpoint);
        checked.set(seen.checked.into());
        let errors = self.of_endpoint(&all.endpoint_errors, seen.endpoint);
        // One that has come back begins anew, with what is counted.
        match seen.failures.checked_sub(errors.get()) {
            Some(more) => errors.inc_by(more),
            None => {
                errors.reset();
                errors.inc_by(seen.failures);
            }
        }
    }

    fn of_endpoint<B>(&self, family: &MetricVec<B>, endpoint: &str) -> B::M
    where
        B: MetricVecBuilder,
        B::M: Unseen,
    {
        let labels = [("upstream", &*self.upstream), ("endpoint", endpoint)];
        self.metrics.series(family, &labels)
    }

    /// An endpoint was taken out because of its answers.
    pub fn ejected(&self, reason: &str) {
        self.counter(&self.all().ejections, "reason", reason).inc();
    }

    /// From now on only these endpoints of it have series.
    pub fn keep_only(&self, endpoints: &[Arc<Endpoint>]) {
        let labels = endpoints.iter().map(|endpoint| endpoint.label.clone());
        let labels: HashSet<_> = labels.collect();
        self.metrics.keep_endpoints(&self.upstream, labels);
    }
}
