//! One fetch for each key at a time, and those who wait for it.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

use super::Entry;
use super::key::{Key, Name};
use super::lead::Lead;
use crate::cache::Failure;

/// Who fetches.
#[derive(Debug)]
pub enum Join {
    /// Nobody: another fetch has just stored an entry that fits.
    Found(Arc<Entry>),
    /// This request, and others wait for what becomes of it.
    Lead(Lead),
    /// Another request: wait for what becomes of that.
    Wait(Waiting),
    /// This request goes on by itself: not long ago, a response to this key was not for the cache.
    Alone,
}

/// Whose request it is. What may be stored of a response depends on it (RFC 9111, 3.5), so what a request of one kind
/// turns out to be says nothing about those of another: neither waits for the other, and what is remembered of the
/// one is not held against the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Nothing in it tells its caller from all others.
    Anybody,
    /// It has a cookie.
    Cookie,
    /// It has credentials, or its caller is known.
    Credentials,
}

impl Asker {
    /// All kinds.
    pub(super) const ALL: [Self; 3] = [Self::Anybody, Self::Cookie, Self::Credentials];

    /// The kinds of one key are told apart by this, in the place of the key's hash.
    pub(super) fn hash(self, hash: u128) -> u128 {
        match self {
            Self::Anybody => hash,
            Self::Cookie => hash ^ (1 << 64 | 1),
            Self::Credentials => hash ^ (2 << 64 | 2),
        }
    }
}

/// What became of a fetch.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Its response is being stored, or a stored one was refreshed. Whether it fits (`Vary`, what the
    /// request asks for) is for the caller to see; where it does not,
    /// [`Store::join`](super::Store::join) again.
    Entry(Arc<Entry>),
    /// Its response is not for the cache: fetch without it.
    Alone,
    /// It failed, and so has everyone who waited for it.
    Failed(Failure),
    /// Whoever fetched went away before anything was known, or a purge came in between: join again.
    Left,
    /// It takes longer than the caller would wait.
    Late,
}

/// A fetch that others may wait for. Its [`Lead`] says what becomes of it, at the latest when that is dropped.
#[derive(Debug)]
pub(super) struct Flight {
    key: Key,
    asker: Asker,
    outcome: OnceLock<Outcome>,
    landed: Notify,
}

impl Flight {
    const BYTES: usize = 384;

    pub(super) fn new(key: Key, asker: Asker) -> Self {
        Self {
            key,
            asker,
            outcome: OnceLock::new(),
            landed: Notify::new(),
        }
    }

    /// The memory that it takes, with those who wait.
    pub(super) fn bytes(&self) -> usize {
        Self::BYTES + self.key.bytes()
    }

    /// What is fetched.
    pub(super) fn name(&self) -> Name<'_> {
        self.key.name()
    }

    /// Whose requests wait for it.
    pub(super) fn asker(&self) -> Asker {
        self.asker
    }

    /// Where in the index those find it who are to wait.
    pub(super) fn place(&self) -> u128 {
        self.asker.hash(self.key.hash())
    }

    pub(super) fn land(&self, outcome: Outcome) {
        // It lands once.
        drop(self.outcome.set(outcome));
        self.landed.notify_waiters();
    }

    async fn outcome(&self) -> Outcome {
        let mut landed = pin!(self.landed.notified());
        // From here on it is heard, and what was said before is seen below.
        landed.as_mut().enable();
        if self.outcome.get().is_none() {
            landed.await;
        }
        self.outcome.get().cloned().unwrap_or(Outcome::Left)
    }
}

/// A place among those who wait for a fetch. Dropping it gives it up.
#[derive(Debug)]
pub struct Waiting(Arc<Flight>);

impl Waiting {
    pub(super) fn new(flight: &Arc<Flight>) -> Self {
        Self(flight.clone())
    }

    /// What becomes of the fetch, or [`Outcome::Late`] after `most`.
    pub async fn outcome(self, most: Duration) -> Outcome {
        let landed = tokio::time::timeout(most, self.0.outcome());
        landed.await.unwrap_or(Outcome::Late)
    }
}
