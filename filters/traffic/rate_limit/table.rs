//! Where the cells of each key are kept: a bounded number of keys, in parts with a lock each.
//!
//! Nothing is there before the first key, and each part comes with its own first one, so that a
//! limit that is never asked costs nothing.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, OnceLock, PoisonError};

/// At most so many keys in one part: what a hash table with 1024 buckets holds. Looking through
/// a part for keys to drop so takes about a microsecond.
const PART: usize = 896;

/// The cells of up to a number of keys.
///
/// A key is dropped only once nothing of its limits is used, when its cells say nothing any more.
/// While a part is full of others, the keys that find no room share cells.
pub(super) struct Table {
    parts: OnceLock<Box<[OnceLock<Box<Part>>]>>,
    /// A power of two.
    count: usize,
    keys_per_part: usize,
    /// Cells of a key.
    width: usize,
    /// In how many ways cells are read: keys that are read differently share none.
    ways: usize,
}

/// On a cache line of its own, so that workers do not slow each other down.
#[derive(Default)]
#[repr(align(64))]
struct Part(Mutex<Rows>);

#[derive(Default)]
struct Rows {
    places: HashMap<u64, Place, BuildHasherDefault<AsItIs>>,
    cells: Vec<u64>,
    /// Rows of dropped keys.
    free: Vec<u32>,
    /// The cells that all keys without room share, for each way to read them.
    shared: Box<[u64]>,
    /// No key can be dropped before, in seconds.
    next_to_drop: u32,
    /// The latest time that was seen: the times of two workers may overtake each other.
    latest: u64,
}

struct Place {
    row: u32,
    /// From when on nothing is used, in seconds, rounded up.
    whole_at: u32,
}

/// What comes of a visit to a key's cells.
pub(super) struct Visit<T> {
    pub(super) value: T,
    /// From when on nothing is used, in seconds of the clock, rounded up.
    pub(super) whole_at: u32,
    /// Whether the cells have changed.
    pub(super) changed: bool,
}

impl Table {
    /// Room for at most this many keys with so many cells each, which are read in so many ways.
    pub(super) fn new(keys: usize, width: usize, ways: usize) -> Self {
        let count = keys.div_ceil(PART).next_power_of_two();
        Self {
            parts: OnceLock::new(),
            count,
            keys_per_part: (keys / count).max(1),
            width,
            ways,
        }
    }

    fn part(&self, key: u64) -> &Part {
        let parts = self.parts.get_or_init(|| {
            let parts = (0..self.count).map(|_| OnceLock::new());
            parts.collect()
        });
        // The table inside uses the lowest and the highest bits.
        let position = usize::try_from(key >> 32 & 0xFF_FFFF).expect("24 bits fit");
        parts[position & (self.count - 1)].get_or_init(Box::default)
    }

    /// Shows the cells of the key with this hash, the time to go by, and whether others share them for want of room.
    /// `seconds` is `now` in seconds, rounded down; `way` is how they are read.
    pub(super) fn visit<T>(
        &self,
        key: u64,
        way: usize,
        (now, seconds): (u64, u32),
        decide: impl FnOnce(u64, &mut [u64], bool) -> Visit<T>,
    ) -> T {
        let rows = &self.part(key).0;
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.latest = rows.latest.max(now);
        rows.visit(self, key, way, seconds, decide)
    }

    /// Shows the keys of which something is used, with the moment from which on nothing is, and their
    /// cells: no more than so many, those that are used up for longest. Returns how many there are. A part
    /// is locked while it is read, for some microseconds.
    pub(super) fn show_most_used(
        &self,
        seconds: u32,
        most: usize,
        mut show: impl FnMut(u64, u32, &[u64]),
    ) -> usize {
        let mut times = Vec::new();
        self.each_part(|rows| {
            let used = rows.places.values().map(|place| place.whole_at);
            times.extend(used.filter(|whole_at| *whole_at > seconds));
        });
        let (count, most) = (times.len(), most.min(times.len()));
        let mut from = seconds;
        if most < count {
            from = *times.select_nth_unstable(count - most - 1).1;
        }
        // Of those that are alike, some. Whatever has changed meanwhile, there are no more than so many.
        let later = times.iter().filter(|whole_at| **whole_at > from).count();
        let (mut alike, mut room) = (most - later, most);
        self.each_part(|rows| {
            for (key, place) in &rows.places {
                let is_alike = place.whole_at == from && place.whole_at > seconds;
                if room == 0 || !(place.whole_at > from || is_alike && alike > 0) {
                    continue;
                }
                alike -= usize::from(is_alike);
                room -= 1;
                let start = place.row as usize * self.width;
                show(*key, place.whole_at, &rows.cells[start..start + self.width]);
            }
        });
        count
    }

