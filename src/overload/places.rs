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
    /// [given back](Self::give) in either case. Where there seems to be none, what other workers hold and do
    /// not use is taken `back`.
    pub(super) fn take(
        &self,
        held: &Held,
        limit: usize,
        workers: usize,
        back: impl FnOnce() -> bool,
    ) -> bool {
        let requests = held.requests.fetch_add(1, Relaxed) + 1;
        self.find(held, requests, limit, workers)
            || back() && self.find(held, requests, limit, workers)
    }

    fn find(&self, held: &Held, requests: usize, limit: usize, workers: usize) -> bool {
        if requests <= held.places.load(Relaxed) {
            return self.taken.load(Relaxed) <= limit; // it may have become smaller
        }
        let lot = (limit / (SHARE * workers.max(1))).min(MOST);
        if self.lot.load(Relaxed) != lot {
            self.lot.store(lot, Relaxed);
        }
        self.take_lot(held, lot.max(1), limit) || (lot > 1 && self.take_lot(held, 1, limit))
    }

    /// Takes back what a worker holds and does not use; whether that is any. It may be about to use it:
    /// then there is one request too many for a moment.
    pub(super) fn take_back(&self, held: &Held) -> bool {
        self.leave(held, 0)
    }

    /// Leaves a worker so many places that it does not use; whether it had more.
    fn leave(&self, held: &Held, most: usize) -> bool {
        let places = held.places.load(Relaxed);
        let spare = places.saturating_sub(held.requests.load(Relaxed));
        let excess = spare.saturating_sub(most);
        // Where somebody else has changed it meanwhile, that is enough.
        let changed = |to| held.places.compare_exchange(places, to, Relaxed, Relaxed);
        let taken = excess > 0 && changed(places - excess).is_ok();
        if taken {
            self.taken.fetch_sub(excess, Relaxed);
        }
        taken
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
        let lot = self.lot.load(Relaxed);
        if held.places.load(Relaxed) > requests + 2 * lot {
            self.leave(held, lot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places, and workers that may have some.
    struct All(Places, Vec<Held>);

    impl All {
        fn new(workers: usize) -> Self {
            let held = (0..workers).map(|_| Held::default());
            Self(Places::default(), held.collect())
        }

        fn take(&self, worker: usize, limit: usize) -> bool {
            let Self(places, all) = self;
            let back = || all.iter().filter(|held| places.take_back(held)).count() > 0;
            places.take(&all[worker], limit, all.len(), back)
        }

        fn give(&self, worker: usize, count: usize) {
            (0..count).for_each(|_| self.0.give(&self.1[worker]));
        }
    }

    #[test]
    fn few_places_are_counted_one_by_one() {
        let all = All::new(2);
        assert!(all.take(0, 2) && all.take(1, 2));
        assert!(!all.take(0, 2));
        all.give(0, 1);
        assert!(!all.take(0, 2));
        all.give(0, 1);
        all.give(1, 1);
        assert!(all.take(0, 2));
        all.give(0, 2);
        assert_eq!(all.0.taken.load(Relaxed), 0);
    }

    #[test]
    fn all_are_given_out_and_never_more() {
        let (all, limit) = (All::new(4), 10_000);
        let counts: Vec<usize> = std::thread::scope(|scope| {
            let all = &all;
            let threads: Vec<_> = (0..4)
                .map(|worker| {
                    scope.spawn(move || (0..limit).filter(|_| all.take(worker, limit)).count())
                })
                .collect();
            let counts = threads.into_iter().map(|thread| thread.join().unwrap());
            counts.collect()
        });
        // Who asks for a lot in vain is in the way of others for a moment, and one may come on top for each
        // that was about to use what was taken back.
        let under_way: usize = counts.iter().sum();
        assert!(
            (limit - 100..limit + 1000).contains(&under_way),
            "{under_way}"
        );
        (0..4).for_each(|worker| all.give(worker, limit));
        let spare = all.0.taken.load(Relaxed);
        assert!(spare <= limit / 32, "{spare}");
        let got = (0..limit + 1).filter(|_| all.take(0, limit)).count();
        assert_eq!(got, limit, "what others hold and do not use is no loss");
    }

    #[test]
    fn a_limit_may_change_while_requests_are_under_way() {
        let all = All::new(1);
        assert_eq!((0..1000).filter(|_| all.take(0, 1000)).count(), 1000);
        assert!(!all.take(0, 10), "there are too many already");
        all.give(0, 1000);
        assert!(all.take(0, 10));
        all.give(0, 2);
        assert_eq!((0..20).filter(|_| all.take(0, 10)).count(), 10);
    }

    #[test]
    fn a_limit_may_become_smaller_than_what_workers_hold_for_no_use() {
        let all = All::new(16);
        for worker in 0..16 {
            assert!(all.take(worker, 100_000));
            all.give(worker, 1);
        }
        assert!(all.0.taken.load(Relaxed) > 100, "they keep some");
        let got = (0..200).filter(|_| all.take(3, 100)).count();
        assert_eq!(got, 100);
    }
}
