//! A part of the index: all that is stored under the URLs whose hash leads here.

mod ahead;
mod chains;
mod firsts;
mod passing;
mod policy;
mod purges;
mod running;
mod settling;
mod slab;

use std::sync::Arc;

use hashbrown::HashTable;

pub(super) use firsts::{Firsts, Place};
pub(super) use passing::Passing;
pub(super) use policy::{Heat, Newcomer};
use running::Alone;
pub(super) use running::{Only, Running};
pub(super) use slab::{Kept, Slot};

use super::disk::Place as OnDisk;
use super::key::Key;
use super::room::{Charge, Room, allocated};
use super::sketch::Sketch;
use super::{Entry, Find, FindGood};
use slab::{List, NONE, Rank, Slab};

/// How many keys of a shard are remembered to be not for the cache.
const ALONE: usize = 512;

/// A part of the index. All that is stored under one URL is in one part.
#[derive(Debug)]
pub(super) struct Shard {
    slots: Slab,
    /// For each URL the newest slot of one of its keys; its `url_after` leads to the others under the URL.
    urls: Firsts,
    /// The newest slot of each other key; its `older` leads on.
    keys: Firsts,
    /// Something that was on disk had to leave the index: what is older must not be found in its place.
    dropped: bool,
    /// Something is on disk, and counts there, that the index has no place for: what purges it has to be written.
    unknown: bool,
    /// The lists of the policy, by [`Rank`].
    lists: [List; 4],
    sketch: Sketch,
    /// Who fetches, by key and whose requests they are.
    running: HashTable<Running>,
    /// Keys that are not for the cache, each at the place that its hash gives it.
    alone: Box<[Option<Alone>]>,
    /// How many there are: where there is none, as in most parts at most times, nobody looks for one.
    alones: usize,
    /// Slots that a purge has hit, and that are to be taken out: their places and numbers. They are not found any
    /// more.
    graves: Vec<(u32, u64)>,
    dead: usize,
    /// What this part weighs when memory is shared out evenly.
    share: usize,
    /// How large the tables were when they were last counted, and what they took.
    counted: Sizes,
    tables: usize,
    /// For the tables, and what slots hold beside themselves and their entries.
    charge: Charge,
}

/// How large the tables are, in the units of each.
type Sizes = [usize; 6];

impl Shard {
    pub(super) fn new(room: &Arc<Room>, share: usize) -> Self {
        let mut shard = Self {
            slots: Slab::default(),
            urls: Firsts::default(),
            keys: Firsts::default(),
            dropped: false,
            unknown: false,
            lists: [List::EMPTY; 4],
            sketch: Sketch::new(),
            running: HashTable::new(),
            alone: vec![None; ALONE].into_boxed_slice(),
            alones: 0,
            graves: Vec::new(),
            dead: 0,
            share,
            counted: Sizes::default(),
            tables: 0,
            charge: Charge::new(room, 0),
        };
        shard.count();
        shard
    }

    /// Looks for the newest entry that fits, and counts that it was asked for.
    pub(super) fn find(&mut self, key: &Key, fits: impl FnMut(&Entry) -> bool) -> Find {
        self.sketch.count(key.hash() as u64);
        match self.look(key, fits) {
            Ok(id) => {
                self.touch(id);
                let entry = self.slots.get(id).entry();
                Find::Found(entry.expect("what fits is in memory").clone())
            }
            Err(true) => Find::OnDisk,
            Err(false) => Find::Missing,
        }
    }

    /// The same, where that entry is `good`. Where it is not, it is as if nobody had looked, unless there is nothing at all.
    pub(super) fn find_good(
        &mut self,
        key: &Key,
        fits: impl FnMut(&Entry) -> bool,
        good: impl FnOnce(&Entry) -> bool,
    ) -> FindGood {
        let newest = self.newest(key.hash(), key.url_hash());
        if newest == NONE {
            self.sketch.count(key.hash() as u64);
            return FindGood::Nothing;
        }
        let id = self.look_from(newest, key, fits).ok();
        let entry = id.and_then(|id| Some((id, self.slots.get(id).entry()?)));
        let Some((id, entry)) = entry.filter(|(_, entry)| good(entry)) else {
            return FindGood::Other;
        };
        let entry = entry.clone();
        self.sketch.count(key.hash() as u64);
        self.touch(id);
        FindGood::Good(entry)
    }

