//! How long a client may keep the gateway waiting while it sends or takes a body.
//!
//! A client has an allowance of time. Waiting for it uses that up, and bytes that come or go make
//! up for it, as long as each of them takes at the least rate. So whoever is slower than the rate is
//! noticed, however it spreads its bytes, and the time that others take is not counted.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use wiregate_sdk::types::ByteRate;

use crate::config::model::Limits;

/// How long a client may keep the gateway waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    rate: ByteRate,
    allowance: Duration,
    left: Duration,
    /// Whether the client has kept the gateway waiting since that was last asked.
    waited: bool,
}

/// The paces of an exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paces {
    /// At which the client sends the request's body.
    pub(super) request: Pace,
    /// At which it takes the response.
    pub(super) response: Pace,
}

impl Paces {
    /// Those that a configuration asks for.
    pub(super) fn of(limits: &Limits) -> Self {
        Self {
            request: Pace::new(limits.body_rate, limits.body_grace.into()),
            response: Pace::new(limits.response_rate, limits.client_write.into()),
        }
    }
}

/// Why nothing came of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooLong {
    /// Nothing came or went for as long as one wait may take.
    Silent,
    /// The client is slower than it may be.
    Slow,
}

impl Pace {
    fn new(rate: ByteRate, allowance: Duration) -> Self {
        Self {
            rate,
            allowance,
            left: allowance,
            waited: false,
        }
    }

    /// Whether the client has kept the gateway waiting since this was last asked.
    pub(super) fn has_waited(&mut self) -> bool {
        std::mem::take(&mut self.waited)
    }

    /// From now on no rate is asked for.
    pub(super) fn lift(&mut self) {
        self.rate = ByteRate::default();
    }

    /// Bytes have come, or gone.
    pub(super) fn moved(&mut self, bytes: usize) {
        if self.left == self.allowance {
            return; // as with nearly all clients
        }
        let time = self.rate.time_of(bytes as u64).unwrap_or(Duration::MAX);
        self.left = self.left.saturating_add(time).min(self.allowance);
    }

    fn asks_for_nothing(&self) -> bool {
        self.rate == ByteRate::default()
    }

    /// What comes of this within a time, where the client is waited for; a timer is made only where
    /// that takes any.
    ///
    /// # Errors
    /// It took too long.
    pub(super) async fn wait<T>(
        &mut self,
        limit: Option<Duration>,
        what: impl Future<Output = T>,
    ) -> Result<T, TooLong> {
        let mut what = pin!(what);
        if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(what.as_mut().poll(cx))).await {
            return Ok(done);
        }
        self.waited = true;
        if self.asks_for_nothing() {
            return within(limit, what).await.ok_or(TooLong::Silent);
        }
        let limit = limit.unwrap_or(Duration::MAX);
        let (shortest, why) = match self.left < limit {
            true => (self.left, TooLong::Slow),
            false => (limit, TooLong::Silent),
        };
        // Counted also where nobody waits any more.
        let waiting = Waiting(self, Instant::now());
        let done = tokio::time::timeout(shortest, what).await;
        drop(waiting);
        done.map_err(|_| why)
    }
}

/// A wait, from its beginning on.
struct Waiting<'a>(&'a mut Pace, Instant);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.left = self.0.left.saturating_sub(self.1.elapsed());
    }
}

/// What comes of this within a time; a timer is made only where it takes any.
pub(super) async fn within<T>(limit: Option<Duration>, what: impl Future<Output = T>) -> Option<T> {
    let mut what = pin!(what);
    let at_once = poll_fn(|cx| Poll::Ready(what.as_mut().poll(cx))).await;
    match (at_once, limit) {
        (Poll::Ready(done), _) => Some(done),
        (Poll::Pending, Some(limit)) => tokio::time::timeout(limit, what).await.ok(),
        (Poll::Pending, None) => Some(what.await),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;
    use wiregate_sdk::types::Size;

    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(60));

    /// Ten bytes a second, and ten seconds.
    fn pace() -> Pace {
        let rate = ByteRate::per_second(Size::bytes(10));
        Pace::new(rate, Duration::from_secs(10))
    }

    async fn seconds(pace: &mut Pace, count: u64) -> Result<(), TooLong> {
        pace.wait(LONG, sleep(Duration::from_secs(count))).await
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_the_rate_may_take_for_ever() {
        let mut pace = pace();
        for _ in 0..100 {
            assert_eq!(seconds(&mut pace, 9).await, Ok(()));
            pace.moved(90);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_is_too_slow_however_it_goes_about_it() {
        for (wait, bytes, expected) in [(1, 0, 9), (1, 1, 10), (3, 15, 5), (11, 100, 0)] {
            let (mut pace, mut waits) = (pace(), 0);
            while seconds(&mut pace, wait).await.is_ok() {
                pace.moved(bytes);
                waits += 1;
                assert!(waits < 100, "{wait} {bytes}");
            }
            assert!(waits >= expected, "{wait} {bytes}: {waits}");
            assert!(waits <= expected + 1, "{wait} {bytes}: {waits}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_makes_up_for_no_more_than_all() {
        let mut pace = pace();
        pace.moved(1_000_000);
        assert_eq!(seconds(&mut pace, 11).await, Err(TooLong::Slow));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_counts_and_the_time_of_others_does_not() {
        let mut pace = pace();
        sleep(Duration::from_secs(100)).await;
        let given_up = seconds(&mut pace, 60);
        let _ = tokio::time::timeout(Duration::from_secs(6), given_up).await;
        assert_eq!(pace.left, Duration::from_secs(4));
        assert_eq!(seconds(&mut pace, 5).await, Err(TooLong::Slow));
    }

    #[tokio::test(start_paused = true)]
    async fn one_wait_has_a_limit_of_its_own() {
        let mut pace = pace();
        let limit = Some(Duration::from_secs(2));
        let long = pace.wait(limit, sleep(Duration::from_secs(3))).await;
        assert_eq!(long, Err(TooLong::Silent));
        let mut none = Pace::new(ByteRate::default(), Duration::ZERO);
        assert_eq!(seconds(&mut none, 59).await, Ok(()));
        assert_eq!(seconds(&mut none, 61).await, Err(TooLong::Silent));
    }
}
