//! Purges of what is stored.
//!
//! A purge takes effect in one pass that only marks: what it hits is not found any more. To take it out of
//! all tables, and to give its memory back, takes many times as long, and comes behind; where room is needed in
//! between, the dead go first.

use std::time::SystemTime;

use super::super::purge::{Aim, Mode};
use super::Shard;
use super::slab::NONE;

impl Shard {
    /// Purges the slots from `from` on, at most `most` of them; gives how many were hit, and where to go on.
    pub(in super::super) fn purge_some(
        &mut self,
        aim: &Aim<'_>,
        (mode, now): (Mode, SystemTime),
        from: u32,
        most: u32,
    ) -> (usize, Option<u32>) {
        let end = self.end().min(from.saturating_add(most));
        let mut hit = 0;
        for id in from..end {
            let hits = self.slots.peek(id).is_some_and(|slot| aim.hits(slot));
            hit += usize::from(hits && self.purge_slot(id, mode, now));
        }
        self.weigh();
        (hit, (end < self.end()).then_some(end))
    }

    /// Purges what is stored under a URL.
    pub(in super::super) fn purge_url(
        &mut self,
        aim: &Aim<'_>,
        url: u64,
        (mode, now): (Mode, SystemTime),
    ) -> usize {
        let mut id = self.first_of_url(url);
        let mut hit = 0;
        while id != NONE {
            let slot = self.slots.get(id);
            let (hits, next) = (aim.hits(slot), slot.links.url_after);
            hit += usize::from(hits && self.purge_slot(id, mode, now));
            id = next;
        }
        hit
    }

    /// Whether the purge changed anything.
    fn purge_slot(&mut self, id: u32, mode: Mode, now: SystemTime) -> bool {
        let slot = self.slots.get_mut(id);
        if slot.dead {
            return false;
        }
        match mode {
            Mode::Hard => {
                slot.dead = true;
                self.dead += 1;
                self.graves.push((id, slot.number));
                true
            }
            Mode::Soft => {
                if let Some(entry) = slot.entry() {
                    entry.soften_at(now);
                }
                !std::mem::replace(&mut slot.soft, true)
            }
        }
    }

    /// Takes out one slot that a purge has hit; whether there was one.
    pub(in super::super) fn bury_one(&mut self) -> bool {
        let Some((id, number)) = self.graves.pop() else {
            return false;
        };
        let there = self.slots.peek(id);
        // Something else may have taken it out.
        if there.is_some_and(|slot| slot.dead && slot.number == number) {
            self.remove(id);
        }
        if self.graves.is_empty() {
            self.graves = Vec::new();
            self.weigh();
        }
        true
    }
}
