//! The states of an upstream's endpoints, by address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use super::passed_on::PassedOn;
use super::{Address, State};

/// The states of one upstream's endpoints. It is kept across reloads; the state of an endpoint
/// that nothing holds any more is forgotten.
pub struct States {
    pub(super) states: Mutex<HashMap<Address, Weak<State>>>,
    /// What another process has known, of endpoints that nobody has asked for yet.
    pub(super) passed_on: Mutex<PassedOn>,
    /// What an endpoint is until it is checked.
    healthy: bool,
}

impl Default for States {
    fn default() -> Self {
        Self::new(true)
    }
}

impl States {
    /// States of endpoints that are healthy, or not, until a check says otherwise.
    pub fn new(healthy: bool) -> Self {
        Self {
            states: Mutex::default(),
            passed_on: Mutex::default(),
            healthy,
        }
    }

    /// The state of this endpoint, or a fresh one.
    pub fn of(&self, address: &Address) -> Arc<State> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get(address).and_then(Weak::upgrade) {
            return state;
        }
        states.retain(|_, state| state.strong_count() > 0);
        let known = self.known(address);
        let fresh = || State::new(self.healthy, Instant::now());
        let state = Arc::new(known.unwrap_or_else(fresh));
        states.insert(address.clone(), Arc::downgrade(&state));
        state
    }
}
