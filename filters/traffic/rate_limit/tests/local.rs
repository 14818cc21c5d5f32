use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use wiregate_sdk::Clock;

use super::algorithms::limits;
use crate::traffic::rate_limit::algorithm::Algorithm;
use crate::traffic::rate_limit::limits::Limits;
use crate::traffic::rate_limit::local::Local;
pub(super) use crate::traffic::rate_limit::local::TICKS;

/// One limit, and what is used of it.
pub(super) struct Limiter {
    limits: Limits,
    pub(super) local: Local,
}

impl Limiter {
    pub(super) fn new(algorithm: Algorithm, rates: &[&str], keys: usize, clock: &Clock) -> Self {
        let limits = limits(algorithm, rates, None, TICKS);
        let local = Local::new(std::iter::once(&limits), keys, clock);
        Self { limits, local }
    }

    fn gcra(rate: &str, keys: usize, clock: &Clock) -> Self {
        Self::new(Algorithm::Gcra, &[rate], keys, clock)
    }

    /// Whether a request passes that comes now.
    pub(super) fn check(&self, key: &(impl Hash + ?Sized)) -> bool {
        self.check_at(self.local.clock.instant(), key)
    }

    fn check_at(&self, came: Instant, key: &(impl Hash + ?Sized)) -> bool {
        self.local.check(&self.limits, 0, key, 1, came).admitted
    }
}

#[test]
fn a_million_keys_stay_within_the_bound() {
    let clock = Clock::manual();
    let keys = 100_000;
    let limiter = Limiter::gcra("10/min", keys, &clock);
    let mut refused = 0;
    for key in 0..1_000_000_u32 {
        refused += u32::from(!limiter.check(&key));
    }
    // Those without room share the limits of the parts: no more than ten pass in each of 128.
    assert!(refused >= 1_000_000 - 100_000 - 128 * 10, "{refused}");
    let store = limiter.local.table();
    assert!((95_000..=keys).contains(&store.len()), "{}", store.len());
    let per_key = store.bytes() as f64 / keys as f64;
    assert!(per_key < 40.0, "{per_key} bytes per key");
}

#[test]
fn keys_that_are_limited_are_not_forgotten_and_others_make_room() {
    let clock = Clock::manual();
    let limiter = Limiter::gcra("2/min", 1_000, &clock);
    for _ in 0..2 {
        assert!(limiter.check("victim"));
    }
    for key in 0..100_000_u32 {
        limiter.check(&key);
        assert!(!limiter.check("victim"));
    }
    // Half a minute later, all that came once have their whole quota again.
    clock.advance(Duration::from_secs(30));
    assert!(limiter.check("victim"));
    assert!(!limiter.check("victim"));
    let fresh = (0..500_u32).filter(|key| limiter.check(&("fresh", key)));
    assert_eq!(fresh.count(), 500);
    assert!(limiter.local.table().len() <= 1_000);
}

#[test]
fn room_for_one_key_is_room_for_one() {
    let limiter = Limiter::gcra("1/min", 1, &Clock::manual());
    assert!(limiter.check("a"));
    assert!(!limiter.check("a"));
    // All others share one state.
    assert!(limiter.check("b"));
    assert!(!limiter.check("c"));
    assert_eq!(limiter.local.table().len(), 1);
}

#[test]
fn every_bound_holds() {
    for keys in [1, 2, 895, 896, 897, 5_000, 100_000] {
        let limiter = Limiter::gcra("1/min", keys, &Clock::manual());
        for key in 0..keys as u64 * 2 {
            limiter.check(&key);
        }
        let store = limiter.local.table();
        assert!(
            store.len() <= keys && store.len() * 10 >= keys * 8,
            "{keys}"
        );
        assert!(keys < 1_000 || store.bytes() <= 60 * keys, "{keys}");
    }
}

