//! Counts that this gateway keeps in its own memory.

use std::hash::{DefaultHasher, Hash, Hasher, RandomState};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wiregate_sdk::Clock;

use super::limits::{Limits, Verdict};
use super::table::{Table, Visit};

/// Ticks a second.
pub(super) const TICKS: u64 = 1_000_000_000;

/// What each key has used of its limits.
pub(super) struct Local {
    pub(super) table: Table,
    pub(super) clock: Clock,
    /// Settled by the first request; or before, by what another process has handed over.
    pub(super) basis: OnceLock<Basis>,
}

/// What the contents of a table mean: they can be read by whoever goes by the same.
#[derive(Clone)]
pub(super) struct Basis {
    /// What nobody else knows.
    pub(super) secret: [u64; 2],
    /// One that has taken in the secret. Two keys that share a hash also share a limit, which a client
    /// can neither foresee nor bring about.
    hasher: DefaultHasher,
    /// Ticks since 1970 when the machine's monotonic clock began, by the wall clock as it was at the first
    /// request. From there on the monotonic clock counts, which is never set.
    pub(super) epoch: u64,
    /// The tick from which seconds are counted.
    pub(super) since: u64,
    /// A moment and its tick: those of requests are told by it, so that the clock is not read for each.
    anchor: (Instant, u64),
}

impl Basis {
    pub(super) fn new(secret: [u64; 2], epoch: u64, since: u64, clock: &Clock) -> Self {
        let mut hasher = DefaultHasher::new();
        secret.hash(&mut hasher);
        let tick = epoch.saturating_add(ticks(clock.monotonic()));
        Self {
            secret,
            hasher,
            epoch,
            since,
            anchor: (clock.instant(), tick),
        }
    }

    fn fresh(clock: &Clock) -> Self {
        let (wall, monotonic) = (clock.now().wall, ticks(clock.monotonic()));
        let since = ticks(wall.duration_since(UNIX_EPOCH).unwrap_or_default());
        let since = since.max(monotonic);
        let random = || std::hash::BuildHasher::hash_one(&RandomState::new(), SystemTime::now());
        Self::new([random(), random()], since - monotonic, since, clock)
    }

    pub(super) fn hash(&self, key: &(impl Hash + ?Sized)) -> u64 {
        let mut hasher = self.hasher.clone();
        key.hash(&mut hasher);
        hasher.finish()
    }

    /// A moment in ticks; one before the anchor is that of the anchor.
    pub(super) fn tick(&self, moment: Instant) -> u64 {
        let (anchor, tick) = self.anchor;
        tick.saturating_add(ticks(moment.saturating_duration_since(anchor)))
    }

    /// Seconds from where they are counted.
    pub(super) fn seconds(&self, ticks: u64) -> u32 {
        u32::try_from(ticks.saturating_sub(self.since) / TICKS).unwrap_or(u32::MAX)
    }
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4)
}

impl Local {
    /// Room for this many keys, to be counted against one of these limits each.
    pub(super) fn new<'l>(
        limits: impl Iterator<Item = &'l Limits> + Clone,
        keys: usize,
        clock: &Clock,
    ) -> Self {
        let width = limits.clone().map(|limits| limits.cells).max();
        Self {
            table: Table::new(keys, width.unwrap_or(1), limits.count()),
            clock: clock.clone(),
            basis: OnceLock::new(),
        }
    }

    /// Counts a request of this key that came at this moment and costs so much, or refuses it. A refused one
    /// is not counted. `way` is the number of these limits among those that there are.
    pub(super) fn check(
        &self,
        limits: &Limits,
        way: usize,
        key: &(impl Hash + ?Sized),
        cost: u32,
        came: Instant,
    ) -> Verdict {
        let basis = self.basis.get_or_init(|| Basis::fresh(&self.clock));
        let now = basis.tick(came);
        let seconds = basis.seconds(now);
        self.table.visit(
            basis.hash(&(way, key)),
            way,
            (now, seconds),
            |now, cells, crowded| {
                let mut verdict = limits.decide(now, &mut cells[..limits.cells], cost);
                verdict.crowded = crowded;
                Visit {
                    whole_at: basis.seconds(now + verdict.whole + TICKS - 1),
                    changed: verdict.admitted && cost > 0,
                    value: verdict,
                }
            },
        )
    }

    #[cfg(test)]
    pub(super) fn table(&self) -> &Table {
        &self.table
    }
}
