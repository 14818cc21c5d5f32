//! The keys that a filter verifies tokens with, wherever they come from.

use std::sync::Arc;
use std::time::Instant;

use super::key::Key;
use super::remote::Remote;
use super::token::Token;

/// How many keys are tried for one token: each takes time, and anybody can send tokens.
const MOST_TRIED: usize = 4;

/// The keys of one filter.
pub(super) struct Keys {
    /// Those that the configuration has.
    pub(super) own: Vec<Key>,
    /// Those that are fetched.
    pub(super) fetched: Vec<Arc<Remote>>,
}

/// What became of a token's signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// One of the keys has signed it.
    Right,
    /// The key that it names has not signed it.
    Wrong,
    /// None of the keys is the one that it names; or it names none, and no key has signed it.
    Unknown,
    /// It names no key, and too many are possible.
    Ambiguous,
}

impl Keys {
    /// A number that becomes another whenever the keys do.
    pub(super) fn generation(&self) -> u64 {
        // Each only grows, so that the sum never comes back to what it was.
        self.fetched.iter().map(|remote| remote.generation()).sum()
    }

    /// Whether all keys are known that there are to fetch.
    pub(super) fn are_complete(&self) -> bool {
        self.fetched.iter().all(|remote| remote.keys().is_some())
    }

    /// Verifies a token's signature.
    pub(super) fn verify(&self, token: &Token<'_>) -> Verdict {
        let fetched: Vec<_> = self.fetched.iter().filter_map(|it| it.keys()).collect();
        let all = self
            .own
            .iter()
            .chain(fetched.iter().flat_map(|set| set.iter()));
        let fits = |key: &&Key| key.fits(token.algorithm) && may_be(key, token.key.as_deref());
        let possible: Vec<&Key> = all.filter(fits).take(MOST_TRIED + 1).collect();
        if possible.len() > MOST_TRIED {
            return Verdict::Ambiguous;
        }
        let signed = |key: &&Key| key.verifies(token.algorithm, token.signed, &token.signature);
        let is_named = |key: &&Key| key.id.is_some() && token.key.is_some();
        if possible.iter().any(signed) {
            Verdict::Right
        } else if possible.iter().any(is_named) {
            Verdict::Wrong
        } else {
            Verdict::Unknown
        }
    }

    /// Fetches what can be fetched, unless that was done a moment ago. Says whether there is
    /// anything new to try.
    pub(super) async fn refresh(&self, now: Instant) -> bool {
        let mut any = false;
        for remote in &self.fetched {
            any |= remote.refresh(now).await;
        }
        any
    }
}

/// Whether a token that names this key, or none, may be signed with a key.
fn may_be(key: &Key, named: Option<&str>) -> bool {
    match (&key.id, named) {
        (Some(id), Some(named)) => **id == *named,
        _ => true,
    }
}
