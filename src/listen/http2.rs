//! An HTTP/2 client's connection, metered below the protocol: what a client sends too much of is
//! seen before it is worked on.

mod fields;
mod frames;
mod meter;
mod seen;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use pingora_core::protocols::SocketDigest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

pub use meter::Excess;
pub use seen::Seen;

use super::stream::PREFACE;
use crate::config::http2::Http2;
use crate::observe::metrics::Resets;
use meter::Meter;

/// How long a connection that the gateway has ended is still read from, so that what was written
/// last (a GOAWAY) is not lost with a reset.
const LINGER: Duration = Duration::from_millis(500);
/// How much of what comes then is read and forgotten.
const LINGER_BYTES: usize = 1 << 20;

/// A metered connection.
pub struct Metered<S> {
    stream: S,
    meter: Meter,
    seen: Arc<Seen>,
    resets: Resets,
    linger: Option<Linger>,
}

struct Linger {
    timer: Pin<Box<Sleep>>,
    bytes: usize,
}

impl<S> Metered<S> {
    /// Meters a connection over this socket that has not been read from, and tells what is seen.
    pub fn new(
        stream: S,
        socket: Option<Arc<SocketDigest>>,
        limits: &Http2,
        resets: &Resets,
    ) -> (Self, Arc<Seen>) {
        let seen = Arc::new(Seen::of(socket));
        let this = Self {
            stream,
            meter: Meter::new(limits, PREFACE),
            seen: Arc::clone(&seen),
            resets: resets.clone(),
            linger: None,
        };
        (this, seen)
    }

    /// Tells how many streams are open, and counts those that were reset since this was last done.
    fn tell_streams(&mut self) {
        self.seen.tell_open(self.meter.open());
        let (by_client, by_gateway) = self.meter.take_resets();
        if by_client > 0 {
            self.resets.by_client.inc_by(by_client);
        }
        if by_gateway > 0 {
            self.resets.by_gateway.inc_by(by_gateway);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.seen.excess().is_some() {
            // Nothing more is worked on; whoever polls the connection looks for it.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let new = &buf.filled()[before..];
        let received = this.meter.received(new, Instant::now);
        this.tell_streams();
        let received = received.and_then(|()| this.seen.tell(this.meter.take_fragments()));
        if let Err(excess) = received {
            this.seen.end(excess);
            buf.set_filled(before);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
        this.meter.sent(&bytes[..written]);
        this.seen.wrote(written);
        this.tell_streams();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, slices))?;
        let mut left = written;
        for slice in slices {
            let part = left.min(slice.len());
            this.meter.sent(&slice[..part]);
            left -= part;
        }
        this.seen.wrote(written);
        this.tell_streams();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        this.seen.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let linger = this.linger.get_or_insert_with(|| Linger {
            timer: Box::pin(tokio::time::sleep(LINGER)),
            bytes: 0,
        });
        let mut room = [0; 4096];
        while linger.bytes < LINGER_BYTES {
            if linger.timer.as_mut().poll(cx).is_ready() {
                // What the client still sends would have the system throw away what it holds.
                if this.seen.excess().is_some() || !this.seen.is_queued() {
                    break;
                }
                linger
                    .timer
                    .as_mut()
                    .reset(tokio::time::Instant::now() + LINGER);
                continue;
            }
            let mut buf = ReadBuf::new(&mut room);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => linger.bytes += buf.filled().len(),
                _ => break, // the client has closed it as well
            }
        }
        Poll::Ready(Ok(()))
    }
}
