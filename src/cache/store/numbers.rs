//! The numbers of entries: no two of a store have the same, and of two entries the later one has the higher.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What was there before has numbers below this one.
const FIRST: u64 = 1 << 32;

/// Gives numbers. A fetch gets its number when it begins, and what was stored before it may be found after that: on the
/// disk, or where it comes from another process.
#[derive(Debug)]
pub(super) struct Numbers {
    fetched: AtomicU64,
    found: AtomicU64,
}

impl Numbers {
    pub(super) fn new() -> Self {
        Self {
            fetched: AtomicU64::new(FIRST),
            found: AtomicU64::new(1),
        }
    }

    /// For what this process fetches.
    pub(super) fn next(&self) -> u64 {
        self.fetched.fetch_add(1, Relaxed)
    }

    /// For what is older than all of that.
    pub(super) fn next_of_older(&self) -> u64 {
        self.found.fetch_add(1, Relaxed)
    }
}
