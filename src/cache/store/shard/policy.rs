//! What stays in memory: W-TinyLFU, by bytes.
//!
//! A new entry comes into a small window, where the most recent are kept whatever they are. What
//! leaves it joins the main part on probation; asked for again, it is protected. Where there is no
//! room, the one that has just left the window is compared with the one that has waited longest on
//! probation, and the one that is asked for less often goes. So a scan over many keys, each asked for once,
//! displaces nothing that is asked for again and again.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::Entry;
use super::super::disk::Place as OnDisk;
use super::super::room::Room;
use super::Shard;
use super::slab::{Kept, List, NONE, Rank};

/// A window is this part of a shard's share.
const WINDOW: usize = 100;
/// Protected entries take at most this many tenths of a shard's share.
const PROTECTED: usize = 8;
/// What is on disk alone takes at most this part of a shard's share, in memory.
const COLD: usize = 2;

/// The lists of what is in memory, in the order in which they give.
const EVICTED_FROM: [Rank; 3] = [Rank::Probation, Rank::Protected, Rank::Window];

/// What room is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Newcomer {
    /// An entry of so many bytes.
    Entry(usize),
    /// A piece of one, or nothing: it has come, or comes elsewhere.
    Part,
    /// What another process had, and was asked for less than all that is here.
    Older,
}

impl Newcomer {
    /// The same, for a part that it does not come into.
    pub(in super::super) fn elsewhere(self) -> Self {
        match self {
            Self::Entry(_) => Self::Part,
            same => same,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Entry(bytes) => bytes,
            Self::Part | Self::Older => 0,
        }
    }
}

/// What an eviction did.
#[derive(Debug, Default)]
pub(in super::super) struct Evicted {
    /// Entries that left the memory.
    pub(in super::super) evicted: u64,
    /// Those among them that were new, and not admitted.
    pub(in super::super) rejected: u64,
    /// The memory that the head of the last one was in, if it can be had.
    pub(in super::super) spare: Vec<u8>,
}

/// How much a key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Heat {
    /// How often, roughly, lately: at most 15.
    pub(in super::super) count: u8,
    /// Whether it was asked for again since it was admitted.
    pub(in super::super) protected: bool,
}

impl Heat {
    /// As a byte, for [`Heat::of_byte`].
    pub(in super::super) fn byte(self) -> u8 {
        self.count << 1 | u8::from(self.protected)
    }

    pub(in super::super) fn of_byte(byte: u8) -> Self {
        Self {
            count: (byte >> 1).min(15),
            protected: byte & 1 == 1,
        }
    }
}

impl Shard {
    /// The entry's body is there: from now on it can be evicted.
    pub(in super::super) fn admit(&mut self, id: u32) {
        self.list(id, Rank::Window);
    }

    /// An entry that was on disk alone is in memory, too.
    pub(in super::super) fn warm(&mut self, id: u32, entry: &Arc<Entry>) {
        self.change(id, |slot| slot.kept = Kept::Entry(entry.clone()));
        self.unlist(id);
        self.admit(id);
    }

    /// An entry is on disk alone.
    fn cool(&mut self, id: u32) {
        self.unlist(id);
        self.list(id, Rank::Cold);
    }

    /// An entry is on disk alone, and older than all others that are.
    pub(super) fn cool_last(&mut self, id: u32) {
        self.list_last(id, Rank::Cold);
    }

    /// An entry has come from another process, where it was asked for this much; those that came before it were
    /// asked for more. It can be evicted, before them.
    pub(in super::super) fn admit_last(&mut self, id: u32, heat: Heat) {
        let hash = self.slots.get(id).hash() as u64;
        // Each variant brings the count of its key.
        for _ in self.sketch.estimate(hash)..heat.count {
            self.sketch.count(hash);
        }
        let has_place = self.list_of(Rank::Protected).weight < self.share / 10 * PROTECTED;
        let rank = match heat.protected && has_place {
            true => Rank::Protected,
            false => Rank::Probation,
        };
        self.list_last(id, rank);
    }

