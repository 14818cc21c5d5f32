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
    pub(super) wait: Option<u32>,
    /// How many more may pass right now.
    pub(super) remaining: u32,
    /// Seconds, rounded up, until there is one more.
    pub(super) next: u32,
    /// Seconds, rounded up, until all is there again.
    pub(super) whole: u32,
}

impl Limits {
    /// Limits by a clock with so many ticks a second.
    pub(super) fn new(each: SmallVec<[Limit; 3]>, ticks: u64) -> Self {
        let cells = each.iter().map(Limit::cells).sum();
        Self { each, cells, ticks }
    }

    /// Decides about a request that costs so much.
    pub(super) fn decide(&self, now: u64, cells: &mut [u64], cost: u32) -> Verdict {
        let mut verdict = self.settle(now, cells);
        verdict.admitted = (verdict.standings.iter()).all(|standing| standing.remaining >= cost);
        if verdict.admitted {
            for ((limit, own), standing) in self.with_cells(cells).zip(&mut verdict.standings) {
                limit.spend(cost, own);
                standing.remaining -= cost; // what settling anew would find
            }
        }
        self.complete(&mut verdict, now, cells, cost);
        verdict
    }

    /// What there is to say after a decision, where the cells are those of this time.
    pub(super) fn verdict(
        &self,
        now: u64,
        cells: &mut [u64],
        cost: u32,
        admitted: bool,
    ) -> Verdict {
        let mut verdict = self.settle(now, cells);
        verdict.admitted = admitted;
        self.complete(&mut verdict, now, cells, cost);
        verdict
    }

    /// Brings cells up to this time, and tells how many may pass, and nothing else yet.
    fn settle(&self, now: u64, cells: &mut [u64]) -> Verdict {
        let mut verdict = Verdict::default();
        for (limit, own) in self.with_cells(cells) {
            verdict.standings.push(Standing {
                remaining: limit.settle(now, own),
                ..Standing::default()
            });
        }
        verdict
    }

    /// Adds how long it takes until more may pass. What remains is known.
    fn complete(&self, verdict: &mut Verdict, now: u64, cells: &mut [u64], cost: u32) {
        let refused = (!verdict.admitted).then_some(cost);
        for ((limit, own), standing) in self.with_cells(cells).zip(&mut verdict.standings) {
            let whole = limit.whole(now, own);
            let next = match standing.remaining.checked_add(1) {
                Some(more) if whole > 0 => limit.wait(now, own, more).unwrap_or(0),
                _ => 0,
            };
            if let Some(cost) = refused.filter(|cost| *cost > standing.remaining) {
                standing.refuses = true;
                standing.wait = limit.wait(now, own, cost).map(|wait| self.seconds(wait));
            }
            standing.next = self.seconds(next);
            standing.whole = self.seconds(limit.exact(whole));
            verdict.whole = verdict.whole.max(whole);
        }
    }

    /// Each limit with its cells.
    fn with_cells<'a>(
        &'a self,
        mut cells: &'a mut [u64],
    ) -> impl Iterator<Item = (&'a Limit, &'a mut [u64])> {
        self.each.iter().map(move |limit| {
            let (own, others) = std::mem::take(&mut cells).split_at_mut(limit.cells());
            cells = others;
            (limit, own)
        })
    }

    fn seconds(&self, ticks: u64) -> u32 {
        u32::try_from(ticks.div_ceil(self.ticks)).unwrap_or(u32::MAX)
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
