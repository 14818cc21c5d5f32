//! How seldom the same trouble is said in the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the same is said in the log, at most.
const EVERY: Duration = Duration::from_secs(60);

/// Something that happens again and again, and is said once a minute at most.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    times: u64,
}

impl Seldom {
    /// It has happened; says how often since it was last said, where it is to be said now.
    pub fn happened(&self) -> Option<u64> {
        self.happened_at(Instant::now())
    }

    fn happened_at(&self, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.times += 1;
        let is_due = said.last.is_none_or(|last| now >= last + EVERY);
        is_due.then(|| {
            said.last = Some(now);
            std::mem::take(&mut said.times)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_all_the_time_is_said_once_a_minute() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.happened_at(start), Some(1));
        for seconds in 1..60 {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(seldom.happened_at(now), None);
        }
        assert_eq!(seldom.happened_at(start + EVERY), Some(60));
        assert_eq!(seldom.happened_at(start + EVERY), None);
    }
}