    /// Puts a key's cells in their place, unless there is no room.
    pub(super) fn put(&self, key: u64, whole_at: u32, cells: &[u64]) -> bool {
        let rows = &self.part(key).0;
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        let known = rows.places.get(&key).map(|place| place.row);
        let row = match known {
            Some(row) => row,
            None if rows.places.len() >= self.keys_per_part => return false,
            None => rows.row(self.width).0,
        };
        rows.places.insert(key, Place { row, whole_at });
        let start = row as usize * self.width;
        rows.next_to_drop = rows.next_to_drop.min(whole_at);
        rows.cells[start..start + self.width].copy_from_slice(cells);
        true
    }

    /// Cells of a key.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    fn each_part(&self, mut each: impl FnMut(&Rows)) {
        let parts = self.parts.get().into_iter().flatten();
        for part in parts.filter_map(OnceLock::get) {
            each(&part.0.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Rows {
    fn visit<T>(
        &mut self,
        table: &Table,
        key: u64,
        way: usize,
        seconds: u32,
        decide: impl FnOnce(u64, &mut [u64], bool) -> Visit<T>,
    ) -> T {
        let (now, width) = (self.latest, table.width);
        if let Some(place) = self.places.get_mut(&key) {
            let start = place.row as usize * width;
            let visit = decide(now, &mut self.cells[start..start + width], false);
            place.whole_at = visit.whole_at;
            return visit.value;
        }
        if self.places.len() >= table.keys_per_part.min(self.places.capacity()) {
            self.drop_whole(seconds);
        }
        if self.places.len() >= table.keys_per_part {
            if self.shared.is_empty() {
                self.shared = vec![0; width * table.ways].into();
            }
            let start = way * width;
            return decide(now, &mut self.shared[start..start + width], true).value;
        }
        let (row, start) = self.row(width);
        let visit = decide(now, &mut self.cells[start..start + width], false);
        if visit.changed {
            let whole_at = visit.whole_at;
            self.next_to_drop = self.next_to_drop.min(whole_at);
            self.places.insert(key, Place { row, whole_at });
        } else {
            self.free.push(row);
        }
        visit.value
    }

    /// A row of zeros.
    fn row(&mut self, width: usize) -> (u32, usize) {
        let rows = self.cells.len() / width;
        let row = self
            .free
            .pop()
            .unwrap_or_else(|| u32::try_from(rows).expect("few"));
        let start = row as usize * width;
        if start == self.cells.len() {
            self.cells.resize(start + width, 0);
        }
        self.cells[start..start + width].fill(0);
        (row, start)
    }

    /// Drops the keys of which nothing is used.
    fn drop_whole(&mut self, now: u32) {
        if now < self.next_to_drop {
            return;
        }
        let mut next = u32::MAX;
        let free = &mut self.free;
        self.places.retain(|_, place| {
            let stays = place.whole_at > now;
            if stays {
                next = next.min(place.whole_at);
            } else {
                free.push(place.row);
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
impl Table {
    /// How many keys have cells of their own.
    pub(super) fn len(&self) -> usize {
        self.sum(|rows| rows.places.len())
    }

    /// Bytes taken: hash tables have a power of two of buckets, seven eighths of which can be
    /// used, and a byte more for each.
    pub(super) fn bytes(&self) -> usize {
        let bucket = size_of::<(u64, Place)>() + 1;
        let parts = self.sum(|rows| {
            let places = rows.places.capacity().div_ceil(7) * 8 * bucket;
            let cells = (rows.cells.capacity() + rows.shared.len()) * size_of::<u64>();
            size_of::<Part>() + places + cells + rows.free.capacity() * size_of::<u32>()
        });
        parts
            + self
                .parts
                .get()
                .map_or(0, |_| self.count * size_of::<OnceLock<Box<Part>>>())
    }

    fn sum(&self, what: impl Fn(&Rows) -> usize) -> usize {
        let mut sum = 0;
        self.each_part(|rows| sum += what(rows));
        sum
    }
}
