//! Trace context, to the letter.

use super::*;

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;
const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn read(values: &[&str]) -> Option<Told> {
    let mut fields = HeaderMap::new();
    for value in values {
        fields.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
    }
    Told::read(&fields)
}

fn told(flags: u8) -> Told {
    Told {
        trace: TraceId::new(TRACE).unwrap(),
        span: SpanId::new(SPAN).unwrap(),
        flags,
    }
}

#[test]
fn a_traceparent_is_read() {
    assert_eq!(read(&[GOOD]), Some(told(1)));
    assert_eq!(read(&[&GOOD.replace("-01", "-00")]), Some(told(0)));
}

#[test]
fn of_the_flags_only_those_that_are_known_are_kept() {
    assert_eq!(read(&[&GOOD.replace("-01", "-ff")]), Some(told(3)));
    assert_eq!(read(&[&GOOD.replace("-01", "-fc")]), Some(told(0)));
    assert_eq!(read(&[&GOOD.replace("-01", "-02")]), Some(told(2)));
}

#[test]
fn what_is_not_valid_is_none() {
    let trace = &GOOD[3..35];
    for wrong in [
        String::new(),
        GOOD[..54].to_owned(),
        format!("{GOOD}-"),
        format!("{GOOD}0"),
        GOOD.replace("00-4b", "ff-4b"),
        GOOD.replace("00-4b", "0-4b"),
        GOOD.replace("00-4b", "0g-4b"),
        GOOD.to_ascii_uppercase(),
        GOOD.replace(trace, &"0".repeat(32)),
        GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
        GOOD.replace("-01", "-0x"),
        GOOD.replace('-', "_"),
        GOOD.replace("4736-", "47-36"),
    ] {
        assert_eq!(read(&[&wrong]), None, "{wrong}");
    }
    assert_eq!(read(&[]), None);
    assert_eq!(read(&[GOOD, GOOD]), None, "one of two could be anybody's");
}

#[test]
fn of_versions_to_come_what_is_known_is_read() {
    let later = GOOD.replace("00-4b", "cc-4b");
    assert_eq!(read(&[&later]), Some(told(1)));
    assert_eq!(read(&[&format!("{later}-what-ever")]), Some(told(1)));
    assert_eq!(read(&[&format!("{later}.what-ever")]), None);
}

/// A source of numbers that everybody has (SplitMix64), so that the test is the same each time.
fn numbers() -> impl FnMut() -> u128 {
    let mut state = 42_u64;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    move || u128::from(next()) << 64 | u128::from(next())
}

#[test]
fn a_share_of_what_begins_here_is_recorded() {
    let mut random = numbers();
    for (share, low, high) in [
        ("0%", 0, 0),
        ("0.1%", 60, 140),
        ("10%", 9_700, 10_300),
        ("50%", 49_300, 50_700),
        ("100%", 100_000, 100_000),
    ] {
        let sampler = Sampler::new(share.parse().unwrap());
        let recorded = (0..100_000)
            .filter(|_| TraceContext::begin(None, sampler, &mut random).is_sampled())
            .count();
        assert!((low..=high).contains(&recorded), "{share}: {recorded}");
    }
}

#[test]
fn whatever_a_small_share_records_a_larger_one_does_too() {
    let mut random = numbers();
    let small = Sampler::new(Percent::new(10));
    let large = Sampler::new(Percent::new(20));
    let mut ids = (0..10_000).map(|_| TraceId::random(&mut random));
    assert!(ids.all(|id| !small.takes(id) || large.takes(id)));
}

#[test]
fn the_word_of_whoever_asks_goes_before_the_sampler() {
    let (all, none) = (
        Sampler::new(Percent::new(100)),
        Sampler::new(Percent::new(0)),
    );
    let mut random = numbers();
    let on = TraceContext::begin(Some(told(3)), none, &mut random);
    assert!(on.is_sampled());
    assert_eq!(
        (on.trace, on.parent),
        (
            TraceId::new(TRACE).unwrap(),
            Some(SpanId::new(SPAN).unwrap())
        )
    );
    assert_ne!(on.span, SpanId::new(SPAN).unwrap());
    assert_eq!(on.flags(), 3);

    let off = TraceContext::begin(Some(told(0)), all, &mut random);
    assert!(!off.is_sampled());
    let same = GOOD.replace("-01", "-00");
    assert_eq!(off.traceparent(off.span), same, "it is passed on as it is");
}

#[test]
fn ids_are_never_zero() {
    let mut zeros = 3;
    let mut random = move || {
        zeros -= i32::from(zeros > 0);
        u128::from(zeros == 0)
    };
    let begun = TraceContext::begin(None, Sampler::new(Percent::new(100)), &mut random);
    assert_eq!(
        (TraceId::new(1), SpanId::new(1)),
        (Some(begun.trace), Some(begun.span))
    );
}

#[test]
fn a_traceparent_is_written_as_it_is_read() {
    let context = TraceContext::begin(Some(told(1)), Sampler::new(Percent::new(0)), numbers());
    assert_eq!(context.traceparent(SpanId::new(SPAN).unwrap()), GOOD);
    assert_eq!(context.trace.to_string(), &GOOD[3..35]);
    assert_eq!(SpanId::new(SPAN).unwrap().to_string(), "00f067aa0ba902b7");
}
