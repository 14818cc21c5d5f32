//! Finds what is on disk when a store is opened: heads alone, the newest first.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};

use super::super::key::Key;
use super::super::purge::Mode;
use super::super::shard::{Kept, Slot};
use super::super::{Store, What};
use super::dead::Dead;
use super::record::{Found, Kind, Record};
use super::segment::Segment;
use super::{At, Engine, Place, Spot};

/// Why the search ends before the oldest record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Whatever is older was purged, or cannot be known to be good.
    Older,
    /// The store is gone.
    Closed,
}

impl Engine {
    pub(super) fn find(self: Arc<Self>, store: &Weak<Store>) {
        // What this run writes is in the index anyway.
        for id in self.at_start.iter().rev() {
            match self.find_in(*id, store) {
                Ok(()) => {}
                Err(Stop::Closed) => return,
                Err(Stop::Older) => {
                    self.drop_older_than(*id);
                    break;
                }
            }
        }
        self.finding.store(false, Ordering::Release);
        *self.dead.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn find_in(&self, id: u32, store: &Weak<Store>) -> Result<(), Stop> {
        let Some(segment) = self.segment(id) else {
            return Ok(()); // it had to go meanwhile
        };
        let Some(offsets) = records(&segment) else {
            // A purge may be among what cannot be read.
            self.corrupt.fetch_add(1, Ordering::Relaxed);
            self.drop_older_than(id + 1);
            return Err(Stop::Older);
        };
        for offset in offsets.into_iter().rev() {
            let store = store.upgrade().ok_or(Stop::Closed)?;
            let Ok(Found::Record(record, _)) = Record::read(&segment, offset) else {
                self.corrupt.fetch_add(1, Ordering::Relaxed);
                return Err(Stop::Older);
            };
            let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(dead) = &mut *dead else {
                return Ok(());
            };
            let segment = id;
            self.take(&store, dead, Spot { segment, offset }, record);
            if dead.is_all() {
                return Err(Stop::Older);
            }
        }
        Ok(())
    }

    fn take(&self, store: &Store, dead: &mut Dead, spot: Spot, record: Record) {
        match record.kind {
            Kind::Purge => match record.what() {
                Some((what, mode)) => dead.purge(&what, mode, self.seed),
                None => dead.purge(&What::All, Mode::Hard, self.seed),
            },
            Kind::Void => match record.voided() {
                Some(hash) => dead.void(hash, record.variant),
                None => dead.purge(&What::All, Mode::Hard, self.seed),
            },
            Kind::Entry if dead.has_body(spot) => {}
            Kind::Entry => self.take_entry(store, dead, spot, spot, record),
            Kind::Head => {
                if let Some(body) = record.body {
                    // An older head of the same body counts no more than the body's own.
                    if !dead.has_body(body) {
                        dead.body(body);
                        self.take_entry(store, dead, spot, body, record);
                    }
                }
            }
        }
    }

    fn take_entry(&self, store: &Store, dead: &mut Dead, head: Spot, body: Spot, record: Record) {
        let Some(key) = Key::read(self.seed, record.text.clone(), record.url) else {
            self.corrupt.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let (variant, hash) = (record.variant, key.hash());
        let mode = dead.hits(key.name(), variant, &record.tags);
        let there = mode != Some(Mode::Hard) && self.segment(body.segment).is_some();
        if !there || !self.index(store, key, At { head, body }, record, mode) {
            // It does not count, and neither does what it had replaced.
            dead.void(hash, variant);
        }
    }

    /// Whether the entry, or a newer one in its place, is in the index.
    fn index(&self, store: &Store, key: Key, at: At, record: Record, mode: Option<Mode>) -> bool {
        let soft = record.soft || mode == Some(Mode::Soft);
        let (variant, tags) = (record.variant, record.tags);
        let url = key.url_hash();
        let indexed = store.with_hash(url, |shard| {
            if shard.twin(key.name(), variant, None).is_some() {
                return true;
            }
            // What a key has no place for is older than all that it has.
            let full = store.room.lacks(0) || !shard.has_room_for_cold();
            if full || shard.is_full(key.name()) {
                shard.leave_out();
                return false;
            }
            let mut slot = Slot::new(
                Kept::Name(Box::new(key)),
                store.numbers.next_of_older(),
                variant,
                tags,
                soft,
            );
            slot.disk = Place::At(at);
            shard.insert_oldest(slot);
            true
        });
        // The segment may have had to go in between.
        if self.segment(at.body.segment).is_none() {
            store.forget_segment(at.body.segment);
        }
        indexed
    }

    /// Nothing in the segments before this one counts.
    fn drop_older_than(&self, id: u32) {
        let mut segments = self.segments();
        let kept = segments.split_off(&id);
        for segment in std::mem::replace(&mut *segments, kept).into_values() {
            if let Err(error) = segment.delete() {
                tracing::warn!("cannot delete a segment of the cache: {error}");
            }
        }
    }
}

/// Where the records of a segment begin; `None` where something in it cannot be read.
fn records(segment: &Segment) -> Option<Vec<u32>> {
    let (mut offsets, mut offset) = (Vec::new(), 0);
    loop {
        let found: io::Result<Found> = Record::read(segment, offset);
        match found {
            Ok(Found::Record(record, head)) => {
                offsets.push(offset);
                let next = u64::from(offset) + head as u64 + record.after_head();
                offset = u32::try_from(next).ok()?;
            }
            Ok(Found::Nothing | Found::Torn) => return Some(offsets),
            Ok(Found::Damaged) | Err(_) => return None,
        }
    }
}
