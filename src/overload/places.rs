//! How many requests may be under way, over all workers.
//!
//! A number that all workers write with each request would be memory that all processors pull back and
//! forth. A worker takes places in lots, and uses those that it holds: what is shared is written once
//! for many requests. No more places are given out than there are; of those that workers hold and do not
//! use there are few.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// As many places in a lot at most.
const MOST: usize = 32;
/// All lots of all workers together are this share of the places: one of so many.
const SHARE: usize = 64;

/// The places for requests.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Places {
    /// How many workers hold.
    taken: AtomicUsize,
    /// How many a worker takes at once; 0 where each is taken by itself.
    lot: AtomicUsize,
}

/// What one worker has of them.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Held {
    places: AtomicUsize,
    /// How many requests it has, those included that have no place.
    requests: AtomicUsize,
}

impl Places {
    /// One more request has come to a worker, of so many; whether there is a place for it. It is
    /// [given back](Self::give) in either case.
    pub(super) fn take(&self, held: &Held, limit: usize, workers: usize) -> bool {
        let requests = held.requests.fetch_add(1, Relaxed) + 1;
        if requests <= held.places.load(Relaxed) {
            return self.taken.load(Relaxed) <= limit; // it may have become smaller
        }
        let lot = (limit / (SHARE * workers.max(1))).min(MOST);
        if self.lot.load(Relaxed) != lot {
            self.lot.store(lot, Relaxed);
        }
        self.take_lot(held, lot.max(1), limit) || (lot > 1 && self.take_lot(held, 1, limit))
    }

    fn take_lot(&self, held: &Held, lot: usize, limit: usize) -> bool {
        let before = self.taken.fetch_add(lot, Relaxed);
        let there_are = before + lot <= limit;
        match there_are {
            true => held.places.fetch_add(lot, Relaxed),
            false => self.taken.fetch_sub(lot, Relaxed),
        };
        there_are
    }

    /// A request of a worker is over.
    pub(super) fn give(&self, held: &Held) {
        let requests = held.requests.fetch_sub(1, Relaxed) - 1;
        let spare = held.places.load(Relaxed).saturating_sub(requests);
        let lot = self.lot.load(Relaxed);
        if spare > 2 * lot {
            held.places.fetch_sub(spare - lot, Relaxed);
            self.taken.fetch_sub(spare - lot, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_places_are_counted_one_by_one() {
        let (places, one, other) = (Places::default(), Held::default(), Held::default());
        assert!(places.take(&one, 2, 2) && places.take(&other, 2, 2));
        assert!(!places.take(&one, 2, 2));
        places.give(&one);
        assert!(!places.take(&one, 2, 2));
        places.give(&one);
        places.give(&other);
        assert!(places.take(&one, 2, 2));
        for _ in 0..2 {
            places.give(&one);
        }
        assert_eq!(places.taken.load(Relaxed), 0);
    }

    #[test]
    fn of_many_a_few_may_be_left_and_there_are_never_more() {
        let (places, limit, workers) = (Places::default(), 10_000, 4);
        let held: Vec<_> = (0..workers).map(|_| Held::default()).collect();
        let counts: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = held
                .iter()
                .map(|held| {
                    let places = &places;
                    scope.spawn(move || {
                        (0..limit)
                            .filter(|_| places.take(held, limit, workers))
                            .count()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let under_way: usize = counts.iter().sum();
        assert_eq!(under_way, limit, "none is held and not used");
        for held in &held {
            (0..limit).for_each(|_| places.give(held));
        }
        let spare = places.taken.load(Relaxed);
        assert!(spare <= limit / 32, "{spare}");
        let got = (0..limit)
            .filter(|_| places.take(&held[0], limit, workers))
            .count();
        assert!(got >= limit - spare, "{got}");
    }

    #[test]
    fn a_limit_may_change_while_requests_are_under_way() {
        let (places, held) = (Places::default(), Held::default());
        let take = |limit| places.take(&held, limit, 1);
        assert_eq!((0..1000).filter(|_| take(1000)).count(), 1000);
        assert!(!take(10), "there are too many already");
        (0..1000).for_each(|_| places.give(&held));
        assert!(take(10));
        (0..2).for_each(|_| places.give(&held));
        assert_eq!((0..20).filter(|_| take(10)).count(), 10);
    }
}
