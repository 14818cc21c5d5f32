//! What is seen of a connection below the protocol, for whoever serves it above.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::Excess;

/// So many requests with a fragment may wait to be looked at. Those that `h2` refuses by itself
/// never are.
const MOST_WAITING: usize = 64;

/// What is seen of a connection.
#[derive(Debug, Default)]
pub struct Seen {
    excess: OnceLock<Excess>,
    /// Streams whose path has a fragment, and whether there are any.
    fragments: Mutex<Vec<u32>>,
    any: AtomicBool,
}

impl Seen {
    /// What the client has sent too much of, or must not send.
    pub fn excess(&self) -> Option<Excess> {
        self.excess.get().copied()
    }

    /// Whether the path of a request had a fragment, which `h2` has cut off. Streams are asked for
    /// in the order in which they were opened.
    pub fn has_fragment(&self, stream: u32) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let mut waiting = self
            .fragments
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let found = waiting.contains(&stream);
        waiting.retain(|other| *other > stream);
        self.any.store(!waiting.is_empty(), Ordering::Relaxed);
        found
    }

    pub(super) fn end(&self, excess: Excess) {
        // Only the first one counts.
        let _ = self.excess.set(excess);
    }

    /// Streams were opened with a fragment in their path.
    pub(super) fn tell(&self, streams: Vec<u32>) -> Result<(), Excess> {
        if streams.is_empty() {
            return Ok(());
        }
        let mut waiting = self
            .fragments
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waiting.extend(streams);
        self.any.store(true, Ordering::Relaxed);
        match waiting.len() <= MOST_WAITING {
            true => Ok(()),
            false => Err(Excess::Fragments),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_were_asked_for_or_passed_over_are_forgotten() {
        let seen = Seen::default();
        assert!(!seen.has_fragment(1));
        seen.tell(vec![3, 7, 9]).unwrap();
        assert!(!seen.has_fragment(1) && seen.has_fragment(3));
        assert!(!seen.has_fragment(3) && seen.has_fragment(9));
        assert!(!seen.any.load(Ordering::Relaxed));
        for stream in 0..64 {
            seen.tell(vec![11 + 2 * stream]).unwrap();
        }
        assert_eq!(seen.tell(vec![997]), Err(Excess::Fragments));
    }
}
