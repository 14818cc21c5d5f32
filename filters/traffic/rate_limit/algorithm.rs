//! The arithmetic of one limit: what a key has used of it is a few numbers, its cells. Cells that
//! are all zero are those of a key that has used nothing.
//!
//! The same is done in Redis by `decide.lua`, and a test holds the two against each other.

use std::num::NonZeroU32;

use wiregate_sdk::types::{Period, Rate};
use wiregate_sdk::{Deserialize, JsonSchema};

/// Beyond it the nanoseconds between two requests are too few to keep to a limit.
const MOST_PER_SECOND: u64 = 1_000_000;
/// Keeps all sums of times within 64 bits of nanoseconds, and within 53 bits of microseconds.
const LONGEST: Period = Period::seconds(36_500 * 86_400);
/// A window that slides is as long as so many of its slots.
const SLOTS: u64 = 15;
/// They are kept, and one more: the one that a window begins in the middle of.
const COUNTS: usize = 16;

/// How a limit is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", rename_all = "snake_case")]
#[schemars(crate = "wiregate_sdk::schemars", rename = "Algorithm")]
pub enum Algorithm {
    /// `burst` at once, and then one more each time that the limit grants one (the generic cell
    /// rate algorithm, a leaky bucket): with `100/min` one every 0.6 s. In any stretch of time no more
    /// pass than the limit grants in it, and `burst` on top.
    #[default]
    Gcra,
    /// A bucket of `burst` tokens, into which the whole count of the limit comes at once, each time
    /// that its period has passed since the bucket was last full: with `100/min` a hundred a minute
    /// later. In any stretch of time no more pass than `burst` and what has come into the bucket.
    TokenBucket,
    /// The count of the limit in each period of the clock, in UTC: with `100/min` a hundred in each
    /// minute, with `1000/day` a thousand from midnight to midnight. Around the end of a period up to
    /// twice the count may pass. Without a `store` the clock is the one of the gateway when it began
    /// to count, and goes on from there whatever is set, in a process that takes its place as well.
    FixedWindow,
    /// In any stretch of time as long as the limit's period, no more than its count. A request
    /// counts until the end of the fifteenth part of a period in which it was made: with `100/min`
    /// for 60 to 64 seconds.
    SlidingWindow,
}

impl Algorithm {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Gcra => "gcra",
            Self::TokenBucket => "token_bucket",
            Self::FixedWindow => "fixed_window",
            Self::SlidingWindow => "sliding_window",
        }
    }
}

/// One limit, in ticks of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// As it is written.
    pub(super) rate: Rate,
    pub(super) algorithm: Algorithm,
    /// The most that may pass at once.
    pub(super) burst: u32,
    /// Ticks of its period.
    pub(super) per: u64,
    /// Ticks after which one more may pass, or those of a slot of a window that slides.
    pub(super) step: u64,
}

impl Limit {
    /// A limit by a clock with so many ticks a second.
    ///
    /// # Errors
    /// The option that is out of bounds, and why.
    pub(super) fn new(
        rate: Rate,
        burst: Option<NonZeroU32>,
        algorithm: Algorithm,
        ticks: u64,
    ) -> Result<Self, (&'static str, String)> {
        let windows = matches!(algorithm, Algorithm::FixedWindow | Algorithm::SlidingWindow);
        if windows && burst.is_some() {
            let word = algorithm.word();
            let message =
                format!("expected with `gcra` and `token_bucket` only, found it with `{word}`");
            return Err(("burst", message));
        }
        let burst = burst.unwrap_or(rate.count);
        let per = nanos(rate.per) / (1_000_000_000 / ticks);
        let count = u64::from(rate.count.get());
        if nanos(rate.per) / count < 1_000_000_000 / MOST_PER_SECOND {
            let message =
                format!("expected at most {MOST_PER_SECOND} requests per second, found `{rate}`");
            return Err(("limit", message));
        }
        // Rounded up, so that no more than the limit ever passes.
        let step = match algorithm {
            Algorithm::SlidingWindow => per.div_ceil(SLOTS),
            _ => per.div_ceil(count),
        };
        let limit = Self {
            rate,
            algorithm,
            burst: burst.get(),
            per,
            step,
        };
        let longest = nanos(LONGEST) / (1_000_000_000 / ticks);
        if limit.fills().is_none_or(|fills| fills > longest) {
            let message =
                format!("expected a burst that `{rate}` fills within {LONGEST}, found `{burst}`");
            return Err(("burst", message));
        }
        Ok(limit)
    }

    /// Ticks after which all of the burst is there again; `None` where they cannot be counted.
    fn fills(&self) -> Option<u64> {
        let burst = u64::from(self.burst);
        match self.algorithm {
            Algorithm::Gcra => self.step.checked_mul(burst),
            _ => self.per.checked_mul(burst.div_ceil(self.count())),
        }
    }

