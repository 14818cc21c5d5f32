//! What the stores of one process have in memory goes over to those of the next.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use wiregate_sdk::types::Size;

use super::{NamedStore, Purges};
use crate::cache::store::{Bounds, Incoming, Outgoing, Store};

/// A store that takes what another process has in its store of this name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The name of the store.
    pub cache: String,
    /// Bytes of memory that it has.
    pub memory: u64,
    /// Bytes that one body may have there.
    pub largest: u64,
}

/// What is said of a store to another process.
#[derive(Debug)]
pub enum Said<'p> {
    /// What is stored.
    Stored(Piece<&'p [u8]>),
    /// What was purged of that.
    Purged(Purges),
}

/// A piece of what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<B = Vec<u8>> {
    /// The name of the store.
    pub cache: String,
    /// Whether a stream begins.
    pub anew: bool,
    /// Bytes of memory that all of it may take.
    pub most: Option<u64>,
    /// Records, or the rest of one.
    pub bytes: B,
}

/// Stores whose content goes over to another process.
pub struct Passing<'s>(Vec<One<'s>>);

/// One of them.
struct One<'s> {
    store: &'s NamedStore,
    outgoing: Outgoing,
    most: Option<u64>,
}

impl One<'_> {
    fn pass(
        &mut self,
        until: Instant,
        all: &[&NamedStore],
        say: &mut impl FnMut(Said<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let (name, most, mut anew) = (&self.store.name, self.most, true);
        let mut stored = |bytes: &[u8], say: &mut dyn FnMut(Said<'_>) -> io::Result<()>| {
            say(Said::Stored(Piece {
                cache: name.to_string(),
                anew: std::mem::replace(&mut anew, false),
                most,
                bytes,
            }))
        };
        let in_time = || Instant::now() < until;
        while self.outgoing.next(in_time, |bytes| stored(bytes, say))? {
            let full: Vec<_> = all
                .iter()
                .filter(|store| store.has_much_to_tell())
                .collect();
            if full.is_empty() {
                continue;
            }
            // Behind all that it may hit, and not within an entry.
            self.outgoing.flush(|bytes| stored(bytes, say))?;
            for purges in full.iter().filter_map(|store| store.purges(true)) {
                say(Said::Purged(purges))?;
            }
        }
        self.outgoing.flush(|bytes| stored(bytes, say))
    }
}

impl NamedStore {
    /// What it takes; nothing where it is to have a folder that another process has still, with what is in it.
    fn wanted(&self) -> Option<Wanted> {
        let store = self.opened.load_full()?;
        self.is_whole(&store).then(|| Wanted {
            cache: self.name.to_string(),
            memory: self.memory(),
            largest: store.largest(),
        })
    }

    /// Whether somebody should hear of what was purged here, before it is too much to be remembered. A folder that was given
    /// up has to hear of it as well, should it come back.
    fn has_much_to_tell(&self) -> bool {
        let much = |store: &Store| self.is_whole(store) && store.has_much_to_tell();
        self.opened.load().as_deref().is_some_and(much)
    }
}

impl Wanted {
    /// What these stores take from those of another process.
    pub fn by(stores: &[NamedStore]) -> Vec<Self> {
        stores.iter().filter_map(NamedStore::wanted).collect()
    }
}

