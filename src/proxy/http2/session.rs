//! One exchange over HTTP/2, as Pingora talks to it.
//!
//! Pingora's own session drops interim responses (103, 100), knows no deadline, and can only be
//! made by Pingora's own accept loop; this one stands on the same streams of `h2`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::body_buffer::FixedBuffer;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_core::protocols::http::custom::server::Session as CustomSession;
use pingora_core::protocols::http::date::get_cached_date;
use pingora_core::protocols::http::v1::client::http_req_header_to_wire;
use pingora_core::protocols::http::v2::write_body;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_error::{Error, ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::time::Sleep;

use crate::proxy::failure::DEADLINE;
use crate::proxy::grpc;

/// How much of a request body is kept for a second attempt.
const KEPT: usize = 64 * 1024;
/// What may stand in no HTTP/2 response (RFC 9113, 8.2.2).
const FOR_ONE_HOP: [HeaderName; 5] = [
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// One exchange over HTTP/2.
pub(super) struct Session {
    head: RequestHeader,
    body: RecvStream,
    /// Whether the request body has been read to its end.
    body_ended: bool,
    respond: SendResponse<Bytes>,
    writer: Option<SendStream<Bytes>>,
    written: Option<Box<ResponseHeader>>,
    /// Whether the response has ended.
    ended: bool,
    received: usize,
    sent: usize,
    kept: Option<FixedBuffer>,
    digest: Arc<Digest>,
    write_timeout: Option<Duration>,
    drain_timeout: Option<Duration>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Session {
    /// The exchange that a request begins.
    pub fn new(
        head: RequestHeader,
        body: RecvStream,
        respond: SendResponse<Bytes>,
        digest: Arc<Digest>,
    ) -> Self {
        let deadline = (grpc::deadline(&head.headers).and_then(Result::ok))
            .map(|deadline| Box::pin(tokio::time::sleep(deadline)));
        Self {
            head,
            body,
            body_ended: false,
            respond,
            writer: None,
            written: None,
            ended: false,
            received: 0,
            sent: 0,
            kept: None,
            digest,
            write_timeout: None,
            drain_timeout: None,
            deadline,
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>> {
        let data = (self.body.data().await.transpose())
            .or_err(ErrorType::ReadError, "the request body breaks off")?;
        let Some(data) = data else {
            self.body_ended = true;
            return Ok(None);
        };
        self.received += data.len();
        if let Some(kept) = &mut self.kept {
            kept.write_to_buffer(&data);
        }
        // A stream that is gone has no capacity to give back.
        let _ = self.body.flow_control().release_capacity(data.len());
        Ok(Some(data))
    }

    async fn read_to_end(&mut self) -> Result<()> {
        while self.read().await?.is_some() {}
        Ok(())
    }

    /// Returns when the client gives the stream up.
    async fn given_up(&mut self) -> Box<Error> {
        let reset = std::future::poll_fn(|cx| match &mut self.writer {
            Some(writer) => writer.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        });
        let why = match reset.await {
            Ok(reason) => format!("the client has reset the stream: {reason}"),
            Err(error) => format!("the connection is gone: {error}"),
        };
        Error::explain(ErrorType::ConnectionClosed, why).into_down()
    }

    fn write_head(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.ended || self.written.is_some() {
            return Ok(());
        }
        for name in &FOR_ONE_HOP {
            head.remove_header(name);
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Error::e_explain(ErrorType::InvalidHTTPHeader, "HTTP/2 knows no 101");
        }
        if head.status.is_informational() {
            let interim = Response::from_parts(head.as_owned_parts(), ());
            return (self.respond.send_informational(interim))
                .or_err(ErrorType::WriteError, "an interim response cannot be sent");
        }
        head.insert_header(header::DATE, get_cached_date())?;
        let response = Response::from_parts(head.as_owned_parts(), ());
        let writer = (self.respond.send_response(response, end))
            .or_err(ErrorType::WriteError, "a response cannot be sent")?;
        self.written = Some(head);
        self.writer = Some(writer);
        self.ended = end;
        Ok(())
    }

    async fn write(&mut self, data: Bytes, end: bool) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let Some(writer) = &mut self.writer else {
            return Error::e_explain(ErrorType::InternalError, "a head comes before a body");
        };
        let bytes = data.len();
        let written = write_body(writer, data, end, self.write_timeout).await;
        written.map_err(Error::into_down)?;
        self.sent += bytes;
        self.ended = end;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let (Some(writer), false) = (&mut self.writer, self.ended) {
            (writer.send_data(Bytes::new(), true))
                .or_err(ErrorType::WriteError, "a response cannot be ended")?;
            self.ended = true;
        }
        Ok(())
    }

    fn end_with(&mut self, trailers: HeaderMap) -> Result<()> {
        if let (Some(writer), false) = (&mut self.writer, self.ended) {
            (writer.send_trailers(trailers))
                .or_err(ErrorType::WriteError, "trailers cannot be sent")?;
            self.ended = true;
        }
        Ok(())
    }

    async fn take(&mut self, task: HttpTask) -> Result<bool> {
        match task {
            HttpTask::Header(head, end) => {
                self.write_head(head, end)?;
                Ok(end)
            }
            HttpTask::Body(data, end) => {
                if let Some(data) = data.filter(|data| !data.is_empty()) {
                    self.write(data, end).await?;
                }
                Ok(end)
            }
            HttpTask::UpgradedBody(..) => {
                Error::e_explain(ErrorType::InternalError, "HTTP/2 knows no upgrade")
            }
            HttpTask::Trailer(trailers) => {
                if let Some(trailers) = trailers {
                    self.end_with(*trailers)?;
                }
                Ok(true)
            }
            HttpTask::Done => Ok(true),
            HttpTask::Failed(error) => Err(error),
        }
    }
}

/// A request that may be served, out of one that has come.
///
/// # Errors
/// What is wrong with it: it is malformed (RFC 9113, 8.1.1).
pub(super) fn head_of(request: Request<()>) -> Result<RequestHeader> {
    let (parts, ()) = request.into_parts();
    let lengths = parts.headers.get_all(header::CONTENT_LENGTH).iter();
    if lengths.count() > 1 {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "more than one content-length");
    }
    let head = RequestHeader::from(parts);
    let path = head.raw_path();
    if path.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "the path has control bytes");
    }
    if head.uri.authority().is_none() && !head.headers.contains_key(header::HOST) {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "no authority");
    }
    if head.method != http::Method::CONNECT {
        if !path.starts_with(b"/") && path != b"*" {
            return Error::e_explain(ErrorType::InvalidHTTPHeader, "the path is no path");
        }
        pingora_core::protocols::http::authority::validate_request_authority(&head)?;
    }
    Ok(head)
}

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
    /// the deadline of the call has come.
    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let mut deadline = self.deadline.take();
        let over = async {
            match &mut deadline {
                Some(deadline) => deadline.as_mut().await,
                None => std::future::pending().await,
            }
        };
        let next = async {
            if no_body_expected || self.is_body_done() {
                return Err(self.given_up().await);
            }
            self.read().await
        };
        let read = tokio::select! {
            biased;
            read = next => read,
            () = over => Error::e_explain(DEADLINE, "the deadline of the call has passed"),
        };
        self.deadline = deadline;
        read
    }

    fn set_read_timeout(&mut self, _timeout: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
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

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Error::e_explain(ErrorType::InternalError, "there are no custom messages")
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _w: Box<dyn CustomMessageWrite>) -> Result<()> {
        Error::e_explain(ErrorType::InternalError, "there are no custom messages")
    }
}
