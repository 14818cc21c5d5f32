//! What a connection has in common with the exchanges over it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::listen::http1::Gate;
use crate::listen::until::Until;

/// What a connection has in common with the exchanges over it: each is lent the gate, and gives it
/// back.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Lent {
    back: Mutex<Option<Back>>,
    closing: AtomicBool,
    /// When the present exchange must be over.
    pub(in crate::proxy) until: Arc<Until>,
    tunnel: AtomicBool,
    lines: Mutex<Option<Lines>>,
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
        *self.lines.lock().unwrap_or_else(PoisonError::into_inner) = Some(lines);
    }

    pub(super) fn take_lines(&self) -> Option<Lines> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    pub(super) fn give_back(&self, back: Back) {
        *self.back.lock().unwrap_or_else(PoisonError::into_inner) = Some(back);
    }

    pub(super) fn take_back(&self) -> Option<Back> {
        self.back
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}
