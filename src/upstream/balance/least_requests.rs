//! The endpoint with the fewest requests in flight for its weight.
//!
//! Few endpoints are all looked at; of many, two at random (the power of two choices), which is
//! nearly as good and costs the same for any number.

use super::Candidate;
use super::weighted::Weighted;

/// Up to here looking at all costs less than what two at random lose: see `benches/balance.rs`.
const FEW: usize = 16;

/// Positions with weights.
pub(super) struct LeastRequests(Weighted);

impl LeastRequests {
    pub(super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        Self(Weighted::new(weights))
    }

    pub(super) fn pick(&self, all: &[Candidate]) -> Option<usize> {
        if all.len() <= FEW {
            return self.pick_of(all, |_| true);
        }
        let (first, second) = self.0.two()?;
        Some(if lighter(&all[second], &all[first]) {
            second
        } else {
            first
        })
    }

    /// Of those that are equally loaded, one at random by weight where it is among them.
    pub(super) fn pick_of(&self, all: &[Candidate], open: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best = self.0.sample_of(&open)?;
        for position in (best + 1..all.len()).chain(0..best) {
            if open(position) && lighter(&all[position], &all[best]) {
                best = position;
            }
        }
        Some(best)
    }
}

/// Whether one has less in flight for its weight than another.
fn lighter(one: &Candidate, other: &Candidate) -> bool {
    let load = |candidate: &Candidate| u64::from(candidate.endpoint.in_flight());
    load(one) * u64::from(other.weight) < load(other) * u64::from(one.weight)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{candidates, keep_in_flight};
    use super::*;

    /// What is in flight at each, after so many requests that do not end.
    fn loads(weights: &[u32], requests: usize) -> Vec<u32> {
        fastrand::seed(7);
        let all = candidates(weights);
        let way = LeastRequests::new(weights.iter().copied());
        for _ in 0..requests {
            let position = way.pick(&all).unwrap();
            keep_in_flight(&all[position].endpoint, 1);
        }
        all.iter().map(|c| c.endpoint.in_flight()).collect()
    }

    #[test]
    fn loads_are_even_by_weight() {
        assert_eq!(loads(&[1, 1, 1, 1], 40), [10, 10, 10, 10]);
        assert_eq!(loads(&[3, 1], 40), [30, 10]);
    }

    #[test]
    fn idle_endpoints_share_by_weight() {
        fastrand::seed(7);
        let all = candidates(&[3, 1]);
        let way = LeastRequests::new([3, 1].into_iter());
        let heavy = (0..4000).filter(|_| way.pick(&all) == Some(0)).count();
        assert!((2850..3150).contains(&heavy), "{heavy}");
    }

    #[test]
    fn two_choices_keep_many_endpoints_even() {
        let loads = loads(&[1; 100], 2000);
        assert!(
            loads.iter().all(|load| (15..=24).contains(load)),
            "{loads:?}"
        );
    }

    #[test]
    fn a_busy_one_is_left_alone() {
        let all = candidates(&[1, 1, 1]);
        keep_in_flight(&all[1].endpoint, 5);
        let way = LeastRequests::new([1, 1, 1].into_iter());
        assert!((0..50).all(|_| way.pick(&all) != Some(1)));
        assert_eq!(way.pick_of(&all, |position| position == 1), Some(1));
        assert_eq!(way.pick_of(&all, |_| false), None);
    }
}
