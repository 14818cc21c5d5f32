//! How slowly a client may take what is left of responses once the exchanges themselves are over.

use std::time::Duration;

use tokio::time::Instant;
use wiregate_sdk::types::ByteRate;

/// How slowly a client may take what is left of responses.
pub(super) struct Bounds {
    pub(super) silence: Duration,
    pub(super) rate: ByteRate,
}

/// What a client has left of its time. Waiting uses it up, and bytes that were taken make up for it, but
/// never beyond what it began with: what was taken quickly is no credit for later.
pub(super) struct Rest {
    left: Duration,
    looked: Instant,
    /// Bytes that were taken by then, and since when none were.
    taken: u64,
    moved: Instant,
}

impl Rest {
    /// Of a client that has taken so many bytes by now.
    pub(super) fn new(bounds: &Bounds, taken: u64, now: Instant) -> Self {
        Self {
            left: bounds.silence,
            looked: now,
            taken,
            moved: now,
        }
    }

    /// What is left where so many bytes are taken by now; nothing where it is used up, or nothing was
    /// taken for as long as it may be while others wait for the place.
    pub(super) fn look(
        &mut self,
        bounds: &Bounds,
        taken: u64,
        now: Instant,
        crowded: Option<Duration>,
    ) -> Option<Duration> {
        let more = taken.saturating_sub(self.taken);
        // Where no rate is asked for, any byte makes up for all.
        let time = match more {
            0 => Duration::ZERO,
            _ => bounds.rate.time_of(more).unwrap_or(bounds.silence),
        };
        if more > 0 {
            self.moved = now;
        }
        let left = (self.left.saturating_add(time)).saturating_sub(now - self.looked);
        self.left = left.min(bounds.silence);
        (self.looked, self.taken) = (now, taken);
        let silent = crowded.is_some_and(|most| now - self.moved >= most);
        Some(self.left).filter(|left| !silent && !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use wiregate_sdk::types::Size;

    use super::*;

    /// Ten seconds, and a rate.
    fn bounds(rate: u64) -> Bounds {
        Bounds {
            silence: Duration::from_secs(10),
            rate: ByteRate::per_second(Size::bytes(rate)),
        }
    }

    /// What is left, in seconds, at moments at which so much has been taken.
    fn looks(rate: u64, crowded: Option<u64>, looks: &[(u64, u64)]) -> Vec<Option<u64>> {
        let (bounds, start) = (bounds(rate), Instant::now());
        let mut rest = Rest::new(&bounds, 1000, start);
        let crowded = crowded.map(Duration::from_secs);
        let each = looks.iter().map(|&(at, taken)| {
            let now = start + Duration::from_secs(at);
            let left = rest.look(&bounds, 1000 + taken, now, crowded);
            left.map(|left| left.as_secs())
        });
        each.collect()
    }

    #[test]
    fn what_was_taken_quickly_is_no_credit_for_later() {
        let seen = looks(
            100,
            None,
            &[(1, 1_000_000), (2, 1_000_000), (11, 1_000_000)],
        );
        assert_eq!(seen, [Some(10), Some(9), None]);
    }

    #[test]
    fn whoever_takes_it_at_the_least_rate_gets_all_of_it() {
        let at_rate: Vec<_> = (1..100).map(|second| (second, second * 100)).collect();
        assert_eq!(looks(100, None, &at_rate), [Some(10); 99]);
        let half: Vec<_> = (1..=20).map(|second| (second, second * 50)).collect();
        let seen = looks(100, None, &half);
        assert_eq!((seen[18], seen[19]), (Some(0), None));
    }

    #[test]
    fn any_byte_will_do_where_no_rate_is_asked_for() {
        let seen = looks(0, None, &[(9, 1), (18, 2), (27, 2), (28, 2)]);
        assert_eq!(seen, [Some(10), Some(10), Some(1), None]);
    }

    #[test]
    fn silence_is_shorter_where_others_wait() {
        let seen = looks(1, Some(5), &[(4, 9), (8, 18), (12, 18), (13, 18)]);
        assert_eq!(seen, [Some(10), Some(10), Some(6), None]);
    }
}