    /// The newest entry that fits; or else, whether there is something on disk.
    pub(super) fn peek(&self, key: &Key, fits: impl FnMut(&Entry) -> bool) -> Option<Arc<Entry>> {
        let id = self.look(key, fits).ok()?;
        self.slots.get(id).entry().cloned()
    }

    fn look(&self, key: &Key, fits: impl FnMut(&Entry) -> bool) -> Result<u32, bool> {
        self.look_from(self.newest(key.hash(), key.url_hash()), key, fits)
    }

    /// The same, where the newest slot of the key is known.
    fn look_from(
        &self,
        newest: u32,
        key: &Key,
        mut fits: impl FnMut(&Entry) -> bool,
    ) -> Result<u32, bool> {
        let mut on_disk = false;
        for (id, slot) in self.under(newest) {
            if !slot.dead && slot.is_of(key) {
                match slot.entry() {
                    Some(entry) if !entry.is_broken() && fits(entry) => return Ok(id),
                    Some(_) => {}
                    None => on_disk |= matches!(slot.disk, OnDisk::At(_)),
                }
            }
        }
        Err(on_disk)
    }

    /// Each slot under the key that is on disk and not in memory, newest first.
    pub(super) fn on_disk(&self, key: &Key) -> Vec<(u64, super::disk::At)> {
        let mut found = Vec::new();
        for (_, slot) in self.under_name(key.name()) {
            let there = !slot.dead && slot.is_of(key);
            if let (true, None, OnDisk::At(at)) = (there, slot.entry(), slot.disk) {
                found.push((slot.number, at));
            }
        }
        found
    }

    /// Something that is on disk is left out of the index.
    pub(super) fn leave_out(&mut self) {
        self.unknown = true;
    }

    pub(super) fn slot(&self, id: u32) -> &Slot {
        self.slots.get(id)
    }

    pub(super) fn slot_mut(&mut self, id: u32) -> &mut Slot {
        self.slots.get_mut(id)
    }

    /// Changes a slot in what it holds beside itself.
    fn change(&mut self, id: u32, change: impl FnOnce(&mut Slot)) {
        let slot = self.slots.get_mut(id);
        let before = slot.beside();
        change(slot);
        self.charge.change_own(before, slot.beside());
    }

    /// Whether the slot's body is still coming.
    pub(super) fn is_filling(&self, id: u32) -> bool {
        self.slots.get(id).links.rank == Rank::None
    }

    /// Whether all that counts on disk is in the index.
    pub(super) fn knows_all(&self) -> bool {
        !self.dropped && !self.unknown
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.dead
    }

    /// Slots by position: the one at `id`, if any, for as long as `id` is below [`Shard::end`].
    pub(super) fn at(&self, id: u32) -> Option<&Slot> {
        self.slots.peek(id)
    }

    pub(super) fn end(&self) -> u32 {
        self.slots.end()
    }

    /// The tables that a look begins with.
    pub(super) fn tables(&self) -> (&[Place], &[u64]) {
        (self.urls.all(), self.sketch.all())
    }

    /// What can be evicted here.
    pub(super) fn weight(&self) -> usize {
        self.lists.iter().map(|list| list.weight).sum()
    }

    /// Counts the memory of the tables, where one of them has another size than when it was counted last.
    fn weigh(&mut self) {
        let sizes = [
            self.keys.places(),
            self.urls.places(),
            self.running.num_buckets(),
            self.graves.capacity(),
            self.slots.bytes(),
            self.sketch.all().len(),
        ];
        if std::mem::replace(&mut self.counted, sizes) != sizes {
            self.count();
        }
    }

    fn count(&mut self) {
        let running = allocated(self.running.allocation_size());
        let tables = self.keys.bytes() + self.urls.bytes() + running;
        let alone = self.alone.len() * size_of::<Option<Alone>>();
        let graves = allocated(self.graves.capacity() * size_of::<(u32, u64)>());
        let all = tables + self.slots.bytes() + self.sketch.bytes();
        let all = all + alone + graves + size_of::<Self>();
        self.charge.change_own(self.tables, all);
        self.tables = all;
    }
}
