//! What services tell each other of a trace (W3C Trace Context), and the decision whether it is
//! recorded.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Serialize, Serializer};
use wiregate_sdk::types::Percent;

/// The field that names the trace and the span of whoever asks.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The field in which tracing systems keep what is theirs.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// The trace is recorded.
const SAMPLED: u8 = 0b01;
/// The trace's id is random. It is to be kept with the id (Trace Context, level 2).
const RANDOM: u8 = 0b10;
/// Of a random id, the part that is random for sure: 56 bits.
const WHOLE: u64 = 1 << 56;

/// The id of a trace; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// The id of a span; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

impl TraceId {
    /// An id of these bits; nothing where they are all zero.
    pub fn new(bits: u128) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    /// Its bytes, in network order.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl SpanId {
    /// An id of these bits; nothing where they are all zero.
    pub fn new(bits: u64) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    /// A random one.
    pub fn random(mut random: impl FnMut() -> u128) -> Self {
        loop {
            if let Some(id) = Self::new(random() as u64) {
                return id;
            }
        }
    }

    /// Its bytes, in network order.
    pub fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for SpanId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What whoever asks has told of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    trace: TraceId,
    span: SpanId,
    flags: u8,
}

impl Told {
    /// What the fields of a request tell; nothing where there is no `traceparent`, more than one, or
    /// one that is not valid.
    pub fn read(fields: &HeaderMap) -> Option<Self> {
        let mut all = fields.get_all(TRACEPARENT).iter();
        let value = all.next()?;
        match all.next() {
            None => Self::parse(value.as_bytes()),
            Some(_) => None,
        }
    }

    /// Of a version to come, only what version 00 has is read (Trace Context, 3.2.4).
    fn parse(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(LENGTH)?;
        let [v0, v1, b'-', rest @ ..] = known else {
            return None;
        };
        let (trace, rest) = rest.split_at(32);
        let [b'-', rest @ ..] = rest else { return None };
        let (span, rest) = rest.split_at(16);
        let [b'-', f0, f1] = rest else { return None };
        let version = hex(&[*v0, *v1])?;
        let ends_well = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.is_empty() || more[0] == b'-',
        };
        if !ends_well {
            return None;
        }
        let flags = u8::try_from(hex(&[*f0, *f1])?).ok()?;
        Some(Self {
            trace: TraceId::new(hex(trace)?)?,
            span: SpanId::new(u64::try_from(hex(span)?).ok()?)?,
            flags: flags & (SAMPLED | RANDOM),
        })
    }
}

/// The number that hexadecimal digits stand for, in lower case as the field has to have them.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// Which of the traces that begin here are recorded: a share of them, by their ids, so that whoever
/// decides by the same rule and the same share decides the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Ids whose last 56 bits are a number below this are not recorded.
    from: u64,
}

impl Sampler {
    /// Records this share.
    pub fn new(share: Percent) -> Self {
        Self {
            from: WHOLE - share.of(WHOLE),
        }
    }

    /// Whether it records a trace.
    pub fn takes(self, trace: TraceId) -> bool {
        trace.0 as u64 & (WHOLE - 1) >= self.from
    }
}

/// Where a request stands in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span of whoever asked, where it is known and this request has one of its own.
    pub parent: Option<SpanId>,
    /// The request's span; where none is recorded, what stands for it in the `traceparent` of what
    /// follows from the request.
    pub span: SpanId,
    flags: u8,
}

impl TraceContext {
    /// Goes on with what was told, and does as it says; where nothing was, a trace begins here, and the
    /// sampler decides.
    pub fn begin(told: Option<Told>, sampler: Sampler, random: impl FnMut() -> u128) -> Self {
        let mut random = random;
        match told {
            // Nobody would ever find a span of ours: what follows goes on with the one it came with.
            Some(told) if told.flags & SAMPLED == 0 => Self {
                trace: told.trace,
                parent: None,
                span: told.span,
                flags: told.flags,
            },
            Some(told) => Self {
                trace: told.trace,
                parent: Some(told.span),
                span: SpanId::random(random),
                flags: told.flags,
            },
            None => {
                let trace = loop {
                    if let Some(id) = TraceId::new(random()) {
                        break id;
                    }
                };
                Self {
                    trace,
                    parent: None,
                    span: SpanId::random(random),
                    flags: if sampler.takes(trace) { SAMPLED } else { 0 },
                }
            }
        }
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The flags, as `traceparent` has them.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// The `traceparent` for what a span of this trace asks for.
    pub fn traceparent(&self, span: SpanId) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        digits(&mut text[3..35], &self.trace.bytes());
        digits(&mut text[36..52], &span.bytes());
        digits(&mut text[53..], &[self.flags]);
        HeaderValue::from_bytes(&text).expect("digits and hyphens")
    }
}

fn digits(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
}

#[cfg(test)]
mod tests {
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
            trace: TraceId(TRACE),
            span: SpanId(SPAN),
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
        let mut ids = (0..10_000).map(|_| TraceId(random()));
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
        assert_eq!((on.trace.0, on.parent), (TRACE, Some(SpanId(SPAN))));
        assert_ne!(on.span, SpanId(SPAN));
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
        assert_eq!((begun.trace.0, begun.span.0), (1, 1));
    }

    #[test]
    fn a_traceparent_is_written_as_it_is_read() {
        let context = TraceContext::begin(Some(told(1)), Sampler::new(Percent::new(0)), numbers());
        assert_eq!(context.traceparent(SpanId(SPAN)), GOOD);
        assert_eq!(context.trace.to_string(), &GOOD[3..35]);
        assert_eq!(SpanId(SPAN).to_string(), "00f067aa0ba902b7");
    }
}