    /// Evicts until so many bytes are free, for something that is asked for this much: of what would go first here, but of no
    /// more than `most` entries, what is all together asked for less. Nothing where that would not be enough. How many
    /// entries have left the memory.
    pub(in super::super) fn displace(&mut self, heat: Heat, bytes: usize, most: usize) -> u64 {
        let (mut displaced, mut freed, mut worth) = (Vec::new(), 0, 0);
        for id in self.first_to_go().take(most) {
            if freed >= bytes {
                break;
            }
            let more = worth + u32::from(self.popularity(id));
            if more < u32::from(heat.count) {
                let entry = self.slots.get(id).entry();
                freed += entry.map_or(0, |entry| entry.bytes());
                displaced.push(id);
                worth = more;
            }
        }
        if freed < bytes {
            return 0;
        }
        displaced.iter().for_each(|id| drop(self.evict(*id)));
        displaced.len() as u64
    }

    /// How much the key of a slot is asked for.
    pub(super) fn heat(&self, id: u32) -> Heat {
        Heat {
            count: self.popularity(id),
            protected: self.slots.get(id).links.rank == Rank::Protected,
        }
    }

    /// Whether the index takes another entry that is on disk alone.
    pub(in super::super) fn has_room_for_cold(&self) -> bool {
        !self.dropped && self.list_of(Rank::Cold).weight < self.share / COLD
    }

    /// The entry was asked for.
    pub(super) fn touch(&mut self, id: u32) {
        let slot = self.slots.get_mut(id);
        slot.used = true;
        match slot.links.rank {
            Rank::None | Rank::Cold => {}
            rank @ (Rank::Window | Rank::Protected) => {
                if self.lists[rank as usize].first != id {
                    self.relist(id, rank);
                }
            }
            Rank::Probation => {
                self.relist(id, Rank::Protected);
                self.demote();
            }
        }
    }

    fn demote(&mut self) {
        let most = self.share / 10 * PROTECTED;
        let list = &self.lists[Rank::Protected as usize];
        if list.weight > most && list.length > 1 {
            let last = list.last;
            self.relist(last, Rank::Probation);
        }
    }

    /// Evicts until there is room for `more` bytes, which are for this `newcomer`, or `most` entries have gone, or there is nothing to evict.
    pub(in super::super) fn shrink(
        &mut self,
        room: &Room,
        more: usize,
        newcomer: Newcomer,
        most: usize,
    ) -> Evicted {
        let mut candidates = None;
        let mut done = Evicted::default();
        for _ in 0..most {
            if !room.lacks(more) {
                break;
            }
            if self.bury_one() {
                continue;
            }
            // None of them is dead, and nobody marks one meanwhile.
            let candidates = candidates.get_or_insert_with(|| self.leave_window(newcomer.bytes()));
            if self.list_of(Rank::Cold).weight > self.share / COLD {
                self.drop_cold();
                continue;
            }
            let Some(victim) = self.victim() else {
                if self.list_of(Rank::Cold).last == NONE {
                    break;
                }
                self.drop_cold();
                continue;
            };
            let next = || self.next_to_leave().filter(|_| newcomer != Newcomer::Older);
            let new = candidates.pop().or_else(next);
            let rejected = new
                .filter(|new| *new != victim && self.popularity(*new) <= self.popularity(victim));
            done.evicted += 1;
            done.rejected += u64::from(rejected.is_some());
            done.spare = self.evict(rejected.unwrap_or(victim));
        }
        self.foresee();
        done
    }

