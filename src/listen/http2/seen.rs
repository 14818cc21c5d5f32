//! What is seen of a connection below the protocol, for whoever serves it above.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pingora_core::protocols::SocketDigest;

use super::Excess;

/// So many requests with a fragment may wait to be looked at. Those that `h2` refuses by itself
/// never are.
const MOST_WAITING: usize = 64;

/// What is seen of a connection.
#[derive(Debug, Default)]
pub struct Seen {
    excess: OnceLock<Excess>,
    /// Streams whose path has a fragment, and whether there are any.
    fragments: Mutex<Vec<u32>>,
    any: AtomicBool,
    /// The connection's socket.
    socket: Option<Arc<SocketDigest>>,
    /// Streams whose response has not been written to its end.
    open: AtomicUsize,
    /// Whether something was written and not flushed.
    unflushed: AtomicBool,
    /// Bytes written.
    written: AtomicU64,
}

impl Seen {
    pub(super) fn of(socket: Option<Arc<SocketDigest>>) -> Self {
        Self {
            socket,
            ..Self::default()
        }
    }

    /// Whether something of a response has not reached the client's system: it waits in `h2`, in a
    /// buffer, or in the system's queue.
    pub fn is_sending(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
            || self.unflushed.load(Ordering::Relaxed)
            || self.is_queued()
    }

    /// Whether the system still holds something for the client.
    pub(super) fn is_queued(&self) -> bool {
        let info = self.socket.as_ref().and_then(|socket| socket.tcp_info());
        info.is_some_and(|info| info.tcpi_notsent_bytes > 0 || info.tcpi_unacked > 0)
    }

    /// How many bytes the client has taken, as far as one can tell.
    pub fn taken(&self) -> u64 {
        let info = self.socket.as_ref().and_then(|socket| socket.tcp_info());
        info.map_or_else(
            || self.written.load(Ordering::Relaxed),
            |info| info.tcpi_bytes_acked,
        )
    }

    /// So many streams are open.
    pub(super) fn tell_open(&self, open: usize) {
        self.open.store(open, Ordering::Relaxed);
    }

    /// Bytes were written.
    pub(super) fn wrote(&self, bytes: usize) {
        // One task writes.
        let written = self.written.load(Ordering::Relaxed) + bytes as u64;
        self.written.store(written, Ordering::Relaxed);
        self.unflushed.store(true, Ordering::Relaxed);
    }

    /// All that was written is the system's.
    pub(super) fn flushed(&self) {
        self.unflushed.store(false, Ordering::Relaxed);
    }

    /// What the client has sent too much of, or must not send.
    pub fn excess(&self) -> Option<Excess> {
        self.excess.get().copied()
    }

    /// Whether the path of a request had a fragment, which `h2` has cut off. Streams are asked for
    /// in the order in which they were opened.
    pub fn has_fragment(&self, stream: u32) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let mut waiting = self
            .fragments
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let found = waiting.contains(&stream);
        waiting.retain(|other| *other > stream);
        self.any.store(!waiting.is_empty(), Ordering::Relaxed);
        found
    }

    pub(super) fn end(&self, excess: Excess) {
        // Only the first one counts.
        let _ = self.excess.set(excess);
    }

    /// Streams were opened with a fragment in their path.
    pub(super) fn tell(&self, streams: Vec<u32>) -> Result<(), Excess> {
        if streams.is_empty() {
            return Ok(());
        }
        let mut waiting = self
            .fragments
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waiting.extend(streams);
        self.any.store(true, Ordering::Relaxed);
        match waiting.len() <= MOST_WAITING {
            true => Ok(()),
            false => Err(Excess::Fragments),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_were_asked_for_or_passed_over_are_forgotten() {
        let seen = Seen::default();
        assert!(!seen.has_fragment(1));
        seen.tell(vec![3, 7, 9]).unwrap();
        assert!(!seen.has_fragment(1) && seen.has_fragment(3));
        assert!(!seen.has_fragment(3) && seen.has_fragment(9));
        assert!(!seen.any.load(Ordering::Relaxed));
        for stream in 0..64 {
            seen.tell(vec![11 + 2 * stream]).unwrap();
        }
        assert_eq!(seen.tell(vec![997]), Err(Excess::Fragments));
    }
}
