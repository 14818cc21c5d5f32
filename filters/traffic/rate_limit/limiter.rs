//! One limit for many keys: governor's GCRA over a bounded store.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};
use wiregate_sdk::Clock;
use wiregate_sdk::types::{Period, Rate};

use super::store::{Store, Visit};

/// Beyond it the nanoseconds between two requests are too few to keep to a limit.
const MOST_PER_SECOND: u64 = 1_000_000;
/// Keeps all sums of times within 64 bits of nanoseconds.
const LONGEST: Period = Period::seconds(36_500 * 86_400);

/// A limit, and how much of it each key has used.
pub(super) struct Limiter {
    limiter: RateLimiter<Visit, Store, Ticks, NoOpMiddleware<Nanos>>,
    seed: RandomState,
    pace: Pace,
}

/// A limit in terms of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Nanoseconds after which a key may send one more request.
    interval: u64,
    /// How many requests a key may send at once.
    burst: NonZeroU32,
}

/// Where a key stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether the request may pass.
    pub(super) admitted: bool,
    /// How many more may pass right now.
    pub(super) remaining: u32,
    /// Seconds, rounded up, until there is one more.
    pub(super) next: u64,
    /// Seconds, rounded up, until all of the burst is there again.
    pub(super) whole: u64,
}

/// The gateway's clock, as governor reads it: nanoseconds since the limiter was made.
#[derive(Clone)]
pub(super) struct Ticks {
    clock: Clock,
    start: Instant,
}

impl Pace {
    /// The pace of a limit.
    ///
    /// # Errors
    /// The option that is out of bounds, and why.
    pub(super) fn new(limit: Rate, burst: NonZeroU32) -> Result<Self, (&'static str, String)> {
        let per = nanos(limit.per.get());
        // Rounded up, so that no more than the limit ever passes.
        let interval = per.div_ceil(u64::from(limit.count.get()));
        if interval < 1_000_000_000 / MOST_PER_SECOND {
            let message =
                format!("expected at most {MOST_PER_SECOND} requests per second, found `{limit}`");
            return Err(("limit", message));
        }
        match interval.checked_mul(u64::from(burst.get())) {
            Some(whole) if whole <= nanos(LONGEST.get()) => Ok(Self { interval, burst }),
            _ => Err((
                "burst",
                format!("expected a burst that `{limit}` fills within {LONGEST}, found `{burst}`"),
            )),
        }
    }

    fn quota(self) -> Quota {
        Quota::with_period(Duration::from_nanos(self.interval))
            .expect("an interval is not zero")
            .allow_burst(self.burst)
    }

    /// Where a key stands that will have its whole quota after these nanoseconds.
    fn standing(self, admitted: bool, whole_in: u64) -> Standing {
        let burst = u64::from(self.burst.get());
        let capacity = self.interval * burst;
        let remaining = capacity.saturating_sub(whole_in) / self.interval;
        let next = (whole_in + (remaining + 1) * self.interval).saturating_sub(capacity);
        Standing {
            admitted,
            remaining: u32::try_from(remaining).expect("no more than the burst"),
            next: if whole_in == 0 { 0 } else { seconds(next) },
            // What rounding the interval up has added.
            whole: seconds(whole_in.saturating_sub(burst)),
        }
    }
}

impl Limiter {
    /// A limiter with room for this many keys.
    pub(super) fn new(pace: Pace, keys: usize, clock: &Clock) -> Self {
        let ticks = Ticks {
            clock: clock.clone(),
            start: clock.now().instant,
        };
        let store = Store::new(keys, ticks.clone());
        Self {
            limiter: RateLimiter::new(pace.quota(), store, ticks),
            seed: RandomState::new(),
            pace,
        }
    }

    /// Counts a request of this key, or refuses it. A refused one is not counted.
    pub(super) fn check(&self, key: &(impl Hash + ?Sized)) -> Standing {
        let visit = Visit::new(self.seed.hash_one(key));
        let admitted = self.limiter.check_key(&visit).is_ok();
        let now = self.limiter.clock().now().as_u64();
        let whole_in = visit.whole_at.get().saturating_sub(now);
        self.pace.standing(admitted, whole_in)
    }

    #[cfg(test)]
    pub(super) fn into_store(self) -> Store {
        self.limiter.into_state_store()
    }
}

impl governor::clock::Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let since = self
            .clock
            .now()
            .instant
            .saturating_duration_since(self.start);
        Nanos::from(nanos(since))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn seconds(nanos: u64) -> u64 {
    nanos.div_ceil(1_000_000_000)
}
