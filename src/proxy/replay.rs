//! A stand-in for a client's session: once its body is in memory, or the beginning of it, while it asks for a
//! WebSocket, or while a response waits for its body.
//!
//! Pingora sends a body on as it reads it, and keeps no more than 64 KiB of it for a second
//! attempt. The stand-in takes the session's place after the body was read: whenever Pingora asks for
//! its replay buffer it gets what was read (or what filters made of it), whatever its size, on each
//! attempt. That is the whole body, or the rest comes from the session (`begun.rs`). For a WebSocket it
//! looks after the tunnel (`websocket.rs`). Of a response that waits it lets nothing through (`held.rs`).
//! All else goes through to the session, which returns to its place when the stand-in is dropped.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::custom::server::Session as CustomSession;
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::session::no_messages;
use super::websocket::Tunnel;

/// Where a lent session comes back to.
pub(super) type Slot = Arc<Mutex<Option<Box<ServerSession>>>>;

/// Puts a stand-in that has read this of a body in the place of the client's session.
pub(super) fn lend(session: &mut ServerSession, read: Bytes, rest: Rest) -> Slot {
    lend_to(session, Role::Replay(read, rest))
}

/// Puts a stand-in that looks after a tunnel in the place of the client's session.
pub(super) fn lend_to_tunnel(session: &mut ServerSession, tunnel: Tunnel) -> Slot {
    lend_to(session, Role::Tunnel(tunnel))
}

/// Puts a stand-in that lets nothing of a response through in the place of the client's session, or
/// of its stand-in.
pub(super) fn lend_to_silence(session: &mut ServerSession) -> Slot {
    lend_to(session, Role::Silence)
}

fn lend_to(session: &mut ServerSession, role: Role) -> Slot {
    let slot = Slot::default();
    let stand_in = StandIn {
        session: Some(take(session)),
        role,
        slot: slot.clone(),
    };
    *session = ServerSession::new_custom(Box::new(stand_in));
    slot
}

/// Puts the client's session back into its place.
pub(super) fn give_back(session: &mut ServerSession, slot: &Slot) {
    drop(take(session)); // the stand-in, which leaves the session in the slot
    if let Some(lent) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
        *session = *lent;
    }
}

/// Takes the client's session out of its place, and leaves an empty one there.
pub(super) fn take(session: &mut ServerSession) -> Box<ServerSession> {
    let empty = ServerSession::new_custom(Box::new(()));
    Box::new(std::mem::replace(session, empty))
}

struct StandIn {
    /// Always there until the stand-in is dropped.
    session: Option<Box<ServerSession>>,
    role: Role,
    slot: Slot,
}

/// What a stand-in is for.
enum Role {
    /// Gives this of a body, as often as it is asked for, and then the rest.
    Replay(Bytes, Rest),
    /// Looks after a WebSocket.
    Tunnel(Tunnel),
    /// Keeps what is written from the client.
    Silence,
}

/// What follows what was read of a body.
pub(super) enum Rest {
    /// Nothing: that is all.
    None,
    /// What the session still has.
    Later,
    /// No end, but this error, once.
    Broken(Option<Box<Error>>),
}

const THERE: &str = "there until dropped";

impl StandIn {
    fn real(&self) -> &ServerSession {
        self.session.as_deref().expect(THERE)
    }

    fn real_mut(&mut self) -> &mut ServerSession {
        self.session.as_deref_mut().expect(THERE)
    }

    fn is_silent(&self) -> bool {
        matches!(self.role, Role::Silence)
    }

    /// Whether the session itself is asked for the body.
    fn reads_on(&self) -> bool {
        matches!(self.role, Role::Silence | Role::Replay(_, Rest::Later))
    }

    /// Forgets what was read before, once so much has followed that there can be no other attempt.
    fn let_go(&mut self) {
        let is_too_much = self.real().retry_buffer_truncated();
        if let Role::Replay(read, Rest::Later) = &mut self.role
            && is_too_much
        {
            *read = Bytes::new();
        }
    }

    /// What comes in the place of a body's rest that there is not.
    fn break_off(&mut self) -> Result<()> {
        let Role::Replay(_, Rest::Broken(error)) = &mut self.role else {
            return Ok(());
        };
        let broken = || Error::explain(ErrorType::ReadError, "the body has broken off").into_down();
        Err(error.take().unwrap_or_else(broken))
    }
}

