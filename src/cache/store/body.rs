//! A body: pieces in memory, complete or still coming, and those who read it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// A body that ended before its end: its fill was discarded, or the disk has damaged it. What was sent
/// of it must not look complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// The pieces of a body.
#[derive(Debug)]
pub(super) struct Body {
    announced: Option<u64>,
    whole: OnceLock<Result<Whole, Broken>>,
    growing: Mutex<Vec<Bytes>>,
    more: Notify,
}

#[derive(Debug)]
struct Whole {
    pieces: Box<[Bytes]>,
    length: u64,
}

impl Body {
    pub(super) fn new(announced: Option<u64>) -> Self {
        Self {
            announced,
            whole: OnceLock::new(),
            growing: Mutex::default(),
            more: Notify::new(),
        }
    }

    pub(super) fn is_filling(&self) -> bool {
        self.whole.get().is_none()
    }

    pub(super) fn length(&self) -> Option<u64> {
        match self.whole.get() {
            Some(Ok(whole)) => Some(whole.length),
            _ => self.announced,
        }
    }

    pub(super) fn push(&self, piece: Bytes) {
        self.growing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(piece);
        self.more.notify_waiters();
    }

    pub(super) fn finish(&self) {
        let pieces = self
            .growing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let pieces = pieces.into_boxed_slice();
        drop(self.whole.set(Ok(Whole { pieces, length })));
        self.more.notify_waiters();
    }

    pub(super) fn abort(&self) {
        drop(self.whole.set(Err(Broken)));
        self.more.notify_waiters();
    }

    fn piece(&self, number: usize) -> Option<Result<Option<Bytes>, Broken>> {
        match self.whole.get() {
            Some(Ok(whole)) => Some(Ok(whole.pieces.get(number).cloned())),
            Some(Err(broken)) => Some(Err(*broken)),
            None => {
                let growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
                growing.get(number).map(|piece| Ok(Some(piece.clone())))
            }
        }
    }
}

/// Reads a body, or a part of it, piece by piece, following a fill that runs.
#[derive(Debug)]
pub struct Reader {
    body: Arc<Body>,
    number: usize,
    /// Where in the body the next piece begins.
    at: u64,
    from: u64,
    to: u64,
}

impl Reader {
    pub(super) fn new(body: Arc<Body>, from: u64, to: u64) -> Self {
        Self {
            body,
            number: 0,
            at: 0,
            from,
            to,
        }
    }

    /// The next piece if it is in memory: `None` if it has to be waited for, with [`Reader::next`].
    pub fn ready(&mut self) -> Option<Result<Option<Bytes>, Broken>> {
        loop {
            if self.at >= self.to {
                return Some(Ok(None));
            }
            let piece = match self.body.piece(self.number)? {
                Ok(Some(piece)) => piece,
                end => return Some(end),
            };
            let start = self.at;
            self.at += piece.len() as u64;
            self.number += 1;
            if self.at <= self.from {
                continue;
            }
            let skipped = self.from.saturating_sub(start) as usize;
            let end = piece.len().min((self.to - start) as usize);
            return Some(Ok(Some(piece.slice(skipped..end))));
        }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The body ends before its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            let body = self.body.clone();
            let more = body.more.notified();
            if let Some(piece) = self.ready() {
                return piece;
            }
            more.await;
        }
    }
}
