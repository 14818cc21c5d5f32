//! What Pingora asks of a session.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, header};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::body_buffer::FixedBuffer;
use pingora_core::protocols::http::custom::server::Session as CustomSession;
use pingora_core::protocols::http::v1::client::http_req_header_to_wire;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_error::{Error, ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::Session;
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
        if self.is_body_done() {
            return Ok(());
        }
        let Some(limit) = self.drain_timeout else {
            return self.read_to_end().await;
        };
        let drained = tokio::time::timeout(limit, self.read_to_end()).await;
        drained.or_err(ErrorType::ReadTimedout, "the request body goes on")?
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.write_head(head, end)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.write_head(Box::new(head.clone()), end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.write(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.end_with(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut end = false;
        for task in tasks {
            if let HttpTask::Failed(error) = task {
                return Err(error); // the endpoint's, not the client's
            }
            end |= self.take(task).await.map_err(Error::into_down)?;
        }
        if end {
            self.end().map_err(Error::into_down)?;
        }
        Ok(end)
    }

    /// The next piece of the body; after the last one it waits until the client is gone, or until
    /// the exchange must be over.
    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let (mut timer, until) = (std::mem::take(&mut self.timer), self.until.clone());
        let over = std::future::poll_fn(|cx| timer.poll(&until, cx));
        let next = async {
            if no_body_expected || self.is_body_done() {
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

    /// How long the request body may be silent while there is no response.
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
        if !self.ended {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    async fn finish(&mut self) -> Result<()> {
        self.end()
    }

    fn is_body_done(&mut self) -> bool {
        self.body_ended || self.is_body_empty() || self.body.is_end_stream()
    }

    fn is_body_empty(&mut self) -> bool {
        let length = || self.head.headers.get(header::CONTENT_LENGTH);
        self.received == 0
            && (self.body.is_end_stream() || length().is_some_and(|value| value == "0"))
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

    fn enable_retry_buffering(&mut self) {
        self.kept.get_or_insert_with(|| FixedBuffer::new(KEPT));
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.kept.as_ref().is_some_and(FixedBuffer::is_truncated)
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        let kept = self.kept.as_ref().filter(|kept| !kept.is_truncated())?;
        kept.get_buffer()
    }

    // What only sessions of protocols of one's own have.

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    no_messages!();
}
