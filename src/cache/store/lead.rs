//! The right to fetch.

use std::sync::Arc;
use std::time::Duration;

use super::body::Body;
use super::failure::{Failure, Refused};
use super::fill::Fill;
use super::flight::{Flight, Outcome};
use super::{Entry, Key, Meta, Store};

/// The right to fetch what a key stands for, and to store it. Dropped before it says what became of
/// the fetch, one of those who wait gets it.
#[derive(Debug)]
pub struct Lead {
    store: Arc<Store>,
    key: Key,
    flight: Option<Arc<Flight>>,
    number: u64,
}

impl Lead {
    pub(super) fn new(store: Arc<Store>, key: Key, flight: Option<Arc<Flight>>) -> Self {
        Self {
            number: store.number(),
            store,
            key,
            flight,
        }
    }

    /// The head is known, and the response may be stored: the body follows. Those who waited read it
    /// while it comes. `length` is the length of the body, where it is known.
    ///
    /// # Errors
    /// It is not stored; those who waited fetch for themselves.
    pub fn fill(mut self, meta: Meta, length: Option<u64>) -> Result<Fill, Refused> {
        if length.is_some_and(|length| length > self.store.options.largest) {
            self.land(Outcome::Alone, None);
            return Err(Refused::TooLarge);
        }
        let body = Arc::new(Body::new(length));
        let entry = Arc::new(Entry::new(self.key.clone(), meta, body));
        self.store.insert(&entry);
        self.land(Outcome::Entry(entry.clone()), None);
        Ok(Fill::new(self.store.clone(), entry))
    }

    /// A stored response was found to be good (a 304): it gets another head, and keeps its body.
    /// Where `meta.vary` is another one, the entry stands under that from now on.
    ///
    /// # Errors
    /// A purge has removed it meanwhile, or it was damaged. Those who waited fetch for themselves.
    pub fn refresh(mut self, old: &Arc<Entry>, meta: Meta) -> Result<Arc<Entry>, Refused> {
        let entry = Arc::new(Entry::new(self.key.clone(), meta, old.body().clone()));
        self.store.remove(old);
        self.store.insert(&entry);
        self.land(Outcome::Entry(entry.clone()), None);
        Ok(entry)
    }

    /// The response is not for the cache. Those who wait fetch for themselves; so does everyone
    /// with this key for as long as `remember` says, without waiting for each other.
    pub fn not_stored(mut self, remember: Duration) {
        self.land(Outcome::Alone, Some(remember));
    }

    /// The fetch has failed, and so have those who wait.
    pub fn failed(mut self, failure: Failure) {
        self.land(Outcome::Failed(failure), None);
    }

    fn land(&mut self, outcome: Outcome, alone: Option<Duration>) {
        if let Some(flight) = self.flight.take() {
            self.store.land(&self.key, alone);
            flight.land(outcome);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.land(Outcome::Left, None);
    }
}
