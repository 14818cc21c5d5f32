//! Active health checks, over Pingora's connections.

mod grpc;
mod probe;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::connectors::http::Connector;
use pingora_core::connectors::{ConnectorOptions, TransportConnector};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;
use tokio::task::{AbortHandle, JoinSet};

use super::{Address, Endpoint, Upstream, authorities};
use crate::config::model::upstream as model;
use crate::config::model::upstream::health::Start;
use crate::descriptors;
use probe::Probe;

/// First checks of endpoints that nothing is known of are spread over this time at most: the gateway
/// is not ready before they are in.
const FIRST: Duration = Duration::from_secs(1);

/// The connections of all checks. There is one, kept across reloads: making it reads the system's
/// certificates.
pub struct Connections {
    http: Connector,
    /// For checks that only connect.
    transport: TransportConnector,
}

/// So many connections of checks are kept.
const POOL: usize = 128;

impl Default for Connections {
    fn default() -> Self {
        let mut options = ConnectorOptions::new(POOL);
        options.ca_file = authorities::ca_file();
        Self {
            http: Connector::new(Some(options.clone())),
            transport: TransportConnector::new(Some(options)),
        }
    }
}

/// How an upstream's endpoints are checked.
pub struct Check {
    upstream: Arc<Upstream>,
    config: model::Health,
    connections: Arc<Connections>,
}

impl Check {
    /// A check of an upstream's endpoints.
    pub fn new(
        upstream: Arc<Upstream>,
        config: model::Health,
        connections: Arc<Connections>,
    ) -> Self {
        Self {
            upstream,
            config,
            connections,
        }
    }

    /// Checks all endpoints until dropped, each in a rhythm of its own, which goes on when others
    /// come or go.
    pub async fn run(self) {
        let this = Arc::new(self);
        let mut changes = this.upstream.changes();
        let mut tasks = JoinSet::new(); // dropping it ends them
        let mut watched: HashMap<Address, (Arc<Endpoint>, AbortHandle)> = HashMap::new();
        loop {
            changes.borrow_and_update();
            let endpoints = this.upstream.members().endpoints.clone();
            watched.retain(|_, (known, task)| {
                // One in the place of another, at the same address, may be known by another name.
                let stays = endpoints
                    .iter()
                    .any(|endpoint| Arc::ptr_eq(endpoint, known));
                if !stays {
                    task.abort();
                }
                stays
            });
            for (position, endpoint) in endpoints.iter().enumerate() {
                watched.entry(endpoint.address.clone()).or_insert_with(|| {
                    let delay = this.first_delay(position, endpoints.len(), endpoint);
                    let second = this.second_delay(position, endpoints.len(), endpoint);
                    let watch = this.clone().watch(endpoint.clone(), delay, second);
                    (endpoint.clone(), tasks.spawn(watch))
                });
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                Some(_) = tasks.join_next() => {} // one that was ended
            }
        }
    }

    /// When an endpoint is checked first. What an earlier version of the configuration has checked
    /// or known is due when it would have been; others are spread over a moment, so that they are
    /// not all asked at once. One that waits for its first check gets it now.
    fn first_delay(&self, position: usize, count: usize, endpoint: &Endpoint) -> Duration {
        if endpoint.state.is_being_checked() {
            return Duration::ZERO; // it goes on where a reload has ended it
        }
        let (every, now) = (self.interval(endpoint), self.upstream.clock.instant());
        if let Some(since) = endpoint.state.since_check(now) {
            return every.saturating_sub(since);
        }
        if self.config.start == Start::Unhealthy {
            return Duration::ZERO;
        }
        let spread = every.min(FIRST).mul_f64(share(position, count));
        spread.saturating_sub(endpoint.state.age(now))
    }

    /// The time between the first check of an endpoint and the second: from then on they are spread
    /// over half of the interval.
    fn second_delay(&self, position: usize, count: usize, endpoint: &Endpoint) -> Option<Duration> {
        let now = self.upstream.clock.instant();
        let fresh = endpoint.state.since_check(now).is_none();
        let share = f64::midpoint(1.0, share(position, count));
        fresh.then(|| self.interval(endpoint).mul_f64(share))
    }

    /// The time to an endpoint's next check.
    fn interval(&self, endpoint: &Endpoint) -> Duration {
        let every = match self.config.every_unhealthy {
            Some(every) if !endpoint.is_healthy() => every,
            _ => self.config.every,
        };
        let jitter = self.config.jitter.fraction();
        every.mul_f64(1.0 + jitter * fastrand::f64().mul_add(2.0, -1.0))
    }

    async fn watch(
        self: Arc<Self>,
        endpoint: Arc<Endpoint>,
        delay: Duration,
        mut second: Option<Duration>,
    ) {
        let probe = self.probe(&endpoint);
        // Pingora's interface wants to name what is checked; the probe knows it already.
        let target = Backend::new("127.0.0.1:0").expect("a socket address");
        tokio::time::sleep(delay).await;
        loop {
            let (now, timeout) = (self.upstream.clock.instant(), self.config.timeout.into());
            let left = endpoint.state.begin_check(now, timeout);
            let passed = match tokio::time::timeout(left, probe.check(&target)).await {
                Ok(Ok(())) => Some(true),
                // Not the endpoint's fault: it stays what it is.
                Ok(Err(error)) if descriptors::is_lack(error.root_cause()) => None,
                Ok(Err(_)) | Err(_) => Some(false),
            };
            self.upstream.metrics.checked(passed);
            self.settle(&endpoint, self.verdict(&probe, &endpoint, passed));
            let delay = second.take_if(|_| passed.is_some());
            let delay = delay.filter(|_| endpoint.is_healthy());
            tokio::time::sleep(delay.unwrap_or_else(|| self.interval(&endpoint))).await;
        }
    }

    /// What a check shows together with those before it; `None` where that is too little to tell. One that was not
    /// made shows nothing.
    fn verdict(&self, probe: &Probe, endpoint: &Endpoint, passed: Option<bool>) -> Option<bool> {
        let now = self.upstream.clock.instant();
        let Some(passed) = passed else {
            endpoint.state.was_not_checked();
            return None;
        };
        let in_a_row = endpoint.state.checked(passed, now) as usize;
        let first = self.config.start == Start::Unhealthy && !endpoint.state.is_proven();
        (first || in_a_row >= probe.health_threshold(passed)).then_some(passed)
    }

    /// Acts on what a check has shown; nothing where that is too little to tell yet.
    fn settle(&self, endpoint: &Endpoint, verdict: Option<bool>) {
        let now = self.upstream.clock.instant();
        if let Some(healthy) = verdict
            && endpoint.set_healthy(healthy, now)
        {
            let (upstream, address) = (&self.upstream.name, &endpoint.label);
            if healthy {
                // Why it was out before it was down matters no more.
                endpoint.state.readmit(now);
                tracing::info!(%upstream, %address, "endpoint is healthy");
            } else {
                tracing::warn!(%upstream, %address, "endpoint is unhealthy");
            }
        }
        self.upstream.keep_up();
    }

    fn probe(&self, endpoint: &Endpoint) -> Probe {
        Probe::new(&self.config, endpoint, self.connections.clone())
    }
}

/// The place of one among so many, from 0 to less than 1.
fn share(position: usize, count: usize) -> f64 {
    position as f64 / count.max(1) as f64
}

#[cfg(test)]
mod tests;
