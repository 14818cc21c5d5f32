//! Whether a connection has open streams, and since when it has none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The open streams of a connection.
#[derive(Debug)]
pub(super) struct Streams {
    start: Instant,
    open: AtomicUsize,
    /// When that last changed, in milliseconds after `start`.
    changed: AtomicU64,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            open: AtomicUsize::new(0),
            changed: AtomicU64::new(0),
        }
    }
}

/// A stream, open until dropped.
pub(super) struct Held(Arc<Streams>);

impl Streams {
    /// One more stream.
    pub fn hold(self: &Arc<Self>) -> Held {
        self.open.fetch_add(1, Ordering::Relaxed);
        Held(self.clone())
    }

    /// The time without streams begins now.
    pub fn touch(&self) {
        let millis = self.start.elapsed().as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.changed.store(millis, Ordering::Relaxed);
    }

    /// How long it may go on without streams; nothing where that time is over.
    pub fn left(&self, patience: Duration) -> Option<Duration> {
        if self.open.load(Ordering::Relaxed) > 0 {
            return Some(patience);
        }
        let since = Duration::from_millis(self.changed.load(Ordering::Relaxed));
        let idled = self.start.elapsed().saturating_sub(since);
        patience.checked_sub(idled).filter(|left| !left.is_zero())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.touch();
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
