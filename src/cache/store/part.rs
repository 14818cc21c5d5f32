//! One part of a store, behind a lock of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::Mode;
use super::parts::{EVICTIONS, STEP};
use super::prefetch::Whereabouts;
use super::purge::Aim;
use super::room::Room;
use super::shard::{Firsts, Shard};
use super::sketch::Sketch;

/// Parts do not share a cache line.
#[repr(align(128))]
pub(super) struct Part {
    shard: Mutex<Shard>,
    /// What can be evicted from it.
    weight: AtomicUsize,
    /// The tables that a look begins with.
    urls: Whereabouts,
    counts: Whereabouts,
}

impl Part {
    pub(super) fn new(room: &Arc<Room>, share: usize) -> Self {
        let part = Self {
            shard: Mutex::new(Shard::new(room, share)),
            weight: AtomicUsize::new(0),
            urls: Whereabouts::default(),
            counts: Whereabouts::default(),
        };
        part.change(|_| ());
        part
    }

    /// Someone will look for what is under a URL with this hash.
    pub(super) fn will_find(&self, url: u64) {
        self.urls.will_read(Firsts::best(url));
    }

    /// Someone will count a key with this hash.
    pub(super) fn will_count(&self, key: u128) {
        self.counts.will_read(Sketch::first(key as u64));
    }

    /// What can be evicted from it, as it was a moment ago.
    pub(super) fn weight(&self) -> usize {
        self.weight.load(Ordering::Relaxed)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shard> {
        self.shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Shard) -> T) -> T {
        let mut shard = self.lock();
        let changed = change(&mut shard);
        self.weight.store(shard.weight(), Ordering::Relaxed);
        let (urls, counts) = shard.tables();
        self.urls.tell(urls);
        self.counts.tell(counts);
        changed
    }

    /// Takes out what purges have hit, a few at a time.
    pub(super) fn bury(&self) {
        while self.change(|shard| (0..EVICTIONS).all(|_| shard.bury_one())) {}
    }

    pub(super) fn purge(&self, aim: &Aim<'_>, how: (Mode, SystemTime)) -> usize {
        self.change(|shard| shard.tell_running(aim, how.0));
        let (mut hit, mut from) = (0, Some(0));
        while let Some(start) = from {
            let (more, next) = self.change(|shard| shard.purge_some(aim, how, start, STEP));
            hit += more;
            from = next;
        }
        hit
    }
}
