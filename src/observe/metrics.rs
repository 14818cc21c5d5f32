//! The metrics, with labels of known size only. Handles are looked up once and kept.

mod handles;
mod listener;
mod names;
mod overload;

use std::sync::{Arc, RwLock};

use prometheus::{
    CounterVec, Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::cache::store::Figures;
pub use handles::{LinkMetrics, RouteMetrics, UpstreamMetrics};
pub use listener::{ListenerMetrics, Refusal};
pub use names::Names;
pub use overload::OverloadMetrics;

const BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// All metrics of one gateway.
pub struct Metrics {
    registry: Registry,
    /// What the running configuration has; all else gets no series.
    names: RwLock<Names>,
    requests: IntCounterVec,
    duration: HistogramVec,
    in_flight: IntGaugeVec,
    upstream_requests: IntCounterVec,
    upstream_duration: HistogramVec,
    upstream_in_flight: IntGaugeVec,
    upstream_refreshes: IntCounterVec,
    upstream_errors: IntCounterVec,
    upstream_retries: IntCounterVec,
    upstream_hedges: IntCounterVec,
    upstream_waiting: IntGaugeVec,
    upstream_circuit: IntGaugeVec,
    upstream_circuit_turns: IntCounterVec,
    endpoint_healthy: IntGaugeVec,
    endpoint_in_flight: IntGaugeVec,
    endpoint_ejections: IntCounterVec,
    cache_requests: IntCounterVec,
    cache_bytes: IntGaugeVec,
    cache_entries: IntGaugeVec,
    cache_events: IntCounterVec,
    filter_runs: IntCounterVec,
    filter_refusals: IntCounterVec,
    filter_answers: IntCounterVec,
    filter_observed: IntCounterVec,
    filter_degraded: IntCounterVec,
    filter_seconds: CounterVec,
    connections: IntGaugeVec,
    http2_ended: IntCounterVec,
    connections_refused: IntCounterVec,
    handshake_failures: IntCounterVec,
    certificate_expiry: IntGaugeVec,
    /// What the gateway sheds, and why.
    pub overload: OverloadMetrics,
    /// Bytes of request bodies held in memory.
    pub body_memory: IntGauge,
    /// Panics of filters and in the choice of a route.
    pub panics: IntCounter,
    /// Access log lines that were dropped because the writer could not keep up.
    pub log_dropped: IntCounter,
    /// Whether the last attempt to load a configuration succeeded.
    pub reload_successful: IntGauge,
    /// When a configuration was last loaded.
    pub reload_success_timestamp: IntGauge,
    /// The number of the running configuration.
    pub generation: IntGauge,
}

impl Metrics {
    /// How many connections of clients are open.
    pub fn open_connections(&self) -> i64 {
        use prometheus::core::Collector;
        let families = self.connections.collect();
        let gauges = families.iter().flat_map(|family| family.get_metric());
        gauges
            .map(|gauge| gauge.get_gauge().get_value() as i64)
            .sum()
    }

    /// Fresh metrics, in a registry of their own.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let registry = Registry::new();
        let r = &registry;
        let this = Self {
            requests: counters(
                r,
                "requests_total",
                "Requests by route, method and status code.",
                &["route", "method", "code"],
            ),
            duration: histograms(
                r,
                "request_duration_seconds",
                "From the request head to the end of the response.",
                &["route"],
            ),
            in_flight: gauges(
                r,
                "requests_in_flight",
                "Requests being worked on.",
                &["route"],
            ),
            upstream_requests: counters(
                r,
                "upstream_requests_total",
                "Attempts by upstream and status code; code 0 means that no response came.",
                &["upstream", "code"],
            ),
            upstream_duration: histograms(
                r,
                "upstream_duration_seconds",
                "From the start of an attempt to the head of its response.",
                &["upstream"],
            ),
            upstream_in_flight: gauges(
                r,
                "upstream_requests_in_flight",
                "Attempts under way.",
                &["upstream"],
            ),
            upstream_refreshes: counters(
                r,
                "upstream_refreshes_total",
                "Questions to DNS (`dns`) about endpoints, and changed files of them (`file`): `ok`, `empty`, `timeout` or `error`.",
                &["upstream", "source", "result"],
            ),
            upstream_errors: counters(
                r,
                "upstream_errors_total",
                "Attempts that failed, and requests that found no endpoint, by upstream and cause.",
                &["upstream", "error"],
            ),
            upstream_retries: counters(
                r,
                "upstream_retries_total",
                "Attempts that were to be repeated: made, or given up because the budget was used up.",
                &["upstream", "outcome"],
            ),
            upstream_hedges: counters(
                r,
                "upstream_hedges_total",
                "Requests whose first endpoint was slow, by what came of a second one: won, lost, failed, abandoned, or none because of no_budget or no_endpoint.",
                &["upstream", "outcome"],
            ),
            upstream_waiting: gauges(
                r,
                "upstream_requests_waiting",
                "Requests that wait for their turn.",
                &["upstream"],
            ),
            upstream_circuit: gauges(
                r,
                "upstream_circuit_open",
                "1 while the circuit breaker lets no requests through, or only probes.",
                &["upstream"],
            ),
            upstream_circuit_turns: counters(
                r,
                "upstream_circuit_turns_total",
                "How often the circuit breaker has opened and closed.",
                &["upstream", "turn"],
            ),
            endpoint_healthy: gauges(
                r,
                "endpoint_healthy",
                "1 while an endpoint gets requests.",
                &["upstream", "endpoint"],
            ),
            endpoint_in_flight: gauges(
                r,
                "endpoint_requests_in_flight",
                "Attempts under way at an endpoint.",
                &["upstream", "endpoint"],
            ),
            endpoint_ejections: counters(
                r,
                "endpoint_ejections_total",
                "Endpoints taken out because of their answers, by reason.",
                &["upstream", "reason"],
            ),
            cache_requests: counters(
                r,
                "cache_requests_total",
                "Requests to a route with a cache, by what came of them: hit, stale, revalidated, miss, collapsed or pass.",
                &["route", "result"],
            ),
            cache_bytes: gauges(
                r,
                "cache_bytes",
                "What a cache takes of `memory` and of `disk`.",
                &["cache", "kind"],
            ),
            cache_entries: gauges(r, "cache_entries", "Responses in a cache.", &["cache"]),
            cache_events: counters(
                r,
                "cache_events_total",
                "Responses that were evicted, rejected, purged, discarded, corrupt or unwritten.",
                &["cache", "event"],
            ),
            filter_runs: counters(
                r,
                "filter_runs_total",
                "Requests that reached a filter.",
                &["route", "filter"],
            ),
            filter_refusals: counters(
                r,
                "filter_refusals_total",
                "Requests that a filter refused, or failed at, with a problem.",
                &["route", "filter"],
            ),
            filter_answers: counters(
                r,
                "filter_answers_total",
                "Requests that a filter answered: a redirect, a preflight, a fixed response.",
                &["route", "filter"],
            ),
            filter_observed: counters(
                r,
                "filter_observed_total",
                "Requests that a filter with `mode: observe` would have ended.",
                &["route", "filter"],
            ),
            filter_degraded: counters(
                r,
                "filter_degraded_total",
                "Requests that a filter let go on although something was not there that it needs, such as a store.",
                &["route", "filter"],
            ),
            filter_seconds: register(
                r,
                CounterVec::new(
                    opts(
                        "filter_seconds_total",
                        "Time spent in a filter's request hook, waiting included.",
                    ),
                    &["route", "filter"],
                ),
            ),
            connections: gauges(r, "connections", "Open client connections.", &["listener"]),
            http2_ended: counters(
                r,
                "http2_connections_ended_total",
                "HTTP/2 connections ended because of what the client sent: too much of one kind of \
                 frame, or what is against the protocol.",
                &["reason"],
            ),
            connections_refused: counters(
                r,
                "connections_refused_total",
                "Client connections that were closed before anything was read from them.",
                &["listener", "reason"],
            ),
            handshake_failures: counters(
                r,
                "tls_handshake_failures_total",
                "TLS handshakes with clients that came to nothing.",
                &["listener", "reason"],
            ),
            certificate_expiry: gauges(
                r,
                "tls_certificate_expiry_timestamp_seconds",
                "When a certificate of a listener expires.",
                &["listener", "name"],
            ),
            overload: OverloadMetrics::new(r),
            body_memory: gauge(r, "body_memory_bytes", "Bodies held in memory."),
            panics: counter(
                r,
                "panics_total",
                "Panics of filters and in the choice of a route, each of which cost one request at most.",
            ),
            log_dropped: counter(
                r,
                "access_log_dropped_total",
                "Access log lines dropped because the writer could not keep up.",
            ),
            reload_successful: gauge(
                r,
                "config_last_reload_successful",
                "1 when the last configuration that was offered is running.",
            ),
            reload_success_timestamp: gauge(
                r,
                "config_last_reload_success_timestamp_seconds",
                "When the running configuration was loaded.",
            ),
            generation: gauge(
                r,
                "config_generation",
                "The number of the running configuration.",
            ),
            registry,
            names: RwLock::default(),
        };
        let build = gauges(
            &this.registry,
            "build_info",
            "Always 1; says which build this is.",
            &["version"],
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[cfg(target_os = "linux")]
        this.registry
            .register(Box::new(
                prometheus::process_collector::ProcessCollector::for_self(),
            ))
            .expect("registered once");
        Arc::new(this)
    }

    /// All metrics in the Prometheus text format.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("writing to memory does not fail");
        text
    }

    /// Shows what is in a store of the cache, and what happened there.
    pub fn show_cache(&self, name: &str, figures: &Figures) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        for (kind, bytes) in [("memory", figures.memory), ("disk", figures.disk)] {
            let labels = [("cache", name), ("kind", kind)];
            self.series(&self.cache_bytes, &labels).set(gauge(bytes));
        }
        let entries = self.series(&self.cache_entries, &[("cache", name)]);
        entries.set(gauge(figures.entries));
        for (event, count) in [
            ("evicted", figures.evicted),
            ("rejected", figures.rejected),
            ("purged", figures.purged),
            ("discarded", figures.discarded),
            ("corrupt", figures.corrupt),
            ("unwritten", figures.unwritten),
        ] {
            let counter = self.series(&self.cache_events, &[("cache", name), ("event", event)]);
            if count < counter.get() {
                counter.reset(); // a store that took another one's place
            }
            counter.inc_by(count - counter.get());
        }
    }

    /// Counts an HTTP/2 connection that was ended for one of a few known reasons.
    pub fn http2_ended(&self, reason: &'static str) {
        self.http2_ended.with_label_values(&[reason]).inc();
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("wiregate_{name}"), help)
}

fn register<T: Clone + prometheus::core::Collector + 'static>(
    registry: &Registry,
    metric: prometheus::Result<T>,
) -> T {
    let metric = metric.expect("the names and labels are valid");
    registry
        .register(Box::new(metric.clone()))
        .expect("each name is registered once");
    metric
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::with_opts(opts(name, help)))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::with_opts(opts(name, help)))
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(opts(name, help), labels))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(opts(name, help), labels))
}

fn histograms(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let opts = HistogramOpts::from(opts(name, help)).buckets(BUCKETS.to_vec());
    register(registry, HistogramVec::new(opts, labels))
}
