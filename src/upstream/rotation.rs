//! Smooth weighted round robin without a lock: the order is worked out when an endpoint's health
//! changes, and a request only takes the next place in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Endpoint;

/// The order in which endpoints take their turns.
#[derive(Debug, Default)]
pub struct Rotation {
    turns: Box<[u16]>,
    next: AtomicUsize,
    /// The health that the order was worked out from, by position.
    healthy: Box<[bool]>,
}

impl Rotation {
    /// The order of the endpoints that are healthy now.
    pub fn of_healthy(endpoints: &[Arc<Endpoint>]) -> Self {
        // Read once: it may change meanwhile, and what is remembered must be what was used.
        let healthy: Box<[bool]> = endpoints.iter().map(|e| e.is_healthy()).collect();
        let weights: Vec<(u16, u32)> = (0u16..)
            .zip(endpoints)
            .zip(&healthy)
            .filter(|&(_, &healthy)| healthy)
            .map(|((position, endpoint), _)| (position, endpoint.weight))
            .collect();
        Self {
            healthy,
            ..Self::new(&weights)
        }
    }

    /// Whether the endpoints' health is still what the order was worked out from.
    pub fn is_current(&self, endpoints: &[Arc<Endpoint>]) -> bool {
        let now = endpoints.iter().map(|endpoint| endpoint.is_healthy());
        now.eq(self.healthy.iter().copied())
    }

    /// Spreads each position over a round as evenly as its weight allows: whoever is owed most
    /// takes the next turn, and pays the sum of all weights for it.
    fn new(weights: &[(u16, u32)]) -> Self {
        let divisor = weights.iter().fold(0, |a, &(_, weight)| gcd(a, weight));
        let weights: Vec<(u16, i64)> = weights
            .iter()
            .map(|&(position, weight)| (position, i64::from(weight / divisor.max(1))))
            .collect();
        let total: i64 = weights.iter().map(|&(_, weight)| weight).sum();
        let mut owed = vec![0i64; weights.len()];
        let mut turns = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
        for _ in 0..total {
            let mut most = 0;
            for (i, &(_, weight)) in weights.iter().enumerate() {
                owed[i] += weight;
                if owed[i] > owed[most] {
                    most = i;
                }
            }
            owed[most] -= total;
            turns.push(weights[most].0);
        }
        Self {
            turns: turns.into(),
            ..Self::default()
        }
    }

    /// Whose turn it is: the next position that was not tried, or the next one when all were.
    /// `first` spares the question where nothing was tried yet.
    pub fn next(&self, first: bool, was_tried: impl Fn(usize) -> bool) -> Option<usize> {
        if self.turns.is_empty() {
            return None;
        }
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = |i: usize| usize::from(self.turns[start.wrapping_add(i) % self.turns.len()]);
        if first {
            return Some(turn(0));
        }
        (0..self.turns.len())
            .map(turn)
            .find(|position| !was_tried(*position))
            .or_else(|| Some(turn(0)))
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(weights: &[(u16, u32)]) -> Vec<usize> {
        let rotation = Rotation::new(weights);
        (0..rotation.turns.len())
            .map(|_| rotation.next(true, |_| false).unwrap())
            .collect()
    }

    #[test]
    fn spreads_a_heavy_endpoint_over_the_round() {
        assert_eq!(round(&[(0, 5), (1, 1), (2, 1)]), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn gives_each_its_share() {
        let turns = round(&[(0, 300), (1, 200), (2, 500)]);
        assert_eq!(turns.len(), 10);
        for (position, share) in [(0, 3), (1, 2), (2, 5)] {
            assert_eq!(turns.iter().filter(|&&t| t == position).count(), share);
        }
    }

    #[test]
    fn prefers_what_was_not_tried() {
        let rotation = Rotation::new(&[(0, 1000), (1, 1)]);
        for _ in 0..50 {
            assert_eq!(rotation.next(false, |p| p == 0), Some(1));
        }
        assert!(rotation.next(false, |_| true).is_some());
    }

    #[test]
    fn has_no_turn_without_endpoints() {
        assert_eq!(Rotation::new(&[]).next(true, |_| false), None);
    }
}
