//! The keys that a filter verifies tokens with, wherever they come from.

use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt as _};

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
    /// None of the keys is the one that it names, and too many have no name.
    Nameless,
    /// Too many keys are possible.
    Ambiguous,
}

impl Verdict {
    /// Whether it may become another with keys that are fetched.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Unknown | Self::Nameless)
    }
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

    /// Verifies a token's signature: with the keys that it names, and with those that have no name, or
    /// all where it names none, unless those are too many.
    pub(super) fn verify(&self, token: &Token<'_>) -> Verdict {
        let fetched: Vec<_> = self.fetched.iter().filter_map(|it| it.keys()).collect();
        let all = self
            .own
            .iter()
            .chain(fetched.iter().flat_map(|set| set.iter()));
        let all = all.filter(|key| key.fits(token.algorithm));
        let named = token.key.as_deref();
        let is_named = |key: &&Key| named.is_some() && key.id.as_deref() == named;
        let may_be = |key: &&Key| named.is_none() || key.id.is_none();
        let most = MOST_TRIED + 1;
        let others: Vec<&Key> = all.clone().filter(may_be).take(most).collect();
        let mut tried: Vec<&Key> = all.filter(is_named).take(most).collect();
        let is_known = !tried.is_empty();
        match tried.len() + others.len() {
            ..=MOST_TRIED => tried.extend(others),
            _ if tried.len() > MOST_TRIED || named.is_none() => return Verdict::Ambiguous,
            _ if !is_known => return Verdict::Nameless,
            _ => {}
        }
        let signed = |key: &&Key| key.verifies(token.algorithm, token.signed, &token.signature);
        if tried.iter().any(signed) {
            Verdict::Right
        } else if is_known {
            Verdict::Wrong
        } else {
            Verdict::Unknown
        }
    }

    /// Fetches what can be fetched, unless that was done a moment ago: says of each source, as soon
    /// as that is known, whether there is anything to try that this generation did not have. None waits for another.
    pub(super) fn refresh(&self, now: Instant, tried: u64) -> impl Stream<Item = bool> + Unpin {
        let fetches = self.fetched.iter().map(|remote| remote.refresh(now));
        let fetches = fetches.collect::<FuturesUnordered<_>>();
        // A fetch may have ended after the keys were tried and before anybody waited for it.
        fetches.map(move |is_new| is_new || self.generation() != tried)
    }
}

#[cfg(test)]
mod tests {
    use super::super::remote;
    use super::*;

    #[tokio::test]
    async fn keys_that_come_before_anybody_waits_for_them_are_tried() {
        let remote = Arc::new(remote::tests::remote(600, 30));
        let keys = Keys {
            own: Vec::new(),
            fetched: vec![remote.clone()],
        };
        let tried = keys.generation();
        remote.take(Ok(remote::tests::fetched()));
        let now = Instant::now();
        assert_eq!(keys.refresh(now, tried).next().await, Some(true));
        let tried = keys.generation();
        assert_eq!(keys.refresh(now, tried).next().await, Some(false));
    }
}
