//! What is counted about requests, by route. Each handle is made with its first use and kept, so
//! that counting is an addition.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::Metrics;
use super::family::families;
use super::shards::{Count, Counted, Family, Histogram, Level, Risen, Times};
use crate::cache::Dealt;

families! {
    /// Requests
    pub(super) struct Requests {
        /// Requests by route, method and status code. Methods that are not well known are `other`;
        /// code 0 means that no response was sent. The route `-` has what no route took.
        requests: Family<Counted> = "wiregate_requests_total" [route, method, code];
        /// From the request head to the end of the response.
        duration: Family<Histogram> = "wiregate_request_duration_seconds" [route];
        /// Requests being worked on.
        in_flight: Family<Risen> = "wiregate_requests_in_flight" [route];
        /// Requests that the gateway or a filter refused, or that failed, by the reason that the
        /// access log has in `error`, and a problem in its `type`.
        failed: IntCounterVec = "wiregate_requests_failed_total" [route, reason];
        /// Bytes of request bodies, as clients sent them.
        received: Family<Counted> = "wiregate_request_body_bytes_total" [route];
        /// Bytes of response bodies, as clients got them.
        sent: Family<Counted> = "wiregate_response_body_bytes_total" [route];
        /// Panics of filters and in the choice of a route, each of which cost one request at most.
        panics: IntCounter = "wiregate_panics_total" [];
        /// Bodies held in memory.
        body_memory: IntGauge = "wiregate_body_memory_bytes" [];
        /// What bodies in memory may take: `limits.body_memory`.
        body_memory_limit: IntGauge = "wiregate_body_memory_limit_bytes" [];
    }
}

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
    duration: Times,
    in_flight: Level,
    received: Count,
    sent: Count,
    requests: [OnceLock<ByCode>; METHODS.len() + 1],
    failed: OnceLock<ByReason>,
    cache: [OnceLock<IntCounter>; Dealt::ALL.len()],
}

/// How a request has ended.
pub struct Ended<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The status of its response; `None` where none was sent, which counts as code 0.
    pub status: Option<StatusCode>,
    /// One word for what went wrong.
    pub error: Option<&'static str>,
    /// From its head to the end of the response; nothing where it was answered at once, unseen.
    pub duration: Option<Duration>,
    /// Bytes of its body.
    pub received: u64,
    /// Bytes of the response's body.
    pub sent: u64,
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
        let all = &metrics.requests;
        self.handles.get_or_init(|| RouteHandles {
            duration: metrics.series(&all.duration, &labels),
            in_flight: metrics.series(&all.in_flight, &labels),
            received: metrics.series(&all.received, &labels),
            sent: metrics.series(&all.sent, &labels),
            requests: Default::default(),
            failed: OnceLock::new(),
            cache: Default::default(),
        })
    }

    /// A request has begun.
    pub fn begin(&self) {
        self.handles().in_flight.add(1);
    }

    /// What came of a request in the cache.
    pub fn dealt(&self, dealt: Dealt) {
        let counter = self.handles().cache[dealt as usize].get_or_init(|| {
            let labels = [("route", &*self.route), ("result", dealt.word())];
            self.metrics.series(&self.metrics.caches.requests, &labels)
        });
        counter.inc();
    }

    /// A request has ended.
    pub fn end(&self, ended: &Ended<'_>) {
        let handles = self.handles();
        handles.in_flight.add(-1);
        if let Some(duration) = ended.duration {
            handles.duration.observe(duration);
        }
        if ended.received > 0 {
            handles.received.add(ended.received);
        }
        if ended.sent > 0 {
            handles.sent.add(ended.sent);
        }
        let known = METHODS.iter().position(|known| known == ended.method);
        let method = known.unwrap_or(METHODS.len());
        let by_code = handles.requests[method].get_or_init(ByCode::default);
        by_code.count(ended.status, |code| {
            let method = METHODS.get(method).map_or("other", Method::as_str);
            let labels = [("route", &*self.route), ("method", method), ("code", code)];
            self.metrics
                .series(&self.metrics.requests.requests, &labels)
        });
        if let Some(reason) = ended.error {
            let failed = handles.failed.get_or_init(ByReason::default);
            failed.count(reason, |reason| {
                let labels = [("route", &*self.route), ("reason", reason)];
                self.metrics.series(&self.metrics.requests.failed, &labels)
            });
        }
    }
}

const FIRST_CODE: u16 = 100;
/// Codes from 600 on mean nothing (RFC 9110, 15) and share a label.
const LAST_CODE: u16 = 600;
const CODES: usize = (LAST_CODE - FIRST_CODE) as usize;

/// A counter for each status code, made when the code is first seen.
pub(super) struct ByCode(Box<[OnceLock<Count>]>);

impl Default for ByCode {
    fn default() -> Self {
        Self((0..=CODES).map(|_| OnceLock::new()).collect())
    }
}

impl ByCode {
    pub(super) fn count(&self, status: Option<StatusCode>, make: impl FnOnce(&str) -> Count) {
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

/// More reasons than this share one series, `other`.
const REASONS: usize = 32;

/// A counter for each of a few words, in the order in which they are first seen.
struct ByReason {
    first: Box<[OnceLock<(&'static str, IntCounter)>]>,
    other: OnceLock<IntCounter>,
}

impl Default for ByReason {
    fn default() -> Self {
        Self {
            first: (0..REASONS).map(|_| OnceLock::new()).collect(),
            other: OnceLock::new(),
        }
    }
}

impl ByReason {
    fn count(&self, reason: &'static str, make: impl Fn(&str) -> IntCounter) {
        for slot in &self.first {
            let (word, counter) = slot.get_or_init(|| (reason, make(reason)));
            if *word == reason {
                return counter.inc();
            }
        }
        self.other.get_or_init(|| make("other")).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_beyond_a_number_share_a_series() {
        let by_reason = ByReason::default();
        let family = IntCounterVec::new(prometheus::Opts::new("failed", "failed"), &["reason"]);
        let family = family.unwrap();
        let count = |reason| by_reason.count(reason, |word| family.with_label_values(&[word]));
        let words: Vec<&'static str> = (0..REASONS + 3)
            .map(|number| &*format!("reason-{number}").leak())
            .collect();
        for word in &words {
            count(word);
            count(word);
        }
        for (number, word) in words.iter().enumerate() {
            let expected = if number < REASONS { 2 } else { 0 };
            assert_eq!(family.with_label_values(&[word]).get(), expected, "{word}");
        }
        assert_eq!(family.with_label_values(&["other"]).get(), 6);
    }
}
