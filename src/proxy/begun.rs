//! Bodies of which a part was read for a link that is only looked at, and that had to do without the rest: what was read
//! goes on to the endpoint, and the rest behind it, as it comes.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use pingora_core::protocols::http::ServerSession;
use pingora_error::Error;
use wiregate_sdk::chain::Stopped;
use wiregate_sdk::{Chunk, Reply};

use super::budget::Share;
use super::context::Context;
use super::inbound::{Room, make_room};
use super::replay;
use crate::config::model::Limits;

/// What was read of a body.
pub(super) struct Begun {
    /// How many bytes have come from the client.
    pub(super) came: u64,
    /// What the links entered so far made of them.
    pieces: BytesMut,
    /// The last of them, where there was no room for it.
    over: Bytes,
    pub(super) share: Share,
    /// How many links have had their way with it.
    pub(super) passed: usize,
    /// Whether that is all.
    pub(super) ended: bool,
    /// Why there will be no more.
    pub(super) broken: Option<Box<Error>>,
}

impl Begun {
    /// One of which nothing has come.
    pub(super) fn new(share: Share) -> Self {
        Self {
            came: 0,
            pieces: BytesMut::new(),
            over: Bytes::new(),
            share,
            passed: 0,
            ended: false,
            broken: None,
        }
    }

    /// Takes in a piece as the links have left it. It is kept where there is no room for it, too: it goes on.
    pub(super) fn take_in(&mut self, piece: Bytes, limits: &Limits) -> Result<(), Room> {
        let room = match self.came > limits.buffered_body.get() {
            true => Err(Room::TooLarge),
            false => make_room(&mut self.pieces, piece.len(), &mut self.share, limits),
        };
        match room {
            Ok(()) => self.pieces.extend_from_slice(&piece),
            Err(_) => self.over = piece,
        }
        room
    }

    /// Whether no more has come than may; it is not kept.
    pub(super) fn counts(&self, limits: &Limits) -> Result<(), Room> {
        match self.came > limits.buffered_body.get() {
            true => Err(Room::TooLarge),
            false => Ok(()),
        }
    }

    /// Lets what was read go through links that have not seen it.
    pub(super) fn pass<E>(
        &mut self,
        through: impl FnOnce(&mut Chunk, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut chunk = Chunk {
            data: self.take(),
            last: self.ended,
        };
        if chunk.last || !chunk.data.is_empty() {
            through(&mut chunk, self.passed)?;
        }
        self.pieces = chunk.data.into();
        Ok(())
    }

    /// Whether it has room within the limits after all.
    pub(super) fn fits(&mut self, limits: &Limits) -> Result<(), Room> {
        let (limit, length) = (limits.buffered_body.get(), self.pieces.len());
        if self.came.max(length as u64) > limit {
            return Err(Room::TooLarge);
        }
        match self.share.cover(length, limits.body_memory.get()) {
            true => Ok(()),
            false => Err(Room::NoMemory),
        }
    }

    /// All that was read.
    pub(super) fn take(&mut self) -> Bytes {
        self.pieces
            .extend_from_slice(&std::mem::take(&mut self.over));
        std::mem::take(&mut self.pieces).freeze()
    }
}

impl Context {
    /// What was read of a body that nobody has as a whole goes through those filters that have not seen it, and on to
    /// the endpoint before the rest.
    pub(super) fn settle_begun(
        &mut self,
        session: &mut ServerSession,
        mut begun: Begun,
    ) -> Result<(), Reply> {
        if let Some(position) = self.route {
            let chain = &self.snapshot.routes[position].chain;
            let passed = begun.pass(|chunk, from| chain.request_body(chunk, &mut self.slots, from));
            passed.map_err(|Stopped { link, reply }| {
                self.stopped(link, &reply);
                reply
            })?;
        }
        let first = begun.take();
        self.body.share = Some(begun.share);
        if first.is_empty() && begun.broken.is_none() {
            return Ok(());
        }
        self.body.first = first.clone();
        self.body.lent = Some(replay::lend_begun(session, first, begun.broken));
        Ok(())
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
