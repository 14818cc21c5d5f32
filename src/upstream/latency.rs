//! How long an endpoint takes to answer: an average that follows peaks at once and falls slowly
//! (the peak-EWMA of Finagle).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// In this time the weight of what was before falls to 1/e.
const DECAY_MS: f32 = 10_000.0;
/// Below this an average says nothing any more.
const LEAST_SECONDS: f32 = 1e-6;

/// The average, and when it was last brought up to date: both in one word, so that workers share
/// it without a lock. The upper half is a time in milliseconds, the lower half seconds as `f32`.
#[derive(Debug, Default)]
pub(super) struct Latency(AtomicU64);

impl Latency {
    /// An answer took this long. `now` is in milliseconds since any fixed moment.
    pub(super) fn observe(&self, now: u32, took: Duration) {
        let known = self.0.load(Ordering::Relaxed);
        let (average, took) = (decayed(known, now), took.as_secs_f32());
        let average = if took >= average || average < LEAST_SECONDS {
            took
        } else {
            let weight = weight_of_the_past(known, now);
            seconds(known) * weight + took * (1.0 - weight)
        };
        let new = u64::from(now) << 32 | u64::from(average.to_bits());
        // Where another worker was faster, its answer stands for both.
        let _ = self
            .0
            .compare_exchange(known, new, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The average in seconds; `None` where nothing was measured, or too long ago to matter.
    pub(super) fn at(&self, now: u32) -> Option<f32> {
        let average = decayed(self.0.load(Ordering::Relaxed), now);
        (average >= LEAST_SECONDS).then_some(average)
    }
}

/// An endpoint that gets no requests is forgiven, little by little, and so tried again.
fn decayed(word: u64, now: u32) -> f32 {
    seconds(word) * weight_of_the_past(word, now)
}

fn weight_of_the_past(word: u64, now: u32) -> f32 {
    let then = u32::try_from(word >> 32).expect("half a word");
    // A worker may have read the clock a little earlier than the one that was here before.
    let passed = now.wrapping_sub(then).cast_signed().max(0);
    (-(passed as f32) / DECAY_MS).exp()
}

fn seconds(word: u64) -> f32 {
    f32::from_bits(word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn follows_a_peak_at_once_and_falls_slowly() {
        let latency = Latency::default();
        assert_eq!(latency.at(0), None);
        latency.observe(0, ms(10));
        latency.observe(1, ms(500));
        assert!(latency.at(1).unwrap() > 0.499);
        latency.observe(2, ms(10));
        assert!(
            latency.at(2).unwrap() > 0.49,
            "one fast answer is not enough"
        );
        for now in 1..=600 {
            latency.observe(now * 100, ms(10));
        }
        let average = latency.at(60_000).unwrap();
        assert!((0.009..0.02).contains(&average), "{average}");
    }

    #[test]
    fn forgives_with_time() {
        let latency = Latency::default();
        latency.observe(0, ms(1000));
        let later = latency.at(10_000).unwrap();
        assert!((0.36..0.37).contains(&later), "{later}");
        assert_eq!(latency.at(200_000), None);
    }

    #[test]
    fn the_clock_may_wrap_around() {
        let latency = Latency::default();
        latency.observe(u32::MAX - 10, ms(100));
        latency.observe(u32::MAX - 20, ms(100));
        assert!(latency.at(10).unwrap() > 0.099);
    }
}
