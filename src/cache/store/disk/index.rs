//! What the disk does to the index.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::shard::Slot;
use super::super::{Entry, Store};
use super::{At, Place};
use crate::cache::Variant;

impl Store {
    /// An entry is complete and in the index, with `Place::Queued`: it waits to be written.
    pub(in super::super) fn write(&self, entry: &Arc<Entry>, variant: Variant) {
        if let Some(disk) = &self.disk
            && !disk.store(entry, variant)
        {
            disk.unwritten.fetch_add(1, Ordering::Relaxed);
            self.not_on_disk(entry);
            disk.void(entry.name(), variant);
        }
    }

    /// Nothing is on disk, or on its way there.
    pub(super) fn forget_all(&self) {
        self.each_step(|shard, ids| {
            for id in ids {
                match shard.at(id).map(in_memory) {
                    Some(true) => shard.slot_mut(id).disk = Place::None,
                    Some(false) if !shard.is_filling(id) => drop(shard.remove(id)),
                    _ => {}
                }
            }
        });
    }

    /// A segment is gone.
    pub(super) fn forget_segment(&self, id: u32) {
        self.forget(|at| at.head.segment == id || at.body.segment == id);
    }

    /// The entry is in memory alone.
    pub(super) fn not_on_disk(&self, entry: &Entry) {
        self.with(entry.name(), |shard| {
            if let Some(id) = shard.id_of(entry.name(), entry.number()) {
                match shard.slot(id).entry().is_some() {
                    true => shard.slot_mut(id).disk = Place::None,
                    false => drop(shard.remove(id)),
                }
            }
        });
    }

    /// What is where `gone` says is not on disk any more.
    fn forget(&self, gone: impl Fn(&At) -> bool) {
        self.each_step(|shard, ids| {
            for id in ids {
                let Some(slot) = shard.at(id) else {
                    continue;
                };
                let disk = match slot.disk {
                    Place::At(at) if gone(&at) => Place::None,
                    Place::Queued(Some(at)) if gone(&at) => Place::Queued(None),
                    _ => continue,
                };
                // A reader of a body on disk has the file, and reads it to its end.
                match in_memory(slot) || (disk == Place::Queued(None) && !on_disk(slot)) {
                    true => shard.slot_mut(id).disk = disk,
                    false => drop(shard.remove(id)),
                }
            }
        });
    }

    /// Entries in memory that were asked for since they were written to this segment, up to so many bytes: they
    /// are queued again.
    pub(super) fn rescue(&self, segment: u32, most: u64) -> Vec<(Arc<Entry>, Variant)> {
        let (mut rescued, mut bytes) = (Vec::new(), 0);
        self.each_step(|shard, ids| {
            for id in ids {
                let there = shard.at(id).filter(|slot| match slot.disk {
                    Place::At(at) => at.body.segment == segment && slot.used && in_memory(slot),
                    _ => false,
                });
                let entry = there.and_then(|slot| Some((slot.entry()?.clone(), slot.variant)));
                if let Some((entry, variant)) = entry.filter(|_| bytes < most) {
                    bytes += entry.length().unwrap_or(0);
                    shard.slot_mut(id).disk = Place::Queued(None);
                    rescued.push((entry, variant));
                }
            }
        });
        rescued
    }
}

fn in_memory(slot: &Slot) -> bool {
    slot.entry().is_some_and(|entry| entry.pieces().is_some())
}

fn on_disk(slot: &Slot) -> bool {
    slot.entry().is_some_and(|entry| entry.stretch().is_some())
}
