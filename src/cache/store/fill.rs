//! A body on its way into the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::refused::Refused;
use super::shard::Newcomer;
use super::{Asker, Entry, Store};

/// Bodies up to this length come in at any time.
const SMALL: usize = 64 << 10;

/// The memory that bodies of known length have been promised while they come in. It cannot be evicted: all of
/// it together is at most half of the store, unless it is one body's.
#[derive(Debug, Default)]
pub(super) struct Promised(AtomicUsize);

impl Promised {
    /// Promises so much of `memory`; nothing where others have too much already.
    pub(super) fn get(&self, length: Option<u64>, memory: usize) -> Option<usize> {
        let length = usize::try_from(length.unwrap_or(0)).ok()?;
        if length <= SMALL {
            return Some(0);
        }
        let others = self.0.fetch_add(length, Ordering::Relaxed);
        if others > 0 && others + length > memory / 2 {
            self.give_back(length);
            return None;
        }
        Some(length)
    }

    pub(super) fn give_back(&self, length: usize) {
        self.0.fetch_sub(length, Ordering::Relaxed);
    }
}

/// Takes the body of an entry that others can read already. Dropped before [`Fill::finish`], the
/// entry is discarded: nobody finds it any more, and those who follow it read what was pushed, and then get an
/// error.
#[derive(Debug)]
pub struct Fill {
    store: Arc<Store>,
    entry: Arc<Entry>,
    asker: Asker,
    length: u64,
    promised: usize,
    done: bool,
}

impl Fill {
    pub(super) fn new(store: Arc<Store>, entry: Arc<Entry>, asker: Asker, promised: usize) -> Self {
        Self {
            store,
            entry,
            asker,
            promised,
            length: 0,
            done: false,
        }
    }

    /// The entry, as others see it.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The next piece of the body. It is copied: what the piece is a part of is not kept alive.
    ///
    /// # Errors
    /// It was not taken, and nothing more will be: drop the fill, or [abandon](Fill::abandon) it.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Refused> {
        let length = self.length + piece.len() as u64;
        if length > self.store.largest() {
            return Err(Refused::TooLarge);
        }
        let announced = self.entry.length();
        if announced.is_some_and(|announced| length > announced) {
            return Err(Refused::Length);
        }
        let (store, name) = (&self.store, self.entry.name());
        if (store.make_room(name, piece.len(), Newcomer::Part)).is_none() {
            return Err(Refused::NoRoom);
        }
        self.entry.push(piece);
        self.length = length;
        Ok(())
    }

    /// Discards the entry, as dropping the fill does, and sees to it that nobody with such a request fetches it
    /// for the cache for as long as `remember` says, because of this refusal. Where it is not too large, which
    /// it will be again, somebody tries before that.
    pub fn abandon(self, remember: Duration, why: &Refused) {
        let (store, name, asker) = (&self.store, self.entry.name(), self.asker);
        match why {
            Refused::TooLarge => {
                store.set_too_large(name, asker, remember, &self.entry.meta().vary);
            }
            _ => store.set_alone(name, asker, remember),
        }
    }

    /// The body is complete. From here on the entry stands for itself, and what it replaces is gone.
    ///
    /// # Errors
    /// The body is not as long as announced: it is discarded. A purge has hit the entry: nobody finds it any
    /// more, and those who follow it can read it to its end.
    pub fn finish(mut self) -> Result<Arc<Entry>, Refused> {
        let announced = self.entry.length();
        if announced.is_some_and(|announced| self.length != announced) {
            return Err(Refused::Length);
        }
        self.done = true;
        self.entry.finish();
        let finished = self.store.finish(&self.entry);
        self.store.count_refusal(finished)?;
        Ok(self.entry.clone())
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        self.store.promised.give_back(self.promised);
        if !self.done {
            self.store.discard(&self.entry);
            self.entry.abort();
        }
    }
}