impl<'s> Passing<'s> {
    /// What another process wants of what is in these stores, but no more than so many bytes of all together: each store
    /// has a share of them. From here on it is remembered what is purged.
    pub fn of(stores: &'s [NamedStore], wanted: &[Wanted], most: Option<u64>) -> Self {
        let each = wanted.iter().filter_map(|wanted| {
            let mut stores = stores.iter();
            let store = stores.find(|store| *store.name == wanted.cache)?;
            let opened = store.opened.load_full()?;
            opened.has_heir();
            let (memory, largest) = (wanted.memory, wanted.largest);
            let outgoing = Outgoing::new(opened, Bounds { memory, largest });
            let weight = outgoing.weight();
            let most = None;
            Some((
                weight,
                One {
                    store,
                    outgoing,
                    most,
                },
            ))
        });
        let mut each: Vec<_> = each.collect();
        let all: u64 = each.iter().map(|(weight, _)| weight).sum();
        if let Some(most) = most.filter(|most| *most < all) {
            for (weight, one) in &mut each {
                let share = u128::from(*weight) * u128::from(most) / u128::from(all);
                let share = u64::try_from(share).unwrap_or(u64::MAX);
                one.outgoing.limit(share);
                one.most = Some(share);
            }
            let (room, all) = (Size::bytes(most), Size::bytes(all));
            tracing::warn!(%room, %all, "not all that caches have in memory can go over: it would be too near the soft mark of memory");
        }
        // The smallest first: what they leave of their time is for those behind.
        each.sort_by_key(|(weight, _)| *weight);
        Self(each.into_iter().map(|(_, one)| one).collect())
    }

    /// Finds what is stored, or what was stored since this was last called, in half of the time until then, of which each
    /// store has a share.
    pub fn find(&mut self, until: Instant) {
        let until = share(until, 2);
        let count = self.0.len();
        for (number, one) in self.0.iter_mut().enumerate() {
            let end = share(until, count - number);
            one.outgoing.find(|| Instant::now() < end);
        }
    }

    /// Says what was found, as far as that goes in this time, of which each store has a share; and what was purged in between,
    /// where that is much. Blocks.
    ///
    /// # Errors
    /// Those of `say`.
    pub fn pass(
        &mut self,
        until: Instant,
        mut say: impl FnMut(Said<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let stores: Vec<_> = self.0.iter().map(|one| one.store).collect();
        for (number, one) in self.0.iter_mut().enumerate() {
            one.pass(share(until, stores.len() - number), &stores, &mut say)?;
        }
        Ok(())
    }

    /// Says in the log what has gone over.
    pub fn tell(&self) {
        for One {
            store, outgoing, ..
        } in &self.0
        {
            let (cache, passed, left) = (&store.name, outgoing.passed, outgoing.left);
            if passed + left > 0 {
                tracing::info!(%cache, entries = passed, left, "what the cache has in memory has gone over");
            }
        }
    }
}

/// The end of the first of so many even shares of what is left until then.
pub(super) fn share(until: Instant, count: usize) -> Instant {
    let now = Instant::now();
    now + until.saturating_duration_since(now) / u32::try_from(count).unwrap_or(u32::MAX)
}

/// What comes for the stores of this process from another one.
#[derive(Default)]
pub struct Arriving(Mutex<HashMap<String, Incoming>>);

impl Arriving {
    /// Takes a piece of what a store of this name had. Blocks.
    pub fn take<B: AsRef<[u8]>>(&self, stores: &[NamedStore], piece: &Piece<B>) {
        let mut stores = stores.iter();
        let store = stores.find(|store| *store.name == *piece.cache);
        // Only what was asked for comes.
        let Some(store) = store.and_then(|store| store.opened.load_full()) else {
            return;
        };
        let mut arriving = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let incoming = arriving.entry(piece.cache.clone());
        let incoming = incoming.or_insert_with(|| Incoming::within(&store, piece.most));
        incoming.take(&store, piece.bytes.as_ref(), piece.anew);
    }

    /// Says in the log what has come.
    pub fn tell(&self) {
        let mut arriving = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (cache, incoming) in arriving.drain() {
            let Incoming {
                taken,
                refused,
                is_unreadable,
                ..
            } = incoming;
            if is_unreadable {
                tracing::error!(
                    cache,
                    "some of what another process had stored cannot be read"
                );
            }
            tracing::info!(
                cache,
                entries = taken,
                refused,
                "the cache has what another process had stored"
            );
        }
    }
}
