//! When a slow request goes to a second endpoint, and how many may at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wiregate_sdk::types::Percent;

use super::quantiles::Quantiles;
use super::retry::Budget;
use crate::config::model::upstream as model;

/// So many requests may be hedged however few there are.
const ALWAYS: u64 = 1;
/// A quantile is never counted as less: timers are no finer than half of this, and a second
/// attempt that comes sooner costs more than it gains.
const SHORTEST: Duration = Duration::from_millis(2);
/// A quantile is worked out anew after so many answers.
const RENEWED_AFTER: u32 = 32;
/// What stands for no quantile.
const NONE: u32 = u32::MAX;

/// What came of a second endpoint for a request whose first one was slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hedged {
    /// It answered first.
    Won,
    /// The first one answered first after all.
    Lost,
    /// It failed.
    Failed,
    /// The exchange ended before either answered.
    Abandoned,
    /// It was not asked, because enough others were.
    NoBudget,
    /// There was none to ask.
    NoEndpoint,
}

/// When a request goes to a second endpoint as well.
pub struct Hedge {
    after: model::After,
    share: Percent,
    times: Arc<Quantiles>,
    /// The quantile in microseconds below, and the generation of answers that it is of above.
    known: AtomicU64,
}

impl Hedge {
    /// As the configuration says, with the times of recent answers.
    pub(super) fn new(config: &model::Hedge, times: Arc<Quantiles>) -> Self {
        Self {
            after: config.after.value,
            share: config.at_most.value,
            times,
            known: AtomicU64::new(u64::MAX),
        }
    }

    /// How long the first endpoint has; `None` for as long as it takes.
    pub fn after(&self) -> Option<Duration> {
        let percent = match self.after {
            model::After::Time(time) => return Some(time.into()),
            model::After::Quantile(percent) => percent.get(),
        };
        let generation = u64::from(self.times.seen() / RENEWED_AFTER);
        let mut known = self.known.load(Ordering::Relaxed);
        if known >> 32 != generation {
            let micros = self.times.at(percent).map_or(NONE, |time| {
                u32::try_from(time.as_micros()).unwrap_or(NONE - 1)
            });
            known = generation << 32 | u64::from(micros);
            self.known.store(known, Ordering::Relaxed);
        }
        let micros = known as u32;
        (micros != NONE).then(|| Duration::from_micros(micros.into()).max(SHORTEST))
    }

    /// The first endpoint took this long to answer, or at least this long.
    pub fn observe(&self, took: Duration) {
        if let model::After::Quantile(_) = self.after {
            self.times.observe(took);
        }
    }

    /// A place among the hedged requests of an upstream; `None` where there are enough of them.
    pub fn spend(&self, budget: &Arc<Budget>) -> Option<Hedging> {
        let live = budget.live.load(Ordering::Relaxed);
        let most = self.share.of(live.into()).max(ALWAYS);
        let (order, again) = (Ordering::Relaxed, Ordering::Relaxed);
        let spent = (budget.hedging).fetch_update(order, again, |hedging| {
            (u64::from(hedging) < most).then_some(hedging + 1)
        });
        spent.is_ok().then(|| Hedging(budget.clone()))
    }
}

/// A request that is under way at two endpoints.
pub struct Hedging(Arc<Budget>);

impl Drop for Hedging {
    fn drop(&mut self) {
        self.0.hedging.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::upstream;
    use super::*;

    #[test]
    fn hedges_are_a_share_of_the_live_requests_but_one_always_may_be() {
        let upstream = upstream("hedge: { after: 50ms, at_most: 10% }", 2);
        let (hedge, budget) = (upstream.hedge.as_ref().unwrap(), &upstream.budget);
        let first = hedge.spend(budget);
        assert!(first.is_some() && hedge.spend(budget).is_none());
        let _live: Vec<_> = (0..40).map(|_| budget.enter()).collect();
        let more: Vec<_> = (0..10).filter_map(|_| hedge.spend(budget)).collect();
        assert_eq!(more.len(), 3, "a tenth of 40 is 4");
        drop((first, more));
        assert_eq!(budget.hedging.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_quantile_follows_the_answers_and_has_a_floor() {
        let upstream = upstream("hedge: { after: p95 }", 2);
        let hedge = upstream.hedge.as_ref().unwrap();
        assert_eq!(hedge.after(), None);
        for _ in 0..99 {
            hedge.observe(Duration::from_micros(300));
            assert_eq!(hedge.after(), None);
        }
        for _ in 0..RENEWED_AFTER {
            hedge.observe(Duration::from_micros(300));
        }
        assert_eq!(hedge.after(), Some(SHORTEST));
        for _ in 0..3000 {
            hedge.observe(Duration::from_millis(40));
        }
        let after = hedge.after().unwrap();
        assert!((40..46).contains(&after.as_millis()), "{after:?}");
    }

    #[test]
    fn a_written_time_holds_at_once() {
        let upstream = upstream("hedge: { after: 50ms }", 2);
        let hedge = upstream.hedge.as_ref().unwrap();
        hedge.observe(Duration::from_secs(1));
        assert_eq!(hedge.after(), Some(Duration::from_millis(50)));
    }
}
