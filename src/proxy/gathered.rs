//! Bodies of responses that are kept as they come, within the limits: for a link that waits for the whole of one, and for
//! links that are only looked at and are shown it once it has left.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use pingora_core::protocols::http::ServerSession;
use wiregate_sdk::Chain;
use wiregate_sdk::chain::Gather;

use super::budget::Share;
use super::context::Context;
use super::inbound::{NO_MEMORY_REASON, Room, declared_length, make_room};
use crate::compile::Snapshot;
use crate::config::model::Limits;

/// The word for a response that is too large to be kept.
pub(super) const TOO_LARGE_REASON: &str = "response_too_large";

/// A body that is kept as it comes.
pub(super) struct Gathered {
    /// The body, as long as it is one piece: most are, and need no copy.
    piece: Bytes,
    /// The body, once it is more.
    pieces: BytesMut,
    pub(super) share: Share,
}

impl Gathered {
    /// One of which nothing has come.
    pub(super) fn new(share: Share) -> Self {
        Self {
            piece: Bytes::new(),
            pieces: BytesMut::new(),
            share,
        }
    }

    /// Takes in another piece.
    pub(super) fn take_in(&mut self, piece: Bytes, limits: &Limits) -> Result<(), Room> {
        if self.piece.is_empty() && self.pieces.is_empty() {
            let length = piece.len() as u64;
            if length > limits.buffered_body.get() {
                return Err(Room::TooLarge);
            }
            if !self.share.grow(length, limits.body_memory.get()) {
                return Err(Room::NoMemory);
            }
            self.piece = piece;
            return Ok(());
        }
        if piece.is_empty() {
            return Ok(());
        }
        let first = std::mem::take(&mut self.piece);
        let more = first.len() + piece.len();
        make_room(&mut self.pieces, more, &mut self.share, limits)?;
        self.pieces.extend_from_slice(&first);
        self.pieces.extend_from_slice(&piece);
        Ok(())
    }

    /// All that was taken in.
    pub(super) fn take(&mut self) -> Bytes {
        match self.pieces.is_empty() {
            true => std::mem::take(&mut self.piece),
            false => std::mem::take(&mut self.pieces).freeze(),
        }
    }
}

/// What is kept for a link that is only looked at.
struct Kept {
    gathered: Gathered,
    snapshot: Arc<Snapshot>,
}

impl Gather for Kept {
    fn take_in(&mut self, piece: Bytes) -> Result<(), &'static str> {
        let taken = (self.gathered).take_in(piece, &self.snapshot.settings.limits);
        taken.map_err(|none| match none {
            Room::TooLarge => TOO_LARGE_REASON,
            Room::NoMemory => NO_MEMORY_REASON,
        })
    }

    fn whole(&mut self) -> Bytes {
        self.gathered.take()
    }
}

impl Context {
    /// What is kept of a response for links that are only looked at is kept within the limits. These are the fields
    /// of one whose body is still to come.
    pub(super) fn bound_gathering(&mut self, fields: Option<&HeaderMap>) {
        let limit = self.snapshot.settings.limits.buffered_body.get();
        // Looked at where there is such a link.
        let declared = || fields.and_then(declared_length);
        let is_too_large = || declared().is_some_and(|length| length > limit);
        Chain::bound(&mut self.slots, || match is_too_large() {
            true => Err(TOO_LARGE_REASON),
            false => Ok(Box::new(Kept {
                gathered: Gathered::new(self.shared.budget.share()),
                snapshot: self.snapshot.clone(),
            })),
        });
    }

    /// Shows a response that has left to the links that are only looked at. Its client does not wait for that, where the
    /// response is `sound`.
    pub(super) async fn show_gathered(&mut self, session: &mut ServerSession, sound: bool) {
        self.end_attempt(); // nor does its endpoint
        if sound {
            // A client that is gone is no concern of theirs.
            let _ = session.finish_body().await;
        }
        let Some(position) = self.route else {
            return;
        };
        let chain = &self.snapshot.routes[position].chain;
        let request = session.req_header();
        let shown = chain.show_gathered(&self.exchange, request, &mut self.slots);
        shown.await;
    }
}
