//! What comes from an HTTP/1.1 client: one message at a time, checked first.
//!
//! An exchange gets one request and no more. What the client sends behind it (further requests,
//! the end of its side) waits here until the response has left. Between two requests next to no
//! memory is held.

mod asked;
pub mod authority;
mod body;
mod chunked;
mod head;
mod refused;

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use pingora_http::RequestHeader;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::stream::Connection;
pub use asked::Asked;
use chunked::Chunks;
use head::Parsed;
pub use head::{MOST_FIELDS, Seen, is_named, length};
pub use refused::Refused;

/// How much is read at a time, on the stack.
const PIECE: usize = 8 * 1024;
/// The room for bytes that an idle connection keeps, so that small heads need no new one each.
const KEPT: usize = 512;
/// How long, and for how many bytes, a client that still sends may take to read the last reply.
const LINGER: Duration = Duration::from_secs(2);
const MOST_LINGERED: usize = 16 * 1024 * 1024;

/// How the rest of the message that is being read is framed.
#[derive(Debug)]
enum Body {
    /// Nothing is left: whatever comes belongs to the next message.
    Done,
    /// This many bytes are left.
    Length(u64),
    /// A chunked body.
    Chunked(Box<Chunks>),
    /// It broke the rules: nothing that comes can be told from the next message.
    Broken,
}

impl Body {
    fn of_length(length: u64) -> Self {
        match length {
            0 => Self::Done,
            length => Self::Length(length),
        }
    }

    fn chunked() -> Self {
        Self::Chunked(Box::default())
    }
}

/// What comes of the head in front of what has come, of at most this many bytes, and its length; nothing where it has no
/// end yet.
fn whole(
    waiting: &[u8],
    limit: usize,
    looked_at: &mut usize,
    know: &mut dyn FnMut(&Seen<'_>) -> bool,
) -> Result<Option<(Parsed, usize)>, Refused> {
    let within = &waiting[..waiting.len().min(limit)];
    let Some(end) = head::end(within, looked_at)? else {
        if waiting.len() >= limit {
            return Err(Refused::large(limit, within.contains(&b'\n')));
        }
        return Ok(None);
    };
    let parsed = head::parse(&within[..end], know)?;
    Ok(Some((parsed, end)))
}

/// Reads a head as the gate does when a client sends it.
///
/// # Errors
/// Why it may not go on.
pub fn read_head(bytes: &[u8], limit: usize) -> Result<RequestHeader, Refused> {
    let whole = whole(bytes, limit, &mut 0, &mut |_| false)?;
    let (parsed, _) = whole.ok_or(Refused::cut())?;
    Ok(parsed.head.expect("nobody needed no more"))
}

/// A client's connection, and what of it may pass.
#[derive(Debug)]
pub struct Gate {
    pub connection: Connection,
    /// What was read from it; from `start` on it has not passed yet.
    bytes: Vec<u8>,
    start: usize,
    /// How many of the waiting bytes are known to hold no end of a head.
    looked_at: usize,
    /// Whether the client has ended its side.
    ended: bool,
    body: Body,
}

impl Gate {
    /// A gate on a connection.
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            bytes: Vec::new(),
            start: 0,
            looked_at: 0,
            ended: false,
            body: Body::Done,
        }
    }

    /// Whether the last message has passed whole, so that the next one begins here.
    pub fn is_between(&self) -> bool {
        matches!(self.body, Body::Done)
    }

    /// Whether some of the next head has arrived.
    pub fn has_begun(&self) -> bool {
        self.start < self.bytes.len()
    }

    /// Waits for a whole head that may go on, of at most this many bytes. Where it has no body, `know` sees it before anything
    /// is made of it, and says whether it needs no more: then it comes as nothing. `None` is a client that has ended, or
    /// gone, between two messages.
    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        know: &mut dyn FnMut(&Seen<'_>) -> bool,
    ) -> Poll<Option<Result<Option<RequestHeader>, Refused>>> {
        loop {
            self.skip_empty_lines();
            if self.has_begun()
                && let Poll::Ready(head) = self.take_head(limit, know)
            {
                return Poll::Ready(Some(head));
            }
            if self.ended {
                let cut = self.has_begun().then(|| Err(Refused::cut()));
                return Poll::Ready(cut);
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => {
                    self.rest();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Empty lines in front of a request are no part of it (RFC 9112, 2.2).
    fn skip_empty_lines(&mut self) {
        while self.bytes[self.start..].starts_with(b"\r\n") {
            self.take(2);
            self.looked_at = 0;
        }
    }

    /// The head of the next message, once it has come to its end.
    fn take_head(
        &mut self,
        limit: usize,
        know: &mut dyn FnMut(&Seen<'_>) -> bool,
    ) -> Poll<Result<Option<RequestHeader>, Refused>> {
        let waiting = &self.bytes[self.start..];
        let Some((Parsed { head, body }, end)) = whole(waiting, limit, &mut self.looked_at, know)?
        else {
            return Poll::Pending;
        };
        self.looked_at = 0;
        self.body = body;
        self.take(end);
        Poll::Ready(Ok(head))
    }

    /// Reads once. The room is on the stack, so that a connection that waits holds none.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = [const { MaybeUninit::<u8>::uninit() }; PIECE];
        let mut piece = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.connection).poll_read(cx, &mut piece))?;
        if piece.filled().is_empty() {
            self.ended = true;
        }
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(piece.filled());
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, count: usize) {
        self.start += count;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Gives room back while nothing is to be done.
    fn rest(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
        self.connection.rest();
    }

    /// Reads as much of the message's body as has come already, and no more than about this many
    /// bytes; says whether that was all of it.
    pub async fn skip_what_came(&mut self, most: usize) -> bool {
        let (mut room, mut read) = (BytesMut::new(), 0);
        poll_fn(|cx| {
            while !self.is_between() && read <= most {
                match self.poll_body(cx, &mut room) {
                    Poll::Ready(Ok(Some(data))) => read += data.len(),
                    Poll::Ready(Ok(None)) => break,
                    Poll::Ready(Err(_)) | Poll::Pending => return Poll::Ready(false),
                }
            }
            Poll::Ready(self.is_between())
        })
        .await
    }

    /// Writes a last reply.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn write(&mut self, reply: &[u8]) -> io::Result<()> {
        self.connection.write_all(reply).await?;
        self.connection.flush().await
    }

    /// Ends the connection between two messages: over TLS the client hears of it, and knows that it has all.
    pub async fn leave(mut self: Box<Self>) {
        let _ = tokio::time::timeout(LINGER, self.connection.say_goodbye()).await;
    }

    /// Ends the connection. A client that may still be sending is read from for a moment: were the
    /// connection closed over unread bytes, the client could lose the reply (RFC 9112, 9.6).
    pub async fn close(mut self: Box<Self>) {
        let clean = self.is_between() && (!self.has_begun() || self.ended);
        let end = async {
            if self.connection.shutdown().await.is_err() || clean || self.ended {
                return;
            }
            let mut most = MOST_LINGERED;
            while most > 0 {
                self.bytes.clear();
                self.start = 0;
                if poll_fn(|cx| self.poll_fill(cx)).await.is_err() || self.ended {
                    return;
                }
                most = most.saturating_sub(self.bytes.len());
            }
        };
        let _ = tokio::time::timeout(LINGER, end).await;
    }
}
