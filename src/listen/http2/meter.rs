//! Counts what an HTTP/2 client asks for beside requests, against what it may.
//!
//! Frames that cost the gateway work and the client nothing are rationed: an allowance of each
//! kind comes back with time, and with the traffic that such frames belong to.

use std::time::{Duration, Instant};

use h2::Reason;
use wiregate_sdk::types::Rate;

use super::fields::{Fields, Wrong};
use super::frames::{Frames, Head, Part, flag, kind};
use crate::config::http2::Http2;

/// PRIORITY frames that belong to each stream.
const PRIORITIES: f64 = 4.0;
/// WINDOW_UPDATE frames that belong to each DATA frame, and to each stream.
const WINDOW_UPDATES: f64 = 4.0;

/// What a client has sent too much of, or must not send at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    Pings,
    Settings,
    Priorities,
    WindowUpdates,
    EmptyData,
    Continuations,
    Resets,
    UnknownFrames,
    /// Trailers with pseudo-header fields.
    PseudoTrailers,
    /// Requests whose path has a fragment, before one of them was looked at.
    Fragments,
}

impl Excess {
    /// One word for metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pings => "pings",
            Self::Settings => "settings",
            Self::Priorities => "priorities",
            Self::WindowUpdates => "window_updates",
            Self::EmptyData => "empty_data",
            Self::Continuations => "continuations",
            Self::Resets => "resets",
            Self::UnknownFrames => "unknown_frames",
            Self::PseudoTrailers => "pseudo_trailers",
            Self::Fragments => "fragments",
        }
    }

    /// The code of the GOAWAY (RFC 9113, 7).
    pub fn code(self) -> Reason {
        match self {
            // Malformed (RFC 9113, 8.1.1); a stream's error may be taken for the connection's (5.4).
            Self::PseudoTrailers => Reason::PROTOCOL_ERROR,
            _ => Reason::ENHANCE_YOUR_CALM,
        }
    }
}

/// How much of something may still come.
#[derive(Debug)]
struct Allowance {
    left: f64,
    most: f64,
    per: Duration,
    since: Instant,
}

impl Allowance {
    fn of(rate: Rate, now: Instant) -> Self {
        let most = f64::from(rate.count.get());
        Self {
            left: most,
            most,
            per: rate.per.into(),
            since: now,
        }
    }

    fn earn(&mut self, amount: f64) {
        self.left = (self.left + amount).min(self.most);
    }

    /// Takes one; `false` where there is none. The clock is read only where it decides.
    fn spend(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.left < 1.0 {
            let now = now();
            let share = (now - self.since).as_secs_f64() / self.per.as_secs_f64();
            self.earn(share * self.most);
            self.since = now;
        }
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

/// Watches both directions of a connection.
#[derive(Debug)]
pub(super) struct Meter {
    received: Frames,
    sent: Frames,
    pings: Allowance,
    settings: Allowance,
    priorities: Allowance,
    window_updates: Allowance,
    empty_data: Allowance,
    resets: Allowance,
    unknown_frames: Allowance,
    most_continuations: u32,
    continuations: u32,
    /// PING frames that the client was sent and has not answered.
    unanswered: u32,
    /// The last stream that the client has opened.
    last_stream: u32,
    fields: Fields,
    /// The streams whose path has a fragment, since they were last taken from here.
    fragments: Vec<u32>,
    /// Streams that the client has reset, and that the gateway has, since they were last taken.
    reset: (u64, u64),
    /// The streams that neither a whole response nor a reset has ended.
    open: Vec<u32>,
}

/// So many open streams are followed: more than a client has that keeps to the rules.
const MOST_OPEN: usize = 4096;

impl Meter {
    /// A meter for a connection whose client begins with so many bytes of a preface.
    pub fn new(limits: &Http2, preface: usize) -> Self {
        let now = Instant::now();
        let of = |rate| Allowance::of(rate, now);
        Self {
            received: Frames::after(preface),
            sent: Frames::default(),
            pings: of(limits.pings),
            settings: of(limits.settings),
            priorities: of(limits.priorities),
            window_updates: of(limits.window_updates),
            empty_data: of(limits.empty_data),
            resets: of(limits.resets),
            unknown_frames: of(limits.unknown_frames),
            most_continuations: limits.continuations.get(),
            continuations: 0,
            unanswered: 0,
            last_stream: 0,
            fields: Fields::default(),
            fragments: Vec::new(),
            reset: (0, 0),
            open: Vec::new(),
        }
    }

    /// How many streams have been opened whose response was not written to its end, nor reset.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// The client has sent these bytes.
    ///
    /// # Errors
    /// What there is too much of.
    pub fn received(&mut self, bytes: &[u8], now: impl Fn() -> Instant) -> Result<(), Excess> {
        let mut frames = std::mem::take(&mut self.received);
        let mut result = Ok(());
        frames.read(bytes, |part| {
            if result.is_err() {
                return;
            }
            let wrong = match part {
                Part::Head(head) => {
                    let known = head.stream <= self.last_stream;
                    result = self.count(head, &now);
                    self.fields.begin(head, known)
                }
                Part::Payload(bytes, last) => self.fields.more(bytes, last),
            };
            match wrong {
                Some(Wrong::PseudoTrailers) => result = Err(Excess::PseudoTrailers),
                Some(Wrong::Fragment(stream)) => self.fragments.push(stream),
                None => {}
            }
        });
        self.received = frames;
        result
    }

    /// The streams that were opened, since this was last asked for, with a fragment in their path.
    pub fn take_fragments(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.fragments)
    }

    /// How many streams the client has reset, and how many the gateway, since this was last asked
    /// for.
    pub fn take_resets(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.reset)
    }

