//! The time between a request and the head of its response, over HTTP/1.1.
//!
//! Pingora has one time-out for all reads of a connection. Where the head is awaited for a shorter
//! time than a silence in the body may last, the connection is shut down under Pingora when that
//! time is over, and the error that it then has is taken for what it is.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};
use tokio::task::AbortHandle;

/// A connection whose response is awaited. Nothing happens to the connection once this is dropped.
///
/// The descriptor cannot be another connection's by then: Pingora drops a connection only in hooks'
/// company, without yielding between the two, on the one thread that this runs on as well.
pub(super) struct FirstByte {
    deadline: Instant,
    watch: AbortHandle,
}

impl FirstByte {
    /// Awaits the first byte on a connection for this time.
    pub(super) fn within(time: Duration, connection: RawFd) -> Self {
        let deadline = Instant::now() + time;
        let watch = tokio::spawn(async move {
            tokio::time::sleep_until(deadline.into()).await;
            // It may have been closed from the other side: then the error is known already.
            let _ = shutdown(connection, Shutdown::Both);
        });
        Self {
            deadline,
            watch: watch.abort_handle(),
        }
    }

    /// Whether the time is over.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

impl Drop for FirstByte {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
