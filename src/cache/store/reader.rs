//! Reads bodies.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;

use super::Entry;
use super::body::Broken;

/// Reads a body, or a part of it, piece by piece, following a fill that runs. Pieces of a complete body in
/// memory are handed out as they are, without a copy.
#[derive(Debug)]
pub struct Reader {
    /// The entry whose body it is.
    entry: Arc<Entry>,
    /// Where in the body the next piece begins.
    at: u64,
    to: u64,
    /// Read from disk, checked, and not handed out yet.
    ahead: VecDeque<Bytes>,
}

impl Reader {
    pub(super) fn new(entry: Arc<Entry>, from: u64, to: u64) -> Self {
        Self {
            entry,
            at: from,
            to,
            ahead: VecDeque::new(),
        }
    }

    /// The next piece if it is in memory; `None` if it has to be waited for, with [`Reader::next`].
    pub fn ready(&mut self) -> Option<Result<Option<Bytes>, Broken>> {
        if self.at >= self.to {
            return Some(Ok(None));
        }
        let piece = match self.ahead.pop_front() {
            Some(piece) => Some(piece),
            None => match self.entry.piece(self.at)? {
                Ok(piece) => piece,
                Err(broken) => return Some(Err(broken)),
            },
        };
        Some(Ok(piece.map(|mut piece| {
            let left = usize::try_from(self.to - self.at).unwrap_or(usize::MAX);
            piece.truncate(left);
            self.at += piece.len() as u64;
            piece
        })))
    }

    /// The next piece; `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The body ends before its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            let entry = self.entry.clone();
            let mut more = pin!(entry.more());
            // From here on a push is heard, and what was pushed before is seen below.
            if let Some(more) = more.as_mut().as_pin_mut() {
                more.enable();
            }
            if let Some(piece) = self.ready() {
                return piece;
            }
            match (entry.stretch(), more.as_mut().as_pin_mut()) {
                (Some(stretch), _) => self.ahead = stretch.read(self.at, self.to).await?,
                (None, Some(more)) if entry.is_filling() => more.await,
                // It has ended just now.
                _ => {}
            }
        }
    }
}
