//! What a filter fetches in the background, as operators are to see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// How often something was fetched from one place, and when that last succeeded. The gateway shows
/// it among its metrics.
#[derive(Debug)]
pub struct Fetches {
    /// The filter's own word.
    pub filter: &'static str,
    /// Where it comes from.
    pub from: Arc<str>,
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// Milliseconds since 1970; 0 for never.
    last: AtomicU64,
}

impl Fetches {
    /// None so far; filters get theirs from [`Build::fetches`](crate::Build::fetches).
    #[must_use]
    pub fn new(filter: &'static str, from: &str) -> Self {
        Self {
            filter,
            from: from.into(),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }

    /// It was fetched, and is good.
    pub fn success(&self, now: SystemTime) {
        self.succeeded.fetch_add(1, Ordering::Relaxed);
        self.last.store(millis(now), Ordering::Relaxed);
    }

    /// A former process has handed it over, which fetched it at this time: there is no need to wait for it.
    pub fn taken_over(&self, at: SystemTime) {
        self.last.store(millis(at), Ordering::Relaxed);
    }

    /// It could not be fetched, or is not good.
    pub fn failure(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was fetched.
    pub fn succeeded(&self) -> u64 {
        self.succeeded.load(Ordering::Relaxed)
    }

    /// How often that failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether it was fetched at all, here or by a former process.
    pub fn is_there(&self) -> bool {
        self.succeeded() > 0 || self.last_success().is_some()
    }

    /// When it was last fetched, here or by a former process; `None` for never.
    pub fn last_success(&self) -> Option<SystemTime> {
        let millis = self.last.load(Ordering::Relaxed);
        let since = (millis != 0).then(|| Duration::from_millis(millis))?;
        SystemTime::UNIX_EPOCH.checked_add(since)
    }
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
