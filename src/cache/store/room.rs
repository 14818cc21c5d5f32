//! The memory that a store may take, counted byte by byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound on memory, and what is taken of it.
#[derive(Debug)]
pub(super) struct Room {
    limit: usize,
    used: AtomicUsize,
}

impl Room {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        let used = AtomicUsize::new(0);
        Arc::new(Self { limit, used })
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether there is less left than this, so that something has to go.
    pub(super) fn lacks(&self, more: usize) -> bool {
        self.missing(more) > 0
    }

    /// How many bytes have to go before there is as much as this.
    pub(super) fn missing(&self, more: usize) -> usize {
        (self.used().saturating_add(more)).saturating_sub(self.limit)
    }
}

/// Memory that is taken until this is dropped: whoever reads an entry holds its charge, so that what was
/// evicted and is still being read counts as well. There is one for all that an entry takes: all workers change the same
/// counter.
#[derive(Debug)]
pub(super) struct Charge {
    room: Arc<Room>,
    bytes: AtomicUsize,
}

impl Charge {
    pub(super) fn new(room: &Arc<Room>, bytes: usize) -> Self {
        room.used.fetch_add(bytes, Ordering::Relaxed);
        let (room, bytes) = (room.clone(), AtomicUsize::new(bytes));
        Self { room, bytes }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A part of it takes so much instead of so much.
    pub(super) fn change(&self, from: usize, to: usize) {
        if from != to {
            // What is less than nothing goes round.
            let more = to.wrapping_sub(from);
            self.bytes.fetch_add(more, Ordering::Relaxed);
            self.room.used.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// The same, where nobody else has it.
    pub(super) fn change_own(&mut self, from: usize, to: usize) {
        if from != to {
            let more = to.wrapping_sub(from);
            let bytes = self.bytes.get_mut();
            *bytes = bytes.wrapping_add(more);
            self.room.used.fetch_add(more, Ordering::Relaxed);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.room.used.fetch_sub(self.bytes(), Ordering::Relaxed);
    }
}

/// What an allocator takes to give this many bytes: sizes come in at least four steps for each doubling.
pub const fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=64 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(bytes.next_power_of_two() / 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_is_given_back() {
        let room = Room::new(100);
        let one = Charge::new(&room, 60);
        let two = Charge::new(&room, 41);
        assert!(room.lacks(0));
        assert_eq!((room.missing(0), room.missing(9)), (1, 10));
        assert!(!Room::new(5).lacks(5) && Room::new(5).lacks(6));
        one.change(60, 10);
        assert_eq!(room.used(), 51);
        drop(two);
        one.change(0, 89);
        assert_eq!(room.used(), 99);
        drop(one);
        assert_eq!(room.used(), 0);
    }

    #[test]
    fn an_allocation_is_never_taken_for_smaller_than_it_is() {
        for bytes in 0..10_000 {
            let taken = allocated(bytes);
            assert!(
                taken >= bytes && taken <= bytes + bytes / 4 + 16,
                "{bytes}: {taken}"
            );
        }
    }
}
