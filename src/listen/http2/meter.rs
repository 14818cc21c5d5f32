//! Counts what an HTTP/2 client asks for beside requests, against what it may.
//!
//! Frames that cost the gateway work and the client nothing are rationed: an allowance of each
//! kind comes back with time, and with the traffic that such frames belong to.

use std::time::{Duration, Instant};

use h2::Reason;
use wiregate_sdk::types::Rate;

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
        }
    }

    /// The code of the GOAWAY (RFC 9113, 7).
    pub fn code(self) -> Reason {
        Reason::ENHANCE_YOUR_CALM
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

    /// Takes from it; `false` where there is not enough. The clock is read only where it decides.
    fn spend(&mut self, amount: f64, now: impl FnOnce() -> Instant) -> bool {
        if self.left < amount {
            let now = now();
            let share = (now - self.since).as_secs_f64() / self.per.as_secs_f64();
            self.earn(share * self.most);
            self.since = now;
        }
        let enough = self.left >= amount;
        if enough {
            self.left -= amount;
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
    /// The last stream that the client has opened.
    last_stream: u32,
}

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
            last_stream: 0,
        }
    }

    /// The client has sent these bytes.
    ///
    /// # Errors
    /// What there is too much of.
    pub fn received(&mut self, bytes: &[u8], now: impl Fn() -> Instant) -> Result<(), Excess> {
        let mut frames = std::mem::take(&mut self.received);
        let mut result = Ok(());
        frames.read(bytes, |part| {
            if let (Part::Head(head), Ok(())) = (part, result) {
                result = self.count(head, &now);
            }
        });
        self.received = frames;
        result
    }

    /// The client was sent these bytes.
    pub fn sent(&mut self, bytes: &[u8]) {
        let (pings, window_updates) = (&mut self.pings, &mut self.window_updates);
        self.sent.read(bytes, |part| {
            if let Part::Head(head) = part
                && head.kind == kind::DATA
            {
                pings.earn(1.0);
                window_updates.earn(WINDOW_UPDATES);
            }
        });
    }

    fn count(&mut self, head: Head, now: impl Fn() -> Instant) -> Result<(), Excess> {
        let ack = head.has(flag::ACK);
        let (allowance, cost, excess) = match head.kind {
            kind::HEADERS => {
                self.headers(head);
                return Ok(());
            }
            kind::CONTINUATION => {
                self.continuations += 1;
                let within = self.continuations <= self.most_continuations;
                return within.then_some(()).ok_or(Excess::Continuations);
            }
            kind::DATA if is_empty(head) => (&mut self.empty_data, 1.0, Excess::EmptyData),
            kind::PING if !ack => (&mut self.pings, 1.0, Excess::Pings),
            kind::SETTINGS if !ack => (&mut self.settings, 1.0, Excess::Settings),
            kind::PRIORITY | kind::PRIORITY_UPDATE => {
                (&mut self.priorities, 1.0, Excess::Priorities)
            }
            kind::WINDOW_UPDATE => (&mut self.window_updates, 1.0, Excess::WindowUpdates),
            // Its opening has earned one already.
            kind::RST_STREAM => (&mut self.resets, 2.0, Excess::Resets),
            unknown if unknown > kind::LAST => {
                (&mut self.unknown_frames, 1.0, Excess::UnknownFrames)
            }
            _ => return Ok(()),
        };
        allowance.spend(cost, now).then_some(()).ok_or(excess)
    }

    fn headers(&mut self, head: Head) {
        self.continuations = 0;
        if head.stream > self.last_stream {
            self.last_stream = head.stream;
            self.resets.earn(1.0);
            self.priorities.earn(PRIORITIES);
            self.window_updates.earn(WINDOW_UPDATES);
        }
    }
}

/// Whether a DATA frame brings nothing; one that is padded has at least the padding's length.
fn is_empty(head: Head) -> bool {
    let least = usize::from(head.has(flag::PADDED));
    head.length <= least && !head.has(flag::END_STREAM)
}
