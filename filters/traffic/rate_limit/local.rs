//! Counts that this gateway keeps in its own memory.

use std::hash::{BuildHasher, Hash, RandomState};
use std::time::{Instant, UNIX_EPOCH};

use wiregate_sdk::Clock;

use super::limits::{Limits, Verdict};
use super::table::{Table, Visit};

/// Ticks a second.
pub(super) const TICKS: u64 = 1_000_000_000;

/// What each key has used of its limits.
pub(super) struct Local {
    table: Table,
    /// Two keys that share a hash also share a limit, which a client can neither foresee nor bring
    /// about.
    seed: RandomState,
    clock: Clock,
    start: Instant,
    /// Ticks since 1970 at the start. From there on the monotonic clock counts, which is never set.
    origin: u64,
}

impl Local {
    /// Room for this many keys, to be counted against one of these limits each.
    pub(super) fn new<'l>(
        limits: impl Iterator<Item = &'l Limits> + Clone,
        keys: usize,
        clock: &Clock,
    ) -> Self {
        let now = clock.now();
        let since = now.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let width = limits.clone().map(|limits| limits.cells).max();
        Self {
            table: Table::new(keys, width.unwrap_or(1), limits.count()),
            seed: RandomState::new(),
            clock: clock.clone(),
            start: now.instant,
            origin: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 4),
        }
    }

    /// Counts a request of this key that costs so much, or refuses it. A refused one is not
    /// counted. `way` is the number of these limits among those that there are.
    pub(super) fn check(
        &self,
        limits: &Limits,
        way: usize,
        key: &(impl Hash + ?Sized),
        cost: u32,
    ) -> Verdict {
        let since = self.clock.instant().saturating_duration_since(self.start);
        let now = self.origin + u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 4);
        let seconds = self.seconds(now);
        self.table.visit(
            self.seed.hash_one((way, key)),
            way,
            (now, seconds),
            |now, cells| {
                let verdict = limits.decide(now, &mut cells[..limits.cells], cost);
                Visit {
                    whole_at: self.seconds(now + verdict.whole + TICKS - 1),
                    changed: verdict.admitted && cost > 0,
                    value: verdict,
                }
            },
        )
    }

    /// Seconds since the start.
    fn seconds(&self, ticks: u64) -> u32 {
        u32::try_from((ticks - self.origin) / TICKS).unwrap_or(u32::MAX)
    }

    #[cfg(test)]
    pub(super) fn table(&self) -> &Table {
        &self.table
    }
}
