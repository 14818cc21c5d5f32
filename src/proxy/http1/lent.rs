//! What a connection has in common with the exchanges over it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::listen::http1::Gate;

/// What a connection has in common with the exchanges over it: each is lent the gate, and gives it
/// back.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Lent {
    back: Mutex<Option<Back>>,
    closing: AtomicBool,
}

/// A gate that has come back.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) gate: Box<Gate>,
    /// Whether the exchange was whole, so that there may be another one.
    pub(super) goes_on: bool,
}

impl Lent {
    /// The connection ends with the response that is due.
    pub(in crate::proxy) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(in crate::proxy) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
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
