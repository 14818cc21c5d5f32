//! What is known of an endpoint, whatever the version of the configuration.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::latency::Latency;
use super::settled::Settled;

/// For so long after it could not be reached others go before it, in milliseconds: long enough that a dead
/// endpoint costs next to nothing, and short enough that one that was started anew is found at once.
const SPARED: u64 = 1000;
/// That it cannot be reached is told again after so long, in milliseconds.
const NEWS: u64 = 60_000;

/// What is known of an endpoint; it outlives a reload, and a change of the weight. All workers
/// write to it, none waits.
#[derive(Debug)]
pub struct State {
    /// The moment that its times are counted from.
    born: Instant,
    healthy: AtomicBool,
    /// Whether a check has decided about its health.
    pub(super) proven: AtomicBool,
    /// Checks in a row that passed, or, below zero, that failed.
    pub(super) streak: AtomicI32,
    /// When it was last checked, in milliseconds; 0 for never.
    pub(super) checked: AtomicU64,
    /// When the check under way began, in milliseconds; 0 where there is none.
    checking: AtomicU64,
    /// Whether that one was ended by a reload before, and made again.
    rechecking: AtomicBool,
    in_flight: AtomicU32,
    latency: Latency,
    /// Until when it is out because of its answers, in milliseconds; 0 where it is not.
    pub(super) ejected_until: AtomicU64,
    /// How often it was out lately.
    pub(super) ejections: AtomicU32,
    /// When it became healthy, in milliseconds.
    pub(super) risen: AtomicU64,
    /// Which connections to it may be used.
    pub(super) generation: AtomicU32,
    /// Which protocol it chooses.
    pub(super) settled: Settled,
    /// When it could not be reached, in milliseconds.
    unreached: AtomicU64,
    errors_in_a_row: AtomicU32,
    answers: AtomicU32,
    errors: AtomicU32,
    /// All times to an answer in the present interval, in microseconds.
    waited: AtomicU64,
    /// How many attempts have failed since this state began.
    failures: AtomicU64,
}

/// What happened in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// How many attempts came to an end.
    pub(super) answers: u32,
    /// How many of them were errors.
    pub(super) errors: u32,
    /// All their times to an answer.
    pub(super) waited: Duration,
}

impl Default for State {
    /// Healthy until a check says otherwise.
    fn default() -> Self {
        Self::new(true, Instant::now())
    }
}

impl State {
    pub(super) fn new(healthy: bool, born: Instant) -> Self {
        Self {
            born,
            healthy: AtomicBool::new(healthy),
            proven: AtomicBool::default(),
            streak: AtomicI32::default(),
            checked: AtomicU64::default(),
            checking: AtomicU64::default(),
            rechecking: AtomicBool::default(),
            in_flight: AtomicU32::default(),
            latency: Latency::default(),
            ejected_until: AtomicU64::default(),
            ejections: AtomicU32::default(),
            risen: AtomicU64::default(),
            generation: AtomicU32::default(),
            settled: Settled::default(),
            unreached: AtomicU64::default(),
            errors_in_a_row: AtomicU32::default(),
            answers: AtomicU32::default(),
            errors: AtomicU32::default(),
            waited: AtomicU64::default(),
            failures: AtomicU64::default(),
        }
    }

