//! How a message passes the gate: its head, its body to the last byte, and nothing behind it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::{Body, Gate};

impl Gate {
    /// Reads some of the message that is passing; nothing at its end, or at the client's.
    pub(super) fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.head > 0 {
            let passed = self.pass_waiting(self.head as u64, out);
            self.head -= passed;
            return Poll::Ready(Ok(()));
        }
        match &self.body {
            Body::Done => self.poll_ahead(cx),
            Body::Length(left) => {
                let left = *left;
                self.poll_length(left, cx, out)
            }
            Body::Chunked(_) => self.poll_chunked(cx, out),
            Body::Broken => Poll::Ready(Err(malformed())),
        }
    }

    /// Passes on what waits, up to a number of bytes.
    fn pass_waiting(&mut self, most: u64, out: &mut ReadBuf<'_>) -> usize {
        let waiting = &self.bytes[self.start..];
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let count = waiting.len().min(most).min(out.remaining());
        out.put_slice(&waiting[..count]);
        self.take(count);
        count
    }

    fn poll_length(
        &mut self,
        left: u64,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = if self.has_begun() {
            self.pass_waiting(left, out)
        } else {
            ready!(self.poll_through(left, cx, out))?
        };
        self.body = Body::of_length(left - count as u64);
        Poll::Ready(Ok(()))
    }

    fn poll_chunked(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        loop {
            let Body::Chunked(chunks) = &mut self.body else {
                return Poll::Ready(Ok(()));
            };
            let Ok(used) = chunks.pass(&self.bytes[self.start..], out) else {
                self.body = Body::Broken;
                return Poll::Ready(Err(malformed()));
            };
            let (done, data) = (chunks.is_done(), chunks.data_left());
            self.take(used);
            if done {
                self.body = Body::Done;
            }
            if out.filled().len() > before || out.remaining() == 0 || self.ended {
                return Poll::Ready(Ok(()));
            }
            if data >= out.remaining() as u64 {
                let count = ready!(self.poll_through(data, cx, out))?;
                if let Body::Chunked(chunks) = &mut self.body {
                    chunks.passed(count as u64);
                }
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// Reads straight into the room for it, up to a number of bytes.
    fn poll_through(
        &mut self,
        most: u64,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = out.filled().len();
        if !self.ended {
            if out.remaining() as u64 <= most {
                ready!(Pin::new(&mut self.connection).poll_read(cx, out))?;
            } else {
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                let mut part = ReadBuf::new(out.initialize_unfilled_to(most));
                ready!(Pin::new(&mut self.connection).poll_read(cx, &mut part))?;
                let count = part.filled().len();
                out.advance(count);
            }
        }
        let count = out.filled().len() - before;
        self.ended |= count == 0;
        Poll::Ready(Ok(count))
    }

    /// Looks after a client whose message has passed: one that is gone is told, one that only has
    /// ended its side, or goes on sending, is not.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ended && !self.has_begun() {
            ready!(self.poll_fill(cx))?;
        }
        Poll::Pending // whatever waits, waits for the end of this exchange
    }

    /// Reads what comes, whatever it is: the connection has become a tunnel.
    pub(super) fn poll_tunnel(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_begun() {
            self.pass_waiting(u64::MAX, out);
            return Poll::Ready(Ok(()));
        }
        self.poll_through(u64::MAX, cx, out).map_ok(drop)
    }
}

/// What Pingora gets to hear about a body that breaks the rules.
fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a chunk breaks the rules")
}
