//! What services tell each other of a trace (W3C Trace Context), and the decision whether it is
//! recorded.

use http::{HeaderMap, HeaderName, HeaderValue};
use wiregate_sdk::types::Percent;

use super::{SpanId, TraceId};

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
        trace.low() & (WHOLE - 1) >= self.from
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
                let trace = TraceId::random(&mut random);
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
mod tests;
