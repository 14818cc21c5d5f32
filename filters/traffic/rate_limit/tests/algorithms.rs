//! What the algorithms promise, for any pace of requests.

use std::num::NonZeroU32;

use governor::clock::{Clock as _, FakeRelativeClock};
use governor::{Quota, RateLimiter};
use proptest::prelude::*;
use smallvec::SmallVec;

use crate::traffic::rate_limit::algorithm::{Algorithm, Limit};
use crate::traffic::rate_limit::limits::{Limits, Verdict};

pub(super) const ALL: [Algorithm; 4] = [
    Algorithm::Gcra,
    Algorithm::TokenBucket,
    Algorithm::FixedWindow,
    Algorithm::SlidingWindow,
];

const MILLI: u64 = 1_000_000;
const TICKS: u64 = 1_000 * MILLI;
/// A time like that of a real clock, with nothing even about it.
const START: u64 = 1_790_000_123_456_789_012;

pub(super) fn limits(
    algorithm: Algorithm,
    rates: &[&str],
    burst: Option<u32>,
    ticks: u64,
) -> Limits {
    let burst = burst.map(|burst| NonZeroU32::new(burst).unwrap());
    let each = rates.iter().map(|rate| {
        let rate = rate.parse().unwrap();
        Limit::new(rate, burst, algorithm, ticks).unwrap()
    });
    Limits::new(each.collect::<SmallVec<_>>(), ticks)
}

/// One key, and a time that is moved by hand.
struct Key {
    limits: Limits,
    cells: Vec<u64>,
    now: u64,
}

impl Key {
    fn new(limits: Limits) -> Self {
        let cells = vec![0; limits.cells];
        Self {
            limits,
            cells,
            now: START,
        }
    }

    fn ask(&mut self, cost: u32) -> Verdict {
        self.limits.decide(self.now, &mut self.cells, cost)
    }
}

/// How many pass in any stretch of so many ticks, at most.
fn most_within(admitted: &[u64], length: u64) -> usize {
    let within = |start: &u64| {
        let start = *start;
        admitted
            .iter()
            .filter(move |at| (start..start + length).contains(at))
    };
    admitted
        .iter()
        .map(|start| within(start).count())
        .max()
        .unwrap_or(0)
}

#[test]
fn a_bucket_is_filled_at_intervals() {
    let mut key = Key::new(limits(Algorithm::TokenBucket, &["2/min"], Some(5), TICKS));
    let mut passing = |wait_s: u64| {
        key.now += wait_s * TICKS;
        (0..9).take_while(|_| key.ask(1).admitted).count()
    };
    assert_eq!(passing(0), 5);
    assert_eq!(passing(59), 0);
    assert_eq!(passing(1), 2);
    assert_eq!(passing(59), 0);
    assert_eq!(passing(61), 4); // two fills by now
    assert_eq!(passing(3600), 5);
}

#[test]
fn a_fixed_window_is_one_of_the_calendar() {
    let mut key = Key::new(limits(Algorithm::FixedWindow, &["3/day"], None, TICKS));
    let day = 86_400 * TICKS;
    key.now = 20_000 * day - TICKS;
    let passing = |key: &mut Key| (0..9).take_while(|_| key.ask(1).admitted).count();
    assert_eq!(passing(&mut key), 3);
    let refused = key.ask(1);
    assert_eq!(
        (refused.standings[0].wait, refused.standings[0].next),
        (Some(1), 1)
    );
    key.now += TICKS;
    assert_eq!(passing(&mut key), 3);
    key.now += day - 1;
    assert_eq!(passing(&mut key), 0);
}

#[test]
fn a_window_that_slides_forgets_bit_by_bit() {
    let mut key = Key::new(limits(Algorithm::SlidingWindow, &["10/15s"], None, TICKS));
    key.now = START - START % TICKS;
    for _ in 0..4 {
        assert!(key.ask(1).admitted);
    }
    key.now += 5 * TICKS;
    for _ in 0..6 {
        assert!(key.ask(1).admitted);
    }
    let refused = key.ask(1).standings[0];
    assert_eq!((refused.wait, refused.whole), (Some(11), 16));
    // For five there must be gone what came later.
    assert_eq!(key.ask(5).standings[0].wait, Some(16));
    key.now += 11 * TICKS;
    assert_eq!(key.ask(4).standings[0].remaining, 0);
}

#[test]
fn a_cost_counts_as_so_many_requests() {
    for algorithm in ALL {
        let mut key = Key::new(limits(algorithm, &["10/min"], None, TICKS));
        assert!(key.ask(7).admitted, "{algorithm:?}");
        let refused = key.ask(4);
        assert!(!refused.admitted && refused.standings[0].wait.is_some());
        assert_eq!(refused.standings[0].remaining, 3, "{algorithm:?}");
        assert!(key.ask(0).admitted && key.ask(3).admitted && key.ask(0).admitted);
        assert!(!key.ask(1).admitted, "{algorithm:?}");
        // What can never be granted has no time to wait for.
        assert_eq!(key.ask(11).standings[0].wait, None, "{algorithm:?}");
    }
}

