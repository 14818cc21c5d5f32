//! Where chains of slots begin.

use super::super::prefetch::will_read;
use super::super::room::allocated;
use super::slab::NONE;

/// The first slot of each chain, by a hash of what the chain is of: open addressing with linear probing. A place is eight bytes,
/// and is found, moved and freed by what it says itself, so that each of these waits for one line of memory, and growing
/// waits for no slot. Half of the hash is in it: whether another chain has the same half is for the slots to say.
#[derive(Debug)]
pub(in super::super) struct Firsts {
    /// As many as a power of two, and never all taken.
    places: Box<[Place]>,
    taken: usize,
}

#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
pub(in super::super) struct Place {
    /// The lower half of the hash, which also says where the place would be best.
    tag: u32,
    id: u32,
}

/// The smallest table: one line of memory.
const LEAST: usize = 8;
const FREE: Place = Place { tag: 0, id: NONE };

impl Default for Firsts {
    fn default() -> Self {
        Self {
            places: Box::new([FREE; LEAST]),
            taken: 0,
        }
    }
}

impl Firsts {
    /// The first slot of the chain with this hash that `is` the one, which is asked of slots with other hashes, too; else
    /// [`NONE`].
    pub(super) fn get(&self, hash: u64, is: impl Fn(u32) -> bool) -> u32 {
        match self.find(hash as u32, is) {
            Some(at) => self.places[at].id,
            None => NONE,
        }
    }

    /// A slot begins a chain that there is none of yet.
    pub(super) fn add(&mut self, hash: u64, id: u32) {
        // At most five in eight are taken, so that runs of them are short.
        if (self.taken + 1) * 8 > self.places.len() * 5 {
            let larger = vec![FREE; self.places.len() * 2].into_boxed_slice();
            let smaller = std::mem::replace(&mut self.places, larger);
            let taken = smaller.iter().filter(|place| place.id != NONE);
            taken.for_each(|place| self.put(*place));
        }
        self.taken += 1;
        self.put(Place {
            tag: hash as u32,
            id,
        });
    }

    /// Another slot, or none at all, is first where this one is; whether this one is.
    pub(super) fn replace(&mut self, hash: u64, id: u32, by: u32) -> bool {
        let Some(at) = self.find(hash as u32, |first| first == id) else {
            return false;
        };
        match by {
            NONE => self.free(at),
            by => self.places[at].id = by,
        }
        true
    }

    /// Someone will look for a chain with this hash in a moment.
    pub(super) fn will_find(&self, hash: u64) {
        will_read(&self.places[self.place(Self::best(hash))]);
    }

    /// How large the table is, in places.
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    /// How many of them are taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    pub(super) fn bytes(&self) -> usize {
        allocated(size_of_val(&*self.places))
    }

    /// All places.
    pub(super) fn all(&self) -> &[Place] {
        &self.places
    }

    /// Where the place of a chain with this hash would be best, counted round and round.
    pub(in super::super) fn best(hash: u64) -> usize {
        hash as u32 as usize
    }

    fn place(&self, number: usize) -> usize {
        number & (self.places.len() - 1)
    }

    fn find(&self, tag: u32, is: impl Fn(u32) -> bool) -> Option<usize> {
        let mut at = self.place(tag as usize);
        loop {
            let place = self.places[at];
            if place.id == NONE {
                return None;
            }
            if place.tag == tag && is(place.id) {
                return Some(at);
            }
            at = self.place(at + 1);
        }
    }

    fn put(&mut self, place: Place) {
        let mut at = self.place(place.tag as usize);
        while self.places[at].id != NONE {
            at = self.place(at + 1);
        }
        self.places[at] = place;
    }

    /// Frees a place, and moves up what had to stand behind it.
    fn free(&mut self, mut at: usize) {
        let last = self.places.len() - 1;
        let mut next = self.place(at + 1);
        while self.places[next].id != NONE {
            let place = self.places[next];
            let from_best = next.wrapping_sub(place.tag as usize) & last;
            if from_best >= next.wrapping_sub(at) & last {
                self.places[at] = place;
                at = next;
            }
            next = self.place(next + 1);
        }
        self.places[at] = FREE;
        self.taken -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn chains_with_one_hash_are_told_apart_and_found_when_the_table_has_grown() {
        let mut firsts = Firsts::default();
        for id in 0..1_000 {
            firsts.add(u64::from(id % 10), id);
        }
        // What is asked about comes from any chain.
        let of = |last: u32| move |id: u32| id % 10 == last && id > 500;
        assert_eq!(firsts.get(3, of(3)) % 10, 3);
        assert_eq!(firsts.get(3, |id| id == 1_003), NONE);
        assert!(firsts.replace(3, 503, 5_003) && !firsts.replace(3, 503, 1));
        assert_eq!(firsts.get(3, |id| id == 5_003), 5_003);
        assert!(firsts.replace(3, 5_003, NONE));
        assert_eq!(firsts.get(3, |id| id == 5_003), NONE);
        assert!(firsts.bytes() >= 1_000 * 8);
        assert!(firsts.places() == firsts.places().next_power_of_two());
    }

    proptest! {
        /// Whatever comes, goes and is replaced, in places that are full, run over the end, or have one hash: what is there
        /// is found, and nothing else is.
        #[test]
        fn what_is_there_is_found(steps in vec((0..3_u8, 0..64_u32, any::<bool>()), 0..600), high in any::<u32>()) {
            let (mut firsts, mut there) = (Firsts::default(), BTreeMap::new());
            // Many share their best place, and some the whole of what is kept of the hash; some are best at the end.
            let hash_of = |id: u32| u64::from((id / 3 * 5) | (high & !0x3f)) | u64::from(id) << 40;
            for (step, (what, key, again)) in steps.into_iter().enumerate() {
                let (hash, id) = (hash_of(key), there.get(&key).copied());
                let fresh = (1 << 10 | key) + ((step as u32) << 12);
                match (what, id) {
                    (0 | 1, None) => {
                        firsts.add(hash, fresh);
                        there.insert(key, fresh);
                    }
                    (0, Some(id)) if again => {
                        prop_assert!(firsts.replace(hash, id, fresh));
                        there.insert(key, fresh);
                    }
                    (2, Some(id)) => {
                        prop_assert!(firsts.replace(hash, id, NONE));
                        there.remove(&key);
                    }
                    (_, None) => prop_assert!(!firsts.replace(hash, fresh, NONE)),
                    _ => {}
                }
                for key in 0..64 {
                    let found = firsts.get(hash_of(key), |id| id & 0x3f == key);
                    prop_assert_eq!(found, there.get(&key).copied().unwrap_or(NONE));
                }
                let taken = firsts.places.iter().filter(|place| place.id != NONE).count();
                prop_assert_eq!((taken, firsts.taken), (there.len(), there.len()));
            }
        }
    }
}
