//! The memory that bodies may take, all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::IntGauge;

/// Counts the bytes of bodies held in memory.
pub struct Budget {
    used: Arc<AtomicU64>,
    gauge: IntGauge,
}

/// A part of the budget, given back when dropped.
pub struct Share {
    used: Arc<AtomicU64>,
    gauge: IntGauge,
    bytes: u64,
}

impl Budget {
    /// A budget of which nothing is used.
    pub fn new(gauge: IntGauge) -> Self {
        Self {
            used: Default::default(),
            gauge,
        }
    }

    /// A share of nothing yet.
    pub fn share(&self) -> Share {
        Share {
            used: self.used.clone(),
            gauge: self.gauge.clone(),
            bytes: 0,
        }
    }
}

impl Share {
    /// Takes more; `false`, and nothing taken, where all shares together would exceed `limit`.
    pub fn grow(&mut self, bytes: u64, limit: u64) -> bool {
        let taken = self
            .used
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= limit)
            });
        if taken.is_ok() {
            self.bytes += bytes;
            self.gauge.add(signed(bytes));
        }
        taken.is_ok()
    }

    /// Takes what is missing to so many bytes; `false`, and nothing taken, where that is too much.
    pub fn cover(&mut self, bytes: usize, limit: u64) -> bool {
        let more = (bytes as u64).saturating_sub(self.bytes);
        more == 0 || self.grow(more, limit)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.gauge.sub(signed(self.bytes));
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_beyond_the_limit_and_gets_back_what_is_dropped() {
        let gauge = IntGauge::new("bytes", "bytes").unwrap();
        let budget = Budget::new(gauge.clone());
        let (mut a, mut b) = (budget.share(), budget.share());
        assert!(a.grow(60, 100));
        assert!(!b.grow(41, 100));
        assert!(b.grow(40, 100));
        assert_eq!(gauge.get(), 100);
        drop(a);
        assert!(b.grow(60, 100));
        drop(b);
        assert_eq!(gauge.get(), 0);
    }
}
