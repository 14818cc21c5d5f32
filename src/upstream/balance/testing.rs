//! Endpoints for the tests of the ways to choose.

use std::sync::Arc;

use pingora_core::upstreams::peer::HttpPeer;

use super::Candidate;
use crate::upstream::{Address, Endpoint};

/// Endpoints of these weights, each with a state of its own.
pub(super) fn candidates(weights: &[u32]) -> Vec<Candidate> {
    let each = weights.iter().zip(1u16..);
    each.map(|(&weight, port)| Candidate {
        endpoint: Arc::new(endpoint(port, weight)),
        weight,
    })
    .collect()
}

fn endpoint(port: u16, weight: u32) -> Endpoint {
    let address = std::net::SocketAddr::from(([10, 0, 0, 1], port));
    let peer = HttpPeer::new(address, false, String::new());
    Endpoint::new(Address::Inet(address), weight, peer, Arc::default())
}

/// This many more requests are in flight there, for good.
pub(super) fn keep_in_flight(endpoint: &Endpoint, count: usize) {
    (0..count).for_each(|_| endpoint.state.begin());
}
