//! The endpoint that is likely to answer sooner: of two at random, the one with the lower product
//! of its average time to an answer and its requests in flight.

use std::time::Instant;

use super::Candidate;
use super::weighted::Weighted;

/// The cost of an endpoint that was not measured yet and has a request under way: it waits for the
/// answer to that one. One without is tried at once.
const UNMEASURED: f32 = 1e9;

/// Positions with weights.
pub(super) struct PeakEwma {
    weighted: Weighted,
    mean_weight: f32,
}

impl PeakEwma {
    pub(super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let weighted = Weighted::new(weights);
        Self {
            mean_weight: weighted.mean(),
            weighted,
        }
    }

    pub(super) fn pick(&self, all: &[Candidate], now: Instant) -> Option<usize> {
        let Some((first, second)) = self.weighted.two() else {
            return self.weighted.sample();
        };
        let sooner = self.cost(all, second, now) < self.cost(all, first, now);
        Some(if sooner { second } else { first })
    }

    pub(super) fn pick_of(
        &self,
        all: &[Candidate],
        now: Instant,
        open: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        (0..all.len())
            .filter(|&position| open(position))
            .map(|position| (position, self.cost(all, position, now)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(position, _)| position)
    }

    /// The time that a request is likely to take there. The weight counts against what is in
    /// flight only: which two are looked at depends on it already.
    fn cost(&self, all: &[Candidate], position: usize, now: Instant) -> f32 {
        let endpoint = &all[position].endpoint;
        let weight = self.weighted.weight(position) as f32 / self.mean_weight;
        let load = endpoint.in_flight() as f32 / weight;
        match endpoint.latency(now) {
            Some(seconds) => seconds * (load + 1.0),
            None if load > 0.0 => UNMEASURED + load,
            None => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{candidates, keep_in_flight};
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn counts(all: &[Candidate], weights: &[u32], now: Instant) -> Vec<usize> {
        fastrand::seed(7);
        let way = PeakEwma::new(weights.iter().copied());
        let mut counts = vec![0; all.len()];
        for _ in 0..1000 {
            counts[way.pick(all, now).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn a_slow_one_gets_nothing_as_long_as_the_other_is_not_loaded() {
        let (all, now) = (candidates(&[1, 1]), Instant::now());
        all[0].endpoint.state.observe(now, ms(100));
        all[1].endpoint.state.observe(now, ms(10));
        assert_eq!(counts(&all, &[1, 1], now), [0, 1000]);
        keep_in_flight(&all[1].endpoint, 10);
        assert_eq!(counts(&all, &[1, 1], now), [1000, 0]);
    }

    #[test]
    fn an_unmeasured_one_gets_one_request_first() {
        let (all, now) = (candidates(&[1, 1]), Instant::now());
        all[0].endpoint.state.observe(now, ms(10));
        assert_eq!(counts(&all, &[1, 1], now), [0, 1000]);
        keep_in_flight(&all[1].endpoint, 1);
        assert_eq!(counts(&all, &[1, 1], now), [1000, 0]);
    }

    #[test]
    fn weights_count_where_times_are_the_same() {
        let (all, now) = (candidates(&[3, 1, 1, 1]), Instant::now());
        for candidate in &all {
            candidate.endpoint.state.observe(now, ms(10));
        }
        let counts = counts(&all, &[3, 1, 1, 1], now);
        assert!((430..570).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn of_those_left_the_fastest_is_next() {
        let (all, now) = (candidates(&[1, 1, 1]), Instant::now());
        for (candidate, time) in all.iter().zip([10, 30, 20]) {
            candidate.endpoint.state.observe(now, ms(time));
        }
        let way = PeakEwma::new([1, 1, 1].into_iter());
        assert_eq!(way.pick_of(&all, now, |position| position != 0), Some(2));
        assert_eq!(way.pick_of(&all, now, |_| false), None);
    }
}
