//! Where chains of slots begin.

use hashbrown::HashTable;

use super::super::room::allocated;
use super::slab::NONE;

/// The first slot of each chain, by a hash of what the chain is of. The table has numbers alone, so that all of it is as small
/// as can be: what a slot is of, the slot itself knows.
#[derive(Debug, Default)]
pub(super) struct Firsts(HashTable<u32>);

impl Firsts {
    /// The first slot of the chain with this hash that `is` the one, which is asked of slots with other hashes, too; else
    /// [`NONE`].
    pub(super) fn get(&self, hash: u64, is: impl Fn(u32) -> bool) -> u32 {
        let first = self.0.find(hash, |id| is(*id));
        first.copied().unwrap_or(NONE)
    }

    /// A slot begins a chain that there is none of yet.
    pub(super) fn add(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        self.0.insert_unique(hash, id, |id| hash_of(*id));
    }

    /// Another slot, or none at all, is first where this one is; whether this one is.
    pub(super) fn replace(&mut self, hash: u64, id: u32, by: u32) -> bool {
        let Ok(mut first) = self.0.find_entry(hash, |first| *first == id) else {
            return false;
        };
        match by {
            NONE => drop(first.remove()),
            by => *first.get_mut() = by,
        }
        true
    }

    /// How large the table is, in places.
    pub(super) fn places(&self) -> usize {
        self.0.num_buckets()
    }

    pub(super) fn bytes(&self) -> usize {
        allocated(self.0.allocation_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_with_one_hash_are_told_apart_and_found_when_the_table_has_grown() {
        let mut firsts = Firsts::default();
        for id in 0..1_000 {
            firsts.add(u64::from(id % 10), id, |id| u64::from(id % 10));
        }
        // What is asked about comes from any chain.
        let of = |last: u32| move |id: u32| id % 10 == last && id > 500;
        assert_eq!(firsts.get(3, of(3)) % 10, 3);
        assert_eq!(firsts.get(3, |id| id == 1_003), NONE);
        assert!(firsts.replace(3, 503, 5_003) && !firsts.replace(3, 503, 1));
        assert_eq!(firsts.get(3, |id| id == 5_003), 5_003);
        assert!(firsts.replace(3, 5_003, NONE));
        assert_eq!(firsts.get(3, |id| id == 5_003), NONE);
        assert!(firsts.bytes() >= 5_000);
    }
}
