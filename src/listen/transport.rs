//! What carries a client's bytes: a TCP or Unix socket, or TLS over one of them.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

/// What carries a client's bytes.
pub type Transport = Either<Plain, Box<TlsStream<Plain>>>;

/// A socket, with what was read from it too early.
#[derive(Debug)]
pub struct Plain {
    socket: Either<TcpStream, UnixStream>,
    early: Bytes,
}

impl Plain {
    /// Gives bytes back, to be read again before all others.
    pub fn unread(&mut self, bytes: Bytes) {
        debug_assert!(self.early.is_empty(), "all of it was read");
        self.early = bytes;
    }

    /// Has the socket end with a reset once it is dropped, so that the other end is told of a failure. A
    /// Unix socket knows none.
    pub fn reset_when_dropped(&self) {
        if let Either::Left(tcp) = &self.socket {
            // One that is gone already cannot be taken for one that has ended well.
            let _ = tcp.set_zero_linger();
        }
    }

    /// Returns when the socket is broken, such as by a reset, whatever has been read from it before:
    /// behind the other end's last byte no read tells. That a Unix socket's other end is gone shows
    /// only when it is written to.
    pub async fn broken(&self) -> io::Error {
        let (broken, why) = match &self.socket {
            Either::Left(tcp) => (tcp.ready(Interest::ERROR).await, tcp.take_error()),
            Either::Right(unix) => (unix.ready(Interest::ERROR).await, unix.take_error()),
        };
        let why = broken.and(why).unwrap_or_else(Some);
        why.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
    }
}

impl AsRawFd for Plain {
    fn as_raw_fd(&self) -> RawFd {
        match &self.socket {
            Either::Left(tcp) => tcp.as_raw_fd(),
            Either::Right(unix) => unix.as_raw_fd(),
        }
    }
}

impl From<TcpStream> for Plain {
    fn from(socket: TcpStream) -> Self {
        Self {
            socket: Either::Left(socket),
            early: Bytes::new(),
        }
    }
}

impl From<UnixStream> for Plain {
    fn from(socket: UnixStream) -> Self {
        Self {
            socket: Either::Right(socket),
            early: Bytes::new(),
        }
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let taken = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early[..taken]);
            self.early.advance(taken);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            // As TLS writes: `send` takes a shorter way through the kernel than `writev`.
            [one] => Pin::new(&mut self.socket).poll_write(cx, one),
            _ => Pin::new(&mut self.socket).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
