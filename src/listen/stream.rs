//! A client's connection as Pingora's protocols read and write it.
//!
//! Reads go straight to the socket, since the parser behind has a buffer of its own; writes are
//! gathered until they are flushed, so that a head and a small body leave together.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::tls::Secured;
use super::transport::{Plain, Transport};

/// Writes are gathered up to this many bytes.
const GATHERED: usize = 4096;
/// The room for gathered writes that an idle connection keeps: enough for a head and a small body.
const KEPT: usize = 2048;
/// What every HTTP/2 connection begins with is this long (RFC 9113, 3.4).
pub(super) const PREFACE: usize = 24;

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    socket: Transport,
    digest: Arc<SocketDigest>,
    tls: Option<OverTls>,
    accepted: SystemTime,
    gathered: Vec<u8>,
    written: usize,
    /// The first bytes, which were looked at before a protocol was chosen.
    first: [u8; PREFACE],
    first_start: usize,
    first_end: usize,
}

/// What TLS has settled.
#[derive(Debug)]
struct OverTls {
    digest: Arc<SslDigest>,
    http2: bool,
}

impl Connection {
    /// A connection over a socket that was just accepted.
    pub fn new(socket: impl Into<Plain>, peer: SocketAddr) -> Self {
        let socket = socket.into();
        let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
        Self::over(Either::Left(socket), digest, peer)
    }

    /// A connection over TLS, after the handshake.
    pub fn secure(stream: Box<TlsStream<Plain>>, peer: SocketAddr, secured: &Secured) -> Self {
        let digest = SocketDigest::from_raw_fd(stream.get_ref().0.as_raw_fd());
        let mut this = Self::over(Either::Right(stream), digest, peer);
        let facts = &secured.facts;
        // What there is to know of a client's certificate is among the facts of the client.
        let digest = SslDigest::new(secured.cipher, facts.version, None, None, Vec::new());
        this.tls = Some(OverTls {
            digest: Arc::new(digest),
            http2: secured.http2,
        });
        this
    }

    fn over(socket: Transport, digest: SocketDigest, peer: SocketAddr) -> Self {
        // The cell is new: it takes the value.
        let _ = digest.peer_addr.set(Some(peer.into()));
        Self {
            socket,
            digest: Arc::new(digest),
            tls: None,
            accepted: SystemTime::now(),
            gathered: Vec::new(),
            written: 0,
            first: [0; PREFACE],
            first_start: 0,
            first_end: 0,
        }
    }

    /// Reads once at the connection's beginning; returns whether it begins with HTTP/2's preface,
    /// as soon as that can be told. Over TLS it must begin with it where HTTP/2 was agreed on, and
    /// is HTTP/1.1 where it was not.
    ///
    /// # Errors
    /// The connection's, or another beginning than was agreed on.
    pub async fn look_for_http2(&mut self) -> io::Result<Option<bool>> {
        let agreed = self.tls.as_ref().map(|tls| tls.http2);
        if agreed == Some(false) {
            return Ok(Some(false));
        }
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let mut ended = false;
        if self.first_end < PREFACE && preface.starts_with(&self.first[..self.first_end]) {
            let read = self.socket.read(&mut self.first[self.first_end..]).await?;
            ended = read == 0;
            self.first_end += read;
        }
        let undecided =
            self.first_end < PREFACE && preface.starts_with(&self.first[..self.first_end]);
        if !ended && undecided {
            return Ok(None);
        }
        let begins = self.first == *preface;
        if agreed == Some(true) && !begins {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Some(begins))
    }

    /// Ends the connection in the middle of what only its end would end: with a reset, and without the alert that
    /// closes TLS, since after either end in order all would count as whole (RFC 9112, 9.8).
    pub fn break_off(self) {
        self.plain().reset_when_dropped();
    }

    /// Says over TLS that nothing more comes (RFC 8446, 6.1), where nothing is owed to the client.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn say_goodbye(&mut self) -> io::Result<()> {
        match self.tls {
            Some(_) => AsyncWriteExt::shutdown(self).await,
            None => Ok(()), // the socket says so when it is closed
        }
    }

    /// Returns when the socket is broken, which no read tells once the client has ended its side.
    pub async fn broken(&self) -> io::Error {
        self.plain().broken().await
    }

    fn plain(&self) -> &Plain {
        match &self.socket {
            Either::Left(plain) => plain,
            Either::Right(stream) => stream.get_ref().0,
        }
    }

    /// Gives room back while nothing is to be written.
    pub fn rest(&mut self) {
        if self.gathered.is_empty() && self.gathered.capacity() > KEPT {
            self.gathered = Vec::new();
        }
    }

    /// What leaves with the next flush, to add to.
    pub fn gathered(&mut self) -> &mut Vec<u8> {
        &mut self.gathered
    }

    /// Sends some of these bytes, together with what was gathered before them.
    fn poll_send_with(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        while self.written < self.gathered.len() {
            let before = self.gathered.len() - self.written;
            let sent = {
                let gathered = IoSlice::new(&self.gathered[self.written..]);
                let mut slices: SmallVec<[IoSlice<'_>; 8]> = SmallVec::new();
                slices.push(gathered);
                slices.extend_from_slice(bytes);
                ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, &slices))?
            };
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let beyond = sent.saturating_sub(before);
            self.written += sent - beyond;
            if beyond > 0 {
                self.gathered.clear();
                self.written = 0;
                return Poll::Ready(Ok(beyond));
            }
        }
        self.gathered.clear();
        self.written = 0;
        Pin::new(&mut self.socket).poll_write_vectored(cx, bytes)
    }

    fn poll_send_gathered(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            let rest = &self.gathered[self.written..];
            let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += sent;
        }
        self.gathered.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first_start < self.first_end {
            let end = self.first_end.min(self.first_start + buf.remaining());
            buf.put_slice(&self.first[self.first_start..end]);
            self.first_start = end;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.len() >= GATHERED {
            return self.poll_send_with(cx, &[IoSlice::new(bytes)]);
        }
        if self.gathered.len() + bytes.len() > GATHERED {
            ready!(self.poll_send_gathered(cx))?;
        }
        self.gathered.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if total >= GATHERED {
            return self.poll_send_with(cx, slices);
        }
        if self.gathered.len() + total > GATHERED {
            ready!(self.poll_send_gathered(cx))?;
        }
        for slice in slices {
            self.gathered.extend_from_slice(slice);
        }
        Poll::Ready(Ok(total))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send_gathered(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send_gathered(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl Peek for Connection {}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        // Whether the other end still listens changes nothing.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Connection {
    fn id(&self) -> UniqueIDType {
        self.plain().as_raw_fd()
    }
}

impl Ssl for Connection {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        Some(self.tls.as_ref()?.digest.clone())
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        let agreed = self.tls.as_ref()?;
        Some(if agreed.http2 { ALPN::H2 } else { ALPN::H1 })
    }
}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest {
            established_ts: self.accepted,
            ..TimingDigest::default()
        })]
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digest.clone())
    }
}
