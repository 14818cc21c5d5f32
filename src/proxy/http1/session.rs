//! One exchange over HTTP/1.1, as Pingora talks to it.
//!
//! Pingora's own session reads a head again that the gate has read already, keeps a second map of
//! how its fields were spelled, and buffers for each connection. This one takes what the gate has
//! made, and writes into the connection's own buffer.

mod custom;
mod gone;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, StatusCode, Version, header};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::v1::common::is_upgrade_req;
use pingora_error::{Error, ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use smallvec::SmallVec;
use tokio::io::AsyncWriteExt;

use super::answer::{self, Framing};
use super::lent::{After, Back};
use crate::listen::http1::Gate;
use crate::listen::stream::Connection;
use crate::proxy::connection::Peer;
use crate::proxy::pace::{Pace, Paces, TooLong, within};
use crate::proxy::session::{Account, late, untaken};
use gone::Asking;

/// Pieces of a body that leave together.
type Pieces = SmallVec<[Bytes; 4]>;

const THERE: &str = "there until dropped";

/// One exchange over HTTP/1.1. Dropped, it gives the gate back.
pub(super) struct Session {
    /// The method as the client sent it: filters may send another one on.
    asked: Method,
    account: Account,
    paces: Paces,
    /// There until it is dropped.
    gate: Option<Box<Gate>>,
    peer: Arc<Peer>,
    /// Whether the connection may go on after the response, as far as is known.
    goes_on: bool,
    room: BytesMut,
    framing: Framing,
    /// Where the protocol was switched: whether the client may still send.
    tunnel: Option<bool>,
    /// Once the client has ended its side, and while nothing has been answered yet.
    asking: Asking,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            let after = match self.framing {
                Framing::Whole if self.goes_on => After::Next,
                Framing::Rest if self.tunnel.is_none() => After::BreakOff,
                _ => After::Close,
            };
            self.peer.lent.give_back(Back { gate, after });
        }
    }
}

impl Session {
    /// The exchange that a request begins, which a gate has let through.
    pub(super) fn new(
        head: RequestHeader,
        gate: Box<Gate>,
        peer: Arc<Peer>,
        digest: Arc<Digest>,
        paces: Paces,
    ) -> Self {
        peer.lent.until.begin();
        Self {
            goes_on: answer::wants_more(&head),
            asked: head.method.clone(),
            account: Account::new(head, digest, peer.lent.until.clone()),
            paces,
            gate: Some(gate),
            peer,
            room: BytesMut::new(),
            framing: Framing::Awaited,
            tunnel: None,
            asking: Asking::default(),
        }
    }

    fn gate(&mut self) -> &mut Gate {
        self.gate.as_deref_mut().expect(THERE)
    }

    fn connection(&mut self) -> &mut Connection {
        &mut self.gate().connection
    }

