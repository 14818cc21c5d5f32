//! Several limits that hold at once: a request passes where all of them let it pass, and what one
//! of them refuses is taken from none.

use std::fmt;

use smallvec::SmallVec;

use super::algorithm::Limit;

/// Limits that hold at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) each: SmallVec<[Limit; 3]>,
    /// How many cells a key has, those of the first limit in front.
    pub(super) cells: usize,
    /// Ticks of the clock in a second.
    ticks: u64,
}

/// Where a key stands with all of its limits after a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) admitted: bool,
    /// Where it stands with each of them.
    pub(super) standings: SmallVec<[Standing; 3]>,
    /// Ticks until nothing is used.
    pub(super) whole: u64,
    /// Whether the key has found no room, and shares what is counted with others.
    pub(super) crowded: bool,
}

/// Where a key stands with one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether this limit refuses the request.
    pub(super) refuses: bool,
    /// Seconds, rounded up, until it would not; `None` where it always will.
    pub(super) wait: Option<u64>,
    /// How many more may pass right now.
    pub(super) remaining: u32,
    /// Seconds, rounded up, until there is one more.
    pub(super) next: u64,
    /// Seconds, rounded up, until all is there again.
    pub(super) whole: u64,
}

impl Limits {
    /// Limits by a clock with so many ticks a second.
    pub(super) fn new(each: SmallVec<[Limit; 3]>, ticks: u64) -> Self {
        let cells = each.iter().map(Limit::cells).sum();
        Self { each, cells, ticks }
    }

    /// Decides about a request that costs so much.
    pub(super) fn decide(&self, now: u64, cells: &mut [u64], cost: u32) -> Verdict {
        let mut admitted = true;
        let mut rest = &mut *cells;
        for limit in &self.each {
            let (own, others) = rest.split_at_mut(limit.cells());
            admitted &= limit.settle(now, own) >= cost;
            rest = others;
        }
        if admitted {
            let mut rest = &mut *cells;
            for limit in &self.each {
                let (own, others) = rest.split_at_mut(limit.cells());
                limit.spend(cost, own);
                rest = others;
            }
        }
        self.verdict(now, cells, cost, admitted)
    }

    /// What there is to say after a decision, where the cells are those of this time.
    pub(super) fn verdict(
        &self,
        now: u64,
        cells: &mut [u64],
        cost: u32,
        admitted: bool,
    ) -> Verdict {
        let mut verdict = Verdict {
            admitted,
            ..Verdict::default()
        };
        let mut rest = cells;
        for limit in &self.each {
            let (own, others) = rest.split_at_mut(limit.cells());
            let whole = limit.whole(now, own);
            let standing = self.standing(limit, now, own, whole, (!admitted).then_some(cost));
            verdict.standings.push(standing);
            verdict.whole = verdict.whole.max(whole);
            rest = others;
        }
        verdict
    }

    fn standing(
        &self,
        limit: &Limit,
        now: u64,
        cells: &mut [u64],
        whole: u64,
        refused: Option<u32>,
    ) -> Standing {
        let remaining = limit.settle(now, cells);
        let next = match remaining.checked_add(1) {
            Some(more) if whole > 0 => limit.wait(now, cells, more).unwrap_or(0),
            _ => 0,
        };
        let refused = refused.filter(|cost| *cost > remaining);
        Standing {
            refuses: refused.is_some(),
            wait: refused.and_then(|cost| Some(self.seconds(limit.wait(now, cells, cost)?))),
            remaining,
            next: self.seconds(next),
            whole: self.seconds(limit.exact(whole)),
        }
    }

    fn seconds(&self, ticks: u64) -> u64 {
        ticks.div_ceil(self.ticks)
    }
}

/// Tells limits from others, before and after a reload, and on other gateways.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for limit in &self.each {
            write!(
                f,
                "{} {} {};",
                limit.algorithm.word(),
                limit.rate,
                limit.burst
            )?;
        }
        Ok(())
    }
}
