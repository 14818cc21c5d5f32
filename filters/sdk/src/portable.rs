//! Kept values that go over to the process that takes this one's place.

use std::collections::HashMap;

/// A kept value that outlives the process as well: in an upgrade it goes over to the next one,
/// which may be of another version.
pub trait Portable: Send + Sync + 'static {
    /// What the next process needs to go on, such as JSON whose fields may be absent. Called from a
    /// thread of its own, while the value is in use. Whatever can grow large keeps within `room`, in
    /// bytes, and leaves out what matters least.
    fn pack(&self, room: usize) -> Vec<u8>;

    /// Takes in what a former process has packed; what cannot be read is left out. It comes up to
    /// twice: as the value is made, and again, fresher, right before this process begins.
    fn take_in(&self, packed: &[u8]);
}

/// How many bytes all values of a gateway may be packed into. What one does not need, another may take.
pub(crate) const ROOM: usize = 64 << 20;
/// What each may take however many there are.
pub(crate) const LEAST_ROOM: usize = 1 << 20;

/// What a process has packed for the next one, by key.
pub type Packed = HashMap<String, Vec<u8>>;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;
    use crate::build::Kept;

    #[derive(Default)]
    struct Level(AtomicU8);

    impl Portable for Level {
        fn pack(&self, room: usize) -> Vec<u8> {
            assert_eq!(room, ROOM, "there is no other value");
            vec![self.0.load(Ordering::Relaxed)]
        }

        fn take_in(&self, packed: &[u8]) {
            if let [level] = packed {
                self.0.store(*level, Ordering::Relaxed);
            }
        }
    }

    /// Takes what it gets, but no more than that.
    struct Hungry(usize);

    impl Portable for Hungry {
        fn pack(&self, room: usize) -> Vec<u8> {
            vec![0; room.min(self.0)]
        }

        fn take_in(&self, _packed: &[u8]) {}
    }

    #[test]
    fn what_goes_over_is_bounded_together() {
        let pack = |values: usize, each: usize| {
            let kept = Kept::default();
            for value in 0..values {
                kept.get_or_take_over(value.to_string(), || Hungry(each));
            }
            let packed = kept.pack();
            assert_eq!(packed.len(), values);
            packed.into_values().map(|it| it.len()).collect::<Vec<_>>()
        };
        assert!(pack(3, usize::MAX).iter().sum::<usize>() <= ROOM);
        assert!(pack(3, usize::MAX).iter().all(|it| *it >= ROOM / 3));
        assert!(pack(65, usize::MAX).iter().all(|it| *it <= LEAST_ROOM));
        assert_eq!(pack(3, 100), [100; 3]);
    }

    fn level(kept: &Kept) -> Arc<Level> {
        kept.get_or_take_over("level".to_owned(), Level::default)
    }

    #[test]
    fn a_value_goes_over_to_the_next_process_and_what_cannot_be_read_does_not() {
        let former = Kept::default();
        level(&former).0.store(7, Ordering::Relaxed);
        let packed = former.next().pack();
        assert!(packed.is_empty(), "what nobody asks for is not packed");
        let next = Kept::after(former.pack());
        assert_eq!(level(&next).0.load(Ordering::Relaxed), 7);
        level(&former).0.store(8, Ordering::Relaxed);
        next.take_in(&former.pack());
        assert_eq!(level(&next).0.load(Ordering::Relaxed), 8);
        let other = HashMap::from([("level".to_owned(), b"another version".to_vec())]);
        assert_eq!(level(&Kept::after(other)).0.load(Ordering::Relaxed), 0);
    }
}
