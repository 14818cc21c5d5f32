//! What is stored in memory, on its way to a store of another process.
//!
//! Entries go over as the records of which the log on a disk is made, so that there is one format, with its checksums,
//! and one version of it. What has no meaning elsewhere is left out: a record's place is its number in the
//! stream, and hashes of tags, which are made with a secret of the store, are made anew.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use super::Store;
use super::body::Whole;
use super::disk::{self, Record, sums_of};
use super::shard::{Heat, Passing};

/// The version of the records: what says another one cannot be read.
pub const FORMAT: &str = disk::FORMAT;
/// Records go in pieces of about this many bytes.
const PIECE: usize = 1 << 20;

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
    /// What has this number or a later one has not gone over yet.
    since: u64,
    /// Nor has this, which was still coming.
    coming: HashSet<u64>,
    piece: Vec<u8>,
    /// The memory that what has gone over takes.
    bytes: u64,
    /// How many entries have gone over.
    pub passed: u64,
    /// How many have not, for want of room or time; in what there was no time for, all variants under one key are one.
    pub left: u64,
}

/// Where an entry is, and how much it is asked for.
struct Place {
    heat: Heat,
    part: u64,
    id: u32,
}

impl Outgoing {
    /// All that this store has in memory, for one with these bounds.
    pub fn new(store: Arc<Store>, bounds: Bounds) -> Self {
        Self {
            store,
            bounds,
            since: 0,
            coming: HashSet::new(),
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

    /// Says all that is stored, or all that was stored since this was last called: what is asked for most first,
    /// and what there is no room for, or what is not in time, not. The first piece begins with a record; the last one may end within
    /// one. Blocks.
    ///
    /// # Errors
    /// Those of `say`.
    pub fn pass(
        &mut self,
        in_time: impl Fn() -> bool,
        mut say: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.piece = Vec::with_capacity(PIECE + PIECE / 8);
        let (since, known) = (self.since, std::mem::take(&mut self.coming));
        let wanted = |number: u64| number >= since || known.contains(&number);
        self.since = self.store.number();
        let order = self.order(&wanted);
        let (mut records, mut keys) = (0, order.iter());
        'all: for place in keys.by_ref() {
            let passing = self.store.lock(place.part).passing(place.id, wanted);
            for passing in &passing {
                if !self.takes(passing) {
                    continue;
                }
                if !self.put(passing, records, &in_time, &mut say)? {
                    self.left += 1;
                    self.piece.clear();
                    break 'all;
                }
                records += 1;
            }
        }
        self.left += keys.len() as u64;
        let rest = std::mem::take(&mut self.piece);
        match rest.is_empty() {
            true => Ok(()),
            false => say(&rest),
        }
    }

    /// The newest slot of each key that has something that is wanted, what is asked for most first. What is still
    /// coming is remembered.
    fn order(&mut self, wanted: &impl Fn(u64) -> bool) -> Vec<Place> {
        let (mut order, coming) = (Vec::new(), &mut self.coming);
        self.store.each_step(|shard, ids| {
            coming.extend(shard.coming(ids.clone()));
            order.extend(ids.filter_map(|id| {
                let heat = shard.heat_of_newest(id, wanted)?;
                let part = shard.at(id)?.name.url_hash();
                Some(Place { heat, part, id })
            }));
        });
        order.sort_by_key(|place| Reverse(place.heat));
        order
    }

    /// Whether there is room for it.
    fn takes(&mut self, passing: &Passing) -> bool {
        let bytes = self.bytes + passing.entry.bytes() as u64;
        let length = passing.entry.length();
        let is_too_large = length.is_none_or(|length| length > self.bounds.largest);
        let takes = !is_too_large && bytes <= self.bounds.memory;
        match takes {
            true => self.bytes = bytes,
            false => self.left += 1,
        }
        takes
    }

    /// Says one; whether there was time for that.
    fn put(
        &mut self,
        passing: &Passing,
        number: u32,
        in_time: &impl Fn() -> bool,
        say: &mut impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<bool> {
        let Some(Whole::Pieces(pieces)) = passing.entry.body().whole() else {
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
        let head = record.encode(0, number);
        for bytes in std::iter::once(&*head).chain(pieces.iter().map(|piece| &**piece)) {
            if !in_time() {
                return Ok(false);
            }
            self.piece.extend_from_slice(bytes);
            if self.piece.len() >= PIECE {
                say(&self.piece)?;
                self.piece.clear();
            }
        }
        self.passed += 1;
        Ok(true)
    }
}