    /// Whether there is anything to evict.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.graves.is_empty() && self.lists.iter().all(|list| list.first == NONE)
    }

    /// Moves on what the window has no room for, where so much more is about to come into it; gives it, the first to leave
    /// last. The newest of all is in it, whatever its size.
    fn leave_window(&mut self, more: usize) -> SmallVec<[u32; 8]> {
        let mut left = SmallVec::new();
        loop {
            let window = self.list_of(Rank::Window);
            let fits = window.weight.saturating_add(more) <= self.share / WINDOW;
            if fits || window.length <= usize::from(more == 0) {
                break;
            }
            let last = window.last;
            self.relist(last, Rank::Probation);
            left.push(last);
        }
        left.reverse();
        left
    }

    /// What is compared where nothing has just left the window: it has less than its part, since what was stored is in another
    /// part of the index, or smaller than what went for it. So that what is asked for once displaces nothing then either, but
    /// not from less than half of a window: new entries have their time there.
    fn next_to_leave(&self) -> Option<u32> {
        let window = self.list_of(Rank::Window);
        let is_half = window.weight > self.share / WINDOW / 2 && window.length > 1;
        is_half.then_some(window.last)
    }

    fn victim(&self) -> Option<u32> {
        let mut lasts = EVICTED_FROM.map(|rank| self.list_of(rank).last).into_iter();
        lasts.find(|last| *last != NONE)
    }

    /// What is in memory, in the order in which it leaves where nothing new does in its place.
    fn first_to_go(&self) -> impl Iterator<Item = u32> {
        EVICTED_FROM.into_iter().flat_map(move |rank| {
            let there = |id: u32| (id != NONE).then_some(id);
            let last = there(self.list_of(rank).last);
            std::iter::successors(last, move |id| there(self.slots.get(*id).links.before))
        })
    }

    fn popularity(&self, id: u32) -> u8 {
        self.sketch.estimate(self.slots.get(id).hash() as u64)
    }

    fn drop_cold(&mut self) {
        self.dropped = true;
        self.remove(self.list_of(Rank::Cold).last);
    }

    /// Takes an entry out of memory. Where it is on disk, or on its way there, the index still knows it. Gives the memory that its
    /// head was in, where nobody has the entry any more.
    fn evict(&mut self, id: u32) -> Vec<u8> {
        if matches!(self.slots.get(id).disk, OnDisk::None) {
            let kept = self.remove(id).kept;
            return kept.spare().unwrap_or_default();
        }
        self.change(id, |slot| {
            slot.kept = Kept::Name(Box::new(slot.name().into()))
        });
        self.cool(id);
        Vec::new()
    }

    pub(super) fn list_of(&self, rank: Rank) -> &List {
        &self.lists[rank as usize]
    }

    /// Puts a slot at the head of a list.
    fn list(&mut self, id: u32, rank: Rank) {
        let weight = self.slots.get(id).weight();
        self.list_as(id, rank, weight);
    }

    /// Moves a slot to the head of a list. It weighs what it did: the entry is not looked at.
    fn relist(&mut self, id: u32, rank: Rank) {
        let weight = self.slots.get(id).links.weight;
        self.unlist(id);
        self.list_as(id, rank, weight);
    }

    fn list_as(&mut self, id: u32, rank: Rank, weight: usize) {
        let first = self.lists[rank as usize].first;
        let links = &mut self.slots.get_mut(id).links;
        (links.rank, links.before, links.after) = (rank, NONE, first);
        links.weight = weight;
        if first != NONE {
            self.slots.get_mut(first).links.before = id;
        }
        let list = &mut self.lists[rank as usize];
        list.first = id;
        if list.last == NONE {
            list.last = id;
        }
        list.weight += weight;
        list.length += 1;
    }

    /// Puts a slot at the end of a list.
    fn list_last(&mut self, id: u32, rank: Rank) {
        self.list(id, rank);
        let list = self.lists[rank as usize];
        if list.last == id {
            return;
        }
        // From the head of the list to its end.
        let second = self.slots.get(id).links.after;
        self.slots.get_mut(second).links.before = NONE;
        let links = &mut self.slots.get_mut(id).links;
        (links.before, links.after) = (list.last, NONE);
        self.slots.get_mut(list.last).links.after = id;
        let list = &mut self.lists[rank as usize];
        (list.first, list.last) = (second, id);
    }

    /// Takes a slot off its list.
    pub(in super::super) fn unlist(&mut self, id: u32) {
        let links = &mut self.slots.get_mut(id).links;
        let (rank, before, after) = (links.rank, links.before, links.after);
        if rank == Rank::None {
            return;
        }
        let weight = links.weight;
        (links.rank, links.before, links.after) = (Rank::None, NONE, NONE);
        let list = &mut self.lists[rank as usize];
        list.weight -= weight;
        list.length -= 1;
        match before {
            NONE => list.first = after,
            before => self.slots.get_mut(before).links.after = after,
        }
        match after {
            NONE => self.lists[rank as usize].last = before,
            after => self.slots.get_mut(after).links.before = before,
        }
    }
}
