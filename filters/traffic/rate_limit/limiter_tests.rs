use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use wiregate_sdk::Clock;

use super::limiter::{Limiter, Pace};

fn pace(limit: &str, burst: u32) -> Pace {
    Pace::new(limit.parse().unwrap(), burst.try_into().unwrap()).unwrap()
}

#[test]
fn a_million_keys_stay_within_the_bound() {
    let clock = Clock::manual();
    let keys = 100_000;
    let limiter = Limiter::new(pace("10/min", 10), keys, &clock);
    let mut refused = 0;
    for key in 0..1_000_000_u32 {
        refused += u32::from(!limiter.check(&key).admitted);
    }
    // Those without room share the limits of the parts: no more than ten pass in each of 128.
    assert!(refused >= 1_000_000 - 100_000 - 128 * 10, "{refused}");
    let store = limiter.into_store();
    assert!((95_000..=keys).contains(&store.len()), "{}", store.len());
    let per_key = store.bytes() as f64 / keys as f64;
    assert!(per_key < 24.0, "{per_key} bytes per key");
}

#[test]
fn keys_that_are_limited_are_not_forgotten_and_others_make_room() {
    let clock = Clock::manual();
    let limiter = Limiter::new(pace("2/min", 2), 1_000, &clock);
    for _ in 0..2 {
        assert!(limiter.check("victim").admitted);
    }
    for key in 0..100_000_u32 {
        limiter.check(&key);
        assert!(!limiter.check("victim").admitted);
    }
    // Half a minute later, all that came once have their whole quota again.
    clock.advance(Duration::from_secs(30));
    assert!(limiter.check("victim").admitted);
    assert!(!limiter.check("victim").admitted);
    let fresh = (0..500_u32).filter(|key| limiter.check(&("fresh", key)).admitted);
    assert_eq!(fresh.count(), 500);
    assert!(limiter.into_store().len() <= 1_000);
}

#[test]
fn room_for_one_key_is_room_for_one() {
    let limiter = Limiter::new(pace("1/min", 1), 1, &Clock::manual());
    assert!(limiter.check("a").admitted);
    assert!(!limiter.check("a").admitted);
    // All others share one state.
    assert!(limiter.check("b").admitted);
    assert!(!limiter.check("c").admitted);
    assert_eq!(limiter.into_store().len(), 1);
}

#[test]
fn every_bound_holds() {
    for keys in [1, 2, 895, 896, 897, 5_000, 100_000] {
        let limiter = Limiter::new(pace("1/min", 1), keys, &Clock::manual());
        for key in 0..keys as u64 * 2 {
            limiter.check(&key);
        }
        let store = limiter.into_store();
        assert!(
            store.len() <= keys && store.len() * 10 >= keys * 8,
            "{keys}"
        );
        assert!(keys < 1_000 || store.bytes() <= 40 * keys, "{keys}");
    }
}

#[test]
fn threads_never_let_more_than_the_limit_pass() {
    let limiter = Limiter::new(pace("500/min", 500), 10_000, &Clock::manual());
    let admitted = [const { AtomicUsize::new(0) }; 3];
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for turn in 0..3_000 {
                    let key = turn % 3;
                    let passes = usize::from(limiter.check(&key).admitted);
                    admitted[key].fetch_add(passes, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(admitted.map(AtomicUsize::into_inner), [500; 3]);
}

proptest! {
    #[test]
    fn never_lets_more_pass_than_burst_and_limit_together(
        count in 1..50_u32,
        millis in 1..5_000_u64,
        burst in 1..50_u32,
        pauses in prop::collection::vec(0..2_000_u64, 1..200),
    ) {
        let clock = Clock::manual();
        let limiter = Limiter::new(pace(&format!("{count}/{millis}ms"), burst), 10, &clock);
        let (mut now, mut admitted) = (0, Vec::new());
        for pause in pauses {
            clock.advance(Duration::from_millis(pause));
            now += pause;
            if limiter.check("key").admitted {
                admitted.push(now);
            }
        }
        for (first, start) in admitted.iter().enumerate() {
            for (last, end) in admitted.iter().enumerate().skip(first) {
                let most = u64::from(burst) + (end - start) * u64::from(count) / millis;
                prop_assert!(((last - first) as u64) < most);
            }
        }
    }

    #[test]
    fn what_it_tells_comes_true(
        count in 1..20_u32,
        seconds in 1..100_u64,
        burst in 1..20_u32,
        before in 1..40_usize,
    ) {
        let clock = Clock::manual();
        let limiter = Limiter::new(pace(&format!("{count}/{seconds}s"), burst), 10, &clock);
        let mut standing = limiter.check("key");
        for _ in 1..before {
            standing = limiter.check("key");
        }
        for _ in 0..standing.remaining {
            prop_assert!(limiter.check("key").admitted);
        }
        let refused = limiter.check("key");
        prop_assert!(!refused.admitted);
        prop_assert_eq!(refused.remaining, 0);
        clock.advance(Duration::from_secs(refused.next));
        prop_assert!(limiter.check("key").admitted);
        clock.advance(Duration::from_secs(refused.whole + 1));
        prop_assert_eq!(limiter.check("key").remaining, burst - 1);
    }
}
