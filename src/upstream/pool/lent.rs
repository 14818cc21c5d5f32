//! A connection that is out, and comes back to rest.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::heard::{Heard, Misframed};
use super::resting::{Resting, is_quiet};

/// A connection that is out.
///
/// Once a response is over and the connection is as good as new, Pingora asks whether something has come that
/// nobody awaits, and gives it to its own pool if not. It asks with one read that nobody would be
/// woken for, as no other read is. This one answers that the connection has ended, so that Pingora lets go of
/// it, and it comes here.
///
/// It only rests where the response was the last that went over it. An endpoint may answer, and take the next
/// bytes for another request, before the request has been sent to its end (RFC 9112, 11.2): what follows then may
/// be taken for the beginning of the next caller's request.
pub(super) struct Lent {
    /// There until it is dropped.
    stream: Option<Stream>,
    home: Arc<Resting>,
    key: u64,
    idle: Duration,
    /// Whether the endpoint has said something since it was last told something.
    answered: bool,
    heard: Heard,
    /// Whether it goes on.
    rests: bool,
}

impl Lent {
    /// A connection of this kind, which may rest for so long at its home.
    pub(super) fn new(stream: Stream, home: Arc<Resting>, key: u64, idle: Duration) -> Self {
        Self {
            stream: Some(stream),
            home,
            key,
            idle,
            answered: false,
            heard: Heard::default(),
            rests: false,
        }
    }

    fn stream(&mut self) -> Pin<&mut Stream> {
        Pin::new(self.stream.as_mut().expect("it is dropped once"))
    }

    /// Reads what comes, as long as it is what it says.
    fn hear(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, mut good) = (buf.filled().len(), 0);
        if !self.heard.is_wrong() {
            ready!(self.stream().poll_read(cx, buf))?;
            good = self.heard.read(&buf.filled()[before..]);
            self.answered |= good > 0;
            buf.set_filled(before + good);
        }
        match good == 0 && self.heard.is_wrong() {
            true => Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, Misframed))),
            false => Poll::Ready(Ok(())),
        }
    }

    fn inner(&self) -> &Stream {
        self.stream.as_ref().expect("it is dropped once")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take().filter(|_| self.rests) {
            self.home.put(self.key, stream, self.idle);
        }
    }
}

impl AsyncRead for Lent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let is_asked = cx.waker().data().is_null();
        if !is_asked {
            return self.hear(cx, buf);
        }
        let may_rest = self.answered && !self.heard.closes() && !self.idle.is_zero();
        let waker = self.home.waker();
        let stream = self.stream().get_mut();
        self.rests = is_quiet(stream, &mut Context::from_waker(&waker)) && may_rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Lent {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answered = false;
        self.stream().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.answered = false;
        self.stream().poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Lent {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut **self.stream()).await;
    }
}

impl UniqueID for Lent {
    fn id(&self) -> UniqueIDType {
        self.inner().id()
    }
}

impl Ssl for Lent {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner().get_ssl_digest()
    }
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner().selected_alpn_proto()
    }
}

#[async_trait]
impl Peek for Lent {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.stream().try_peek(buf).await
    }
}

impl GetTimingDigest for Lent {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new() // nobody asks, and it would be made anew for each request
    }
    fn get_read_pending_time(&self) -> Duration {
        self.inner().get_read_pending_time()
    }
    fn get_write_pending_time(&self) -> Duration {
        self.inner().get_write_pending_time()
    }
}

impl GetProxyDigest for Lent {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner().get_proxy_digest()
    }
    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.stream().set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Lent {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner().get_socket_digest()
    }
    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.stream().set_socket_digest(digest);
    }
}

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lent").field(&self.stream).finish()
    }
}
