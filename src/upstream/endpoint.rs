//! One endpoint, and what is known of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pingora_core::upstreams::peer::HttpPeer;

use super::Address;

/// One endpoint, as one version of the configuration has it.
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// Its address as text, for logs and metrics.
    pub label: Arc<str>,
    /// Its share of the requests, against the others'.
    pub weight: u32,
    /// How to reach it.
    pub peer: HttpPeer,
    state: Arc<State>,
}

/// What is known of an endpoint; it outlives a reload, and a change of the weight.
#[derive(Debug)]
pub struct State {
    healthy: AtomicBool,
    in_flight: AtomicU32,
}

impl Default for State {
    /// Healthy until a check says otherwise.
    fn default() -> Self {
        Self {
            healthy: AtomicBool::new(true),
            in_flight: AtomicU32::new(0),
        }
    }
}

impl Endpoint {
    /// An endpoint with the state that it had before, or a fresh one.
    pub fn new(address: Address, weight: u32, peer: HttpPeer, state: Arc<State>) -> Self {
        Self {
            label: address.to_string().into(),
            address,
            weight,
            peer,
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

    /// How many attempts are under way there, by all workers.
    pub fn in_flight(&self) -> u32 {
        self.state.in_flight.load(Ordering::Relaxed)
    }
}

/// An endpoint that was chosen for an attempt, which counts as in flight until this is dropped.
pub struct Chosen(Arc<Endpoint>);

impl Chosen {
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.state.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(endpoint)
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.0.state.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The states of one upstream's endpoints. It is kept across reloads; the state of an endpoint
/// that nothing holds any more is forgotten.
#[derive(Default)]
pub struct States(Mutex<HashMap<Address, Weak<State>>>);

impl States {
    /// The state of this endpoint, or a fresh one.
    pub fn of(&self, address: &Address) -> Arc<State> {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get(address).and_then(Weak::upgrade) {
            return state;
        }
        states.retain(|_, state| state.strong_count() > 0);
        let state = Arc::default();
        states.insert(address.clone(), Arc::downgrade(&state));
        state
    }
}
