//! One message, as Pingora's session reads and answers it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::{SslDigest, TlsRef};
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::Gate;
use crate::listen::stream::Connection;
use crate::listen::until::{Over, Timer, Until};

/// What a connection and the messages that it lends to Pingora have in common.
#[derive(Debug, Default)]
pub struct Lent {
    /// The gate, once Pingora has let go of the message.
    gate: Mutex<Option<Box<Gate>>>,
    tunnel: AtomicBool,
    /// When the exchange that the present message begins must be over.
    pub until: Arc<Until>,
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
    timer: Timer,
}

impl Message {
    /// The message whose head has just arrived at a gate.
    pub fn new(gate: Box<Gate>, lent: Arc<Lent>) -> Self {
        lent.until.set(None);
        Self {
            gate: Some(gate),
            lent,
            timer: Timer::default(),
        }
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
        let passed = gate.poll_pass(cx, buf);
        if passed.is_pending() {
            // Who waits for the client has nothing to write for now: what was gathered leaves,
            // such as the head of a response whose body takes its time.
            if let Poll::Ready(Err(gone)) = self.writer().poll_flush(cx) {
                return Poll::Ready(Err(gone));
            }
            let Self { lent, timer, .. } = &mut *self;
            if timer.poll(&lent.until, cx).is_ready() {
                return Poll::Ready(Err(io::Error::other(Over)));
            }
        }
        passed
    }
}

impl AsyncWrite for Message {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writer().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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