#[test]
fn threads_never_let_more_than_the_limit_pass() {
    let limiter = Limiter::gcra("500/min", 10_000, &Clock::manual());
    let admitted = [const { AtomicUsize::new(0) }; 3];
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for turn in 0..3_000 {
                    let key = turn % 3;
                    let passes = usize::from(limiter.check(&key));
                    admitted[key].fetch_add(passes, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(admitted.map(AtomicUsize::into_inner), [500; 3]);
}

#[test]
fn nothing_is_made_before_the_first_request() {
    let limiter = Limiter::gcra("1/min", 10_000_000, &Clock::manual());
    assert_eq!(limiter.local.table().bytes(), 0);
    assert!(size_of::<Local>() <= 200, "{}", size_of::<Local>());
    let limiter = Limiter::gcra("1/min", 100_000, &Clock::manual());
    limiter.check("a");
    let bytes = limiter.local.table().bytes();
    assert!(bytes < 3_000, "{bytes}");
}

#[test]
fn ten_million_keys_stay_within_the_bound() {
    let clock = Clock::manual();
    let limiter = Limiter::new(Algorithm::Gcra, &["10/s", "1000/h"], 100_000, &clock);
    let mut most = 0;
    for key in 0..10_000_000_u32 {
        limiter.check(&key);
        if key % 500_000 == 0 {
            clock.advance(Duration::from_secs(1));
            most = most.max(limiter.local.table().bytes());
        }
    }
    assert!(limiter.local.table().len() <= 100_000);
    assert!(most <= 80 * 100_000, "{most}");
}

#[test]
fn a_refusal_by_one_limit_is_taken_from_none() {
    for algorithm in [
        Algorithm::Gcra,
        Algorithm::TokenBucket,
        Algorithm::FixedWindow,
        Algorithm::SlidingWindow,
    ] {
        let clock = Clock::manual();
        // No hour ends, and no day, while it goes on.
        let day = Duration::from_secs(86_400).as_nanos();
        let today = clock.now().wall.duration_since(UNIX_EPOCH).unwrap();
        let rest = day - today.as_nanos() % day;
        clock.advance(Duration::from_nanos(u64::try_from(rest).unwrap()));
        let limiter = Limiter::new(algorithm, &["1/2s", "5/day", "3/h"], 10, &clock);
        let mut passed = 0;
        for _ in 0..100 {
            passed += u32::from(limiter.check("key"));
        }
        assert!(passed <= 1, "{algorithm:?}");
        for _ in 0..100 {
            clock.advance(Duration::from_secs(3));
            passed += u32::from(limiter.check("key"));
        }
        // Those that the first one has refused did not use up the others.
        assert_eq!(passed, 3, "{algorithm:?}");
    }
}

#[test]
fn a_clock_that_is_set_back_changes_nothing() {
    for algorithm in [
        Algorithm::FixedWindow,
        Algorithm::SlidingWindow,
        Algorithm::Gcra,
    ] {
        let clock = Clock::manual();
        let limiter = Limiter::new(algorithm, &["2/10s"], 10, &clock);
        assert!(limiter.check("key") && limiter.check("key"));
        clock.set_wall_back(Duration::from_secs(3600));
        assert!(!limiter.check("key"), "{algorithm:?}");
        clock.advance(Duration::from_secs(11));
        assert!(limiter.check("key"), "{algorithm:?}");
    }
}

#[test]
fn a_request_counts_at_the_time_when_it_came() {
    let clock = Clock::manual();
    let limiter = Limiter::gcra("1/10s", 10, &clock);
    let began = clock.instant();
    assert!(limiter.check_at(began, "key"));
    clock.advance(Duration::from_secs(11));
    // It came right behind the first one, and something else took until now.
    assert!(!limiter.check_at(began, "key"));
    assert!(limiter.check("key"));
    // Nor is the time set back by it for those that came since.
    clock.advance(Duration::from_secs(11));
    assert!(!limiter.check_at(began, "key"));
    assert!(limiter.check("key"));
}

#[test]
fn workers_whose_times_overtake_each_other_let_no_more_pass() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let clock = Clock::manual();
        let limiter = Limiter::new(algorithm, &["100/15s"], 10, &clock);
        let admitted = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        // 8 s in all, shorter than the limit's period.
                        clock.advance(Duration::from_millis(1));
                        admitted.fetch_add(usize::from(limiter.check("key")), Ordering::Relaxed);
                    }
                });
            }
        });
        let most = if algorithm == Algorithm::FixedWindow {
            200
        } else {
            100
        };
        assert!(admitted.into_inner() <= most, "{algorithm:?}");
    }
}
