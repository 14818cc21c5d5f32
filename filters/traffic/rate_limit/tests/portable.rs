use std::time::Duration;

use wiregate_sdk::Clock;
use wiregate_sdk::build::Portable;
use wiregate_sdk::testing::probe;

use super::local::Limiter;
use super::passing;
use crate::traffic::rate_limit::RateLimit;
use crate::traffic::rate_limit::algorithm::Algorithm;

const ALL: [Algorithm; 4] = [
    Algorithm::Gcra,
    Algorithm::TokenBucket,
    Algorithm::FixedWindow,
    Algorithm::SlidingWindow,
];
const ROOM: usize = 1 << 20;

fn limiter(algorithm: Algorithm, keys: usize, clock: &Clock) -> Limiter {
    Limiter::new(algorithm, &["4/min", "6/h"], keys, clock)
}

#[test]
fn what_is_used_goes_over_with_its_times() {
    for algorithm in ALL {
        let clock = Clock::manual();
        let former = limiter(algorithm, 1_000, &clock);
        // The same in one that goes on without an upgrade.
        let other = limiter(algorithm, 1_000, &clock);
        let both = |key: &str, one: &Limiter| {
            let passes = one.check(key);
            assert_eq!(passes, other.check(key), "{algorithm:?} {key}");
            passes
        };
        for _ in 0..3 {
            assert!(both("ann", &former));
        }
        assert!(both("bob", &former));
        clock.advance(Duration::from_secs(20));
        assert!(both("ann", &former));

        let mut next = limiter(algorithm, 1_000, &clock);
        next.local.take_in(&former.local.pack(ROOM));
        clock.advance(Duration::from_secs(3));
        // Fresher, as right before it begins.
        both("ann", &former);
        next.local.take_in(&former.local.pack(ROOM));
        for turn in 0..40 {
            both("ann", &next);
            both("bob", &next);
            both("eve", &next);
            clock.advance(Duration::from_secs(70 * (turn % 3)));
            if turn == 10 {
                let third = limiter(algorithm, 1_000, &clock);
                third.local.take_in(&next.local.pack(ROOM));
                next = third;
            }
        }
    }
}

#[test]
fn of_too_many_those_go_over_that_are_used_up_for_longest() {
    let clock = Clock::manual();
    let former = Limiter::new(Algorithm::Gcra, &["60/h"], 10_000, &clock);
    for key in 0..2_000_u32 {
        for _ in 0..=(key % 4) {
            former.check(&key);
        }
    }
    let row = 8 + 4 + 8;
    for (room, most) in [
        (0, 0),
        (100 * row + 49, 100),
        (700 * row + 49, 700),
        (ROOM, 2_000),
    ] {
        let packed = former.local.pack(room);
        assert!(packed.len() <= room.max(49), "{room}");
        let next = Limiter::new(Algorithm::Gcra, &["60/h"], 10_000, &clock);
        next.local.take_in(&packed);
        assert_eq!(next.local.table().len(), most);
        // Whoever is there has used more than those who are not.
        let is_there = |key: &u32| {
            let before = next.local.table().len();
            next.check(key);
            next.local.table().len() == before
        };
        let there = (0..2_000_u32).filter(is_there).filter(|key| key % 4 == 3);
        assert_eq!(there.count(), most.min(500), "{room}");
    }
}

#[test]
fn what_has_passed_does_not_go_over() {
    let clock = Clock::manual();
    let former = limiter(Algorithm::Gcra, 100, &clock);
    assert_eq!(former.local.pack(ROOM), b"", "nobody was counted");
    former.check("ann");
    let packed = former.local.pack(ROOM);
    clock.advance(Duration::from_secs(7_200));
    let next = limiter(Algorithm::Gcra, 100, &clock);
    next.local.take_in(&packed);
    assert_eq!(next.local.table().len(), 0);
    assert!(former.local.pack(ROOM).len() < packed.len());
}

