//! What is known of one endpoint, kept across reloads.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

/// One endpoint: its address, its weight, and whether it works.
pub struct Endpoint {
    /// Its address.
    pub address: SocketAddr,
    /// Its address as text, for logs.
    pub label: std::sync::Arc<str>,
    /// Its share of the requests, against the others'.
    pub weight: u32,
    state: std::sync::Arc<State>,
}

/// What outlives a reload, and a change of the weight.
#[derive(Debug)]
pub struct State {
    healthy: AtomicBool,
}

impl Default for State {
    /// Healthy until a check says otherwise.
    fn default() -> Self {
        Self {
            healthy: AtomicBool::new(true),
        }
    }
}

impl Endpoint {
    /// An endpoint with the state that it had before, or a fresh one.
    pub fn new(address: SocketAddr, weight: u32, state: std::sync::Arc<State>) -> Self {
        Self {
            address,
            label: address.to_string().into(),
            weight,
            state,
        }
    }

    /// Whether requests may go there.
    pub fn is_healthy(&self) -> bool {
        self.state.healthy.load(Ordering::Relaxed)
    }

    /// Says whether requests may go there; returns whether that is news.
    pub fn set_healthy(&self, healthy: bool) -> bool {
        self.state.healthy.swap(healthy, Ordering::Relaxed) != healthy
    }
}
