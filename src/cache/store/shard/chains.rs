//! How slots are found: by key, and by URL.
//!
//! The slots under one URL are a chain, and those of one key are another one, the newest first. Nearly every URL has one key, so
//! each has one place in one table: that of the newest slot of one of its keys, which is the first of the URL's chain.
//! Where a URL has more keys, the newest slot of each of the others has a place in another table, and stands behind the first
//! under the URL, in no order.

use super::super::disk::Place as OnDisk;
use super::super::key::Name;
use super::Shard;
use super::slab::{Links, NONE, Rank, Slot};

/// More entries than this under one key, told apart by `Vary`, are not kept: the oldest goes.
pub(super) const VARIANTS: usize = 64;

impl Shard {
    /// The newest slot of the keys with this hash, under the URLs with that one.
    pub(super) fn newest(&self, hash: u128, url: u64) -> u32 {
        match self.first_of_url(url) {
            NONE => NONE,
            first if self.slots.get(first).hash() == hash => first,
            first if self.slots.get(first).links.url_after == NONE => NONE,
            _ => self.newest_of_other(hash, url),
        }
    }

    /// The same, where these are not the keys of the first of that URL.
    fn newest_of_other(&self, hash: u128, url: u64) -> u32 {
        let is = |slot: &Slot| slot.hash() == hash && slot.url_hash() == url;
        (self.keys).get(hash as u64, |id| is(self.slots.get(id)))
    }

    /// The first slot of the URLs with this hash.
    pub(super) fn first_of_url(&self, url: u64) -> u32 {
        let slots = &self.slots;
        self.urls.get(url, |id| slots.get(id).url_hash() == url)
    }

    /// The slots of a key, from this one on, the newest first.
    pub(super) fn under(&self, id: u32) -> impl Iterator<Item = (u32, &Slot)> {
        let slot = |id: u32| (id != NONE).then(|| (id, self.slots.get(id)));
        std::iter::successors(slot(id), move |(_, last)| slot(last.links.older))
    }

    /// The slots of a key, the newest first.
    pub(super) fn under_name(&self, name: Name<'_>) -> impl Iterator<Item = (u32, &Slot)> {
        self.under(self.newest(name.hash(), name.url_hash()))
    }

    /// The slot of an entry of this name, unless something has removed it.
    pub(in super::super) fn id_of(&self, name: Name<'_>, number: u64) -> Option<u32> {
        let mut under = self.under_name(name);
        let found = under.find(|(_, slot)| slot.number == number && !slot.dead);
        found.map(|(id, _)| id)
    }

    /// Whether a key has as many slots as are kept.
    pub(in super::super) fn is_full(&self, name: Name<'_>) -> bool {
        self.under_name(name).count() >= VARIANTS
    }

    /// Puts a slot at the head of its key's. It is on no list of the policy.
    pub(in super::super) fn insert(&mut self, slot: Slot) -> u32 {
        let (hash, url) = (slot.hash(), slot.url_hash());
        let first = self.first_of_url(url);
        let id = self.put(slot);
        if first == NONE {
            self.urls.add(url, id);
        } else if self.slots.get(first).hash() == hash {
            self.slots.get_mut(id).links.older = first;
            self.urls.replace(url, first, id);
            self.chain_before(first, id);
        } else {
            match self.newest_of_other(hash, url) {
                NONE => self.keys.add(hash as u64, id),
                older => {
                    self.slots.get_mut(id).links.older = older;
                    self.keys.replace(hash as u64, older, id);
                }
            }
            self.chain_behind(first, id);
        }
        self.bound_variants(id);
        self.weigh();
        id
    }

    /// Puts a slot that is on disk alone behind all others of its key, and of the list.
    pub(in super::super) fn insert_oldest(&mut self, slot: Slot) {
        let (hash, url) = (slot.hash(), slot.url_hash());
        let last = self.under(self.newest(hash, url)).last();
        let id = match last.map(|(oldest, _)| oldest) {
            None => self.insert(slot),
            Some(oldest) => {
                let id = self.put(slot);
                self.slots.get_mut(oldest).links.older = id;
                self.chain_behind(oldest, id);
                self.weigh();
                id
            }
        };
        self.cool_last(id);
    }

    fn put(&mut self, mut slot: Slot) -> u32 {
        self.charge.change_own(0, slot.beside());
        slot.links = Links::NEW;
        let id = self.slots.insert(slot);
        self.sketch.fit(self.slots.len());
        id
    }

    /// Takes a slot out of everything.
    pub(in super::super) fn remove(&mut self, id: u32) -> Slot {
        self.unlist(id);
        let slot = self.slots.remove(id);
        self.charge.change_own(slot.beside(), 0);
        self.dead -= usize::from(slot.dead);
        self.unchain_url(slot.links);
        if slot.links.url_before != NONE {
            self.unchain_key(id, &slot);
            return slot;
        }
        let after = slot.links.url_after;
        let first = match slot.links.older {
            NONE => self.newest_to_be_first(after),
            older => older,
        };
        self.urls.replace(slot.url_hash(), id, first);
        if first != after {
            self.unchain_url(self.slots.get(first).links);
            self.chain_before(after, first);
        }
        slot
    }

    /// The newest of the key that this slot is of, if any, is to be the first of its URL.
    fn newest_to_be_first(&mut self, id: u32) -> u32 {
        if id == NONE {
            return NONE;
        }
        let slot = self.slots.get(id);
        let (hash, url) = (slot.hash(), slot.url_hash());
        let newest = self.newest_of_other(hash, url);
        self.keys.replace(hash as u64, newest, NONE);
        newest
    }

