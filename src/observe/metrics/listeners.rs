//! What is counted about listeners.

use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::Metrics;
use super::family::families;
use super::shards::{Family, Histogram, Times};
use crate::listen::tls::Failed;

families! {
    /// Listeners
    pub(super) struct Listeners {
        /// Open client connections.
        connections: IntGaugeVec = "wiregate_connections" [listener];
        /// How many client connections a listener may have: its `max_connections`.
        limit: IntGaugeVec = "wiregate_connections_limit" [listener];
        /// Client connections that were accepted.
        accepted: IntCounterVec = "wiregate_connections_accepted_total" [listener];
        /// Client connections that were closed before anything was read from them:
        /// `max_connections`, `limits_connections`, `memory`, `max_connections_per_client`,
        /// `proxy_source` or `proxy_header`.
        refused: IntCounterVec = "wiregate_connections_refused_total" [listener, reason];
        /// How often accepting has paused, as a rule because the process has no file descriptor left
        /// for clients.
        errors: IntCounterVec = "wiregate_accept_errors_total" [listener];
        /// TLS handshakes with clients, by version, and whether they were `full`, or `resumed` an
        /// earlier session.
        handshakes: IntCounterVec = "wiregate_tls_handshakes_total" [listener, version, kind];
        /// How long TLS handshakes with clients took that succeeded.
        handshake: Family<Histogram> = "wiregate_tls_handshake_duration_seconds" [listener];
        /// TLS handshakes with clients that came to nothing: `timeout`, `closed`, `not_tls`,
        /// `incompatible`, `client_certificate`, `refused_by_client` or `other`.
        failures: IntCounterVec = "wiregate_tls_handshake_failures_total" [listener, reason];
        /// When a certificate of a listener expires, by the name that it is chosen for.
        expiry: IntGaugeVec = "wiregate_tls_certificate_expiry_timestamp_seconds" [listener, name];
        /// HTTP/2 connections ended because of what the client sent: too much of one kind of frame,
        /// or what is against the protocol.
        http2_ended: IntCounterVec = "wiregate_http2_connections_ended_total" [reason];
        /// HTTP/2 streams that were reset, by the `client` or by the `gateway`.
        http2_resets: IntCounterVec = "wiregate_http2_streams_reset_total" [by];
    }
}

/// Why a connection was closed before anything of it was served.
#[derive(Clone, Copy, Debug)]
pub enum Refusal {
    /// The listener has as many as it may have.
    Connections,
    /// The gateway has as many as it may have, over all listeners.
    AllConnections,
    /// The process takes as much memory as it may.
    Memory,
    /// The client has as many as it may have.
    ConnectionsPerClient,
    /// It is not from where a PROXY header may come from.
    ProxySource,
    /// There was no good PROXY header in time.
    ProxyHeader,
}

/// All refusals, in the order of their declaration, with their words.
const REFUSALS: [&str; 6] = [
    "max_connections",
    "limits_connections",
    "memory",
    "max_connections_per_client",
    "proxy_source",
    "proxy_header",
];

/// What is counted about one listener.
pub struct ListenerMetrics {
    /// Open connections.
    pub open: IntGauge,
    accepted: IntCounter,
    errors: IntCounter,
    refused: [IntCounter; REFUSALS.len()],
    /// By version, 1.2 and 1.3, and whether they resumed.
    handshakes: [[IntCounter; 2]; 2],
    handshake: Times,
    failed: [IntCounter; Failed::ALL.len()],
}

impl ListenerMetrics {
    /// The metrics of a listener.
    pub fn new(metrics: &Metrics, listener: &str) -> Self {
        let all = &metrics.listeners;
        let listener = ("listener", listener);
        let of = |reason| [listener, ("reason", reason)];
        let handshakes = |version| {
            ["full", "resumed"].map(|kind| {
                let labels = [listener, ("version", version), ("kind", kind)];
                metrics.series(&all.handshakes, &labels)
            })
        };
        Self {
            open: metrics.series(&all.connections, &[listener]),
            accepted: metrics.series(&all.accepted, &[listener]),
            errors: metrics.series(&all.errors, &[listener]),
            refused: REFUSALS.map(|reason| metrics.series(&all.refused, &of(reason))),
            handshakes: ["1.2", "1.3"].map(handshakes),
            handshake: metrics.series(&all.handshake, &[listener]),
            failed: Failed::ALL.map(|reason| metrics.series(&all.failures, &of(reason.word()))),
        }
    }

    /// A connection was accepted.
    pub fn accepted(&self) {
        self.accepted.inc();
    }

    /// Accepting pauses.
    pub fn paused(&self) {
        self.errors.inc();
    }

    /// A connection was closed.
    pub fn refused(&self, why: Refusal) {
        self.refused[why as usize].inc();
    }

    /// A handshake has succeeded, over this version of TLS.
    pub fn shook_hands(&self, version: &str, resumed: bool, took: Duration) {
        self.handshakes[usize::from(version == "1.3")][usize::from(resumed)].inc();
        self.handshake.observe(took);
    }

    /// A handshake came to nothing.
    pub fn handshake_failed(&self, why: Failed) {
        self.failed[why as usize].inc();
    }
}

/// The streams of HTTP/2 connections that were reset.
#[derive(Clone)]
pub struct Resets {
    /// By clients.
    pub by_client: IntCounter,
    /// By the gateway.
    pub by_gateway: IntCounter,
}

impl Resets {
    pub(super) fn new(all: &Listeners) -> Self {
        let by = |who| all.http2_resets.with_label_values(&[who]);
        Self {
            by_client: by("client"),
            by_gateway: by("gateway"),
        }
    }
}

impl Metrics {
    /// How many connections of clients are open.
    pub fn open_connections(&self) -> i64 {
        use prometheus::core::Collector;
        let families = self.listeners.connections.collect();
        let gauges = families.iter().flat_map(|family| family.get_metric());
        gauges
            .map(|gauge| gauge.get_gauge().get_value() as i64)
            .sum()
    }

    /// Counts an HTTP/2 connection that was ended for one of a few known reasons.
    pub fn http2_ended(&self, reason: &'static str) {
        self.listeners
            .http2_ended
            .with_label_values(&[reason])
            .inc();
    }
}
