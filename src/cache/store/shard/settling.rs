//! Entries that have come to their end, and what they replace.

use std::sync::Arc;

use super::super::Entry;
use super::super::disk::Place as OnDisk;
use super::super::key::Name;
use super::slab::{Kept, Rank};
use super::{Heat, Shard};
use crate::cache::Variant;

impl Shard {
    /// The newest slot under this name that was chosen by the same `Vary`, but for `id` itself.
    pub(in super::super) fn twin(
        &self,
        name: Name<'_>,
        variant: Variant,
        but: Option<u32>,
    ) -> Option<u32> {
        let mut under = self.under_name(name);
        let twin = under.find(|(id, slot)| {
            let same = !slot.dead && slot.variant == variant && slot.name().is(name);
            same && Some(*id) != but && slot.links.rank != Rank::None
        });
        twin.map(|(id, _)| id)
    }

    /// The newest other slot under its name that was chosen by the same `Vary`.
    pub(super) fn twin_of(&self, id: u32) -> Option<u32> {
        let slot = self.slots.get(id);
        if slot.links.is_only_one() {
            return None; // all of one name have one URL
        }
        self.twin(slot.name(), slot.variant, Some(id))
    }

    /// The entry of a slot is complete: it replaces those that the same `Vary` chose, unless one of them is of a
    /// later fetch, and from now on it can be evicted. Whether it stays.
    pub(in super::super) fn settle(&mut self, id: u32, to_disk: bool) -> bool {
        let stays = self.replace(id, to_disk);
        if stays {
            self.admit(id);
        }
        stays
    }

    /// The same for one that has come from another process, where it was asked for this much.
    pub(in super::super) fn settle_last(&mut self, id: u32, to_disk: bool, heat: Heat) -> bool {
        let stays = self.replace(id, to_disk);
        if stays {
            self.admit_last(id, heat);
        }
        stays
    }

    /// A complete entry replaces those that the same `Vary` chose; whether it stays.
    fn replace(&mut self, id: u32, to_disk: bool) -> bool {
        while let Some(twin) = self.twin_of(id) {
            if self.slots.get(twin).number > self.slots.get(id).number {
                self.remove(id);
                return false;
            }
            self.remove(twin);
        }
        if to_disk {
            self.slots.get_mut(id).disk = OnDisk::Queued(None);
        }
        true
    }

    /// The slot's entry gets another head.
    pub(in super::super) fn renew(
        &mut self,
        id: u32,
        entry: &Arc<Entry>,
        variant: Variant,
        tags: &[u64],
        to_disk: bool,
    ) {
        self.change(id, |slot| {
            (slot.kept, slot.number) = (Kept::Entry(entry.clone()), entry.number());
            slot.soft = entry.is_purged();
            (slot.variant, slot.tags) = (variant, tags.into());
        });
        if !entry.is_filling() {
            let slot = self.slots.get_mut(id);
            slot.disk = match slot.disk {
                OnDisk::At(at) => OnDisk::Queued(Some(at)),
                OnDisk::None if to_disk => OnDisk::Queued(None),
                same => same,
            };
            self.unlist(id);
            while let Some(twin) = self.twin_of(id) {
                self.remove(twin);
            }
            self.admit(id);
        }
    }
}
