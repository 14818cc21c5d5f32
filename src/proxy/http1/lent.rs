//! What a connection has in common with the exchanges over it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::listen::http1::Gate;
use crate::listen::until::Until;

/// What a connection has in common with the exchanges over it: each is lent the gate, and gives it
/// back.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Lent {
    handed: Mutex<Handed>,
    closing: AtomicBool,
    /// When the present exchange must be over.
    pub(in crate::proxy) until: Arc<Until>,
    tunnel: AtomicBool,
}

/// What is handed from one to the other.
#[derive(Debug, Default)]
struct Handed {
    back: Option<Back>,
    lines: Option<Lines>,
}

/// The fields of a head as they are sent, each a line with its end, where they are there as a text already.
#[derive(Debug)]
pub(in crate::proxy) struct Lines {
    pub(in crate::proxy) text: Vec<u8>,
    /// How long the body is that follows.
    pub(in crate::proxy) length: u64,
}

/// A gate that has come back.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) gate: Box<Gate>,
    pub(super) after: After,
}

/// What comes after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Another one: it was whole.
    Next,
    /// The end of the connection.
    Close,
    /// The same, in the middle of a response that would end with it.
    BreakOff,
}

impl Lent {
    /// The connection ends with the response that is due.
    pub(in crate::proxy) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(in crate::proxy) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// What comes from now on is no message any more: the protocol is switched.
    pub(super) fn becomes_tunnel(&self) {
        self.tunnel.store(true, Ordering::Relaxed);
    }

    /// Whether the protocol was switched.
    pub(super) fn is_tunnel(&self) -> bool {
        self.tunnel.load(Ordering::Relaxed)
    }

    /// These are the fields of the final head that is written next, which has none itself.
    pub(in crate::proxy) fn lend_lines(&self, lines: Lines) {
        self.handed().lines = Some(lines);
    }

    pub(super) fn take_lines(&self) -> Option<Lines> {
        self.handed().lines.take()
    }

    /// An exchange is over. Lines that it has not written are for nobody else.
    pub(super) fn give_back(&self, back: Back) {
        *self.handed() = Handed {
            back: Some(back),
            lines: None,
        };
    }

    pub(super) fn take_back(&self) -> Option<Back> {
        self.handed().back.take()
    }

    fn handed(&self) -> MutexGuard<'_, Handed> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;
    use crate::listen::stream::Connection;

    #[tokio::test]
    async fn lines_that_were_not_written_go_with_their_exchange() {
        let lent = Lent::default();
        let lines = || Lines {
            text: b"x-own: 1\r\n".to_vec(),
            length: 0,
        };
        lent.lend_lines(lines());
        assert!(lent.take_lines().is_some() && lent.take_lines().is_none());
        lent.lend_lines(lines());
        let (_client, server) = UnixStream::pair().unwrap();
        let gate = Gate::new(Connection::new(server, ([127, 0, 0, 1], 0).into()));
        let gate = Box::new(gate);
        let after = After::Next;
        lent.give_back(Back { gate, after });
        assert!(lent.take_lines().is_none() && lent.take_back().is_some());
    }
}
