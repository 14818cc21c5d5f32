use super::*;

fn breaker(text: &str) -> (Breaker, Instant) {
    let value = wiregate_sdk::value::read(&"test".into(), text).unwrap();
    let config = wiregate_sdk::value::decode(&value).unwrap();
    let memory = Arc::new(Memory::default());
    let start = memory.start;
    (Breaker::new(&config, memory), start)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn opens_at_the_share_probes_and_closes() {
    let (breaker, start) = breaker("{ errors: 50%, of_at_least: 4, open_for: 5s }");
    let attempt = |now, good| {
        let mut leave = breaker.ask(now).ok().unwrap();
        breaker.tell(&mut leave, now, good)
    };
    for good in [true, true, false] {
        assert_eq!(attempt(start, good), None);
    }
    assert_eq!(attempt(start, false), Some(Turn::Opened));
    assert_eq!(breaker.ask(start).err(), Some(5 * SECOND));
    assert!(breaker.ask(start + 4 * SECOND).is_err());

    let mut probe = breaker.ask(start + 5 * SECOND).ok().unwrap();
    assert!(breaker.ask(start + 5 * SECOND).is_err(), "one probe only");
    let turn = breaker.tell(&mut probe, start + 6 * SECOND, false);
    assert_eq!(turn, Some(Turn::Opened));
    drop(probe);
    assert!(breaker.ask(start + 10 * SECOND).is_err());

    assert_eq!(attempt(start + 11 * SECOND, true), Some(Turn::Closed));
    assert_eq!(attempt(start + 11 * SECOND, false), None, "a clean sheet");
}

#[test]
fn forgets_what_is_long_ago() {
    let (breaker, start) = breaker("{ errors: 50%, of_at_least: 2, within: 10s }");
    let fail = |now| {
        let mut leave = breaker.ask(now).ok().unwrap();
        breaker.tell(&mut leave, now, false)
    };
    assert_eq!(fail(start), None);
    assert_eq!(fail(start + 11 * SECOND), None);
    assert_eq!(fail(start + 12 * SECOND), Some(Turn::Opened));
}

#[test]
fn a_probe_that_says_nothing_makes_room_for_another() {
    let (breaker, start) = breaker("{ errors: 1%, of_at_least: 1, open_for: 1s }");
    let mut leave = breaker.ask(start).ok().unwrap();
    assert_eq!(breaker.tell(&mut leave, start, false), Some(Turn::Opened));
    for _ in 0..3 {
        let probe = breaker.ask(start + SECOND).ok().unwrap();
        assert!(breaker.ask(start + SECOND).is_err());
        drop(probe);
    }
}

/// An answer that was good until it broke.
fn breaks(breaker: &Breaker, now: Instant) -> Option<Turn> {
    let mut leave = breaker.ask(now).ok().unwrap();
    assert_eq!(breaker.tell(&mut leave, now, true), None);
    breaker.broke(leave, now)
}

#[test]
fn what_breaks_after_a_good_answer_counts_once_and_as_bad() {
    let (breaker, start) = breaker("{ errors: 75%, of_at_least: 4 }");
    let mut good = breaker.ask(start).ok().unwrap();
    assert_eq!(breaker.tell(&mut good, start, true), None);
    drop(good); // it has ended well
    assert_eq!(breaks(&breaker, start), None);
    assert_eq!(breaks(&breaker, start), None);
    // Three of four, and not of seven.
    assert_eq!(breaks(&breaker, start), Some(Turn::Opened));
}

#[test]
fn a_probe_that_breaks_opens_the_circuit_again() {
    let (breaker, start) = breaker("{ errors: 50%, of_at_least: 9, open_for: 5s }");
    for _ in 0..9 {
        breaks(&breaker, start);
    }
    assert!(breaker.is_open());
    let probe = |now, broken: Duration| {
        let mut probe = breaker.ask(now).ok().unwrap();
        assert_eq!(breaker.tell(&mut probe, now, true), Some(Turn::Closed));
        breaker.broke(probe, now + broken)
    };
    assert_eq!(probe(start + 5 * SECOND, SECOND), Some(Turn::Opened));
    assert!(breaker.ask(start + 10 * SECOND).is_err());
    // A long while later it is one that breaks among others.
    assert_eq!(probe(start + 11 * SECOND, 5 * SECOND), None);
    assert!(!breaker.is_open());
}

#[test]
fn a_probe_that_breaks_while_others_are_awaited_opens_it_too() {
    let (breaker, start) = breaker("{ errors: 50%, of_at_least: 1, open_for: 5s, probes: 2 }");
    assert_eq!(breaks(&breaker, start), Some(Turn::Opened));
    assert_eq!(breaks(&breaker, start + 5 * SECOND), Some(Turn::Opened));
    assert!(breaker.ask(start + 6 * SECOND).is_err());
}

#[test]
fn a_probe_that_passes_too_late_counts_for_no_later_ones() {
    let (breaker, start) = breaker("{ errors: 1%, of_at_least: 1, open_for: 5s, probes: 2 }");
    assert_eq!(breaks(&breaker, start), Some(Turn::Opened));
    let probe = || breaker.ask(start + 5 * SECOND).ok().unwrap();
    let (mut bad, mut late) = (probe(), probe());
    let turn = breaker.tell(&mut bad, start + 6 * SECOND, false);
    assert_eq!(turn, Some(Turn::Opened));
    assert_eq!(breaker.tell(&mut late, start + 7 * SECOND, true), None);
    drop((bad, late));
    let pass = || {
        let mut probe = breaker.ask(start + 12 * SECOND).ok().unwrap();
        breaker.tell(&mut probe, start + 12 * SECOND, true)
    };
    assert_eq!((pass(), pass()), (None, Some(Turn::Closed)));
}

#[test]
fn counts_keep_their_ratio_where_they_grow_beyond_their_bounds() {
    let mut part = Part::unpack(0).of(7);
    for turn in 0..200_000u32 {
        part = part.with(turn % 4 != 0);
    }
    let again = Part::unpack(part.pack());
    assert_eq!(
        (again.number, again.good, again.bad),
        (7, part.good, part.bad)
    );
    let ratio = part.bad as f64 / (part.good + part.bad) as f64;
    assert!((0.2..0.3).contains(&ratio), "{ratio}");
}
