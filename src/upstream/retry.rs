//! What may be tried again, and how much of it at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::StatusCode;
use wiregate_sdk::types::Percent;

use crate::config::model::upstream as model;

/// So many retries may be under way however few requests there are.
const ALWAYS: u64 = 3;
/// No pause before a retry is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How an attempt ended that may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing was sent, or the endpoint has said that it has not looked at it.
    Unsent,
    /// The connection broke before a response.
    Reset,
    /// No response in time.
    Timeout,
    /// With this response.
    Status(StatusCode),
}

/// When and how often requests are tried again.
pub struct Retry {
    /// How many times a request is tried in all.
    pub attempts: u32,
    /// Whether methods that are not idempotent are repeated as well.
    pub unsafe_methods: bool,
    on: Vec<model::Cause>,
    share: Percent,
    backoff: Duration,
}

impl Retry {
    /// As the configuration says.
    pub fn new(config: &model::Retry) -> Self {
        Self {
            attempts: config.attempts.get(),
            unsafe_methods: config.unsafe_methods,
            on: config.on.clone(),
            share: config.budget,
            backoff: config.backoff.into(),
        }
    }

    /// Whether an attempt that ended like this is repeated.
    pub fn covers(&self, ended: Ended) -> bool {
        let cause = match ended {
            Ended::Unsent => model::Cause::ConnectError,
            Ended::Reset => model::Cause::Reset,
            Ended::Timeout => model::Cause::Timeout,
            Ended::Status(status) => model::Cause::Status(status.as_u16()),
        };
        self.on.contains(&cause)
    }

    /// How long to wait before this retry, the first being 1: a random time, so that requests
    /// which failed together do not come back together.
    pub fn pause(&self, retry: u32) -> Duration {
        let doubled = self.backoff * (1 << retry.saturating_sub(1).min(10));
        doubled.min(LONGEST_PAUSE).mul_f64(fastrand::f64())
    }

    /// A place among the retries of an upstream; `None` where there are enough of them.
    pub fn spend(&self, budget: &Arc<Budget>) -> Option<Retrying> {
        let live = budget.live.load(Ordering::Relaxed);
        let most = self.share.of(live.into()).max(ALWAYS);
        let spent =
            budget
                .retrying
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |retrying| {
                    (u64::from(retrying) < most).then_some(retrying + 1)
                });
        spent.is_ok().then(|| Retrying(budget.clone()))
    }
}

/// The requests of one upstream that are under way, by all workers, and the retries and hedges
/// among them.
#[derive(Debug, Default)]
pub struct Budget {
    pub(super) live: AtomicU32,
    retrying: AtomicU32,
    pub(super) hedging: AtomicU32,
}

impl Budget {
    /// A request has come; it counts until what is returned is dropped.
    pub fn enter(self: &Arc<Self>) -> Live {
        self.live.fetch_add(1, Ordering::Relaxed);
        Live(self.clone())
    }
}

/// A request that is under way.
pub struct Live(Arc<Budget>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that is tried again.
pub struct Retrying(Arc<Budget>);

impl Drop for Retrying {
    fn drop(&mut self) {
        self.0.retrying.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> Retry {
        Retry::new(&model::Retry::default())
    }

    #[test]
    fn retries_are_a_share_of_the_live_requests_but_never_fewer_than_three() {
        let (retry, budget) = (retry(), Arc::new(Budget::default()));
        let _live: Vec<Live> = (0..10).map(|_| budget.enter()).collect();
        let three: Vec<_> = (0..3).filter_map(|_| retry.spend(&budget)).collect();
        assert_eq!(three.len(), 3);
        assert!(retry.spend(&budget).is_none());

        let _more: Vec<Live> = (0..40).map(|_| budget.enter()).collect();
        let seven: Vec<_> = (0..20).filter_map(|_| retry.spend(&budget)).collect();
        assert_eq!(seven.len(), 7, "a fifth of 50 is 10");
        drop((three, seven));
        assert_eq!(budget.retrying.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn only_what_was_asked_for_is_repeated() {
        let retry = retry();
        assert!(retry.covers(Ended::Unsent));
        assert!(!retry.covers(Ended::Reset) && !retry.covers(Ended::Timeout));
        assert!(!retry.covers(Ended::Status(StatusCode::SERVICE_UNAVAILABLE)));
    }

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let retry = retry();
        for _ in 0..100 {
            assert!(retry.pause(1) <= Duration::from_millis(25));
            assert!(retry.pause(2) <= Duration::from_millis(50));
            assert!(retry.pause(64) <= LONGEST_PAUSE);
        }
    }
}
