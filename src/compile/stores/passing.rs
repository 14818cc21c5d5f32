//! What the stores of one process have in memory goes over to those of the next.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use wiregate_sdk::types::Size;

use super::NamedStore;
use crate::cache::store::{Bounds, Incoming, Outgoing};

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

/// Stores whose content goes over to another process.
pub struct Passing(Vec<(Arc<str>, Outgoing)>);

impl NamedStore {
    /// What it takes; nothing where it is to have a folder that another process has still, with what is in it.
    fn wanted(&self) -> Option<Wanted> {
        let store = self.opened.load_full()?;
        let is_whole = store.options().disk == self.options.disk;
        is_whole.then(|| Wanted {
            cache: self.name.to_string(),
            memory: self.memory(),
            largest: store.largest(),
        })
    }

    /// From here on it is remembered what is purged. What was remembered for somebody else who did not come is not
    /// for whoever comes now; a store with a disk may have to tell its own folder.
    fn remember_purges(&self) {
        if let Some(store) = self.opened.load_full() {
            store.has_heir();
            if self.options.disk.is_none() {
                store.take_purges();
            }
        }
    }
}

impl Wanted {
    /// What these stores take from those of another process.
    pub fn by(stores: &[NamedStore]) -> Vec<Self> {
        stores.iter().filter_map(NamedStore::wanted).collect()
    }
}

impl Passing {
    /// What another process wants of what is in these stores, but no more than so many bytes of all together: each store
    /// has a share of them. From here on it is remembered what is purged.
    pub fn of(stores: &[NamedStore], wanted: &[Wanted], most: Option<u64>) -> Self {
        let each = wanted.iter().filter_map(|wanted| {
            let mut stores = stores.iter();
            let store = stores.find(|store| *store.name == wanted.cache)?;
            store.remember_purges();
            let (memory, largest) = (wanted.memory, wanted.largest);
            let outgoing = Outgoing::new(store.store(), Bounds { memory, largest });
            Some((store.name.clone(), outgoing))
        });
        let mut each: Vec<_> = each.collect();
        let all: u64 = each.iter().map(|(_, outgoing)| outgoing.weight()).sum();
        if let Some(most) = most.filter(|most| *most < all) {
            for (_, outgoing) in &mut each {
                let share = u128::from(outgoing.weight()) * u128::from(most) / u128::from(all);
                outgoing.limit(u64::try_from(share).unwrap_or(u64::MAX));
            }
            let (room, all) = (Size::bytes(most), Size::bytes(all));
            tracing::warn!(%room, %all, "not all that caches have in memory can go over: it would be more than the soft mark of memory");
        }
        Self(each)
    }

    /// Says what is stored, or what was stored since this was last called, as far as that goes within this time, of which each
    /// store has a share: the name of a store, whether a stream begins, and a piece of that. Blocks.
    ///
    /// # Errors
    /// Those of `say`.
    pub fn pass(
        &mut self,
        until: Instant,
        mut say: impl FnMut(&str, bool, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut stores = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        for (name, outgoing) in &mut self.0 {
            let now = Instant::now();
            let end = now + until.saturating_duration_since(now) / stores;
            stores -= 1;
            let (mut begins, in_time) = (true, || Instant::now() < end);
            outgoing.pass(in_time, |piece| {
                say(name, std::mem::replace(&mut begins, false), piece)
            })?;
        }
        Ok(())
    }

    /// Says in the log what has gone over.
    pub fn tell(&self) {
        for (cache, outgoing) in &self.0 {
            let Outgoing { passed, left, .. } = *outgoing;
            if passed + left > 0 {
                tracing::info!(%cache, entries = passed, left, "what the cache has in memory has gone over");
            }
        }
    }
}

/// What comes for the stores of this process from another one.
#[derive(Default)]
pub struct Arriving(Mutex<HashMap<String, Incoming>>);

impl Arriving {
    /// Takes a piece of what a store of this name had. Blocks.
    pub fn take(&self, stores: &[NamedStore], cache: &str, anew: bool, piece: &[u8]) {
        let mut stores = stores.iter();
        let store = stores.find(|store| *store.name == *cache);
        // Only what was asked for comes.
        let Some(store) = store.and_then(|store| store.opened.load_full()) else {
            return;
        };
        let mut arriving = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let incoming = arriving.entry(cache.to_owned()).or_default();
        incoming.take(&store, piece, anew);
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