    /// How many cells a key has.
    pub(super) fn cells(&self) -> usize {
        match self.algorithm {
            Algorithm::Gcra => 1,                   // when all of the burst is there again
            Algorithm::TokenBucket => 2, // when it was last filled, and how many tokens are missing
            Algorithm::FixedWindow => 2, // when the window began, and how many came in it
            Algorithm::SlidingWindow => 1 + COUNTS, // the slot's number, and counts, its own first
        }
    }

    /// How many of the limit there are in a period.
    pub(super) fn count(&self) -> u64 {
        u64::from(self.rate.count.get())
    }

    fn capacity(&self) -> u64 {
        self.step * u64::from(self.burst)
    }

    /// Brings cells up to this time, and tells how many may pass. A time before that of the cells
    /// is that of a clock that was set back: nothing is forgotten, and nothing lasts longer than
    /// from now on. Whatever the cells say, no more is used than there is.
    pub(super) fn settle(&self, now: u64, cells: &mut [u64]) -> u32 {
        let most = u64::from(self.burst);
        let used = match self.algorithm {
            Algorithm::Gcra => {
                let level = cells[0].saturating_sub(now).min(self.capacity());
                cells[0] = now + level;
                level.div_ceil(self.step)
            }
            Algorithm::TokenBucket => {
                let filled = cells[0].min(now);
                let fills = (now - filled) / self.per;
                let missing = cells[1].min(most);
                let missing = missing.saturating_sub(fills.saturating_mul(self.count()));
                let since = if missing == 0 {
                    now
                } else {
                    filled + fills * self.per
                };
                cells.copy_from_slice(&[since, missing]);
                missing
            }
            Algorithm::FixedWindow => {
                let start = now - now % self.per;
                if start > cells[0] {
                    cells[1] = 0;
                }
                cells[0] = start;
                cells[1] = cells[1].min(most);
                cells[1]
            }
            Algorithm::SlidingWindow => {
                let slot = now / self.step;
                let passed = slot.saturating_sub(cells[0]).min(COUNTS as u64);
                let passed = usize::try_from(passed).expect("no more than the counts");
                cells[0] = slot;
                cells[1..].rotate_right(passed);
                cells[1..=passed].fill(0);
                cells[1..]
                    .iter_mut()
                    .for_each(|count| *count = (*count).min(most));
                cells[1..].iter().sum()
            }
        };
        self.burst
            .saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
    }

    /// Takes so many, which there are.
    pub(super) fn spend(&self, cost: u32, cells: &mut [u64]) {
        match self.algorithm {
            Algorithm::Gcra => cells[0] += u64::from(cost) * self.step,
            _ => cells[1] += u64::from(cost),
        }
    }

    /// Ticks from now, to which the cells have been brought, until so many may pass; `None` where
    /// they never may.
    pub(super) fn wait(&self, now: u64, cells: &[u64], number: u32) -> Option<u64> {
        // How much may still be used when they pass.
        let room = u64::from(self.burst.checked_sub(number)?);
        Some(match self.algorithm {
            Algorithm::Gcra => (cells[0] - now).saturating_sub(room * self.step),
            Algorithm::TokenBucket => {
                let fills = cells[1].saturating_sub(room).div_ceil(self.count());
                (cells[0] + fills * self.per).saturating_sub(now)
            }
            Algorithm::FixedWindow if cells[1] <= room => 0,
            Algorithm::FixedWindow => cells[0] + self.per - now,
            Algorithm::SlidingWindow => self.slides(now, cells, room),
        })
    }

    /// Ticks from now until no more than this is counted in a window that slides.
    fn slides(&self, now: u64, cells: &[u64], room: u64) -> u64 {
        let mut used: u64 = cells[1..].iter().sum();
        let mut wait = 0;
        for (age, count) in cells[1..].iter().enumerate().rev() {
            if used <= room {
                break;
            }
            if *count > 0 {
                used -= count;
                let ends = (cells[0] + (COUNTS - age) as u64) * self.step;
                wait = ends.saturating_sub(now);
            }
        }
        wait
    }

    /// Ticks from now until nothing of it is used.
    pub(super) fn whole(&self, now: u64, cells: &[u64]) -> u64 {
        self.wait(now, cells, self.burst).unwrap_or(0)
    }

    /// The same time without what rounding has added to it.
    pub(super) fn exact(&self, whole: u64) -> u64 {
        match self.algorithm {
            Algorithm::Gcra => whole.saturating_sub(u64::from(self.burst)),
            _ => whole,
        }
    }
}

fn nanos(period: Period) -> u64 {
    u64::try_from(period.get().as_nanos()).unwrap_or(u64::MAX)
}
