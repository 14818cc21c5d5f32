//! What goes over from here to a store of another process.

use std::ops::Range;
use std::sync::Arc;

use super::super::Entry;
use super::slab::Rank;
use super::{Heat, Shard};
use crate::cache::Variant;

/// An entry that goes over.
#[derive(Debug)]
pub(in super::super) struct Passing {
    pub(in super::super) entry: Arc<Entry>,
    pub(in super::super) soft: bool,
    pub(in super::super) variant: Variant,
    pub(in super::super) heat: Heat,
}

impl Shard {
    /// How much the key of this slot is asked for, where it is the newest one of that key and some entry under the key is
    /// one of the `wanted` numbers.
    pub(in super::super) fn heat_of_newest(
        &self,
        id: u32,
        wanted: impl Fn(u64) -> bool,
    ) -> Option<Heat> {
        let slot = self.slots.peek(id)?;
        let is_newest = self.newest(slot.hash(), slot.url_hash()) == id;
        let any = |id| self.under(id).any(|(_, slot)| wanted(slot.number));
        (is_newest && any(id)).then(|| self.heat(id))
    }

    /// What is in memory, as a whole, under the key with this hash, of the URL with that one, the oldest first.
    pub(in super::super) fn passing(
        &self,
        hash: u128,
        url: u64,
        wanted: impl Fn(u64) -> bool,
    ) -> Vec<Passing> {
        let newest = self.newest(hash, url);
        let each = self.under(newest).filter(|(_, slot)| {
            let is_whole = slot.entry().is_some_and(|entry| entry.pieces().is_some());
            is_whole && slot.links.rank != Rank::None && !slot.dead && wanted(slot.number)
        });
        let passing = each.filter_map(|(id, slot)| {
            Some(Passing {
                entry: slot.entry()?.clone(),
                soft: slot.soft,
                variant: slot.variant,
                heat: self.heat(id),
            })
        });
        let mut passing: Vec<_> = passing.collect();
        passing.reverse();
        passing
    }

    /// The numbers of what is still being fetched: in these slots, and, with the first of them, of what has none yet.
    pub(in super::super) fn coming(&self, ids: Range<u32>) -> impl Iterator<Item = u64> {
        let running = (ids.start == 0).then_some(&self.running);
        let slots = ids.filter_map(|id| self.slots.peek(id));
        let filling = slots.filter(|slot| slot.links.rank == Rank::None);
        let running = running
            .into_iter()
            .flat_map(|running| running.iter().map(|one| one.number));
        filling.map(|slot| slot.number).chain(running)
    }
}
