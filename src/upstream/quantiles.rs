//! How long the recent answers of an upstream took, as a distribution.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The finest time that is told apart, in microseconds.
const UNIT: u64 = 64;
/// Each doubling of the time is split into so many buckets, so that a quantile is at most an
/// eighth too long.
const PER_DOUBLING: usize = 8;
/// Up to a little over a minute; all longer times share the last one.
const BUCKETS: usize = 19 * PER_DOUBLING;
/// After so many answers those before count half.
const HALVED_AFTER: u32 = 1024;
/// Fewer answers say nothing.
const ENOUGH: u64 = 100;

/// Counts of answers by their time. Workers share it without a lock: a count that two of them
/// change at once may be off by one, which moves no quantile.
#[derive(Debug)]
pub(super) struct Quantiles {
    counts: [AtomicU32; BUCKETS],
    seen: AtomicU32,
}

impl Default for Quantiles {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU32::new(0)),
            seen: AtomicU32::new(0),
        }
    }
}

impl Quantiles {
    /// An answer took this long.
    pub(super) fn observe(&self, took: Duration) {
        self.counts[bucket(took)].fetch_add(1, Ordering::Relaxed);
        let seen = self.seen.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if seen.is_multiple_of(HALVED_AFTER) {
            for count in &self.counts {
                let half = count.load(Ordering::Relaxed) / 2;
                count.fetch_sub(half, Ordering::Relaxed);
            }
        }
    }

    /// How many answers there were, all in all; it may wrap around.
    pub(super) fn seen(&self) -> u32 {
        self.seen.load(Ordering::Relaxed)
    }

    /// The time that so many percent of the recent answers did not exceed; `None` where there
    /// were too few.
    pub(super) fn at(&self, percent: u8) -> Option<Duration> {
        let counts = self.counts.iter();
        let total: u64 = counts.map(|c| u64::from(c.load(Ordering::Relaxed))).sum();
        if total < ENOUGH {
            return None;
        }
        let wanted = (total * u64::from(percent)).div_ceil(100);
        let mut below = 0;
        let position = self.counts.iter().position(|count| {
            below += u64::from(count.load(Ordering::Relaxed));
            below >= wanted
        });
        Some(end_of(position.unwrap_or(BUCKETS - 1)))
    }
}

fn bucket(took: Duration) -> usize {
    let units = u64::try_from(took.as_micros()).unwrap_or(u64::MAX) / UNIT;
    let Some(doubling) = (units / PER_DOUBLING as u64).checked_ilog2() else {
        return units as usize; // below `PER_DOUBLING`
    };
    let within = (units >> doubling) as usize % PER_DOUBLING;
    ((doubling as usize + 1) * PER_DOUBLING + within).min(BUCKETS - 1)
}

/// The time that a bucket ends at.
fn end_of(bucket: usize) -> Duration {
    let (row, within) = (bucket / PER_DOUBLING, (bucket % PER_DOUBLING) as u64);
    let units = match row.checked_sub(1) {
        None => within + 1,
        Some(doubling) => (PER_DOUBLING as u64 + within + 1) << doubling,
    };
    Duration::from_micros(units * UNIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_bucket_that_ends_after_it() {
        for micros in (0..70_000_000).step_by(3571) {
            let took = Duration::from_micros(micros);
            let end = end_of(bucket(took));
            assert!(took < end, "{took:?} {end:?}");
            let most = took.mul_f64(1.126) + Duration::from_micros(UNIT);
            assert!(end <= most, "{took:?} {end:?}");
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_quantile_is_near_the_true_one_once_there_are_enough() {
        let quantiles = Quantiles::default();
        for ms in 1..100 {
            quantiles.observe(Duration::from_millis(ms));
        }
        assert_eq!(quantiles.at(95), None, "99 are not enough");
        quantiles.observe(Duration::from_millis(100));
        for (percent, ms) in [(50, 50), (95, 95), (99, 99)] {
            let found = quantiles.at(percent).unwrap();
            let true_one = Duration::from_millis(ms);
            assert!(
                found >= true_one && found <= true_one.mul_f64(1.126),
                "p{percent}: {found:?}"
            );
        }
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let quantiles = Quantiles::default();
        for _ in 0..5000 {
            quantiles.observe(Duration::from_secs(1));
        }
        assert!(quantiles.at(50).unwrap() >= Duration::from_secs(1));
        for _ in 0..3 * HALVED_AFTER {
            quantiles.observe(Duration::from_millis(10));
        }
        assert!(quantiles.at(50).unwrap() < Duration::from_millis(12));
        for _ in 0..8 * HALVED_AFTER {
            quantiles.observe(Duration::from_millis(10));
        }
        assert!(quantiles.at(99).unwrap() < Duration::from_millis(12));
    }
}
