//! Slots, found by number, and chained into lists without further memory.

use std::sync::Arc;

use super::super::Entry;
use super::super::disk::Place as OnDisk;
use super::super::key::{Key, Name};
use super::super::room::allocated;
use crate::cache::Variant;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// What the index knows of an entry, whether that is in memory or on disk. What is needed to choose an entry that is to go, and
/// to take it out of the index, is all here: the entry itself has not been touched for long.
#[derive(Debug)]
pub(in super::super) struct Slot {
    hash: u128,
    url_hash: u64,
    /// The entry's number: tells this entry from the one that the slot had before.
    pub(in super::super) number: u64,
    pub(super) kept: Kept,
    pub(super) links: Links,
    /// What `Vary` chose it by.
    pub(in super::super) variant: Variant,
    /// The hashes of its tags.
    pub(in super::super) tags: Box<[u64]>,
    pub(in super::super) disk: OnDisk,
    /// A hard purge has hit it: it is not found any more.
    pub(in super::super) dead: bool,
    /// A soft purge has hit it.
    pub(in super::super) soft: bool,
    /// It was asked for since it was written to disk.
    pub(in super::super) used: bool,
}

/// What there is of an entry.
#[derive(Clone, Debug)]
pub(in super::super) enum Kept {
    /// It is in memory.
    Entry(Arc<Entry>),
    /// It is on disk alone.
    Name(Box<Key>),
}

impl Slot {
    /// A slot that is neither dead nor on a list.
    pub(in super::super) fn new(
        kept: Kept,
        number: u64,
        variant: Variant,
        tags: Box<[u64]>,
        soft: bool,
    ) -> Self {
        let name = kept.name();
        Self {
            hash: name.hash(),
            url_hash: name.url_hash(),
            number,
            kept,
            links: Links::NEW,
            variant,
            tags,
            disk: OnDisk::None,
            dead: false,
            soft,
            used: false,
        }
    }

    pub(in super::super) fn hash(&self) -> u128 {
        self.hash
    }

    pub(in super::super) fn url_hash(&self) -> u64 {
        self.url_hash
    }

    pub(in super::super) fn name(&self) -> Name<'_> {
        self.kept.name()
    }

    /// Whether it is of this key.
    pub(super) fn is_of(&self, key: &Key) -> bool {
        self.hash == key.hash() && self.name().is(key.name())
    }

    /// The entry, if it is in memory.
    pub(in super::super) fn entry(&self) -> Option<&Arc<Entry>> {
        match &self.kept {
            Kept::Entry(entry) => Some(entry),
            Kept::Name(_) => None,
        }
    }

    /// The memory that it takes beside its own size and its entry.
    pub(super) fn beside(&self) -> usize {
        let name = match &self.kept {
            Kept::Entry(_) => 0,
            Kept::Name(name) => allocated(size_of::<Key>()) + name.bytes(),
        };
        allocated(size_of_val(&*self.tags)) + name
    }

    /// What it weighs on a list of the policy.
    pub(super) fn weight(&self) -> usize {
        let entry = self.entry().map_or(0, |entry| entry.bytes());
        size_of::<Self>() + self.beside() + entry
    }
}

impl Kept {
    /// The memory that the head of the entry was in, where nobody else has the entry.
    pub(super) fn spare(self) -> Option<Vec<u8>> {
        match self {
            Self::Entry(entry) => Arc::into_inner(entry).map(Entry::into_spare),
            Self::Name(_) => None,
        }
    }

    fn name(&self) -> Name<'_> {
        match self {
            Self::Entry(entry) => entry.name(),
            Self::Name(key) => key.name(),
        }
    }
}

/// Where a slot stands in the lists that it is on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    /// The list of the policy that it is on, and its neighbours there.
    pub(super) rank: Rank,
    pub(super) before: u32,
    pub(super) after: u32,
    /// What it weighs on that list.
    pub(super) weight: usize,
    /// Its neighbours under the same URL.
    pub(super) url_before: u32,
    pub(super) url_after: u32,
    /// The one before it under the same key.
    pub(super) older: u32,
}

impl Links {
    pub(super) const NEW: Self = Self {
        rank: Rank::None,
        before: NONE,
        after: NONE,
        weight: 0,
        url_before: NONE,
        url_after: NONE,
        older: NONE,
    };

    /// Whether there is no other slot under its URL.
    pub(super) fn is_only_one(&self) -> bool {
        self.url_before == NONE && self.url_after == NONE
    }
}

/// The lists of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// New: not yet compared with anything.
    Window,
    /// Admitted, and not asked for since.
    Probation,
    /// Asked for again.
    Protected,
    /// On disk alone.
    Cold,
    /// Not to be evicted: its fill runs.
    None,
}

/// One list of the policy: the most recent first.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) weight: usize,
    pub(super) length: usize,
}

impl List {
    pub(super) const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
        weight: 0,
        length: 0,
    };
}

/// Slots by number.
#[derive(Debug, Default)]
pub(super) struct Slab {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
}

impl Slab {
    pub(super) fn insert(&mut self, slot: Slot) -> u32 {
        match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = Some(slot);
                id
            }
            None => {
                self.slots.push(Some(slot));
                u32::try_from(self.slots.len() - 1).expect("memory ends before that")
            }
        }
    }

    pub(super) fn remove(&mut self, id: u32) -> Slot {
        self.free.push(id);
        self.slots[id as usize].take().expect("it is there")
    }

    pub(super) fn get(&self, id: u32) -> &Slot {
        self.slots[id as usize].as_ref().expect("it is there")
    }

    pub(super) fn get_mut(&mut self, id: u32) -> &mut Slot {
        self.slots[id as usize].as_mut().expect("it is there")
    }

    /// The slot with this number, if there is one.
    pub(super) fn peek(&self, id: u32) -> Option<&Slot> {
        self.slots.get(id as usize)?.as_ref()
    }

    /// Where the slot with this number is, which is not looked at.
    pub(super) fn place(&self, id: u32) -> Option<&Option<Slot>> {
        self.slots.get(id as usize)
    }

    /// One more than the greatest number.
    pub(super) fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Slot>>() + self.free.capacity() * size_of::<u32>()
    }
}
