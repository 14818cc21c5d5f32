//! One exchange over HTTP/1.1, as Pingora talks to it.
//!
//! Pingora's own session reads a head again that the gate has read already, keeps a second map of
//! how its fields were spelled, and buffers for each connection. This one takes what the gate has
//! made, and writes into the connection's own buffer.

mod custom;

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, StatusCode, Version};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::body_buffer::FixedBuffer;
use pingora_core::protocols::http::v1::common::is_upgrade_req;
use pingora_error::{Error, ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use smallvec::SmallVec;
use tokio::io::AsyncWriteExt;

use super::answer::{self, Framing};
use super::lent::Back;
use crate::listen::http1::Gate;
use crate::listen::stream::Connection;
use crate::listen::until::Timer;
use crate::proxy::connection::Peer;

/// A request body may be silent for this long.
const BODY_SILENCE: Duration = Duration::from_secs(60);

/// One exchange over HTTP/1.1. Dropped, it gives the gate back.
pub(super) struct Session {
    /// The method as the client sent it: filters may send another one on.
    asked: Method,
    head: RequestHeader,
    /// There until it is dropped.
    gate: Option<Box<Gate>>,
    peer: Arc<Peer>,
    /// Whether the connection may go on after the response, as far as is known.
    goes_on: bool,
    room: BytesMut,
    framing: Framing,
    written: Option<Box<ResponseHeader>>,
    /// Where the protocol was switched: whether the client may still send.
    tunnel: Option<bool>,
    received: usize,
    sent: usize,
    kept: Option<FixedBuffer>,
    digest: Arc<Digest>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    drain_timeout: Option<Duration>,
    timer: Timer,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            let goes_on = self.goes_on && self.framing == Framing::Whole;
            self.peer.lent.give_back(Back { gate, goes_on });
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
    ) -> Self {
        peer.lent.until.set(None);
        Self {
            goes_on: answer::wants_more(&head),
            asked: head.method.clone(),
            head,
            gate: Some(gate),
            peer,
            room: BytesMut::new(),
            framing: Framing::Awaited,
            written: None,
            tunnel: None,
            received: 0,
            sent: 0,
            kept: None,
            digest,
            read_timeout: Some(BODY_SILENCE),
            write_timeout: None,
            drain_timeout: None,
            timer: Timer::default(),
        }
    }

    fn gate(&mut self) -> &mut Gate {
        self.gate.as_deref_mut().expect("there until dropped")
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
        let limit = self.read_timeout.filter(|_| !tunnel);
        let gate = self.gate.as_deref_mut().expect("there until dropped");
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
        let read = within(limit, next).await;
        let read = read.ok_or_else(|| {
            Error::explain(ErrorType::ReadTimedout, "the request body is silent").into_down()
        })?;
        let data = read.map_err(|error| {
            Error::because(ErrorType::ReadError, "the request body breaks off", error).into_down()
        })?;
        let Some(data) = data else {
            self.tunnel = self.tunnel.map(|_| false);
            return Ok(None);
        };
        self.received += data.len();
        if let Some(kept) = &mut self.kept {
            kept.write_to_buffer(&data);
        }
        Ok(Some(data))
    }

    async fn read_to_end(&mut self) -> Result<()> {
        while self.read().await?.is_some() {}
        Ok(())
    }

    /// Returns when the client is gone.
    async fn given_up(&mut self) -> Box<Error> {
        let gate = self.gate();
        let gone = poll_fn(|cx| {
            let gone = gate.poll_gone(cx);
            if gone.is_pending() {
                gate.let_gathered_go(cx);
            }
            gone
        });
        let error = gone.await;
        let why = "the client is gone";
        Error::because(ErrorType::ConnectionClosed, why, error).into_down()
    }

    fn write_head(&mut self, head: Box<ResponseHeader>) {
        let interim =
            head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS;
        let old = self.head.version < Version::HTTP_11;
        if self.framing != Framing::Awaited || (interim && old) {
            return; // HTTP/1.0 knows no interim responses (RFC 9110, 15.2)
        }
        if !interim {
            self.framing = Framing::of(&self.asked, &head);
            if head.status == StatusCode::SWITCHING_PROTOCOLS && is_upgrade_req(&self.head) {
                self.tunnel = Some(true);
                self.peer.lent.becomes_tunnel();
            }
            // What follows a request that was not read is never taken for the next one.
            self.goes_on &=
                self.framing != Framing::Rest && self.is_read() && !self.peer.is_closing();
        }
        let goes_on = self.goes_on;
        answer::put_head(&head, old, goes_on, self.connection().gathered());
        self.written = Some(head);
    }

    async fn write(&mut self, data: &Bytes) -> Result<()> {
        let limit = self.write_timeout;
        let gate = self.gate.as_deref_mut().expect("there until dropped");
        let connection = &mut gate.connection;
        let (count, behind) = self.framing.frame(data, connection.gathered());
        written(limit, connection.write_all(&data[..count])).await?;
        connection.gathered().extend_from_slice(behind);
        self.sent += count;
        Ok(())
    }

    /// Writes pieces of a body that is not in chunks, several of them with one call.
    async fn write_pieces(&mut self, pieces: &mut SmallVec<[Bytes; 4]>) -> Result<()> {
        if let [one] = pieces.as_slice() {
            let one = one.clone();
            pieces.clear();
            return self.write(&one).await;
        }
        let limit = self.write_timeout;
        let gate = self.gate.as_deref_mut().expect("there until dropped");
        let connection = &mut gate.connection;
        for piece in pieces.iter_mut() {
            let (count, _) = self.framing.frame(piece, connection.gathered());
            piece.truncate(count);
            self.sent += count;
        }
        pieces.retain(|piece| !piece.is_empty());
        while !pieces.is_empty() {
            let slices: SmallVec<[IoSlice<'_>; 4]> =
                pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let mut sent = 0;
            let write = async {
                sent = connection.write_vectored(&slices).await?;
                match sent {
                    0 => Err(io::ErrorKind::WriteZero.into()),
                    _ => Ok(()),
                }
            };
            written(limit, write).await?;
            drop(slices);
            while let Some(first) = pieces.first_mut().filter(|_| sent > 0) {
                let part = sent.min(first.len());
                first.advance(part);
                sent -= part;
                if first.is_empty() {
                    pieces.remove(0);
                }
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let limit = self.write_timeout;
        written(limit, self.connection().flush()).await
    }

    /// Ends the response.
    async fn end(&mut self) -> Result<()> {
        let gate = self.gate.as_deref_mut().expect("there until dropped");
        let whole = self.framing.end(gate.connection.gathered());
        self.tunnel = self.tunnel.map(|_| false); // a tunnel ends with either of its ends
        self.flush().await?;
        if !whole && self.written.is_some() {
            return Error::e_explain(
                ErrorType::InternalError,
                "a response ends before its length",
            );
        }
        Ok(())
    }

    /// Does one of the things that a response is made of; whether it has ended, and whether what
    /// was written may wait for more.
    async fn take(&mut self, task: HttpTask) -> Result<(bool, bool)> {
        match task {
            HttpTask::Header(head, end) => {
                self.write_head(head);
                // Its body follows at once, where it has one of known length.
                Ok((end, matches!(self.framing, Framing::Length(_))))
            }
            HttpTask::Body(data, end) | HttpTask::UpgradedBody(data, end) => {
                if let Some(data) = data.filter(|data| !data.is_empty()) {
                    self.write(&data).await?;
                }
                Ok((end, false))
            }
            // There is nobody who reads trailers behind a chunked response, by default.
            HttpTask::Trailer(_) | HttpTask::Done => Ok((true, false)),
            HttpTask::Failed(error) => {
                self.flush().await?;
                Err(error) // the endpoint's, not the client's
            }
        }
    }
}

async fn written(
    limit: Option<Duration>,
    write: impl Future<Output = io::Result<()>>,
) -> Result<()> {
    match within(limit, write).await {
        Some(written) => written
            .or_err(ErrorType::WriteError, "the client takes no response")
            .map_err(Error::into_down),
        None => Err(
            Error::explain(ErrorType::WriteTimedout, "the client takes no response").into_down(),
        ),
    }
}

/// What comes of this within a time; a timer is made only where it takes any.
async fn within<T>(limit: Option<Duration>, what: impl Future<Output = T>) -> Option<T> {
    let mut what = pin!(what);
    let at_once = poll_fn(|cx| Poll::Ready(what.as_mut().poll(cx))).await;
    match (at_once, limit) {
        (Poll::Ready(done), _) => Some(done),
        (Poll::Pending, Some(limit)) => tokio::time::timeout(limit, what).await.ok(),
        (Poll::Pending, None) => Some(what.await),
    }
}