/// Whether the response is over, as a session says that writes it.
fn swallow(tasks: Vec<HttpTask>) -> Result<bool> {
    let mut over = false;
    for task in tasks {
        over |= task.is_end();
        if let HttpTask::Failed(error) = task {
            return Err(error);
        }
    }
    Ok(over)
}

impl Drop for StandIn {
    fn drop(&mut self) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = self.session.take();
    }
}

#[async_trait]
impl CustomSession for StandIn {
    // What the stand-in is for.

    fn get_retry_buffer(&self) -> Option<Bytes> {
        match &self.role {
            Role::Replay(read, _) => match self.real().get_retry_buffer() {
                Some(more) if self.reads_on() => Some([read.clone(), more].concat().into()),
                _ => Some(read.clone()).filter(|read| !read.is_empty()),
            },
            Role::Silence => self.real().get_retry_buffer(),
            Role::Tunnel(_) => None,
        }
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.reads_on() && self.real().retry_buffer_truncated()
    }

    fn enable_retry_buffering(&mut self) {
        if let Role::Tunnel(tunnel) = &mut self.role {
            tunnel.head_leaves(); // it is called when the head has been written
        } else if self.reads_on() {
            self.real_mut().enable_retry_buffering();
        }
    }

    fn is_body_empty(&mut self) -> bool {
        match &mut self.role {
            Role::Replay(read, rest) => read.is_empty() && matches!(rest, Rest::None),
            Role::Tunnel(tunnel) => tunnel.is_body_empty(),
            Role::Silence => self.real_mut().is_body_empty(),
        }
    }

    fn is_body_done(&mut self) -> bool {
        match &self.role {
            Role::Silence | Role::Replay(_, Rest::Later) => self.real_mut().is_body_done(),
            Role::Replay(_, Rest::Broken(_)) => false,
            Role::Replay(_, Rest::None) => true,
            Role::Tunnel(tunnel) => tunnel.is_body_done(self.session.as_mut().expect(THERE)),
        }
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.break_off()?;
        if !self.reads_on() {
            return Ok(None);
        }
        let piece = self.real_mut().read_request_body().await;
        self.let_go();
        piece
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        match self.reads_on() {
            true => self.real_mut().drain_request_body().await,
            false => Ok(()),
        }
    }

    // What goes through.

    fn req_header(&self) -> &RequestHeader {
        self.real().req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.real_mut().req_header_mut()
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.is_silent() {
            return Ok(());
        }
        self.real_mut().write_response_header(head).await?;
        self.end_if(end).await
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        if self.is_silent() {
            return Ok(());
        }
        self.real_mut().write_response_header_ref(head).await?;
        self.end_if(end).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        if self.is_silent() {
            return Ok(());
        }
        self.real_mut().write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if self.is_silent() {
            return Ok(());
        }
        self.real_mut().write_response_trailers(trailers).await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let session = self.session.as_deref_mut().expect(THERE);
        match &mut self.role {
            Role::Replay(..) => session.response_duplex_vec(tasks).await,
            Role::Tunnel(tunnel) => tunnel.write(session, tasks).await,
            Role::Silence => swallow(tasks),
        }
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.real_mut().set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.real().get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.real_mut().set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.real().get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.real_mut().set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.real().get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.real().request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.real().response_written()
    }

    async fn shutdown(&mut self, _code: u32, _why: &str) {
        self.real_mut().shutdown().await;
    }

    async fn finish(&mut self) -> Result<()> {
        if self.is_silent() {
            return Ok(());
        }
        self.real_mut().finish_body().await
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected {
            self.break_off()?;
        }
        let session = self.session.as_deref_mut().expect(THERE);
        let piece = match &mut self.role {
            Role::Replay(..) | Role::Silence => session.read_body_or_idle(no_body_expected).await,
            Role::Tunnel(tunnel) => tunnel.read(session, no_body_expected).await,
        };
        self.let_go();
        piece
    }

    fn body_bytes_sent(&self) -> usize {
        self.real().body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.real().body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.real().digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.real_mut().digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.real().client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.real().server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.real().to_h1_raw()
    }

    fn is_upgrade_req(&self) -> bool {
        self.real().is_upgrade_req()
    }

    fn was_upgraded(&self) -> bool {
        self.real().was_upgraded()
    }

    // What only sessions of protocols of one's own have.

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    no_messages!();
}

impl StandIn {
    async fn end_if(&mut self, end: bool) -> Result<()> {
        if end {
            self.real_mut().finish_body().await?;
        }
        Ok(())
    }
}
