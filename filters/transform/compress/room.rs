//! The memory that all responses take together that are being compressed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What all filters of this kind have taken, in bytes.
#[derive(Debug, Default)]
pub(super) struct Room(AtomicU64);

/// What one response has taken; free again when dropped.
#[derive(Debug)]
pub(super) struct Taken {
    room: Arc<Room>,
    bytes: u64,
}

impl Room {
    /// Takes so much, where it is no more than `most` with all that is taken already.
    pub(super) fn take(self: &Arc<Self>, bytes: u64, most: u64) -> Option<Taken> {
        let before = self.0.fetch_add(bytes, Relaxed);
        let taken = Taken {
            room: self.clone(),
            bytes,
        };
        (before + bytes <= most).then_some(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_free_again_and_so_is_what_was_refused() {
        let room = Arc::new(Room::default());
        let one = room.take(6, 10).unwrap();
        assert!(room.take(5, 10).is_none());
        let other = room.take(4, 10).unwrap();
        drop(one);
        assert!(room.take(7, 10).is_none());
        assert!(room.take(6, 10).is_some());
        drop(other);
        assert_eq!(room.0.load(Relaxed), 0);
    }
}
