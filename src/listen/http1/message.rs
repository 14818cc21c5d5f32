//! One message, as Pingora's session reads and answers it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use http::HeaderValue;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::{SslDigest, TlsRef};
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::Gate;
use super::dating::Dating;
use crate::listen::stream::Connection;

/// What a connection and the messages that it lends to Pingora have in common.
#[derive(Debug, Default)]
pub struct Lent {
    /// The gate, once Pingora has let go of the message.
    gate: Mutex<Option<Box<Gate>>>,
    tunnel: AtomicBool,
    /// The date of the response whose head comes next.
    date: Mutex<Option<Dating>>,
    dated: AtomicBool,
    prompt: AtomicBool,
}

impl Lent {
    /// What comes from now on is no message any more: the protocol is switched.
    pub fn becomes_tunnel(&self) {
        self.tunnel.store(true, Ordering::Relaxed);
    }

    /// Whether the protocol was switched.
    pub fn is_tunnel(&self) -> bool {
        self.tunnel.load(Ordering::Relaxed)
    }

    /// The response whose head is written next has this date. Pingora's session puts the present one
    /// there, which is not when a stored response was made (RFC 9110, 6.6.1).
    pub fn keep_date(&self, date: &HeaderValue) {
        let dating = Dating::new(date.as_bytes());
        self.dated.store(dating.is_some(), Ordering::Relaxed);
        *self.date.lock().unwrap_or_else(PoisonError::into_inner) = dating;
    }

    /// What is written of this response leaves at once: it comes in pieces that somebody waits for.
    pub fn be_prompt(&self) {
        self.prompt.store(true, Ordering::Relaxed);
    }

    fn is_dated(&self) -> bool {
        self.dated.load(Ordering::Relaxed)
    }

    /// Takes the gate back.
    pub fn take_back(&self) -> Option<Box<Gate>> {
        self.gate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// One message, as Pingora's session reads and answers it. Dropped, it gives the gate back.
#[derive(Debug)]
pub struct Message {
    /// There until it is dropped.
    gate: Option<Box<Gate>>,
    lent: Arc<Lent>,
}

impl Message {
    /// The message whose head has just arrived at a gate.
    pub fn new(gate: Box<Gate>, lent: Arc<Lent>) -> Self {
        let gate = Some(gate);
        lent.dated.store(false, Ordering::Relaxed);
        lent.prompt.store(false, Ordering::Relaxed);
        Self { gate, lent }
    }

    fn gate(&mut self) -> &mut Gate {
        self.gate.as_deref_mut().expect("there until dropped")
    }

    fn connection(&self) -> &Connection {
        &self
            .gate
            .as_deref()
            .expect("there until dropped")
            .connection
    }

    /// Writes with the date that is to be kept in the place of the one that is there.
    fn poll_write_dated(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let lent = self.lent.clone();
        let mut slot = lent.date.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(dating) = &mut *slot else {
            return self.writer().poll_write(cx, bytes);
        };
        let written = ready!(self.writer().poll_write(cx, dating.next(bytes)))?;
        if dating.wrote(written) {
            lent.dated.store(false, Ordering::Relaxed);
        }
        Poll::Ready(Ok(written))
    }

    fn writer(&mut self) -> Pin<&mut Connection> {
        Pin::new(&mut self.gate().connection)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        let mut slot = (self.lent.gate.lock()).unwrap_or_else(PoisonError::into_inner);
        *slot = self.gate.take();
    }
}

impl AsyncRead for Message {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tunnel = self.lent.is_tunnel();
        let gate = self.gate();
        if tunnel && gate.is_between() {
            return gate.poll_tunnel(cx, buf);
        }
        gate.poll_pass(cx, buf)
    }
}

impl AsyncWrite for Message {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.lent.is_dated() {
            return self.poll_write_dated(cx, bytes);
        }
        let written = ready!(self.writer().poll_write(cx, bytes))?;
        if self.lent.prompt.load(Ordering::Relaxed) {
            // What does not leave now leaves before whatever is written next.
            let _ = self.writer().poll_flush(cx)?;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.lent.is_dated() {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write_dated(cx, first.map_or(&[], |slice| slice));
        }
        self.writer().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_flush(cx)
    }

    /// The connection is ended by whoever takes the gate back, so that the client can still read.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[async_trait]
impl Shutdown for Message {
    async fn shutdown(&mut self) {
        // Whether the other end still listens changes nothing.
        let _ = self.flush().await;
    }
}

impl Peek for Message {}

impl UniqueID for Message {
    fn id(&self) -> UniqueIDType {
        self.connection().id()
    }
}

impl Ssl for Message {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.connection().get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.connection().get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.connection().selected_alpn_proto()
    }
}

impl GetTimingDigest for Message {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.connection().get_timing_digest()
    }
}

impl GetProxyDigest for Message {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.connection().get_proxy_digest()
    }
}

impl GetSocketDigest for Message {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.connection().get_socket_digest()
    }
}