#[test]
fn what_cannot_be_read_is_left_out() {
    let clock = Clock::manual();
    let former = limiter(Algorithm::Gcra, 100, &clock);
    former.check("ann");
    let packed = former.local.pack(ROOM);
    let mut other_version = packed.clone();
    other_version[0] += 1;
    let mut other_hash = packed.clone();
    other_hash[1 + 3 * 8] ^= 1;
    let cut_off = packed[..packed.len() - 1].to_vec();
    let head = packed[..20].to_vec();
    for wrong in [
        other_version,
        other_hash,
        cut_off,
        head,
        packed[..1].to_vec(),
        vec![0; 200],
    ] {
        let next = limiter(Algorithm::Gcra, 100, &clock);
        next.local.take_in(&wrong);
        assert_eq!(next.local.table().len(), 0);
        assert!(next.check("ann"), "it counts by itself");
        next.local.take_in(&packed);
        assert_eq!(next.local.table().len(), 1, "and goes on to");
    }
    let narrow = Limiter::new(Algorithm::Gcra, &["4/min"], 100, &clock);
    narrow.local.take_in(&packed);
    assert_eq!(narrow.local.table().len(), 0);
}

#[test]
fn numbers_that_cannot_be_are_refused_or_count_as_all_that_there_is() {
    const MANY: [u64; 3] = [u64::MAX, u64::MAX - 1_000_000, u64::MAX / 2 + 1];
    for (algorithm, number) in ALL.into_iter().flat_map(|it| MANY.map(|many| (it, many))) {
        let clock = Clock::manual();
        let former = limiter(algorithm, 100, &clock);
        former.check("ann");
        let packed = former.local.pack(ROOM);
        let put = |packed: &mut [u8], at: usize| {
            packed[at..at + 8].copy_from_slice(&number.to_le_bytes())
        };
        // The epoch, and the tick from which seconds are counted.
        for at in [1 + 4 * 8, 1 + 5 * 8] {
            let (next, mut wrong) = (limiter(algorithm, 100, &clock), packed.clone());
            put(&mut wrong, at);
            next.local.take_in(&wrong);
            assert_eq!(next.local.table().len(), 0);
            assert!(next.check("ann"), "it counts by itself");
        }
        let (next, mut wrong) = (limiter(algorithm, 100, &clock), packed.clone());
        let cells = 1 + 6 * 8 + 8 + 4;
        (cells..packed.len())
            .step_by(8)
            .for_each(|at| put(&mut wrong, at));
        next.local.take_in(&wrong);
        assert_eq!(next.local.table().len(), 1);
        assert!(!next.check("ann"), "{algorithm:?}: {number}");
        clock.advance(Duration::from_secs(3 * 3600));
        assert!(next.check("ann"), "{algorithm:?}: {number} is not for ever");
    }
}

#[test]
fn a_million_keys_are_packed_and_taken_in_within_their_bounds() {
    let clock = Clock::manual();
    let former = Limiter::new(Algorithm::Gcra, &["10/h"], 1_500_000, &clock);
    for key in 0..1_000_000_u32 {
        former.check(&key);
    }
    let packed = former.local.pack(4 << 20);
    assert!(packed.len() <= 4 << 20 && packed.len() > 3 << 20);
    let next = Limiter::new(Algorithm::Gcra, &["10/h"], 1_500_000, &clock);
    next.local.take_in(&packed);
    assert_eq!(next.local.table().len(), (packed.len() - 49) / 20);
}

#[tokio::test]
async fn a_filter_goes_on_counting_in_the_next_process() {
    let filter = probe::<RateLimit>("3/min");
    assert_eq!(passing(&filter, 2).await, 2);
    let filter = filter.upgrade::<RateLimit>("3/min");
    assert_eq!(passing(&filter, 2).await, 1);
    let filter = filter.upgrade::<RateLimit>("4/min");
    assert_eq!(passing(&filter, 5).await, 4);
}
