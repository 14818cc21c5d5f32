//! What Pingora asks of a session.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::body_buffer::FixedBuffer;
use pingora_core::protocols::http::custom::server::Session as CustomSession;
use pingora_core::protocols::http::v1::client::http_req_header_to_wire;
use pingora_core::protocols::http::v1::common::is_upgrade_req;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_error::{Error, ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use smallvec::SmallVec;

use super::{Framing, Session};
use crate::listen::until::Over;
use crate::proxy::messages::no_messages;

/// How much of a request body is kept for a second attempt.
const KEPT: usize = 64 * 1024;

#[async_trait]
impl CustomSession for Session {
    fn req_header(&self) -> &RequestHeader {
        &self.head
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.head
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.read().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        if self.is_read() {
            return Ok(());
        }
        let Some(limit) = self.drain_timeout else {
            return self.read_to_end().await;
        };
        let drained = tokio::time::timeout(limit, self.read_to_end()).await;
        drained.or_err(ErrorType::ReadTimedout, "the request body goes on")?
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        let (_, waits) = self.take(HttpTask::Header(head, end)).await?;
        if waits {
            return Ok(());
        }
        self.flush().await
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.write_response_header(Box::new(head.clone()), end)
            .await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        if !data.is_empty() {
            self.write(&data).await?;
        }
        match end {
            true => self.end().await,
            false => self.flush().await,
        }
    }

    async fn write_trailers(&mut self, _trailers: HeaderMap) -> Result<()> {
        self.end().await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let (mut ended, mut waits) = (false, false);
        let mut pieces = SmallVec::<[Bytes; 4]>::new();
        for task in tasks {
            match task {
                HttpTask::Body(data, end) if !matches!(self.framing, Framing::Chunks) => {
                    pieces.extend(data.filter(|data| !data.is_empty()));
                    (ended, waits) = (ended | end, false);
                }
                task => {
                    self.write_pieces(&mut pieces).await?;
                    let (end, more) = self.take(task).await?;
                    (ended, waits) = (ended | end, more);
                }
            }
        }
        self.write_pieces(&mut pieces).await?;
        if ended || matches!(self.framing, Framing::Length(0)) {
            self.end().await?;
            return Ok(true);
        }
        if !waits {
            self.flush().await?;
        }
        Ok(false)
    }

    /// The next piece of the body; after the last one it waits until the client is gone, or until
    /// the exchange must be over. A tunnel lives as long as its ends want it to.
    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let (mut timer, peer) = (std::mem::take(&mut self.timer), self.peer.clone());
        let tunnel = self.tunnel.is_some();
        let over = std::future::poll_fn(|cx| match tunnel {
            true => Poll::Pending,
            false => timer.poll(&peer.lent.until, cx),
        });
        let next = async {
            if no_body_expected || self.is_read() {
                return Err(self.given_up().await);
            }
            self.read().await
        };
        let read = tokio::select! {
            biased;
            read = next => read,
            () = over => Error::e_because(ErrorType::ReadError, "while the client is awaited", Over),
        };
        self.timer = timer;
        read
    }

    /// How long the request body may be silent.
    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.write_timeout = timeout;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.write_timeout
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.drain_timeout = timeout;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.drain_timeout
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.head.method, self.head.uri)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    async fn shutdown(&mut self, _code: u32, _why: &str) {
        self.goes_on = false; // whoever takes the gate back ends the connection
    }

    async fn finish(&mut self) -> Result<()> {
        self.end().await
    }

    fn is_body_done(&mut self) -> bool {
        self.is_read()
    }

    fn is_body_empty(&mut self) -> bool {
        self.received == 0 && self.is_read()
    }

    fn body_bytes_sent(&self) -> usize {
        self.sent
    }

    fn body_bytes_read(&self) -> usize {
        self.received
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Arc::get_mut(&mut self.digest)
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.peer_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.local_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        http_req_header_to_wire(&self.head).map_or_else(Bytes::new, |wire| wire.freeze())
    }

    /// It is called when the head has left: without a body there is nothing to keep.
    fn enable_retry_buffering(&mut self) {
        if !self.is_read() {
            self.kept.get_or_insert_with(|| FixedBuffer::new(KEPT));
        }
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.kept.as_ref().is_some_and(FixedBuffer::is_truncated)
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        let kept = self.kept.as_ref().filter(|kept| !kept.is_truncated())?;
        kept.get_buffer()
    }

    fn is_upgrade_req(&self) -> bool {
        is_upgrade_req(&self.head)
    }

    fn was_upgraded(&self) -> bool {
        self.tunnel.is_some()
    }

    // What only sessions of protocols of one's own have.

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    no_messages!();
}
