//! Where the state of each key is kept: a bounded number of them, in parts with a lock each.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use governor::clock::Clock as _;
use governor::nanos::Nanos;
use governor::state::StateStore;

use super::limiter::Ticks;

/// At most so many keys in one part: what a hash table with 1024 buckets holds. Looking through
/// a part for keys to drop so takes about a microsecond.
const PART: usize = 896;

/// One look-up, and where the store leaves the key's state for those who want to report it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Visit {
    /// The key's hash under a random seed. Two keys that share one also share a limit, which a
    /// client can neither foresee nor bring about.
    pub(super) key: u64,
    /// When the key will have its whole quota again, in nanoseconds of the store's clock.
    pub(super) whole_at: Cell<u64>,
}

impl Visit {
    pub(super) fn new(key: u64) -> Self {
        Self {
            key,
            whole_at: Cell::new(0),
        }
    }
}

impl Hash for Visit {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.key);
    }
}

/// The state of up to a number of keys.
///
/// A key is dropped only once it has its whole quota again, when its state says nothing any more.
/// While a part is full of others, the keys that find no room share one state.
pub(super) struct Store {
    parts: Box<[Part]>,
    keys_per_part: usize,
    clock: Ticks,
}

/// On a cache line of its own, so that workers do not slow each other down.
#[derive(Default)]
#[repr(align(64))]
struct Part(Mutex<Table>);

#[derive(Default)]
struct Table {
    whole_at: HashMap<u64, u64, BuildHasherDefault<AsItIs>>,
    /// The state that all keys without room share.
    shared: u64,
    /// No key can be dropped before.
    next_to_drop: u64,
}

impl Store {
    /// Room for at most this many keys.
    pub(super) fn new(keys: usize, clock: Ticks) -> Self {
        let parts = keys.div_ceil(PART).next_power_of_two();
        Self {
            parts: (0..parts).map(|_| Part::default()).collect(),
            keys_per_part: (keys / parts).max(1),
            clock,
        }
    }

    fn part(&self, key: u64) -> &Part {
        // The table inside uses the lowest and the highest bits.
        let position = usize::try_from(key >> 32 & 0xFF_FFFF).expect("24 bits fit");
        &self.parts[position & (self.parts.len() - 1)]
    }
}

impl StateStore for Store {
    type Key = Visit;

    fn measure_and_replace<T, F, E>(&self, visit: &Visit, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut table = self
            .part(visit.key)
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let table = &mut *table;
        if let Some(state) = table.whole_at.get_mut(&visit.key) {
            return measure(state, visit, decide);
        }
        if table.is_tight(self.keys_per_part) {
            table.drop_whole(self.clock.now().as_u64());
        }
        if table.whole_at.len() >= self.keys_per_part {
            return measure(&mut table.shared, visit, decide);
        }
        // Zero lies in the past, so it stands for a whole quota as well.
        let mut state = 0;
        let value = measure(&mut state, visit, decide)?;
        table.next_to_drop = table.next_to_drop.min(state);
        table.whole_at.insert(visit.key, state);
        Ok(value)
    }
}

fn measure<T, E>(
    state: &mut u64,
    visit: &Visit,
    decide: impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
) -> Result<T, E> {
    visit.whole_at.set(*state);
    let (value, next) = decide(Some(Nanos::from(*state)))?;
    *state = next.as_u64();
    visit.whole_at.set(*state);
    Ok(value)
}

impl Table {
    /// Whether one more key would make it grow, or is too many.
    fn is_tight(&self, most: usize) -> bool {
        self.whole_at.len() >= most.min(self.whole_at.capacity())
    }

    /// Drops the keys that have their whole quota.
    fn drop_whole(&mut self, now: u64) {
        if now < self.next_to_drop {
            return;
        }
        let mut next = u64::MAX;
        self.whole_at.retain(|_, whole_at| {
            let stays = *whole_at > now;
            if stays {
                next = next.min(*whole_at);
            }
            stays
        });
        self.next_to_drop = next;
    }
}

/// Takes a hash for what it is.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
impl Store {
    /// How many keys have a state of their own.
    pub(super) fn len(&self) -> usize {
        self.tables(|table| table.whole_at.len())
    }

    /// Bytes taken: hash tables have a power of two of buckets, seven eighths of which can be
    /// used, and a byte more for each.
    pub(super) fn bytes(&self) -> usize {
        let bucket = size_of::<(u64, u64)>() + 1;
        let tables = self.tables(|table| table.whole_at.capacity().div_ceil(7) * 8 * bucket);
        tables + self.parts.len() * size_of::<Part>()
    }

    fn tables(&self, what: impl Fn(&Table) -> usize) -> usize {
        let tables = self.parts.iter().map(|part| part.0.lock().unwrap());
        tables.map(|table| what(&table)).sum()
    }
}