    /// A moment in milliseconds since this state began, at least 1.
    pub(super) fn ms(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.born).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX).max(1)
    }

    /// It could not be reached. Returns whether that is news.
    pub(super) fn could_not_be_reached(&self, now: Instant) -> bool {
        let now = self.ms(now);
        let before = self.unreached.swap(now, Ordering::Relaxed);
        before == 0 || now.saturating_sub(before) >= NEWS
    }

    /// Whether it could not be reached a moment ago.
    pub(super) fn is_out_of_reach(&self, now: Instant) -> bool {
        match self.unreached.load(Ordering::Relaxed) {
            0 => false,
            then => self.ms(now).saturating_sub(then) < SPARED,
        }
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Says whether requests may go there; returns whether that is news.
    pub(super) fn set_healthy(&self, healthy: bool, now: Instant) -> bool {
        self.proven.store(true, Ordering::Relaxed);
        let news = self.healthy.swap(healthy, Ordering::Relaxed) != healthy;
        if news && healthy {
            self.risen.store(self.ms(now), Ordering::Relaxed);
        }
        news
    }

    /// Whether a check has decided about its health.
    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// Counts a check. Returns how many in a row came out like this one, this one included.
    pub(super) fn checked(&self, passed: bool, now: Instant) -> u32 {
        self.checked.store(self.ms(now), Ordering::Relaxed);
        self.checking.store(0, Ordering::Relaxed);
        let before = self.streak.load(Ordering::Relaxed);
        let streak = match passed {
            true => before.max(0).saturating_add(1),
            false => before.min(0).saturating_sub(1),
        };
        self.streak.store(streak, Ordering::Relaxed);
        streak.unsigned_abs()
    }

    /// A check that has begun was not made.
    pub(super) fn was_not_checked(&self) {
        self.checking.store(0, Ordering::Relaxed);
    }

    /// How long it has been known.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.born)
    }

    /// How long ago it was last checked.
    pub(super) fn since_check(&self, now: Instant) -> Option<Duration> {
        match self.checked.load(Ordering::Relaxed) {
            0 => None,
            checked => Some(Duration::from_millis(self.ms(now).saturating_sub(checked))),
        }
    }

    /// A check begins that may take so long. Returns how long that still is: one that a reload has ended
    /// has its whole time once more, and what is left of that when it is ended again, so that reloads do
    /// not put it off for ever. One that began longer ago was given up, as where health checks were
    /// removed for a while.
    pub(super) fn begin_check(&self, now: Instant, timeout: Duration) -> Duration {
        let (now, before) = (self.ms(now), self.checking.load(Ordering::Relaxed));
        let spent = Duration::from_millis(now.saturating_sub(before));
        let goes_on = before != 0 && spent <= timeout;
        let again = goes_on && self.rechecking.load(Ordering::Relaxed);
        if again {
            return timeout.saturating_sub(spent);
        }
        self.checking.store(now, Ordering::Relaxed);
        self.rechecking.store(goes_on, Ordering::Relaxed);
        timeout
    }

    /// Whether a check has begun and not ended.
    pub(super) fn is_being_checked(&self) -> bool {
        self.checking.load(Ordering::Relaxed) != 0
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn observe(&self, now: Instant, waited: Duration) {
        self.latency.observe(self.ms(now) as u32, waited);
    }

    /// The average time to an answer, in seconds.
    pub(super) fn latency(&self, now: Instant) -> Option<f32> {
        self.latency.at(self.ms(now) as u32)
    }

    /// Counts an attempt for the present interval; returns how many errors there are in a row, or
    /// 0 where it is none. A row ends only when a good answer has been received to its end.
    pub(super) fn count(&self, error: bool, waited: Duration) -> u32 {
        self.answers.fetch_add(1, Ordering::Relaxed);
        let waited = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.waited.fetch_add(waited, Ordering::Relaxed);
        if error { self.correct() } else { 0 }
    }

    /// Makes an error of an attempt that has been counted; returns how many there are in a row.
    pub(super) fn correct(&self) -> u32 {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let before = self.errors_in_a_row.fetch_add(1, Ordering::Relaxed);
        before.saturating_add(1)
    }

    /// An attempt has failed, whether or not that makes an outlier.
    pub(super) fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn errors_in_a_row(&self) -> u32 {
        self.errors_in_a_row.load(Ordering::Relaxed)
    }

    /// What happened since this was last asked.
    pub(super) fn take_window(&self) -> Window {
        Window {
            answers: self.answers.swap(0, Ordering::Relaxed),
            errors: self.errors.swap(0, Ordering::Relaxed),
            waited: Duration::from_micros(self.waited.swap(0, Ordering::Relaxed)),
        }
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.ejected_until.load(Ordering::Relaxed) != 0
    }

    /// How long it is still out; `None` where it is not.
    pub(super) fn ejected_for(&self, now: Instant) -> Option<Duration> {
        match self.ejected_until.load(Ordering::Relaxed) {
            0 => None,
            until => Some(Duration::from_millis(until.saturating_sub(self.ms(now)))),
        }
    }

    /// How often it was out lately.
    pub(super) fn ejections(&self) -> u32 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// Takes it out: for this long, times how often that has happened. Returns the time.
    pub(super) fn eject(&self, now: Instant, once: Duration, longest: Duration) -> Duration {
        let times = self.ejections.load(Ordering::Relaxed).saturating_add(1);
        self.ejections.store(times, Ordering::Relaxed);
        let time = once.saturating_mul(times).min(longest.max(once));
        let until = self
            .ms(now)
            .saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self.ejected_until.store(until, Ordering::Relaxed);
        self.forget_errors();
        time
    }

    /// Lets it in again, where it was out.
    pub(super) fn readmit(&self, now: Instant) {
        self.ejected_until.store(0, Ordering::Relaxed);
        self.risen.store(self.ms(now), Ordering::Relaxed);
        self.take_window();
        self.forget_errors();
    }

    /// An interval has passed in which it was not taken out.
    pub(super) fn behaved(&self) {
        let times = self.ejections.load(Ordering::Relaxed);
        self.ejections
            .store(times.saturating_sub(1), Ordering::Relaxed);
    }

    /// Ends a row of errors.
    pub(super) fn forget_errors(&self) {
        if self.errors_in_a_row.load(Ordering::Relaxed) != 0 {
            self.errors_in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// For how long it has been healthy.
    pub(super) fn up_for(&self, now: Instant) -> Duration {
        let risen = self.risen.load(Ordering::Relaxed);
        Duration::from_millis(self.ms(now).saturating_sub(risen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_out_grow_with_each_ejection_up_to_a_bound() {
        let (state, now) = (State::default(), Instant::now());
        let (once, longest) = (Duration::from_secs(30), Duration::from_secs(80));
        let times: Vec<u64> = (0..4)
            .map(|_| state.eject(now, once, longest).as_secs())
            .collect();
        assert_eq!(times, [30, 60, 80, 80]);
        state.readmit(now);
        assert!(!state.is_ejected());
        (0..3).for_each(|_| state.behaved());
        assert_eq!(state.eject(now, once, longest).as_secs(), 60);
    }

    #[test]
    fn a_good_answer_ends_a_row_of_errors_when_it_has_come_to_its_end() {
        let (state, time) = (State::default(), Duration::from_millis(2));
        assert_eq!((state.count(true, time), state.count(true, time)), (1, 2));
        // It breaks off.
        assert_eq!((state.count(false, time), state.correct()), (0, 3));
        assert_eq!(state.count(false, time), 0);
        state.forget_errors();
        assert_eq!(state.count(true, time), 1);
        let window = Window {
            answers: 5,
            errors: 4,
            waited: 5 * time,
        };
        assert_eq!(state.take_window(), window);
        assert_eq!(state.take_window(), Window::default());
    }

    #[test]
    fn checks_are_counted_in_rows() {
        let (state, now) = (State::default(), Instant::now());
        assert_eq!(state.since_check(now), None);
        let rows = [true, true, false, false, false, true].map(|passed| state.checked(passed, now));
        assert_eq!(rows, [1, 2, 1, 2, 3, 1]);
        assert_eq!(state.since_check(now), Some(Duration::ZERO));
    }

    #[test]
    fn a_check_that_is_ended_has_its_time_once_more() {
        let (state, start) = (State::default(), Instant::now());
        let begin = |at: u64| {
            let now = start + Duration::from_millis(at);
            state.begin_check(now, Duration::from_secs(5)).as_millis()
        };
        // Moments are told in milliseconds since the state began, at least one.
        let close = |left: u128, expected: u128| left.abs_diff(expected) <= 2;
        assert_eq!(begin(1000), 5000);
        assert_eq!(begin(3500), 5000);
        assert!(close(begin(5500), 3000) && close(begin(8000), 500));
        // A verdict ends it.
        state.checked(true, start + Duration::from_millis(8100));
        assert!(!state.is_being_checked());
        assert_eq!((begin(9000), begin(9100)), (5000, 5000));
        // Nobody has ended this one.
        assert_eq!((begin(3_600_000), begin(3_601_000)), (5000, 5000));
        assert!(close(begin(3_602_000), 4000));
    }
}