    /// Takes a slot that is not the first of its URL out of the chain of its key.
    fn unchain_key(&mut self, id: u32, slot: &Slot) {
        let hash = slot.hash();
        if self.keys.replace(hash as u64, id, slot.links.older) {
            return;
        }
        let mut newer = self.newest(hash, slot.url_hash());
        while self.slots.get(newer).links.older != id {
            newer = self.slots.get(newer).links.older;
        }
        self.slots.get_mut(newer).links.older = slot.links.older;
    }

    /// Chains a slot in front of another one under its URL, which is the first.
    fn chain_before(&mut self, first: u32, id: u32) {
        self.slots.get_mut(first).links.url_before = id;
        let links = &mut self.slots.get_mut(id).links;
        (links.url_before, links.url_after) = (NONE, first);
    }

    /// Chains a slot behind another one under its URL.
    fn chain_behind(&mut self, before: u32, id: u32) {
        let links = &mut self.slots.get_mut(before).links;
        let after = std::mem::replace(&mut links.url_after, id);
        if after != NONE {
            self.slots.get_mut(after).links.url_before = id;
        }
        let links = &mut self.slots.get_mut(id).links;
        (links.url_before, links.url_after) = (before, after);
    }

    /// Takes a slot with these neighbours under its URL from between them.
    fn unchain_url(&mut self, links: Links) {
        let (before, after) = (links.url_before, links.url_after);
        if before != NONE {
            self.slots.get_mut(before).links.url_after = after;
        }
        if after != NONE {
            self.slots.get_mut(after).links.url_before = before;
        }
    }

    /// Removes the oldest of a key that has too many, unless its fill runs.
    fn bound_variants(&mut self, newest: u32) {
        let mut count = 0;
        let mut last = newest;
        for (id, _) in self.under(newest) {
            (last, count) = (id, count + 1);
        }
        if count <= VARIANTS {
            return;
        }
        // What it is to replace makes room for it.
        let most = VARIANTS + usize::from(self.twin_of(newest).is_some());
        if count > most && self.slots.get(last).links.rank != Rank::None {
            self.unknown |= self.remove(last).disk != OnDisk::None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::super::key::{Key, hash_of};
    use super::super::super::room::Room;
    use super::super::slab::Kept;
    use super::*;

    fn key(url: usize, key: usize) -> Key {
        let url = format!("http://a/{url}");
        let hash = hash_of(7, url.as_bytes());
        Key::new(7, (url.as_str().into(), hash), &[&[key as u8]])
    }

    /// The numbers of the slots under each key, newest first.
    type Model = BTreeMap<(usize, usize), Vec<u64>>;

    /// Everything that the chains and the tables say.
    fn check(shard: &Shard, model: &Model) {
        let mut urls: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for ((url, of), numbers) in model {
            let key = key(*url, *of);
            let under = shard.under_name(key.name());
            let found: Vec<_> = under.map(|(_, slot)| slot.number).collect();
            assert_eq!(&found, numbers);
            urls.entry(*url).or_default().extend(numbers);
        }
        for (url, mut numbers) in urls {
            let (mut found, mut before) = (Vec::new(), NONE);
            let mut id = shard.first_of_url(key(url, 0).url_hash());
            while id != NONE {
                let slot = shard.slot(id);
                assert_eq!(slot.links.url_before, before);
                found.push(slot.number);
                (before, id) = (id, slot.links.url_after);
            }
            found.sort_unstable();
            numbers.sort_unstable();
            assert_eq!(found, numbers);
        }
    }

    proptest! {
        /// Slots come and go under a few URLs with a few keys each, in whatever order: each is found under its key, the newest
        /// first, and under its URL, and nothing else is.
        #[test]
        fn each_slot_is_in_its_chains(steps in vec((0..4_u8, 0..3_usize, 0..3_usize, any::<prop::sample::Index>()), 0..120)) {
            let mut shard = Shard::new(&Room::new(1 << 20), 1 << 20);
            let mut model: Model = (0..9).map(|at| ((at / 3, at % 3), Vec::new())).collect();
            for (number, (what, url, of, which)) in steps.into_iter().enumerate() {
                let number = number as u64;
                let numbers = model.get_mut(&(url, of)).unwrap();
                let kept = Kept::Name(Box::new(key(url, of)));
                let slot = Slot::new(kept, number, Default::default(), Box::new([]), false);
                match what {
                    0 => {
                        shard.insert(slot);
                        numbers.insert(0, number);
                    }
                    1 => {
                        shard.insert_oldest(slot);
                        numbers.push(number);
                    }
                    _ if numbers.is_empty() => {}
                    _ => {
                        let number = numbers.remove(which.index(numbers.len()));
                        let id = shard.id_of(key(url, of).name(), number).unwrap();
                        assert_eq!(shard.remove(id).number, number);
                    }
                }
                check(&shard, &model);
            }
            // One place for each URL, and one for each key beside the first of a URL.
            let keys = model.iter().filter(|(_, numbers)| !numbers.is_empty());
            let mut urls: Vec<_> = keys.clone().map(|((url, _), _)| url).collect();
            urls.dedup();
            assert_eq!(shard.urls.taken(), urls.len());
            assert_eq!(shard.keys.taken(), keys.count() - urls.len());
            (0..shard.end()).for_each(|id| {
                if shard.at(id).is_some() {
                    shard.remove(id);
                }
            });
            assert_eq!((shard.urls.taken(), shard.keys.taken(), shard.len()), (0, 0, 0));
        }
    }
}
