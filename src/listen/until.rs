//! When an exchange must be over, and by when its endpoint must have said something.
//!
//! Who knows it works above the client's connection, and who waits for the client below: an
//! exchange that takes too long ends where it waits, whatever it waits for. While an endpoint is
//! awaited, so is the client, who may leave: one timer serves both, and lives as long as a
//! connection does, where each read from an endpoint would need one of its own.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::lock::lock;

/// When an exchange must be over, and by when its endpoint must have said something; as long as
/// nobody has told, never. One task tells and asks.
#[derive(Debug)]
pub struct Until {
    base: Instant,
    over: Moment,
    answer: Moment,
    /// How long the endpoint may be silent, in microseconds.
    patience: AtomicU64,
    timer: Mutex<Option<Pin<Box<Sleep>>>>,
    enforced: AtomicBool,
    /// What an exchange was cut off for.
    cut: Mutex<Option<Late>>,
    /// Bytes of the bodies that have come from its client, and gone there.
    received: AtomicU64,
    sent: AtomicU64,
}

/// How long an exchange that must be over may take to notice it, before it is cut off.
const GRACE: Duration = Duration::from_secs(2);

/// What has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The exchange must be over by now.
    Exchange,
    /// The endpoint has been silent for as long as it may.
    Endpoint,
}

/// Microseconds after a base; the largest number for never.
#[derive(Debug)]
struct Moment(AtomicU64);

impl Moment {
    const NEVER: u64 = u64::MAX;

