//! Endpoints: which one a request goes to, and how it is reached.

mod endpoint;
mod health;
mod rotation;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora_core::protocols::ALPN;
use pingora_core::upstreams::peer::{HttpPeer, PeerOptions};

pub use endpoint::{Endpoint, State as EndpointState};
pub use health::{Check, Connections};
pub use rotation::Rotation;

use crate::config::model;
use crate::observe::metrics::UpstreamMetrics;

/// A named group of endpoints, ready to be used.
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// Its endpoints, in the order of the configuration.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// How many times a request is tried in all.
    pub attempts: u32,
    /// From the request head to the end of the response.
    pub total: Option<Duration>,
    /// What is counted about it.
    pub metrics: UpstreamMetrics,
    peers: Vec<HttpPeer>,
    rotation: ArcSwap<Rotation>,
}

/// A choice of an endpoint for one attempt.
pub struct Choice<'a> {
    /// Its position in [`Upstream::endpoints`].
    pub position: usize,
    /// The endpoint.
    pub endpoint: &'a Arc<Endpoint>,
    /// How to reach it.
    pub peer: &'a HttpPeer,
}

impl Upstream {
    /// Puts an upstream together from its configuration and the endpoints' lasting state.
    pub fn new(
        name: Arc<str>,
        config: &model::Upstream,
        endpoints: Vec<Arc<Endpoint>>,
        metrics: UpstreamMetrics,
    ) -> Self {
        let peers = endpoints
            .iter()
            .map(|endpoint| peer(endpoint.address, config))
            .collect();
        let rotation = ArcSwap::from_pointee(Rotation::of_healthy(&endpoints));
        Self {
            name,
            attempts: config.retry.attempts.get(),
            total: config.timeouts.total.map(Into::into),
            endpoints,
            metrics,
            peers,
            rotation,
        }
    }

    /// The endpoint for the next attempt: the next healthy one in the rotation that was not
    /// `tried`, or one that was when there is no other. `None` when no endpoint is healthy.
    pub fn choose(&self, tried: &[usize]) -> Option<Choice<'_>> {
        let position = self.rotation.load().next(tried)?;
        Some(Choice {
            position,
            endpoint: &self.endpoints[position],
            peer: &self.peers[position],
        })
    }

    /// Takes the endpoints' present health into account where it is not what the rotation was
    /// made from; called after every check. The state is shared with other versions of the
    /// configuration: a check of theirs that ends late may have changed it without a word here.
    pub fn keep_up(&self) {
        if !self.rotation.load().is_current(&self.endpoints) {
            self.refresh();
        }
    }

    /// Takes the endpoints' present health into account.
    pub fn refresh(&self) {
        self.rotation
            .store(Arc::new(Rotation::of_healthy(&self.endpoints)));
        for endpoint in &self.endpoints {
            self.metrics
                .healthy(endpoint.address, endpoint.is_healthy());
        }
    }
}

/// How an endpoint is reached. Every time-out is set: Pingora's defaults are none at all.
fn peer(address: SocketAddr, config: &model::Upstream) -> HttpPeer {
    let mut peer = HttpPeer::new(address, false, String::new());
    let timeouts = &config.timeouts;
    let mut options = PeerOptions::new();
    options.connection_timeout = Some(timeouts.connect.into());
    options.total_connection_timeout = Some(timeouts.connect.into());
    options.read_timeout = Some(timeouts.read.into());
    options.write_timeout = Some(timeouts.write.into());
    options.idle_timeout = Some(timeouts.idle.into());
    if config.protocol == model::Protocol::H2c {
        options.alpn = ALPN::H2;
        options.set_http_version(2, 2);
        options.max_h2_streams = 100;
    }
    peer.options = options;
    peer
}
