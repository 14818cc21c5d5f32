//! Active health checks, over Pingora's connections.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::http::Connector;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;

use super::{Address, Endpoint, Upstream};
use crate::config::model::upstream as model;

/// The connections of all checks. There is one, kept across reloads: making it reads the system's
/// certificates.
pub struct Connections(Connector);

impl Default for Connections {
    fn default() -> Self {
        Self(Connector::new(None))
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

    /// Checks all endpoints, each in a rhythm of its own, until dropped. Where endpoints come or
    /// go, all begin anew.
    pub async fn run(self) {
        let mut changes = self.upstream.changes();
        loop {
            changes.borrow_and_update();
            let endpoints = self.upstream.members().endpoints.clone();
            let each = (endpoints.iter().enumerate())
                .map(|(position, endpoint)| self.watch(position, endpoints.len(), endpoint));
            tokio::select! {
                _ = futures_util::future::join_all(each) => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn watch(&self, position: usize, count: usize, endpoint: &Endpoint) {
        let probe = self.probe(endpoint);
        // Pingora's interface wants to name what is checked; the probe knows it already.
        let target = Backend::new("127.0.0.1:0").expect("a socket address");
        let every: Duration = self.config.every.into();
        // Endpoints are spread over the interval, so that they are not all asked at once.
        let share = u32::try_from(count).unwrap_or(u32::MAX);
        tokio::time::sleep(every / share.max(1) * u32::try_from(position).unwrap_or(0)).await;
        let (mut passed, mut failed) = (0u32, 0u32);
        loop {
            match tokio::time::timeout(self.config.timeout.into(), probe.check(&target)).await {
                Ok(Ok(())) => (passed, failed) = (passed.saturating_add(1), 0),
                Ok(Err(_)) | Err(_) => (passed, failed) = (0, failed.saturating_add(1)),
            }
            let verdict = if passed as usize >= probe.health_threshold(true) {
                Some(true)
            } else if failed as usize >= probe.health_threshold(false) {
                Some(false)
            } else {
                None
            };
            self.settle(endpoint, verdict);
            tokio::time::sleep(every).await;
        }
    }

    /// Acts on what a check has shown; nothing where that is too little to tell yet.
    fn settle(&self, endpoint: &Endpoint, verdict: Option<bool>) {
        if let Some(healthy) = verdict
            && endpoint.set_healthy(healthy)
        {
            let (upstream, address) = (&self.upstream.name, &endpoint.label);
            if healthy {
                tracing::info!(%upstream, %address, "endpoint is healthy");
            } else {
                tracing::warn!(%upstream, %address, "endpoint is unhealthy");
            }
        }
        self.upstream.keep_up();
    }

    fn probe(&self, endpoint: &Endpoint) -> Probe {
        Probe {
            peer: self.peer(endpoint),
            head: self.head(endpoint),
            config: self.config.clone(),
            connections: self.connections.clone(),
        }
    }

    fn head(&self, endpoint: &Endpoint) -> RequestHeader {
        let host = self.config.host.as_ref();
        let host = match (host, &endpoint.address) {
            (Some(host), _) => host.as_str(),
            (None, Address::Inet(_)) => &endpoint.label,
            (None, Address::Unix(_)) => "localhost",
        };
        let mut head = RequestHeader::build("GET", self.config.http.as_bytes(), None)
            .expect("the path was checked at load");
        head.insert_header("host", host)
            .expect("the host was checked at load");
        head
    }

    fn peer(&self, endpoint: &Endpoint) -> HttpPeer {
        let mut peer = endpoint.peer.clone();
        let (every, timeout): (Duration, Duration) =
            (self.config.every.into(), self.config.timeout.into());
        let options = &mut peer.options;
        options.connection_timeout = Some(timeout);
        options.total_connection_timeout = Some(timeout);
        options.read_timeout = Some(timeout);
        options.write_timeout = Some(timeout);
        // Longer than until the next check. Without it a connection would outlive its check for
        // as long as the endpoint keeps it open.
        options.idle_timeout = Some(every + timeout + Duration::from_secs(1));
        peer
    }
}

/// One GET of one endpoint: a health check as Pingora's balancers know it.
struct Probe {
    peer: HttpPeer,
    head: RequestHeader,
    config: model::Health,
    connections: Arc<Connections>,
}

#[async_trait]
impl HealthCheck for Probe {
    async fn check(&self, _target: &Backend) -> Result<()> {
        let (connector, peer) = (&self.connections.0, &self.peer);
        let (mut session, _) = connector.get_http_session(peer).await?;
        session.set_write_timeout(peer.options.write_timeout);
        session
            .write_request_header(Box::new(self.head.clone()))
            .await?;
        session.finish_request_body().await?;
        session.set_read_timeout(peer.options.read_timeout);
        session.read_response_header().await?;
        let status = session.response_header().map(|head| head.status);
        let status = status.expect("the head was just read");
        let healthy = match self.config.expect {
            Some(expected) => status.as_u16() == expected,
            None => status.is_success(),
        };
        if !healthy {
            let unexpected = ErrorType::CustomCode("unexpected status", status.as_u16());
            return Error::e_explain(unexpected, "in a health check");
        }
        while session.read_response_body().await?.is_some() {}
        let idle = peer.idle_timeout();
        connector.release_http_session(session, peer, idle).await;
        Ok(())
    }

    fn health_threshold(&self, success: bool) -> usize {
        let checks = if success {
            self.config.healthy_after
        } else {
            self.config.unhealthy_after
        };
        usize::try_from(checks.get()).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::{Metrics, UpstreamMetrics};
    use crate::upstream::{Ask, Reach, State, Vitals};
    use wiregate_sdk::value::{decode, read};

    /// A check of an upstream with one endpoint, as a version of the configuration makes it.
    fn check(state: &Arc<State>) -> Check {
        let text = "endpoints: [\"127.0.0.1:1\"]\nhealth: { http: / }\n";
        let value = read(&"test.yaml".into(), text).unwrap();
        let config: model::Upstream = decode(&value).unwrap();
        let address: Address = "127.0.0.1:1".parse().unwrap();
        let peer = Reach::new(&config).peer(&address).unwrap();
        let endpoint = Endpoint::new(address, 1, peer, state.clone());
        let metrics = UpstreamMetrics::new(Metrics::new(), "app".into());
        let upstream = Upstream::new(
            "app".into(),
            &config,
            Default::default(),
            vec![Arc::new(endpoint)],
            metrics,
            &Vitals::default(),
        );
        let health = config.health.unwrap();
        Check::new(Arc::new(upstream), health, Arc::default())
    }

    #[test]
    fn a_retired_check_that_ends_late_strands_nobody() {
        let state = Arc::default();
        let (retired, live) = (check(&state), check(&state));
        live.upstream.refresh();
        let settle =
            |check: &Check, verdict| check.settle(&check.upstream.members().endpoints[0], verdict);
        let chosen = || live.upstream.choose(&Ask::default()).is_some();

        settle(&retired, Some(false));
        settle(&live, Some(false)); // no news for the state, but for this rotation
        assert!(!chosen());
        settle(&retired, Some(true));
        settle(&live, None); // one check is too little to tell, but enough to look
        assert!(chosen());
    }
}
