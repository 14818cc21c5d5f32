//! When an exchange must be over.
//!
//! Who knows it works above the client's connection, and who waits for the client below: an
//! exchange that takes too long ends where it waits, whatever it waits for.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// When an exchange must be over; as long as nobody has told, never.
#[derive(Debug, Default)]
pub struct Until(Mutex<Option<Instant>>);

impl Until {
    /// The exchange must be over at this moment, or at any.
    pub fn set(&self, moment: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = moment;
    }

    fn get(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A timer of whoever waits for the client. Without a moment to wait for it costs nothing.
#[derive(Debug, Default)]
pub struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready when the exchange must be over.
    pub fn poll(&mut self, until: &Until, cx: &mut Context<'_>) -> Poll<()> {
        let Some(moment) = until.get() else {
            return Poll::Pending;
        };
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(moment)));
        if timer.deadline() != moment {
            timer.as_mut().reset(moment);
        }
        timer.as_mut().poll(cx)
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
}
