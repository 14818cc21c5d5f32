//! A body on its way into the store.

use std::sync::Arc;

use bytes::Bytes;

use super::failure::Refused;
use super::{Entry, Store};

/// Takes the body of an entry that others can read already. Dropped before [`Fill::finish`], the
/// entry is discarded, and those who follow it get an error.
#[derive(Debug)]
pub struct Fill {
    store: Arc<Store>,
    entry: Arc<Entry>,
    length: u64,
    done: bool,
}

impl Fill {
    pub(super) fn new(store: Arc<Store>, entry: Arc<Entry>) -> Self {
        Self {
            store,
            entry,
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
    /// The entry was discarded: drop the fill.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Refused> {
        self.length += piece.len() as u64;
        if self.length > self.store.options.largest {
            return Err(Refused::TooLarge);
        }
        let announced = self.entry.body().length();
        if announced.is_some_and(|announced| self.length > announced) {
            return Err(Refused::Length);
        }
        self.entry.body().push(Bytes::copy_from_slice(piece));
        Ok(())
    }

    /// The body is complete. From here on the entry stands for itself, and whatever it replaces is gone.
    ///
    /// # Errors
    /// The entry was discarded.
    pub fn finish(mut self) -> Result<Arc<Entry>, Refused> {
        let announced = self.entry.body().length();
        if announced.is_some_and(|announced| self.length != announced) {
            return Err(Refused::Length);
        }
        self.done = true;
        self.entry.body().finish();
        self.store.keep_only(&self.entry);
        Ok(self.entry.clone())
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        if !self.done {
            self.entry.body().abort();
            self.store.remove(&self.entry);
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