    fn set(&self, base: Instant, moment: Option<Instant>) {
        let micros = moment.map_or(Self::NEVER, |moment| micros(moment - base));
        self.0.store(micros, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// As whole microseconds, rounded up: what is too early is no time-out.
fn micros(time: Duration) -> u64 {
    let rest = u64::from(time.subsec_nanos().div_ceil(1_000));
    time.as_secs()
        .saturating_mul(1_000_000)
        .saturating_add(rest)
}

impl Default for Until {
    fn default() -> Self {
        Self {
            base: Instant::now(),
            over: Moment(AtomicU64::new(Moment::NEVER)),
            answer: Moment(AtomicU64::new(Moment::NEVER)),
            patience: AtomicU64::new(0),
            timer: Mutex::default(),
            enforced: AtomicBool::new(false),
            cut: Mutex::default(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }
}

impl Until {
    /// Another exchange begins.
    pub fn begin(&self) {
        self.set(None);
        self.heard();
        self.enforce(false);
        self.moved(0, 0);
    }

    /// So much of the bodies has come from the client, and gone there, for whoever is left to tell that where the
    /// exchange is cut off.
    pub fn moved(&self, received: u64, sent: u64) {
        self.received.store(received, Relaxed);
        self.sent.store(sent, Relaxed);
    }

    /// What has come, and what has gone.
    pub fn traffic(&self) -> (u64, u64) {
        (self.received.load(Relaxed), self.sent.load(Relaxed))
    }

    /// Whether an exchange is cut off that goes on a while after it must be over, since nobody may be
    /// waiting for its client any more.
    pub fn enforce(&self, enforced: bool) {
        self.enforced.store(enforced, Relaxed);
    }

    /// What comes of an exchange; nothing where it has to be cut off.
    pub async fn unless_stuck<F: Future>(&self, exchange: F) -> Option<F::Output> {
        let (mut exchange, mut timer) = (pin!(exchange), None);
        std::future::poll_fn(|cx| match exchange.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.enforced.load(Relaxed) => match self.first() {
                Some(moment) => rings(&mut timer, moment + GRACE, cx).map(|()| {
                    *lock(&self.cut) = Some(self.late());
                    None
                }),
                None => Poll::Pending,
            },
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// What the exchange was cut off for, where it was.
    pub fn cut(&self) -> Option<Late> {
        *lock(&self.cut)
    }

    /// Which of the moments is the first.
    fn late(&self) -> Late {
        match self.over.get() <= self.answer.get() {
            true => Late::Exchange,
            false => Late::Endpoint,
        }
    }

    /// The first of the moments.
    fn first(&self) -> Option<Instant> {
        let first = self.over.get().min(self.answer.get());
        let moment = (self.base).checked_add(Duration::from_micros(first));
        moment.filter(|_| first != Moment::NEVER)
    }

    /// The exchange must be over at this moment, or at any.
    pub fn set(&self, moment: Option<Instant>) {
        self.over.set(self.base, moment);
    }

    /// From a moment on the endpoint may be silent for a time.
    pub fn await_endpoint(&self, since: Instant, patience: Duration) {
        self.patience.store(micros(patience), Relaxed);
        self.answer.set(self.base, since.checked_add(patience));
    }

    /// The endpoint is not waited for.
    pub fn heard(&self) {
        self.answer.set(self.base, None);
    }

    /// Whoever waits was kept from it, and begins to wait again.
    pub fn resume(&self) {
        if self.answer.get() != Moment::NEVER {
            let patience = Duration::from_micros(self.patience.load(Relaxed));
            self.await_endpoint(Instant::now(), patience);
        }
    }

    /// Ready when one of the moments has come. The timer is set anew only when it rings, or would
    /// ring too late.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Late> {
        let Some(moment) = self.first() else {
            return Poll::Pending;
        };
        rings(&mut lock(&self.timer), moment, cx).map(|()| self.late())
    }
}

/// Ready at a moment, by a timer that is set anew only when it rings, or would ring too late.
fn rings(timer: &mut Option<Pin<Box<Sleep>>>, moment: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(moment)));
    if timer.deadline() > moment {
        timer.as_mut().reset(moment);
    }
    while timer.as_mut().poll(cx).is_ready() {
        if Instant::now() >= moment {
            return Poll::Ready(());
        }
        timer.as_mut().reset(moment);
    }
    Poll::Pending
}

/// The exchange must be over by now.
#[derive(Debug)]
pub struct Over;

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the exchange has taken as long as it may")
    }
}

impl std::error::Error for Over {}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn late(until: &Until, patience: u64) -> Option<Late> {
        let late = poll_fn(|cx| until.poll(cx));
        let late = tokio::time::timeout(Duration::from_secs(patience), late);
        late.await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_moment_may_be_told_late_and_told_anew() {
        let until = Until::default();
        let start = Instant::now();
        assert_eq!(late(&until, 100).await, None);
        until.set(Some(start + Duration::from_secs(120)));
        assert_eq!(late(&until, 10).await, None);
        until.set(Some(start + Duration::from_secs(200)));
        assert_eq!(late(&until, 60).await, None);
        assert_eq!(late(&until, 60).await, Some(Late::Exchange));
        assert_eq!(Instant::now() - start, Duration::from_secs(200));
        assert_eq!(late(&until, 1).await, Some(Late::Exchange), "and stays so");
        until.begin();
        assert_eq!(late(&until, 1000).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_that_notices_nothing_is_cut_off_where_that_is_enforced() {
        let (until, minute) = (Until::default(), Duration::from_secs(60));
        until.await_endpoint(Instant::now(), minute);
        let waits = until.unless_stuck(tokio::time::sleep(minute * 2));
        assert!(waits.await.is_some());
        until.enforce(true);
        let begun = Instant::now();
        until.await_endpoint(begun, minute);
        let moved = async {
            tokio::time::sleep(minute / 2).await;
            until.await_endpoint(Instant::now(), minute);
            std::future::pending::<()>().await;
        };
        assert_eq!(until.cut(), None);
        assert!(until.unless_stuck(moved).await.is_none());
        assert_eq!(until.cut(), Some(Late::Endpoint));
        assert_eq!(begun.elapsed(), minute * 3 / 2 + GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_may_be_silent_for_its_time_each_time() {
        let until = Until::default();
        let minute = Duration::from_secs(60);
        for _ in 0..3 {
            until.await_endpoint(Instant::now(), minute);
            assert_eq!(late(&until, 59).await, None);
        }
        assert_eq!(late(&until, 2).await, Some(Late::Endpoint));
        until.heard();
        assert_eq!(late(&until, 1000).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_nobody_waited_does_not_count() {
        let until = Until::default();
        until.resume();
        assert_eq!(late(&until, 1000).await, None, "nobody is waited for");
        until.await_endpoint(Instant::now(), Duration::from_secs(60));
        assert_eq!(late(&until, 1).await, None);
        tokio::time::sleep(Duration::from_secs(100)).await;
        until.resume();
        assert_eq!(late(&until, 59).await, None);
        assert_eq!(late(&until, 2).await, Some(Late::Endpoint));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_first_is_told() {
        let until = Until::default();
        let start = Instant::now();
        until.set(Some(start + Duration::from_secs(90)));
        until.await_endpoint(start, Duration::from_secs(60));
        assert_eq!(late(&until, 61).await, Some(Late::Endpoint));
        until.await_endpoint(Instant::now(), Duration::from_secs(60));
        assert_eq!(late(&until, 31).await, Some(Late::Exchange));
    }
}
