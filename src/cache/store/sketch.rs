//! How often each key is asked for, roughly: a count-min sketch that forgets (TinyLFU).

use super::prefetch::will_read;
use super::room::allocated;

/// Counts up to fifteen, sixteen counters to a word, four of them for each key, all in the eight words of one cache line. After as
/// many counts as ten times its size, all are halved, so that what was popular once has to be so again.
#[derive(Debug)]
pub(super) struct Sketch {
    words: Box<[u64]>,
    counted: usize,
}

/// The smallest sketch: 2 KiB.
const LEAST: usize = 256;
/// One bit of each counter, the highest, to be cleared after a shift.
const HALF: u64 = 0x7777_7777_7777_7777;
const LOWEST: u64 = 0x1111_1111_1111_1111;

impl Sketch {
    pub(super) fn new() -> Self {
        Self {
            words: vec![0; LEAST].into_boxed_slice(),
            counted: 0,
        }
    }

    /// All words.
    pub(super) fn all(&self) -> &[u64] {
        &self.words
    }

    pub(super) fn bytes(&self) -> usize {
        allocated(self.words.len() * size_of::<u64>())
    }

    /// Sees to it that so many keys can be told apart. What was counted stays: the place of a key in a larger sketch
    /// is one of those that its place in the smaller one was for.
    pub(super) fn fit(&mut self, keys: usize) {
        if keys > self.words.len() {
            let times = keys.next_power_of_two() / self.words.len();
            self.words = self.words.repeat(times).into_boxed_slice();
            self.counted *= times;
        }
    }

    pub(super) fn count(&mut self, hash: u64) {
        let mut added = false;
        for (word, shift) in self.places(hash) {
            if (self.words[word] >> shift) & 0xf < 15 {
                self.words[word] += 1 << shift;
                added = true;
            }
        }
        self.counted += usize::from(added);
        if self.counted >= 10 * self.words.len() {
            self.halve();
        }
    }

    pub(super) fn estimate(&self, hash: u64) -> u8 {
        let places = self.places(hash).into_iter();
        let counts = places.map(|(word, shift)| ((self.words[word] >> shift) & 0xf) as u8);
        counts.min().unwrap_or(0)
    }

    /// Someone will ask for the count of this key in a moment.
    pub(super) fn will_estimate(&self, hash: u64) {
        will_read(&self.words[self.word(Self::first(hash))]);
    }

    fn halve(&mut self) {
        let mut odd = 0;
        for word in &mut self.words {
            odd += (*word & LOWEST).count_ones() as usize;
            *word = (*word >> 1) & HALF;
        }
        self.counted = (self.counted - odd / 4) / 2;
    }

    /// The words of a key's counters, and where they are in those. Of its eight words, each of the four has two.
    fn places(&self, hash: u64) -> [(usize, u32); 4] {
        let mixed = mix(hash);
        let first = self.word(Self::first(hash));
        let inner = (mixed ^ mixed >> 29).wrapping_mul(0xb492_b66f_be98_f273);
        [0, 1, 2, 3].map(|row| {
            let five = (inner >> (59 - 5 * row)) as u32 & 31;
            (first + 2 * row + (five >> 4) as usize, (five & 15) * 4)
        })
    }

    /// The first of a key's words, counted round and round.
    pub(super) fn first(hash: u64) -> usize {
        (mix(hash) >> 32) as usize & !7
    }

    fn word(&self, number: usize) -> usize {
        number & (self.words.len() - 1)
    }
}

fn mix(hash: u64) -> u64 {
    (hash ^ hash >> 32).wrapping_mul(0xc3a5_c85c_97cb_3127)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_often_is_told_from_what_is_not() {
        let mut sketch = Sketch::new();
        sketch.fit(1_000);
        for key in 0..1_000_u64 {
            sketch.count(key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        for _ in 0..8 {
            sketch.count(7 << 20);
        }
        assert!(sketch.estimate(7 << 20) >= 8);
        let once = (0..1_000_u64)
            .filter(|key| sketch.estimate(key.wrapping_mul(0x9e37_79b9_7f4a_7c15)) <= 2);
        assert!(once.count() > 950);
        assert!(sketch.estimate(12_345_678_901) <= 2);
    }

    #[test]
    fn what_was_counted_stays_when_there_are_more_keys() {
        let mut sketch = Sketch::new();
        let key = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for number in 0..100 {
            (0..=number % 15).for_each(|_| sketch.count(key(number)));
        }
        let before: Vec<_> = (0..200)
            .map(|number| sketch.estimate(key(number)))
            .collect();
        for keys in [LEAST + 1, 5_000] {
            sketch.fit(keys);
            let now: Vec<_> = (0..200)
                .map(|number| sketch.estimate(key(number)))
                .collect();
            assert_eq!(now, before);
        }
        // Its own account of them is right still: it halves without an end below nothing.
        (0..200_000).for_each(|number| sketch.count(key(number % 7)));
        (0..200_000).for_each(|number| sketch.count(key(number)));
        assert!(sketch.counted < 10 * sketch.words.len());
    }

    #[test]
    fn what_was_popular_once_is_forgotten() {
        let mut sketch = Sketch::new();
        for _ in 0..15 {
            sketch.count(99);
        }
        assert_eq!(sketch.estimate(99), 15);
        for key in 0..30_000_u64 {
            sketch.count(key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        assert!(sketch.estimate(99) < 10);
    }
}
