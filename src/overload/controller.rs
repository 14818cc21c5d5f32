//! When a worker is overloaded, out of how long what was ready had to wait for it.
//!
//! As in CoDel (RFC 8289) it is not one long wait that counts, but that there was none that was
//! short for a while: a burst, or a moment in which the process was stopped, leaves a queue that
//! gets shorter, and overload one that does not.

use std::time::{Duration, Instant};

use crate::config::model::Overload;

/// With more time than this between two measurements, they tell nothing of what was in between.
const GAP: Duration = Duration::from_millis(20);
/// How often it is looked whether overload is over.
const LOOK: Duration = Duration::from_secs(1);
/// Overload is over when fewer than one request of so many was shed since the last look.
const FEW: u64 = 20;

/// Whether a worker is overloaded.
#[derive(Debug, Default)]
pub struct Controller {
    /// When the waits began to be long, and how long the last one was.
    long: Option<(Instant, Duration)>,
    /// When the last measurement ended.
    last: Option<Instant>,
    /// While the worker is overloaded: when that was last looked at.
    looked: Option<Instant>,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The worker is overloaded from now on.
    Began,
    /// It is not any more.
    Ended,
}

/// What came to a worker, and how much of it was shed, since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    pub came: u64,
    pub shed: u64,
}

impl Controller {
    /// What was ready at one moment was come to at another.
    pub fn measured(
        &mut self,
        ready: Instant,
        now: Instant,
        overload: &Overload,
        flow: impl FnOnce() -> Flow,
    ) -> Option<Turn> {
        let last = self.last.replace(now);
        if self.looked.is_some() {
            return self.look(now, flow);
        }
        let delay = now - ready;
        if delay <= *overload.delay {
            self.long = None;
            return None;
        }
        let in_a_row = last.is_some_and(|last| ready.saturating_duration_since(last) <= GAP);
        let before = self.long.filter(|_| in_a_row);
        let since = before.map_or(ready, |(since, _)| since);
        self.long = Some((since, delay));
        // A little shorter is not shorter.
        let stays = before.is_some_and(|(_, before)| delay * 10 >= before * 9);
        (stays && now - since >= *overload.during).then(|| {
            self.looked = Some(now);
            Turn::Began
        })
    }

    /// Looks whether overload is over, where it is time to.
    pub fn look(&mut self, now: Instant, flow: impl FnOnce() -> Flow) -> Option<Turn> {
        let looked = self.looked?;
        if now - looked < LOOK {
            return None;
        }
        let flow = flow();
        if flow.shed.saturating_mul(FEW) >= flow.came.max(1) {
            self.looked = Some(now);
            return None;
        }
        *self = Self::default();
        Some(Turn::Ended)
    }
}

#[cfg(test)]
mod tests {
    use wiregate_sdk::types::Period;

    use super::*;

    /// A controller, and the time that it has.
    struct Run(Controller, Instant);

    impl Run {
        fn new() -> Self {
            Self(Controller::default(), Instant::now())
        }

        /// A wait of so many milliseconds, so long after the last.
        fn wait(&mut self, after: u64, millis: u64, flow: Flow) -> Option<Turn> {
            let ready = self.1 + Duration::from_millis(after);
            self.1 = ready + Duration::from_millis(millis);
            let overload = Overload {
                delay: Period::millis(50),
                during: Period::millis(100),
            };
            (self.0).measured(ready, self.1, &overload, || flow)
        }

        fn waits(&mut self, waits: &[u64]) -> Option<Turn> {
            let none = Flow::default();
            waits.iter().find_map(|millis| self.wait(0, *millis, none))
        }
    }

    const MANY: Flow = Flow { came: 99, shed: 5 };
    const FEW: Flow = Flow { came: 101, shed: 5 };

    #[test]
    fn a_burst_is_no_overload() {
        let mut run = Run::new();
        // One long wait, as when the process was stopped for a moment, and a queue that empties.
        assert_eq!(run.waits(&[900, 700, 500, 300, 200, 100, 60, 40]), None);
        // Not for long enough.
        assert_eq!(run.waits(&[51, 40, 90, 40]), None);
        // Waits that are as long as they may be.
        assert_eq!(run.waits(&[50; 100]), None);
    }

    #[test]
    fn a_queue_that_stays_is_overload() {
        let mut run = Run::new();
        assert_eq!(run.waits(&[51]), None);
        assert_eq!(run.waits(&[51]), Some(Turn::Began));
        let mut run = Run::new();
        assert_eq!(run.waits(&[400]), None, "once is not enough");
        assert_eq!(run.waits(&[300]), None, "it gets shorter");
        assert_eq!(run.waits(&[290]), Some(Turn::Began));
    }

    #[test]
    fn waits_far_apart_tell_nothing() {
        let mut run = Run::new();
        let each = |_| run.wait(30, 60, Flow::default());
        assert_eq!((0..20).find_map(each), None);
    }

    #[test]
    fn overload_is_over_when_little_is_shed() {
        let mut run = Run::new();
        assert_eq!(run.waits(&[100, 100]), Some(Turn::Began));
        assert_eq!(run.wait(0, 1, FEW), None, "it is not time to look yet");
        assert_eq!(run.wait(999, 1, MANY), None);
        assert_eq!(run.wait(999, 1, FEW), Some(Turn::Ended));
        assert_eq!(run.waits(&[100]), None, "it begins anew");
    }

    #[test]
    fn overload_is_over_when_nothing_comes() {
        let mut run = Run::new();
        assert_eq!(run.waits(&[100, 100]), Some(Turn::Began));
        let later = run.1 + Duration::from_secs(1);
        let turn = run.0.look(later, Flow::default);
        assert_eq!(turn, Some(Turn::Ended));
        assert_eq!(run.0.look(later, Flow::default), None);
    }
}
