//! What a store of another process has had, on its way into this one.
//!
//! How much room there is, this side alone knows, byte by byte. What comes takes what is free, and what something had that it is
//! newer than. Beyond that, only what is asked for less, all together, makes room for it; where that is not enough, it is left out.

use std::sync::Arc;

use bytes::Bytes;

use super::body::{Body, PIECE, Pieces};
use super::disk::{Head, Kind, Record, sum_of_block};
use super::figures::Counts;
use super::key::{Key, Name};
use super::lead::New;
use super::parts::EVICTIONS;
use super::shard::{Heat, Newcomer};
use super::{Entry, Store};
use crate::cache::{Stored, Variant};

/// What an entry takes in memory beside its body and what its head says, at most, but for the growth of tables.
const BESIDE: usize = 2048;

/// Reads what another store says of its content, piece by piece, and takes it in.
///
/// Whatever cannot be read ends that: what comes behind it cannot be known. What was taken in by then was checked.
#[derive(Debug, Default)]
pub struct Incoming {
    /// Read, and not understood yet: less than a head, or than a block of a body.
    rest: Vec<u8>,
    coming: Option<Coming>,
    /// Bytes of memory that the store may have by then.
    most: Option<usize>,
    /// How many records have come.
    records: u32,
    damaged: bool,
    /// How many entries were taken in.
    pub taken: u64,
    /// How many were not, for want of room.
    pub refused: u64,
    /// Whether something could not be read.
    pub is_unreadable: bool,
}

/// A record whose body is coming.
#[derive(Debug)]
struct Coming {
    key: Key,
    record: Record,
    blocks: Vec<Bytes>,
    /// How much of the body has come.
    length: u64,
    /// It is not to be taken in: its body is skipped.
    skipped: bool,
}

/// What could not be read.
struct Damaged;

impl Incoming {
    /// What may take this much memory in the store, beside what it has by now.
    pub fn within(store: &Store, memory: Option<u64>) -> Self {
        let memory = memory.map(|memory| usize::try_from(memory).unwrap_or(usize::MAX));
        Self {
            most: memory.map(|memory| store.room.used().saturating_add(memory)),
            ..Self::default()
        }
    }

    /// Takes in what is said next. `anew`: it begins with a record, whatever came before.
    pub fn take(&mut self, store: &Arc<Store>, bytes: &[u8], anew: bool) {
        if anew {
            self.rest.clear();
            (self.coming, self.records, self.damaged) = (None, 0, false);
        }
        if self.damaged {
            return;
        }
        self.rest.extend_from_slice(bytes);
        let mut rest = std::mem::take(&mut self.rest);
        let mut at = 0;
        loop {
            match self.step(store, &mut rest[at..]) {
                Ok(0) => break,
                Ok(read) => at += read,
                Err(Damaged) => {
                    (self.damaged, self.is_unreadable) = (true, true);
                    self.coming = None;
                    return;
                }
            }
        }
        rest.drain(..at);
        self.rest = rest;
    }

    /// Understands a head, or a block; how many bytes that were, none where there are too few.
    fn step(&mut self, store: &Arc<Store>, bytes: &mut [u8]) -> Result<usize, Damaged> {
        if let Some(coming) = &mut self.coming {
            let read = coming.block(bytes)?;
            self.settle(store)?;
            return Ok(read);
        }
        let length = match Record::head_of(bytes) {
            Head::Is(length) if length <= bytes.len() => length,
            Head::Is(_) | Head::Unknown => return Ok(0),
            Head::None => return Err(Damaged),
        };
        let record = Record::decode(&mut bytes[..length], 0, self.records).ok_or(Damaged)?;
        if record.kind != Kind::Entry {
            return Err(Damaged);
        }
        self.records = self.records.checked_add(1).ok_or(Damaged)?;
        let key = Key::read(store.seed, record.text.clone(), record.url).ok_or(Damaged)?;
        self.coming = Some(Coming {
            skipped: !store.has_place_for(key.name(), &record, self.most),
            key,
            record,
            blocks: Vec::new(),
            length: 0,
        });
        self.settle(store)?;
        Ok(length)
    }

