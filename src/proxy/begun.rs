//! Bodies of which a part was read, for a link that has to do without the rest: what was read goes on to the endpoint, and
//! the rest behind it, as it comes.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use pingora_core::protocols::http::ServerSession;
use pingora_error::Error;
use wiregate_sdk::Reply;

use super::budget::Share;
use super::context::Context;
use super::inbound::{Room, make_room};
use super::replay::{self, Rest};
use crate::config::model::Limits;

/// What was read of a body.
pub(super) struct Begun {
    /// How many bytes have come from the client.
    pub(super) came: u64,
    /// What the links entered so far made of them.
    pub(super) pieces: BytesMut,
    pub(super) share: Share,
    /// Whether that is all.
    pub(super) ended: bool,
    /// Why there will be no more.
    pub(super) broken: Option<Box<Error>>,
}

/// Bytes that count as long as anybody has them.
struct Counted {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Begun {
    /// One of which nothing has come.
    pub(super) fn new(share: Share) -> Self {
        Self {
            came: 0,
            pieces: BytesMut::new(),
            share,
            ended: false,
            broken: None,
        }
    }

    /// Takes in a piece as the links have left it, where it is to be kept: where there is no room for it, too, as it goes
    /// on.
    pub(super) fn take_in(
        &mut self,
        piece: &[u8],
        keep: bool,
        limits: &Limits,
    ) -> Result<(), Room> {
        let mut room = match self.came > limits.buffered_body.get() {
            true => Err(Room::TooLarge),
            false => Ok(()),
        };
        if keep {
            let (pieces, share) = (&mut self.pieces, &mut self.share);
            room = room.and_then(|()| make_room(pieces, piece.len(), share, limits));
            self.pieces.extend_from_slice(piece);
        }
        room
    }
}

impl Context {
    /// What was read of a body that nobody has as a whole waits for an endpoint.
    pub(super) fn settle_begun(&mut self, session: &mut ServerSession, begun: Begun) {
        let rest = match begun.broken {
            Some(error) => Rest::Broken(Some(error)),
            None if begun.pieces.is_empty() => {
                self.body.passed = 0; // what comes first was seen by nobody
                return;
            }
            None => Rest::Later,
        };
        let read = Bytes::from_owner(Counted {
            bytes: begun.pieces.freeze(),
            _share: begun.share,
        });
        self.body.lent = Some(replay::lend(session, read, rest));
    }
}

/// The reply to a body that breaks off.
pub(super) fn broken(error: &Error) -> Reply {
    match error.etype() {
        pingora_error::ErrorType::ReadTimedout => {
            Reply::problem(StatusCode::REQUEST_TIMEOUT, "body_timeout")
        }
        _ => Reply::problem(StatusCode::BAD_REQUEST, "http_request_error")
            .detail("the request body is broken off or malformed")
            .log(error.to_string()),
    }
}
