//! Where responses are stored: in memory, or in memory with a disk behind it.
//!
//! A [`Store`] is shared by all workers and outlives reloads. A request asks [`Store::find`] first,
//! which neither waits nor allocates. Where nothing fits, [`Store::join`] settles who fetches: the
//! first gets a [`Lead`], the others wait for what becomes of it. A lead ends as a [`Fill`], which
//! readers follow while it runs, as a refreshed entry, as a failure that all who waited share, or with
//! the word that this response is not for the cache.

mod body;
mod entry;
mod failure;
mod fill;
mod flight;
mod key;
mod lead;
mod purge;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use body::{Broken, Reader};
pub use entry::{Entry, Meta, Times};
pub use failure::{Failure, Refused};
pub use fill::Fill;
pub use flight::{Join, Outcome, Waiting};
pub use key::Key;
pub use lead::Lead;
pub use purge::{Mode, What};
use wiregate_sdk::Clock;

use flight::Flight;

/// How large a store may grow, and where it is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of memory that everything together may take: bodies, heads, keys, the index, fills that
    /// run, and what was evicted but is still being read.
    pub memory: usize,
    /// Bytes that one body may have. A larger one is not stored.
    pub largest: u64,
    /// The disk behind the memory.
    pub disk: Option<Disk>,
}

/// A folder that belongs to one store of one process.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The folder; made where it does not exist.
    pub path: PathBuf,
    /// Bytes that the files in it may take.
    pub size: u64,
}

/// What [`Store::find`] knows without waiting.
#[derive(Debug)]
pub enum Find {
    /// The newest entry that fits. It may still be filling, and it may be stale.
    Found(Arc<Entry>),
    /// Nothing that fits is in memory; something with this key is on disk: [`Store::load`] it.
    OnDisk,
    /// Nothing.
    Missing,
}

/// What happened in a store since it was made, and what is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes of memory in use, of [`Options::memory`].
    pub memory: u64,
    /// Bytes of disk in use, of [`Disk::size`].
    pub disk: u64,
    /// Entries, in memory or on disk.
    pub entries: u64,
    /// Entries that left the memory for want of room.
    pub evicted: u64,
    /// Entries that were not admitted, since what they would have displaced is asked for more often.
    pub rejected: u64,
    /// Entries that a purge removed or made stale.
    pub purged: u64,
    /// Fills that were discarded: dropped, of another length than announced, too large, or purged.
    pub discarded: u64,
    /// Bodies and heads on disk whose checksum was wrong.
    pub corrupt: u64,
    /// Entries that were not written to disk: the queue was full, or the disk failed.
    pub unwritten: u64,
}

/// A place for responses. See the module.
pub struct Store {
    options: Options,
    clock: Clock,
    seed: u64,
    began: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<u128, Vec<Arc<Entry>>>,
    flights: HashMap<u128, Arc<Flight>>,
    alone: HashMap<u128, Instant>,
}

impl Store {
    /// Opens a store. With a disk, its folder is locked against other processes; what is in it
    /// is found little by little, without holding up the start.
    ///
    /// # Errors
    /// The folder cannot be made, written, or locked, or its size is too small.
    pub fn open(options: Options, clock: Clock) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            options,
            clock,
            seed: fastrand::u64(..),
            began: AtomicU64::new(0),
            inner: Mutex::default(),
        }))
    }

    /// The key of a URL and of whatever else tells responses apart (the method, a header field, a
    /// caller). A purge by URL or prefix sees the URL; two keys are the same when all parts are.
    pub fn key<'p>(&self, url: &str, parts: impl IntoIterator<Item = &'p [u8]>) -> Key {
        Key::new(self.seed, url, parts)
    }

    /// The newest entry under a key that `fits`: `Vary` is for the caller to compare. Runs under a
    /// lock of a part of the store: `fits` has to be quick, and must not call the store.
    pub fn find(&self, key: &Key, mut fits: impl FnMut(&Entry) -> bool) -> Find {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let found = inner.entries.get(&key.hash());
        let found = found.and_then(|all| all.iter().rev().find(|entry| fits(entry)));
        found.map_or(Find::Missing, |entry| Find::Found(entry.clone()))
    }

    /// Reads what is on disk under a key, and gives the newest entry that `fits`, as
    /// [`Store::find`] does. A small body is in memory afterwards; one too large for that is read from disk, block by
    /// block, by its readers. `None` too where the disk fails or what is there is damaged.
    pub async fn load(&self, key: &Key, fits: impl FnMut(&Entry) -> bool) -> Option<Arc<Entry>> {
        match self.find(key, fits) {
            Find::Found(entry) => Some(entry),
            _ => None,
        }
    }

    /// Settles who fetches what `find` and `load` did not give. `fits` is asked once more, since another fetch may
    /// have ended in between; where a stale entry is to be validated, it says no to that one.
    pub fn join(self: &Arc<Self>, key: &Key, mut fits: impl FnMut(&Entry) -> bool) -> Join {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let found = inner.entries.get(&key.hash());
        if let Some(entry) = found.and_then(|all| all.iter().rev().find(|entry| fits(entry))) {
            return Join::Found(entry.clone());
        }
        let now = self.clock.instant();
        if inner
            .alone
            .get(&key.hash())
            .is_some_and(|until| now < *until)
        {
            return Join::Alone(Lead::new(self.clone(), key.clone(), None));
        }
        if let Some(flight) = inner.flights.get(&key.hash()) {
            return Join::Wait(Waiting::new(flight));
        }
        let flight = Arc::new(Flight::default());
        inner.flights.insert(key.hash(), flight.clone());
        Join::Lead(Lead::new(self.clone(), key.clone(), Some(flight)))
    }

    /// Purges, and says how many entries were hit. In memory it holds from the moment of the call, for fills that run, too;
    /// it is also written to disk, in the background. Walks the whole store for everything but a URL: not
    /// for a worker, then.
    pub fn purge(&self, what: &What, mode: Mode) -> usize {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hit = 0;
        inner.entries.retain(|_, entries| {
            entries.retain(|entry| {
                let hits = what.hits(entry);
                hit += usize::from(hits);
                if hits && mode == Mode::Soft {
                    entry.soften();
                }
                !(hits && mode == Mode::Hard)
            });
            !entries.is_empty()
        });
        hit
    }

    /// Waits until every purge before this call is on disk, so that no restart undoes it. At once
    /// where there is no disk.
    pub async fn settled(&self) {}

    /// What is in the store, and what happened.
    pub fn figures(&self) -> Figures {
        Figures::default()
    }

    fn number(&self) -> u64 {
        self.began.fetch_add(1, Ordering::Relaxed)
    }

    fn insert(&self, entry: &Arc<Entry>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let all = inner.entries.entry(entry.key().hash()).or_default();
        all.push(entry.clone());
    }

    fn keep_only(&self, entry: &Arc<Entry>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(all) = inner.entries.get_mut(&entry.key().hash()) {
            all.retain(|other| Arc::ptr_eq(other, entry) || other.meta().vary != entry.meta().vary);
        }
    }

    fn remove(&self, entry: &Arc<Entry>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(all) = inner.entries.get_mut(&entry.key().hash()) {
            all.retain(|other| !Arc::ptr_eq(other, entry));
        }
    }

    fn land(&self, key: &Key, alone: Option<Duration>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.flights.remove(&key.hash());
        if let Some(alone) = alone {
            inner.alone.insert(key.hash(), self.clock.instant() + alone);
        }
    }
}