    /// Takes in what has come to its end.
    fn settle(&mut self, store: &Arc<Store>) -> Result<(), Damaged> {
        let Some(coming) = self.coming.take_if(|coming| coming.is_whole()) else {
            return Ok(());
        };
        match coming.skipped {
            true => self.refused += 1,
            false => {
                store.take_in(coming.key, coming.record, coming.blocks, self.most)?;
                self.taken += 1;
            }
        }
        Ok(())
    }
}

impl Coming {
    fn is_whole(&self) -> bool {
        self.length == self.record.length
    }

    /// Reads the next block; none of the bytes where it is not all there.
    fn block(&mut self, bytes: &[u8]) -> Result<usize, Damaged> {
        let length = (self.record.length - self.length).min(PIECE as u64);
        let Some(block) = bytes.get(..length as usize) else {
            return Ok(0);
        };
        let number = (self.length / PIECE as u64) as usize;
        if sum_of_block(block, number) != self.record.sums[number] {
            return Err(Damaged);
        }
        if !self.skipped {
            self.blocks.push(Bytes::copy_from_slice(block));
        }
        self.length += length;
        Ok(block.len())
    }
}

impl Store {
    /// Whether it can be here; what it is newer than goes in any case.
    fn has_place_for(&self, name: Name<'_>, record: &Record, most: Option<usize>) -> bool {
        let is_newer = self.leave(name, record.variant);
        let has_place = self.finds_room(name, record, most, is_newer);
        // What comes is on disk behind that, where it comes.
        if let Some(disk) = self.disk.as_ref().filter(|_| is_newer || !has_place) {
            disk.void(name, record.variant);
        }
        has_place
    }

    fn finds_room(
        &self,
        name: Name<'_>,
        record: &Record,
        most: Option<usize>,
        is_newer: bool,
    ) -> bool {
        if record.length > self.largest() {
            return false;
        }
        let length = usize::try_from(record.length).unwrap_or(usize::MAX);
        let head = record.text.len() + 2 * record.meta.len();
        // What it is newer than has left that much.
        let beside = if is_newer { 0 } else { BESIDE };
        let all = Pieces::bytes_of(length) + head + beside + self.beyond(most);
        !self.room.lacks(all) || self.displace(name, Heat::of_byte(record.heat), all)
    }

    /// Makes room for so much that is asked for this much, beside the name, where it is worth what it would displace;
    /// whether there is room then.
    fn displace(&self, name: Name<'_>, heat: Heat, all: usize) -> bool {
        let evicted = self.with(name, |shard| {
            shard.displace(heat, self.room.missing(all), EVICTIONS)
        });
        Counts::add(&self.counts.evicted, evicted);
        !self.room.lacks(all)
    }

    /// Takes out what another process has stored anew; whether there was something.
    fn leave(&self, name: Name<'_>, variant: Variant) -> bool {
        self.supersede(name, variant);
        self.with(name, |shard| {
            let mut was_there = false;
            while let Some(twin) = shard.twin(name, variant, None) {
                shard.remove(twin);
                was_there = true;
            }
            was_there
        })
    }

    /// How much of the room is beyond this.
    fn beyond(&self, most: Option<usize>) -> usize {
        most.map_or(0, |most| self.room.limit().saturating_sub(most))
    }

    /// Puts an entry of another store behind all that are asked for here.
    fn take_in(
        self: &Arc<Self>,
        key: Key,
        record: Record,
        blocks: Vec<Bytes>,
        most: Option<usize>,
    ) -> Result<(), Damaged> {
        let meta = Stored::decode(&record.meta).ok_or(Damaged)?;
        let new = New::of(self, &meta);
        if new.variant != record.variant {
            return Err(Damaged);
        }
        let body = Body::read(blocks);
        let entry = Arc::new(Entry::new(
            &self.room,
            key.name(),
            self.numbers.next_of_older(),
            meta,
            body,
        ));
        if record.soft {
            entry.soften();
        }
        let to_disk = self.disk.is_some();
        self.with(entry.name(), |shard| {
            let id = shard.insert(new.slot(&entry, record.soft));
            shard.settle_last(id, to_disk, Heat::of_byte(record.heat))
        });
        self.settle_down(&entry, new.variant);
        // Tables may have grown.
        self.make_room(entry.name(), self.beyond(most), Newcomer::Older);
        Ok(())
    }
}