    /// The client was sent these bytes.
    pub fn sent(&mut self, bytes: &[u8]) {
        let (pings, window_updates) = (&mut self.pings, &mut self.window_updates);
        let (resets, reset) = (&mut self.resets, &mut self.reset.1);
        let (open, unanswered) = (&mut self.open, &mut self.unanswered);
        self.sent.read(bytes, |part| {
            let Part::Head(head) = part else {
                return;
            };
            if head.kind == kind::DATA {
                pings.earn(1.0);
                window_updates.earn(WINDOW_UPDATES);
            }
            if head.kind == kind::PING && !head.has(flag::ACK) {
                *unanswered += 1;
            }
            if head.kind == kind::RST_STREAM {
                *reset += 1;
                close(open, head.stream);
            }
            if matches!(head.kind, kind::DATA | kind::HEADERS) && head.has(flag::END_STREAM) {
                resets.earn(1.0);
                close(open, head.stream);
            }
        });
    }

    fn count(&mut self, head: Head, now: impl Fn() -> Instant) -> Result<(), Excess> {
        let ack = head.has(flag::ACK);
        let (allowance, excess) = match head.kind {
            kind::HEADERS => {
                self.headers(head);
                return Ok(());
            }
            kind::CONTINUATION => {
                self.continuations += 1;
                let within = self.continuations <= self.most_continuations;
                return within.then_some(()).ok_or(Excess::Continuations);
            }
            kind::DATA if is_empty(head) => (&mut self.empty_data, Excess::EmptyData),
            kind::PING if ack && self.unanswered > 0 => {
                self.unanswered -= 1;
                return Ok(());
            }
            // What says that it answers one, where there is none, is nothing else.
            kind::PING => (&mut self.pings, Excess::Pings),
            // `h2` ends the connection with the first answer to none.
            kind::SETTINGS if !ack => (&mut self.settings, Excess::Settings),
            kind::PRIORITY | kind::PRIORITY_UPDATE => (&mut self.priorities, Excess::Priorities),
            kind::WINDOW_UPDATE => (&mut self.window_updates, Excess::WindowUpdates),
            kind::RST_STREAM => {
                self.reset.0 += 1;
                close(&mut self.open, head.stream);
                (&mut self.resets, Excess::Resets)
            }
            unknown if unknown > kind::LAST => (&mut self.unknown_frames, Excess::UnknownFrames),
            _ => return Ok(()),
        };
        allowance.spend(now).then_some(()).ok_or(excess)
    }

    fn headers(&mut self, head: Head) {
        self.continuations = 0;
        if head.stream > self.last_stream {
            self.last_stream = head.stream;
            if self.open.len() < MOST_OPEN {
                self.open.push(head.stream);
            }
            self.priorities.earn(PRIORITIES);
            self.window_updates.earn(WINDOW_UPDATES);
        }
    }
}

fn close(open: &mut Vec<u32>, stream: u32) {
    if let Some(at) = open.iter().position(|other| *other == stream) {
        open.swap_remove(at);
    }
}

