//! The body of the message that is being read, and what comes behind it.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::{Body, Gate};

/// How much of a body is read at a time, at most.
const PIECE: usize = 64 * 1024;

impl Gate {
    /// Reads the next piece of the body; `None` once it has been read to its end. `room` is where
    /// pieces are read into, and keeps what is left of it.
    ///
    /// # Errors
    /// The body breaks the rules, or breaks off, or the client is gone.
    pub fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut BytesMut,
    ) -> Poll<io::Result<Option<Bytes>>> {
        match &self.body {
            Body::Done => Poll::Ready(Ok(None)),
            Body::Length(left) => {
                let left = *left;
                let piece = ready!(self.poll_piece(left, cx, room))?;
                self.body = Body::of_length(left - piece.len() as u64);
                Poll::Ready(Ok(Some(piece)))
            }
            Body::Chunked(_) => self.poll_chunked(cx, room),
            Body::Broken => Poll::Ready(Err(malformed())),
        }
    }

    fn poll_chunked(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut BytesMut,
    ) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            let Body::Chunked(chunks) = &mut self.body else {
                return Poll::Ready(Ok(None));
            };
            let data = match chunks.data_left() {
                0 => {
                    let Ok((used, data)) = chunks.read(&self.bytes[self.start..]) else {
                        self.body = Body::Broken;
                        return Poll::Ready(Err(malformed()));
                    };
                    let data = Bytes::copy_from_slice(data);
                    let done = chunks.is_done();
                    self.take(used);
                    if done {
                        self.body = Body::Done;
                    }
                    data
                }
                left => {
                    let piece = ready!(self.poll_piece(left, cx, room))?;
                    if let Body::Chunked(chunks) = &mut self.body {
                        chunks.passed(piece.len() as u64);
                    }
                    piece
                }
            };
            if !data.is_empty() {
                return Poll::Ready(Ok(Some(data)));
            }
            let waits = matches!(&self.body, Body::Chunked(chunks) if chunks.data_left() == 0);
            if waits && !self.has_begun() {
                if self.ended {
                    return Poll::Ready(Err(broken_off()));
                }
                ready!(self.poll_fill(cx))?;
            }
        }
    }

    /// Some bytes, up to a number of them: what waits, or else what comes.
    fn poll_piece(
        &mut self,
        most: u64,
        cx: &mut Context<'_>,
        room: &mut BytesMut,
    ) -> Poll<io::Result<Bytes>> {
        let most = usize::try_from(most).map_or(PIECE, |most| most.min(PIECE));
        if self.has_begun() {
            let waiting = &self.bytes[self.start..];
            let piece = Bytes::copy_from_slice(&waiting[..waiting.len().min(most)]);
            self.take(piece.len());
            return Poll::Ready(Ok(piece));
        }
        if self.ended {
            return Poll::Ready(Err(broken_off()));
        }
        room.reserve(most);
        let mut within = (&mut *room).limit(most);
        let read = pin!(self.connection.read_buf(&mut within));
        if ready!(read.poll(cx))? == 0 {
            self.ended = true;
            return Poll::Ready(Err(broken_off()));
        }
        Poll::Ready(Ok(room.split().freeze()))
    }

    /// Looks after a client whose message has been read: ready once it has ended its side. Where it
    /// goes on sending, that waits for the end of this exchange, and so does what is behind it.
    ///
    /// # Errors
    /// The client is gone.
    pub fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.has_begun() {
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(cx))?;
        }
        Poll::Pending
    }

    /// Who waits for the client has nothing to write for now: what was gathered leaves, such as the
    /// head of a response whose body takes its time. That the client is gone shows at the next
    /// read or write.
    pub fn let_gathered_go(&mut self, cx: &mut Context<'_>) {
        let _ = Pin::new(&mut self.connection).poll_flush(cx);
    }

    /// Reads what comes, whatever it is: the connection has become a tunnel. `None` is its end.
    ///
    /// # Errors
    /// The client is gone.
    pub fn poll_tunnel(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut BytesMut,
    ) -> Poll<io::Result<Option<Bytes>>> {
        match ready!(self.poll_piece(u64::MAX, cx, room)) {
            Err(_) if self.ended => Poll::Ready(Ok(None)),
            read => Poll::Ready(read.map(Some)),
        }
    }
}

/// A body that breaks the rules.
fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a chunk breaks the rules")
}

/// A body whose client has ended its side before it was whole.
fn broken_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the body breaks off")
}
