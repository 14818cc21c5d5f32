//! When an exchange must be over.
//!
//! Who knows it works above the client's connection, and who waits for the client below: an
//! exchange that takes too long ends where it waits, whatever it waits for.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// How long an exchange that must be over may take to notice it, before it is cut off.
const GRACE: Duration = Duration::from_secs(2);

/// When an exchange must be over; as long as nobody has told, never.
#[derive(Debug, Default)]
pub struct Until {
    moment: Mutex<Option<Instant>>,
    enforced: AtomicBool,
}

impl Until {
    /// The exchange must be over at this moment, or at any.
    pub fn set(&self, moment: Option<Instant>) {
        *self.moment.lock().unwrap_or_else(PoisonError::into_inner) = moment;
    }

    /// Whether an exchange is cut off that goes on although it must be over: nothing else would
    /// end it while it waits for something else than its client.
    pub fn enforce(&self, enforced: bool) {
        self.enforced.store(enforced, Ordering::Relaxed);
    }

    fn get(&self) -> Option<Instant> {
        *self.moment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes of an exchange; nothing where it has to be cut off.
    pub async fn unless_late<F: Future>(&self, exchange: F) -> Option<F::Output> {
        let (mut exchange, mut timer) = (pin!(exchange), Timer::default());
        std::future::poll_fn(|cx| match exchange.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.enforced.load(Ordering::Relaxed) => {
                let late = self.get().map(|moment| moment + GRACE);
                timer.poll_at(late, cx).map(|()| None)
            }
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

/// A timer of whoever waits for the client. Without a moment to wait for it costs nothing.
#[derive(Debug, Default)]
pub struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready when the exchange must be over.
    pub fn poll(&mut self, until: &Until, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_at(until.get(), cx)
    }

    /// The moment may move on with each piece of a body: the timer is set anew only when it rings,
    /// or would ring too late.
    fn poll_at(&mut self, moment: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(moment) = moment else {
            return Poll::Pending;
        };
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(moment)));
        loop {
            if timer.deadline() > moment {
                timer.as_mut().reset(moment);
            }
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= moment {
                return Poll::Ready(());
            }
            timer.as_mut().reset(moment);
        }
    }
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
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_moment_may_be_told_late_and_told_anew() {
        let (until, mut timer) = (Until::default(), Timer::default());
        let mut over = async |patience: u64| {
            let over = poll_fn(|cx| timer.poll(&until, cx));
            let over = tokio::time::timeout(Duration::from_secs(patience), over);
            over.await.is_ok()
        };
        let start = Instant::now();
        assert!(!over(100).await);
        until.set(Some(start + Duration::from_secs(120)));
        assert!(!over(10).await);
        until.set(Some(start + Duration::from_secs(200)));
        assert!(!over(60).await);
        assert!(over(60).await);
        assert_eq!(Instant::now() - start, Duration::from_secs(200));
        assert!(over(1).await, "and stays so");
        until.set(None);
        assert!(!over(1000).await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_that_notices_nothing_is_cut_off_where_that_is_enforced() {
        let until = Until::default();
        let start = Instant::now();
        until.set(Some(start + Duration::from_secs(10)));
        let waits = until.unless_late(tokio::time::sleep(Duration::from_secs(100)));
        assert!(waits.await.is_some());
        until.enforce(true);
        until.set(Some(Instant::now() + Duration::from_secs(10)));
        let begun = Instant::now();
        let moved = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            until.set(Some(begun + Duration::from_secs(30)));
            std::future::pending::<()>().await;
        };
        assert!(until.unless_late(moved).await.is_none());
        assert_eq!(begun.elapsed(), Duration::from_secs(30) + GRACE);
    }
}
