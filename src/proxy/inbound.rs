//! The client's side of an exchange, as filters may use it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode, header};
use pingora_core::protocols::http::ServerSession;
use wiregate_sdk::chain::{Entered, Stopped};
use wiregate_sdk::views::{Inbound, Read};
use wiregate_sdk::{Chunk, Reply, RequestHead};

use super::Shared;
use super::begun::{Begun, broken};
use super::budget::Share;
use super::context::Body;
use super::heads;
use super::request::expects_continue;
use crate::config::model::Limits;

/// How much is taken from the budget at a time: small bodies ask once.
const STEP: usize = 64 * 1024;

/// The client's side of an exchange.
pub(super) struct Client<'a> {
    session: &'a mut ServerSession,
    /// The head, taken out of the session by the first edit. It is back in its place while the body is
    /// read, and at the end.
    head: Option<RequestHead>,
    body: &'a mut Body,
    shared: &'a Shared,
    limits: &'a Limits,
}

impl<'a> Client<'a> {
    /// The client's side of this session's exchange.
    pub(super) fn new(
        session: &'a mut ServerSession,
        body: &'a mut Body,
        shared: &'a Shared,
        limits: &'a Limits,
    ) -> Self {
        Self {
            session,
            head: None,
            body,
            shared,
            limits,
        }
    }

    /// Takes what a body in place of the client's own needs beyond what that one had.
    ///
    /// # Errors
    /// A 503, where the memory for bodies is used up.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Reply> {
        let share = (self.body.share).get_or_insert_with(|| self.shared.budget.share());
        match share.cover(bytes, self.limits.body_memory.get()) {
            true => Ok(()),
            false => Err(no_memory()),
        }
    }

    fn put_head_back(&mut self) {
        if let Some(head) = self.head.take() {
            heads::put_request(self.session.req_header_mut(), head);
        }
    }

    /// The body as the links entered so far leave it; nothing where it is not to be kept.
    async fn settled(&mut self, keep: bool, entered: &mut Entered<'_>) -> Result<Bytes, Stopped> {
        let bytes = match self.body.bytes.take() {
            Some(data) => {
                let mut chunk = Chunk { data, last: true };
                entered.pass(&mut chunk, self.body.passed)?;
                chunk.data
            }
            None => self.whole(keep, entered).await?,
        };
        self.body.passed = entered.count();
        Ok(bytes)
    }

    /// Puts these bytes in the place of the client's own, which have been read. The links to come go
    /// by the length.
    fn keep(&mut self, bytes: Bytes) -> Result<(), Reply> {
        self.charge(bytes.len())?;
        let fields = &self.head().headers;
        let is_told = match declared_length(fields) {
            Some(length) => length == bytes.len() as u64,
            None => bytes.is_empty() || fields.contains_key(header::TRANSFER_ENCODING),
        };
        if !is_told {
            let fields = &mut self.head_mut().headers;
            fields.insert(header::CONTENT_LENGTH, bytes.len().into());
        }
        self.body.bytes = Some(bytes);
        self.body.taken = true;
        Ok(())
    }

    async fn whole(&mut self, keep: bool, entered: &mut Entered<'_>) -> Result<Bytes, Stopped> {
        self.put_head_back();
        let limit = self.limits.buffered_body.get();
        let fields = &self.session.req_header().headers;
        if declared_length(fields).is_some_and(|length| length > limit) {
            return Err(entered.stop(too_large(limit)));
        }
        let waits = expects_continue(fields) && !self.session.is_body_done();
        if waits && !std::mem::replace(&mut self.body.continued, true) {
            let written = self.session.write_continue_response();
            written.await.map_err(|_| entered.stop(gone()))?;
        }
        let deadline: Duration = self.limits.body_deadline.into();
        let now = self.shared.clock.instant();
        let waited = now - *self.body.awaited.get_or_insert(now);
        let left = deadline.saturating_sub(waited);
        match tokio::time::timeout(left, self.collect(keep, entered)).await {
            Ok(collected) => collected?,
            Err(_) => return Err(entered.stop(slow(deadline))),
        }
        let Some(begun) = self.body.begun.take() else {
            return Ok(Bytes::new());
        };
        if keep {
            self.body.share = Some(begun.share);
        }
        Ok(begun.pieces.freeze())
    }

    /// Reads the client's body, piece by piece, through the links entered so far, behind what was read of it for one
    /// that had to do without the rest. The limit holds for what comes and for what they make of it. What has come
    /// is in its place whenever this is given up.
    async fn collect(&mut self, keep: bool, entered: &mut Entered<'_>) -> Result<(), Stopped> {
        let limits = self.limits;
        let begun = (self.body.begun)
            .get_or_insert_with(|| Box::new(Begun::new(self.shared.budget.share())));
        let mut chunk = Chunk {
            data: std::mem::take(&mut begun.pieces).freeze(),
            last: begun.ended,
        };
        let from = std::mem::replace(&mut self.body.passed, entered.count());
        if chunk.last || !chunk.data.is_empty() {
            entered.pass(&mut chunk, from)?;
        }
        begun.pieces = chunk.data.into();
        let room = begun.take_in(b"", keep, limits);
        room.map_err(|none| entered.stop(none_for(&none, limits)))?;
        while !begun.ended {
            if let Some(error) = &begun.broken {
                return Err(entered.stop(broken(error)));
            }
            let piece = match self.session.read_request_body().await {
                Ok(piece) => piece,
                Err(error) => {
                    begun.broken = Some(error);
                    continue;
                }
            };
            begun.ended = piece.is_none() || self.session.is_body_done();
            let mut chunk = Chunk {
                last: begun.ended,
                data: piece.unwrap_or_default(),
            };
            begun.came += chunk.data.len() as u64;
            entered.pass(&mut chunk, 0)?;
            let room = begun.take_in(&chunk.data, keep, limits);
            room.map_err(|none| entered.stop(none_for(&none, limits)))?;
        }
        Ok(())
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        self.put_head_back();
    }
}

