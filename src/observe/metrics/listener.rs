//! What is counted about one listener.

use prometheus::{IntCounter, IntGauge};

use super::Metrics;
use crate::listen::tls::Failed;

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
    refused: [IntCounter; REFUSALS.len()],
    failed: [IntCounter; Failed::ALL.len()],
}

impl ListenerMetrics {
    /// The metrics of a listener.
    pub fn new(metrics: &Metrics, listener: &str) -> Self {
        let labels = |reason| [("listener", listener), ("reason", reason)];
        Self {
            open: metrics.series(&metrics.connections, &[("listener", listener)]),
            refused: REFUSALS
                .map(|reason| metrics.series(&metrics.connections_refused, &labels(reason))),
            failed: Failed::ALL
                .map(|reason| metrics.series(&metrics.handshake_failures, &labels(reason.word()))),
        }
    }

    /// A connection was closed.
    pub fn refused(&self, why: Refusal) {
        self.refused[why as usize].inc();
    }

    /// A handshake came to nothing.
    pub fn handshake_failed(&self, why: Failed) {
        self.failed[why as usize].inc();
    }
}
