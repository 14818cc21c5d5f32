//! A part of the index: all that is stored under the URLs whose hash leads here.

mod firsts;
mod passing;
mod policy;
mod purges;
mod running;
mod settling;
mod slab;

use std::sync::Arc;

use hashbrown::HashTable;

pub(super) use passing::Passing;
pub(super) use policy::{Heat, Newcomer};
use running::Alone;
pub(super) use running::{Only, Running};
pub(super) use slab::{Kept, Slot};

use super::disk::Place as OnDisk;
use super::key::{Key, Name};
use super::room::{Charge, Room, allocated};
use super::sketch::Sketch;
use super::{Entry, Find, FindGood};
use firsts::Firsts;
use slab::{Links, List, NONE, Rank, Slab};

/// More entries than this under one key, told apart by `Vary`, are not kept: the oldest goes.
pub(super) const VARIANTS: usize = 64;
/// How many keys of a shard are remembered to be not for the cache.
const ALONE: usize = 512;

/// A part of the index. All that is stored under one URL is in one part.
#[derive(Debug)]
pub(super) struct Shard {
    slots: Slab,
    /// The newest slot of each key; its `older` leads on.
    keys: Firsts,
    /// A slot of each URL; its `url_after` leads on.
    urls: Firsts,
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
            keys: Firsts::default(),
            urls: Firsts::default(),
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
        if self.newest(key.hash()) == NONE {
            self.sketch.count(key.hash() as u64);
            return FindGood::Nothing;
        }
        let id = self.look(key, fits).ok();
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

    fn look(&self, key: &Key, mut fits: impl FnMut(&Entry) -> bool) -> Result<u32, bool> {
        let mut id = self.newest(key.hash());
        let mut on_disk = false;
        while id != NONE {
            let slot = self.slots.get(id);
            if !slot.dead && slot.is_of(key) {
                match slot.entry() {
                    Some(entry) if !entry.is_broken() && fits(entry) => return Ok(id),
                    Some(_) => {}
                    None => on_disk |= matches!(slot.disk, OnDisk::At(_)),
                }
            }
            id = slot.links.older;
        }
        Err(on_disk)
    }

    /// The newest slot of the keys with this hash.
    fn newest(&self, hash: u128) -> u32 {
        let slots = &self.slots;
        self.keys
            .get(hash as u64, |id| slots.get(id).hash() == hash)
    }

    /// The first slot of the URLs with this hash.
    fn first_of_url(&self, url: u64) -> u32 {
        let slots = &self.slots;
        self.urls.get(url, |id| slots.get(id).url_hash() == url)
    }

    /// Each slot under the key that is on disk and not in memory, newest first.
    pub(super) fn on_disk(&self, key: &Key) -> Vec<(u64, super::disk::At)> {
        let mut id = self.newest(key.hash());
        let mut found = Vec::new();
        while id != NONE {
            let slot = self.slots.get(id);
            let there = !slot.dead && slot.is_of(key);
            if let (true, None, OnDisk::At(at)) = (there, slot.entry(), slot.disk) {
                found.push((slot.number, at));
            }
            id = slot.links.older;
        }
        found
    }

    /// Puts a slot at the head of its key's. It is on no list of the policy.
    pub(super) fn insert(&mut self, mut slot: Slot) -> u32 {
        let (hash, url) = (slot.hash(), slot.url_hash());
        self.charge.change_own(0, slot.beside());
        slot.links = Links::NEW;
        let (older, after) = (self.newest(hash), self.first_of_url(url));
        (slot.links.older, slot.links.url_after) = (older, after);
        let id = self.slots.insert(slot);
        let slots = &self.slots;
        match older {
            NONE => (self.keys).add(hash as u64, id, |id| slots.get(id).hash() as u64),
            older => drop(self.keys.replace(hash as u64, older, id)),
        }
        match after {
            NONE => self.urls.add(url, id, |id| slots.get(id).url_hash()),
            after => {
                self.urls.replace(url, after, id);
                self.slots.get_mut(after).links.url_before = id;
            }
        }
        self.sketch.fit(self.slots.len());
        self.bound_variants(id);
        self.weigh();
        id
    }

    /// Puts a slot that is on disk alone behind all others of its key, and of the list.
    pub(super) fn insert_oldest(&mut self, slot: Slot) {
        let hash = slot.hash();
        let newest = self.newest(hash);
        let id = self.insert(slot);
        if newest != NONE {
            let mut oldest = newest;
            while self.slots.get(oldest).links.older != NONE {
                oldest = self.slots.get(oldest).links.older;
            }
            self.keys.replace(hash as u64, id, newest);
            self.slots.get_mut(id).links.older = NONE;
            self.slots.get_mut(oldest).links.older = id;
        }
        self.cool_last(id);
    }

    /// Takes a slot out of everything.
    pub(super) fn remove(&mut self, id: u32) -> Slot {
        self.unlist(id);
        let slot = self.slots.remove(id);
        self.charge.change_own(slot.beside(), 0);
        self.dead -= usize::from(slot.dead);
        self.unchain_key(id, &slot);
        let (url_before, url_after) = (slot.links.url_before, slot.links.url_after);
        if url_after != NONE {
            self.slots.get_mut(url_after).links.url_before = url_before;
        }
        match url_before {
            NONE => drop(self.urls.replace(slot.url_hash(), id, url_after)),
            before => self.slots.get_mut(before).links.url_after = url_after,
        }
        slot
    }

    fn unchain_key(&mut self, id: u32, slot: &Slot) {
        let hash = slot.hash();
        if self.keys.replace(hash as u64, id, slot.links.older) {
            return;
        }
        let mut newer = self.newest(hash);
        while self.slots.get(newer).links.older != id {
            newer = self.slots.get(newer).links.older;
        }
        self.slots.get_mut(newer).links.older = slot.links.older;
    }

    /// Removes the oldest of a key that has too many, unless its fill runs.
    fn bound_variants(&mut self, newest: u32) {
        let (mut id, mut count) = (newest, 1);
        while self.slots.get(id).links.older != NONE {
            id = self.slots.get(id).links.older;
            count += 1;
        }
        if count <= VARIANTS {
            return;
        }
        // What it is to replace makes room for it.
        let most = VARIANTS + usize::from(self.twin_of(newest).is_some());
        if count > most && self.slots.get(id).links.rank != Rank::None {
            self.unknown |= self.remove(id).disk != OnDisk::None;
        }
    }

    /// Whether a key has as many slots as are kept.
    pub(super) fn is_full(&self, name: Name<'_>) -> bool {
        let (mut id, mut count) = (self.newest(name.hash()), 0);
        while id != NONE {
            id = self.slots.get(id).links.older;
            count += 1;
        }
        count >= VARIANTS
    }

    /// Something that is on disk is left out of the index.
    pub(super) fn leave_out(&mut self) {
        self.unknown = true;
    }

    /// The slot of an entry under a key with this hash, unless something has removed it.
    pub(super) fn id_of(&self, hash: u128, number: u64) -> Option<u32> {
        let mut id = self.newest(hash);
        while id != NONE {
            let slot = self.slots.get(id);
            if slot.number == number && !slot.dead {
                return Some(id);
            }
            id = slot.links.older;
        }
        None
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
            self.sketch.words(),
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