proptest! {
    #[test]
    fn no_more_pass_than_was_promised(
        count in 1..30_u32,
        millis in 15..5_000_u64,
        pauses in prop::collection::vec((0..3_000_u64, 1..4_u32), 1..150),
    ) {
        let rate = format!("{count}/{millis}ms");
        for algorithm in ALL {
            let mut key = Key::new(limits(algorithm, &[&rate], None, TICKS));
            let mut admitted = Vec::new();
            for (pause, cost) in &pauses {
                key.now += pause * MILLI / 3;
                if key.ask(*cost).admitted {
                    admitted.extend(std::iter::repeat_n(key.now, *cost as usize));
                }
            }
            let most = most_within(&admitted, millis * MILLI);
            let count = count as usize;
            let promised = if algorithm == Algorithm::SlidingWindow { count } else { 2 * count };
            prop_assert!(most <= promised, "{algorithm:?}: {most} of {promised}");
            let long = most_within(&admitted, 10 * millis * MILLI);
            prop_assert!(long <= 11 * count, "{algorithm:?}: {long}");
        }
    }

    #[test]
    fn what_it_tells_comes_true(
        count in 1..20_u32,
        seconds in 1..100_u64,
        burst in 1..20_u32,
        asked in prop::collection::vec((0..20_000_u64, 1..5_u32), 1..40),
    ) {
        for algorithm in ALL {
            let windows = matches!(algorithm, Algorithm::FixedWindow | Algorithm::SlidingWindow);
            let burst = (!windows).then_some(burst);
            let mut key = Key::new(limits(algorithm, &[&format!("{count}/{seconds}s")], burst, TICKS));
            let mut verdict = Verdict::default();
            for (pause, cost) in &asked {
                key.now += pause * MILLI;
                verdict = key.ask(*cost);
                let anew = key.ask(0).standings[0].remaining;
                prop_assert_eq!(verdict.standings[0].remaining, anew, "{:?}", algorithm);
            }
            for _ in 0..verdict.standings[0].remaining {
                prop_assert!(key.ask(1).admitted);
            }
            let refused = key.ask(1);
            prop_assert!(!refused.admitted);
            let standing = refused.standings[0];
            prop_assert_eq!((standing.remaining, standing.wait), (0, Some(standing.next)));
            key.now += u64::from(standing.next) * TICKS;
            prop_assert!(key.ask(1).admitted, "{algorithm:?}");
            key.now += (u64::from(key.ask(0).standings[0].whole) + 1) * TICKS;
            prop_assert_eq!(key.ask(0).standings[0].remaining, burst.unwrap_or(count));
            prop_assert_eq!(key.ask(0).whole, 0);
        }
    }

    #[test]
    fn a_time_before_that_of_the_cells_grants_nothing_and_lasts_no_longer(
        count in 1..10_u32,
        back in 1..10_000_u64,
    ) {
        for algorithm in ALL {
            let mut key = Key::new(limits(algorithm, &[&format!("{count}/15s")], None, TICKS));
            key.now -= key.now % (15 * TICKS);
            prop_assert!(key.ask(count).admitted);
            key.now -= back * TICKS;
            let after = key.ask(1);
            prop_assert!(!after.admitted, "{algorithm:?}");
            prop_assert!(after.standings[0].whole <= 16, "{algorithm:?}");
            // Of the last microsecond nothing is told.
            key.now += u64::from(after.standings[0].whole) * TICKS + MILLI;
            prop_assert!(key.ask(count).admitted, "{algorithm:?}");
        }
    }

    #[test]
    fn gcra_decides_as_governor_does(
        count in 1..50_u32,
        millis in 1..5_000_u64,
        burst in 1..50_u32,
        pauses in prop::collection::vec(0..2_000_u64, 1..200),
    ) {
        let limits = limits(Algorithm::Gcra, &[&format!("{count}/{millis}ms")], Some(burst), TICKS);
        let interval = std::time::Duration::from_nanos(limits.each[0].step);
        let quota = Quota::with_period(interval).unwrap();
        let clock = FakeRelativeClock::default();
        let quota = quota.allow_burst(NonZeroU32::new(burst).unwrap());
        let governor = RateLimiter::direct_with_clock(quota, clock.clone());
        let mut key = Key::new(limits);
        let _ = clock.now();
        for pause in pauses {
            clock.advance(std::time::Duration::from_millis(pause));
            key.now += pause * MILLI;
            prop_assert_eq!(key.ask(1).admitted, governor.check().is_ok());
        }
    }
}
