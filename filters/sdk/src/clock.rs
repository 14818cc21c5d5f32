//! Time, passed in, so that tests can set it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// One moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic clock: for durations and limits. Never goes back.
    pub instant: Instant,
    /// The wall clock: for dates and expiry. May jump.
    pub wall: SystemTime,
}

/// Where time comes from: the system, or a test that moves it by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Manual>>);

#[derive(Debug)]
struct Manual {
    start: Now,
    monotonic: Duration,
    elapsed_ns: AtomicU64,
    /// How far the wall clock was set back.
    back_ns: AtomicU64,
}

impl Manual {
    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed_ns.load(Ordering::Acquire))
    }
}

impl Clock {
    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn manual() -> Self {
        Self(Some(Arc::new(Manual {
            start: Self(None).now(),
            monotonic: Self(None).monotonic(),
            elapsed_ns: AtomicU64::new(0),
            back_ns: AtomicU64::new(0),
        })))
    }

    /// The present moment.
    pub fn now(&self) -> Now {
        match &self.0 {
            None => Now {
                instant: Instant::now(),
                wall: SystemTime::now(),
            },
            Some(manual) => {
                let elapsed = manual.elapsed();
                let back = Duration::from_nanos(manual.back_ns.load(Ordering::Acquire));
                Now {
                    instant: manual.start.instant + elapsed,
                    wall: manual.start.wall + elapsed - back,
                }
            }
        }
    }

    /// The present moment on the monotonic clock alone, which is all that a duration needs.
    pub fn instant(&self) -> Instant {
        match &self.0 {
            None => Instant::now(),
            Some(_) => self.now().instant,
        }
    }

    /// The present moment on the wall clock alone, which is all that a date needs.
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            None => SystemTime::now(),
            Some(_) => self.now().wall,
        }
    }

    /// The monotonic clock as a number (`CLOCK_MONOTONIC`): it begins with the machine, and is the same
    /// in all of its processes, so that one can go by what another has counted. No time to show.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            None => {
                let now = clock_gettime(ClockId::Monotonic);
                let [seconds, nanos] =
                    [now.tv_sec, now.tv_nsec].map(|it| u64::try_from(it).unwrap_or(0));
                Duration::from_secs(seconds) + Duration::from_nanos(nanos)
            }
            Some(manual) => manual.monotonic + manual.elapsed(),
        }
    }

    /// Moves a manual clock forward. A system clock is not ours to move: nothing happens.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            manual.elapsed_ns.fetch_add(by, Ordering::AcqRel);
        }
    }

    /// Sets the wall clock of a manual clock back, as an operator may. A system clock is not ours to
    /// set: nothing happens.
    pub fn set_wall_back(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            manual.back_ns.fetch_add(by, Ordering::AcqRel);
        }
    }
}