impl Inbound for Client<'_> {
    fn head(&self) -> &RequestHead {
        match &self.head {
            Some(head) => head,
            None => self.session.req_header(),
        }
    }

    fn head_mut(&mut self) -> &mut RequestHead {
        let place = self.session.req_header_mut();
        self.head.get_or_insert_with(|| heads::take_request(place))
    }

    fn remove_field(&mut self, name: &HeaderName) {
        match &mut self.head {
            Some(head) => drop(head.headers.remove(name)),
            // Alone it is no reason to take the head out of its place.
            None => drop(self.session.req_header_mut().remove_header(name)),
        }
    }

    fn read_body<'a>(&'a mut self, entered: &'a mut Entered<'_>) -> Read<'a, Bytes> {
        Box::pin(async move {
            let bytes = self.settled(true, entered).await?;
            let kept = self.keep(bytes.clone());
            kept.map_err(|reply| entered.stop(reply))?;
            Ok(bytes)
        })
    }

    fn copy_body<'a>(&'a mut self, entered: &'a mut Entered<'_>) -> Read<'a, Bytes> {
        Box::pin(async move {
            let bytes = self.settled(true, entered).await?;
            self.body.bytes = Some(bytes.clone());
            Ok(bytes)
        })
    }

    fn replace_body<'a>(&'a mut self, body: Bytes, entered: &'a mut Entered<'_>) -> Read<'a, ()> {
        Box::pin(async move {
            self.settled(false, entered).await?;
            self.keep(body).map_err(|reply| entered.stop(reply))
        })
    }
}

/// Why there is no room for a body.
pub(super) enum Room {
    /// It would be larger than a body may be.
    TooLarge,
    /// The memory for all of them is used up.
    NoMemory,
}

/// Makes room for that many more bytes of a body, within its limit and the memory for all.
pub(super) fn make_room(
    whole: &mut BytesMut,
    more: usize,
    share: &mut Share,
    limits: &Limits,
) -> Result<(), Room> {
    let limit = limits.buffered_body.get();
    let total = whole.len() + more;
    if total as u64 > limit {
        return Err(Room::TooLarge);
    }
    let room = match total > whole.capacity() {
        true => {
            let ceiling = usize::try_from(limit).unwrap_or(usize::MAX);
            let room = total.max(whole.capacity() * 2).max(STEP);
            room.min(ceiling.max(total))
        }
        false => total,
    };
    if !share.cover(room, limits.body_memory.get()) {
        return Err(Room::NoMemory);
    }
    whole.reserve(room - whole.len());
    Ok(())
}

/// How long a message says that it is.
pub(super) fn declared_length(fields: &HeaderMap) -> Option<u64> {
    let value = fields.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.trim().parse().ok()
}

/// The reply to a body that is too large (RFC 9110, 15.5.14).
pub(super) fn too_large(limit: u64) -> Reply {
    Reply::problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large")
        .detail(format!("the request body may have {limit} bytes"))
}

fn slow(deadline: Duration) -> Reply {
    Reply::problem(StatusCode::REQUEST_TIMEOUT, "body_timeout").detail(format!(
        "the request body did not arrive within {deadline:?}"
    ))
}

/// The word for a body for which there is no memory left.
pub(super) const NO_MEMORY_REASON: &str = "body_memory_exhausted";

/// The reply where there is no room for a request's body.
fn none_for(none: &Room, limits: &Limits) -> Reply {
    match none {
        Room::TooLarge => too_large(limits.buffered_body.get()),
        Room::NoMemory => no_memory(),
    }
}

pub(super) fn no_memory() -> Reply {
    Reply::problem(StatusCode::SERVICE_UNAVAILABLE, NO_MEMORY_REASON)
        .detail("too many bodies are being worked on")
        .header(header::RETRY_AFTER, http::HeaderValue::from_static("1"))
}

fn gone() -> Reply {
    Reply::problem(StatusCode::BAD_REQUEST, "connection_terminated")
}
