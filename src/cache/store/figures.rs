//! What happened in a store, and what is in it.

use std::sync::atomic::{AtomicU64, Ordering};

/// What happened in a store since it was opened, and what is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes of memory in use, of [`Options::memory`](super::Options::memory).
    pub memory: u64,
    /// Bytes of disk in use, of [`Disk::size`](super::Disk::size).
    pub disk: u64,
    /// Entries, in memory or on disk.
    pub entries: u64,
    /// Whether what is on disk is still being found, after the start.
    pub finding: bool,
    /// Entries that left the memory for want of room.
    pub evicted: u64,
    /// Those among them that were new, and are asked for less often than what they would have displaced.
    pub rejected: u64,
    /// Entries that a purge removed or made stale.
    pub purged: u64,
    /// Responses that were not, or not to their end, stored: dropped, of another length than announced, too
    /// large, without room, or purged meanwhile.
    pub discarded: u64,
    /// Records on disk that were damaged.
    pub corrupt: u64,
    /// Entries that were not written to disk: the queue was full, or the disk failed.
    pub unwritten: u64,
}

/// The counts behind [`Figures`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) evicted: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) purged: AtomicU64,
    pub(super) discarded: AtomicU64,
}

impl Counts {
    pub(super) fn add(count: &AtomicU64, more: u64) {
        if more > 0 {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub(super) fn discarded(&self) {
        Self::add(&self.discarded, 1);
    }

    pub(super) fn read(&self) -> Figures {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Figures {
            evicted: read(&self.evicted),
            rejected: read(&self.rejected),
            purged: read(&self.purged),
            discarded: read(&self.discarded),
            ..Figures::default()
        }
    }
}
