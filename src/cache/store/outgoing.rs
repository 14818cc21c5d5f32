//! What is stored in memory, on its way to a store of another process.
//!
//! Entries go over as the records of which the log on a disk is made, so that there is one format, with its checksums,
//! and one version of it. What has no meaning elsewhere is left out: a record's place is its number in the
//! stream, and hashes of tags, which are made with a secret of the store, are made anew.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::vec;

use super::Store;
use super::disk::{self, Record, sums_of};
use super::shard::{Heat, Passing};

/// The version of the records: what says another one cannot be read.
pub const FORMAT: &str = disk::FORMAT;
/// Records go in pieces of about this many bytes.
const PIECE: usize = 1 << 20;
/// How many entries are looked at under one lock: requests that want it wait for some tens of microseconds.
const STEP: u32 = 64;

/// What a store takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The memory of all, in bytes.
    pub memory: u64,
    /// The largest body, in bytes.
    pub largest: u64,
}

/// The content of a store, as it goes over to another one.
#[derive(Debug)]
pub struct Outgoing {
    store: Arc<Store>,
    bounds: Bounds,
    /// What has this number or a later one goes over, and had not gone before.
    since: u64,
    /// So does this, which was still coming then.
    known: HashSet<u64>,
    /// The same for the next time.
    next: u64,
    coming: HashSet<u64>,
    /// What goes over now.
    order: vec::IntoIter<Place>,
    /// How many records were said since a stream began.
    records: u32,
    piece: Vec<u8>,
    /// The memory that what has gone over takes, at least.
    bytes: u64,
    /// How many entries have gone over.
    pub passed: u64,
    /// How many have not, for want of room or time; in what there was no time for, all variants under one key are one.
    pub left: u64,
}

/// A key, and how much it is asked for.
#[derive(Debug)]
struct Place {
    hash: u128,
    url: u64,
    heat: Heat,
}

impl Outgoing {
    /// All that this store has in memory, for one with these bounds.
    pub fn new(store: Arc<Store>, bounds: Bounds) -> Self {
        Self {
            store,
            bounds,
            since: 0,
            known: HashSet::new(),
            next: 0,
            coming: HashSet::new(),
            order: Vec::new().into_iter(),
            records: 0,
            piece: Vec::new(),
            bytes: 0,
            passed: 0,
            left: 0,
        }
    }

    /// The memory that all would take there.
    pub fn weight(&self) -> u64 {
        self.store.figures().memory.min(self.bounds.memory)
    }

    /// Only so many bytes of memory are to be taken there.
    pub fn limit(&mut self, memory: u64) {
        self.bounds.memory = self.bounds.memory.min(memory);
    }

    /// Finds all that is stored, or all that was stored since this was last called; what is not found in time is left.
    /// A new stream begins. Waits for locks, and holds each for a moment only.
    pub fn find(&mut self, in_time: impl Fn() -> bool) {
        (self.since, self.next) = (self.next, self.store.numbers.next());
        self.known = std::mem::take(&mut self.coming);
        (self.records, self.piece) = (0, Vec::new());
        if self.bounds.memory > 0 {
            self.order = self.places(in_time).into_iter();
        }
    }

    /// Each key that has something that is wanted, what is asked for most first. What is still coming is
    /// remembered.
    fn places(&mut self, in_time: impl Fn() -> bool) -> Vec<Place> {
        let (since, known, coming) = (self.since, &self.known, &mut self.coming);
        let wanted = |number: u64| number >= since || known.contains(&number);
        let mut order = Vec::new();
        let left = self.store.each_step_of(STEP, |shard, ids| {
            if !in_time() {
                return ControlFlow::Break(());
            }
            coming.extend(shard.coming(ids.clone()));
            order.extend(ids.filter_map(|id| {
                let heat = shard.heat_of_newest(id, wanted)?;
                let slot = shard.at(id)?;
                let (hash, url) = (slot.hash(), slot.url_hash());
                Some(Place { hash, url, heat })
            }));
            ControlFlow::Continue(())
        });
        // In a second pass, nearly all of them have gone over already.
        if self.since == 0 {
            self.left += left;
        }
        order.sort_unstable_by_key(|place| Reverse(place.heat));
        order
    }

    /// Says what is stored under the next key; whether there is more, and time for it. What there is no room for is left. The
    /// first piece of a stream begins with a record; the last one may end within one. Blocks.
    ///
    /// # Errors
    /// Those of `say`.
    pub fn next(
        &mut self,
        in_time: impl Fn() -> bool,
        mut say: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<bool> {
        if !in_time() {
            return Ok(self.end_early());
        }
        let Some(place) = self.order.next() else {
            return Ok(false);
        };
        let wanted = |number: u64| number >= self.since || self.known.contains(&number);
        let passing = self
            .store
            .lock(place.url)
            .passing(place.hash, place.url, wanted);
        for passing in &passing {
            if self.takes(passing) && !self.put(passing, &in_time, &mut say)? {
                self.left += 1;
                return Ok(self.end_early());
            }
        }
        Ok(true)
    }

    /// There is no time for the rest.
    fn end_early(&mut self) -> bool {
        self.left += self.order.len() as u64;
        self.order = Vec::new().into_iter();
        false
    }

    /// Says what waits to be said. Blocks.
    ///
    /// # Errors
    /// Those of `say`.
    pub fn flush(&mut self, mut say: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        say(&self.piece)?;
        match self.order.len() {
            0 => self.piece = Vec::new(),
            _ => self.piece.clear(),
        }
        Ok(())
    }

    /// Whether it may be there. How much room there is there, only the other store knows.
    fn takes(&mut self, passing: &Passing) -> bool {
        let length = passing.entry.length();
        let is_too_large = length.is_none_or(|length| length > self.bounds.largest);
        let bytes = self.bytes + passing.entry.bytes() as u64;
        // What was stored meanwhile takes the place of something, as a rule.
        let is_first = self.since == 0;
        let takes = !is_too_large && (!is_first || bytes <= self.bounds.memory);
        match takes {
            true => self.bytes = bytes,
            false => {
                self.left += 1;
                // What it is newer than may be there.
                if !is_first {
                    self.store.tell_outdated(passing.entry.url());
                }
            }
        }
        takes
    }

    /// Says one; whether there was time for that.
    fn put(
        &mut self,
        passing: &Passing,
        in_time: &impl Fn() -> bool,
        say: &mut impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<bool> {
        let entry = &passing.entry;
        let Some(pieces) = entry.pieces() else {
            return Ok(true);
        };
        let mut record = Record::of(
            &passing.entry,
            passing.soft,
            passing.variant,
            Box::default(),
        );
        record.sums = sums_of(pieces);
        record.heat = passing.heat.byte();
        let head = record.encode(0, self.records);
        // Where it begins in the piece; what is before that is whole.
        let mut begins = self.piece.len();
        for bytes in std::iter::once(&*head).chain(entry.pieces().into_iter().flatten()) {
            if !in_time() {
                self.piece.truncate(begins);
                return Ok(false);
            }
            if self.piece.is_empty() {
                self.piece.reserve(PIECE + PIECE / 8);
            }
            self.piece.extend_from_slice(bytes);
            if self.piece.len() >= PIECE {
                self.flush(&mut *say)?;
                begins = 0;
            }
        }
        self.records += 1;
        self.passed += 1;
        Ok(true)
    }
}
