//! Smooth weighted round robin without a lock: the order is worked out beforehand, and a request
//! only takes the next place in it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A round is at most this long. Up to here shares are exact; beyond, they are rounded.
const LONGEST: u64 = 16_384;

/// The order in which positions take their turns.
#[derive(Debug)]
pub(super) struct RoundRobin {
    turns: Box<[u16]>,
    next: AtomicUsize,
    /// The turns of further attempts, which take none away from requests that come: otherwise one
    /// that fails would be first for more requests than its share.
    again: AtomicUsize,
}

impl RoundRobin {
    /// Spreads each position over a round as evenly as its weight allows: whoever is owed most
    /// takes the next turn, and pays the sum of all weights for it. It begins at this turn.
    pub(super) fn new(weights: impl Iterator<Item = u32>, start: usize) -> Self {
        let weights = shortened(weights.map(u64::from).collect());
        let total: i64 = weights.iter().sum();
        let mut owed = vec![0i64; weights.len()];
        let mut turns = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
        for _ in 0..total {
            let mut most = 0;
            for (position, &weight) in weights.iter().enumerate() {
                owed[position] += weight;
                if owed[position] > owed[most] {
                    most = position;
                }
            }
            owed[most] -= total;
            turns.push(u16::try_from(most).expect("an upstream has fewer endpoints"));
        }
        let first = start.checked_rem(turns.len()).unwrap_or(0);
        Self {
            turns: turns.into(),
            next: AtomicUsize::new(first),
            again: AtomicUsize::new(first),
        }
    }

    /// Whose turn it is.
    pub(super) fn next(&self) -> Option<usize> {
        self.turn(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The next one that is `open`, for a request that comes.
    pub(super) fn next_of(&self, open: impl Fn(usize) -> bool) -> Option<usize> {
        self.of(&self.next, open)
    }

    /// The next one that is `open`, for a further attempt.
    pub(super) fn again_of(&self, open: impl Fn(usize) -> bool) -> Option<usize> {
        self.of(&self.again, open)
    }

    /// Those who are passed over lose their turn: the one behind them has one and not theirs.
    fn of(&self, next: &AtomicUsize, open: impl Fn(usize) -> bool) -> Option<usize> {
        let start = next.fetch_add(1, Ordering::Relaxed);
        let turns = (0..self.turns.len()).map(|i| (i, self.turn(start.wrapping_add(i))));
        let (passed, position) = turns
            .filter_map(|(i, turn)| Some((i, turn?)))
            .find(|&(_, turn)| open(turn))?;
        if passed > 0 {
            let (now, behind) = (start.wrapping_add(1), start.wrapping_add(passed + 1));
            // Where somebody else had a turn meanwhile, he passes over them himself.
            let _ = next.compare_exchange(now, behind, Ordering::Relaxed, Ordering::Relaxed);
        }
        Some(position)
    }

    fn turn(&self, number: usize) -> Option<usize> {
        let place = number.checked_rem(self.turns.len())?;
        Some(usize::from(self.turns[place]))
    }
}

/// The smallest whole weights of the same proportions, or nearly so where those are too large.
fn shortened(weights: Vec<u64>) -> Vec<i64> {
    let divisor = weights.iter().fold(0, |a, &weight| gcd(a, weight)).max(1);
    let total: u64 = weights.iter().map(|weight| weight / divisor).sum();
    let shorten = |weight: u64| match weight / divisor {
        exact if total <= LONGEST => exact,
        exact => (exact * LONGEST / total).max(1),
    };
    let whole = |weight: u64| i64::try_from(weight).expect("a weight has bounds");
    weights.into_iter().map(shorten).map(whole).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(weights: &[u32]) -> Vec<usize> {
        let order = RoundRobin::new(weights.iter().copied(), 0);
        (0..order.turns.len())
            .map(|_| order.next().unwrap())
            .collect()
    }

    #[test]
    fn spreads_a_heavy_endpoint_over_the_round() {
        assert_eq!(round(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn gives_each_its_share() {
        let turns = round(&[300, 200, 500]);
        assert_eq!(turns.len(), 10);
        for (position, share) in [(0, 3), (1, 2), (2, 5)] {
            assert_eq!(turns.iter().filter(|&&t| t == position).count(), share);
        }
    }

    #[test]
    fn a_round_has_a_bound() {
        let weights: Vec<u32> = (1..=500).map(|n| 100 * n + n % 7).collect();
        let turns = round(&weights);
        assert!(turns.len() < 20_000, "{}", turns.len());
        assert!((0..500).all(|position| turns.contains(&position)));
    }

    #[test]
    fn prefers_what_is_open() {
        let order = RoundRobin::new([1000, 1].into_iter(), 0);
        for _ in 0..50 {
            assert_eq!(order.next_of(|position| position != 0), Some(1));
        }
        assert_eq!(order.next_of(|_| false), None);
    }

    #[test]
    fn those_behind_one_that_is_passed_over_share_its_turns() {
        let order = RoundRobin::new([1, 1, 1, 1].into_iter(), 0);
        let turns: Vec<_> = (0..6)
            .map(|_| order.next_of(|position| position > 1).unwrap())
            .collect();
        assert_eq!(turns, [2, 3, 2, 3, 2, 3]);
    }

    #[test]
    fn further_attempts_take_no_turn_away() {
        let order = RoundRobin::new([1, 1, 1].into_iter(), 0);
        let (mut first, mut further) = (Vec::new(), Vec::new());
        for _ in 0..6 {
            let turn = order.next().unwrap();
            first.push(turn);
            if turn == 0 {
                further.push(order.again_of(|position| position != 0).unwrap());
            }
        }
        assert_eq!((first, further), (vec![0, 1, 2, 0, 1, 2], vec![1, 2]));
    }

    #[test]
    fn has_no_turn_without_endpoints() {
        let order = RoundRobin::new([].into_iter(), 5);
        assert_eq!((order.next(), order.next_of(|_| true)), (None, None));
        assert_eq!(order.again_of(|_| true), None);
    }
}