/// Whether a DATA frame brings nothing; one that is padded has at least the padding's length.
fn is_empty(head: Head) -> bool {
    let least = usize::from(head.has(flag::PADDED));
    head.length <= least && !head.has(flag::END_STREAM)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use wiregate_sdk::types::Period;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8) -> [u8; 9] {
        [0, 0, 0, kind, flags, 0, 0, 0, stream]
    }

    fn meter(change: impl FnOnce(&mut Http2, Rate)) -> Meter {
        let mut limits = Http2::default();
        change(
            &mut limits,
            Rate::new(NonZeroU32::new(2).unwrap(), Period::seconds(10)),
        );
        Meter::new(&limits, 0)
    }

    #[test]
    fn an_allowance_comes_back_with_time() {
        let mut meter = meter(|limits, rate| limits.pings = rate);
        let start = Instant::now();
        let mut ping = |after| {
            let now = start + Duration::from_secs(after);
            meter.received(&frame(kind::PING, 0, 0), || now)
        };
        assert_eq!((ping(0), ping(0)), (Ok(()), Ok(())));
        assert_eq!(ping(1), Err(Excess::Pings));
        assert_eq!(ping(7), Ok(()));
        assert_eq!(ping(7), Err(Excess::Pings));
        // No more comes back than there was.
        assert_eq!((ping(100), ping(100)), (Ok(()), Ok(())));
        assert_eq!(ping(100), Err(Excess::Pings));
    }

    #[test]
    fn an_allowance_comes_back_with_the_traffic_that_it_belongs_to() {
        let mut meter = meter(|limits, rate| (limits.pings, limits.resets) = (rate, rate));
        let now = Instant::now;
        for stream in 0..100 {
            meter.sent(&frame(kind::DATA, flag::END_STREAM, stream));
            let ping = meter.received(&frame(kind::PING, 0, 0), now);
            let reset = meter.received(&frame(kind::RST_STREAM, 0, stream), now);
            assert_eq!((ping, reset), (Ok(()), Ok(())));
        }
        for left in [Ok(()), Err(Excess::Resets)] {
            assert_eq!(meter.received(&frame(kind::RST_STREAM, 0, 1), now), left);
        }
    }

    #[test]
    fn streams_that_are_reset_are_counted_for_both_sides() {
        let mut meter = meter(|_, _| {});
        for stream in [1, 3] {
            let reset = frame(kind::RST_STREAM, 0, stream);
            assert_eq!(meter.received(&reset, Instant::now), Ok(()));
        }
        meter.sent(&frame(kind::RST_STREAM, 0, 5));
        meter.sent(&frame(kind::DATA, flag::END_STREAM, 7));
        assert_eq!(meter.take_resets(), (2, 1));
        assert_eq!(meter.take_resets(), (0, 0));
    }

    #[test]
    fn a_stream_is_open_until_its_response_has_left_or_either_side_resets_it() {
        let mut meter = meter(|_, _| {});
        for stream in [1, 3, 5, 7] {
            let head = frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream);
            assert_eq!(meter.received(&head, Instant::now), Ok(()));
        }
        meter.sent(&frame(kind::HEADERS, flag::END_HEADERS, 1));
        meter.sent(&frame(kind::DATA, 0, 1));
        assert_eq!(meter.open(), 4);
        meter.sent(&frame(kind::DATA, flag::END_STREAM, 1));
        meter.sent(&frame(kind::RST_STREAM, 0, 1)); // the rest of the request is not wanted
        meter.sent(&frame(kind::HEADERS, flag::END_STREAM, 3));
        meter.sent(&frame(kind::RST_STREAM, 0, 5));
        assert_eq!(meter.open(), 1);
        let reset = frame(kind::RST_STREAM, 0, 7);
        assert_eq!(meter.received(&reset, Instant::now), Ok(()));
        assert_eq!(meter.open(), 0);
    }

    #[test]
    fn what_answers_the_gateway_is_not_counted() {
        let mut meter = meter(|limits, rate| (limits.pings, limits.settings) = (rate, rate));
        for kind in [kind::PING, kind::SETTINGS] {
            meter.sent(&frame(kind, 0, 0).repeat(100));
            meter.sent(&frame(kind, flag::ACK, 0));
            let acks = frame(kind, flag::ACK, 0).repeat(100);
            assert_eq!(meter.received(&acks, Instant::now), Ok(()));
        }
        // An answer to no PING is a PING.
        let ack = frame(kind::PING, flag::ACK, 0);
        for left in [Ok(()), Ok(()), Err(Excess::Pings)] {
            assert_eq!(meter.received(&ack, Instant::now), left);
        }
    }
}