    /// Whether the request has been read to its end.
    fn is_read(&self) -> bool {
        match self.tunnel {
            Some(open) => !open,
            None => self.gate.as_deref().is_some_and(Gate::is_between),
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>> {
        if self.is_read() {
            return Ok(None);
        }
        let tunnel = self.tunnel.is_some();
        let limit = self.account.read_timeout.filter(|_| !tunnel);
        let gate = self.gate.as_deref_mut().expect(THERE);
        let room = &mut self.room;
        let next = poll_fn(|cx| {
            let read = match tunnel {
                true => gate.poll_tunnel(cx, room),
                false => gate.poll_body(cx, room),
            };
            if read.is_pending() {
                gate.let_gathered_go(cx);
            }
            read
        });
        let read = match tunnel || self.framing != Framing::Awaited {
            // It has its answer, or the beginning of it.
            true => within(limit, next).await.ok_or(TooLong::Silent),
            false => {
                self.account
                    .read_within(&mut self.paces.request, next)
                    .await
            }
        };
        let read = read.map_err(late)?;
        let data = read.map_err(|error| {
            Error::because(ErrorType::ReadError, "the request body breaks off", error).into_down()
        })?;
        let Some(data) = data else {
            self.tunnel = self.tunnel.map(|_| false);
            return Ok(None);
        };
        self.paces.request.moved(data.len());
        self.account.came(&data);
        Ok(Some(data))
    }

    async fn read_to_end(&mut self) -> Result<()> {
        while self.read().await?.is_some() {}
        Ok(())
    }

    /// Returns when the client is gone. One of HTTP/1.0 is never asked: it knows no interim responses (RFC 9110, 15.2).
    async fn given_up(&mut self) -> Box<Error> {
        let unanswered = self.framing == Framing::Awaited;
        let asked = unanswered && self.account.head.version >= Version::HTTP_11;
        let gate = self.gate.as_deref_mut().expect(THERE);
        let error = gone::gone(gate, Some(&mut self.asking).filter(|_| asked)).await;
        let why = "the client is gone";
        Error::because(ErrorType::ConnectionClosed, why, error).into_down()
    }

    fn write_head(&mut self, mut head: Box<ResponseHeader>) {
        let interim =
            head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS;
        let old = self.account.head.version < Version::HTTP_11;
        if self.framing != Framing::Awaited || (interim && old) {
            return; // HTTP/1.0 knows no interim responses (RFC 9110, 15.2)
        }
        if old {
            // Such a client knows no chunks: without a length, the body ends with the connection
            // (RFC 9112, 6.3). Looked at here, where nobody adds to the head any more.
            head.remove_header(&header::TRANSFER_ENCODING);
        }
        if head.status == StatusCode::NO_CONTENT {
            // Nothing follows, and nothing may say otherwise (RFC 9110, 8.6; RFC 9112, 6.1).
            head.remove_header(&header::TRANSFER_ENCODING);
            head.remove_header(&header::CONTENT_LENGTH);
        }
        // A final head always has fields.
        let lent = !interim && head.headers.is_empty();
        let lines = lent.then(|| self.peer.lent.take_lines()).flatten();
        if !interim {
            self.framing = match &lines {
                Some(lines) => Framing::Length(lines.length),
                None => Framing::of(&self.asked, &head),
            };
            if head.status == StatusCode::SWITCHING_PROTOCOLS && is_upgrade_req(&self.account.head)
            {
                self.tunnel = Some(true);
                self.paces.response.lift();
                self.peer.lent.becomes_tunnel();
            }
            // What follows a request that was not read is never taken for the next one.
            self.goes_on &=
                self.framing != Framing::Rest && self.is_read() && !self.peer.is_closing();
        }
        let goes_on = self.goes_on;
        let lines = lines.as_ref().map(|lines| &*lines.text);
        answer::put_head(&head, lines, old, goes_on, self.connection().gathered());
        self.account.written = Some(head);
    }

    /// Writes pieces of the body, those that are in no chunks with as few calls as it takes.
    async fn write(&mut self, pieces: &mut Pieces) -> Result<()> {
        if pieces.len() > 1 && self.framing != Framing::Chunks {
            return self.write_together(pieces).await;
        }
        let (limit, pace) = (self.account.write_timeout, &mut self.paces.response);
        let connection = &mut self.gate.as_deref_mut().expect(THERE).connection;
        for piece in pieces.drain(..).filter(|piece| !piece.is_empty()) {
            let (count, behind) = self.framing.frame(&piece, connection.gathered());
            let mut left = &piece[..count];
            while !left.is_empty() {
                let sent = written(pace, limit, connection.write(left)).await?;
                let sent = taken(sent, pace)?;
                self.account.went(sent);
                left = &left[sent..];
            }
            connection.gathered().extend_from_slice(behind);
        }
        Ok(())
    }

    async fn write_together(&mut self, pieces: &mut Pieces) -> Result<()> {
        let (limit, pace) = (self.account.write_timeout, &mut self.paces.response);
        let connection = &mut self.gate.as_deref_mut().expect(THERE).connection;
        for piece in pieces.iter_mut() {
            let (count, _) = self.framing.frame(piece, connection.gathered());
            piece.truncate(count);
        }
        let mut left = pieces.drain(..).collect::<VecDeque<_>>();
        while left.iter().any(Buf::has_remaining) {
            let mut sent = {
                let slices: SmallVec<[IoSlice<'_>; 4]> =
                    left.iter().map(|piece| IoSlice::new(piece)).collect();
                let sent = written(pace, limit, connection.write_vectored(&slices)).await?;
                taken(sent, pace)?
            };
            self.account.went(sent);
            while let Some(first) = left.front_mut().filter(|first| sent >= first.len()) {
                sent -= first.len();
                left.pop_front();
            }
            if let Some(first) = left.front_mut() {
                first.advance(sent);
            }
        }
        Ok(())
    }

    /// Sends a head that nothing follows yet. One with a body of known length waits for the first of
    /// that: they leave together, or as soon as the client is awaited.
    async fn send_head(&mut self) -> Result<()> {
        match self.framing {
            Framing::Length(_) => Ok(()),
            _ => self.flush().await,
        }
    }

    async fn flush(&mut self) -> Result<()> {
        let (limit, pace) = (self.account.write_timeout, &mut self.paces.response);
        let connection = &mut self.gate.as_deref_mut().expect(THERE).connection;
        written(pace, limit, connection.flush()).await
    }

    /// Ends the response.
    async fn end(&mut self) -> Result<()> {
        let gate = self.gate.as_deref_mut().expect(THERE);
        let whole = self.framing.end(gate.connection.gathered());
        self.tunnel = self.tunnel.map(|_| false); // a tunnel ends with either of its ends
        self.flush().await?;
        if !whole && self.account.written.is_some() {
            return Error::e_explain(
                ErrorType::InternalError,
                "a response ends before its length",
            );
        }
        Ok(())
    }

    /// Does one of the things that a response is made of, but for its body; whether it has ended.
    async fn take(&mut self, task: HttpTask) -> Result<bool> {
        match task {
            HttpTask::Header(head, end) => {
                self.write_head(head);
                Ok(end)
            }
            HttpTask::Body(_, end) | HttpTask::UpgradedBody(_, end) => Ok(end),
            // There is nobody who reads trailers behind a chunked response, by default.
            HttpTask::Trailer(_) | HttpTask::Done => Ok(true),
            HttpTask::Failed(error) => {
                self.flush().await?;
                Err(error) // the endpoint's, not the client's
            }
        }
    }
}

/// Sends a body behind what was gathered, and counts what was taken of it.
pub(in crate::proxy) async fn send_whole(
    connection: &mut Connection,
    mut left: &[u8],
    (pace, patience): (&mut Pace, Duration),
    sent: &mut u64,
) -> Result<()> {
    let limit = Some(patience);
    while !left.is_empty() {
        let count = written(pace, limit, connection.write(left)).await?;
        left = &left[taken(count, pace)?..];
        *sent += count as u64;
    }
    written(pace, limit, connection.flush()).await
}

/// So many bytes were taken by the client.
fn taken(sent: usize, pace: &mut Pace) -> Result<usize> {
    if sent == 0 {
        let why = "the client takes no response";
        return Err(Error::explain(ErrorType::WriteError, why).into_down());
    }
    pace.moved(sent);
    Ok(sent)
}

async fn written<T>(
    pace: &mut Pace,
    limit: Option<Duration>,
    write: impl Future<Output = io::Result<T>>,
) -> Result<T> {
    match pace.wait(limit, write).await {
        Ok(written) => written
            .or_err(ErrorType::WriteError, "the client takes no response")
            .map_err(Error::into_down),
        Err(why) => Err(untaken(why)),
    }
}
