//! A response on its way from an endpoint: a connection over HTTP/1.1, or a stream over HTTP/2.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, StatusCode, header};
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::http::v2::client::Http2Session;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::super::boxed::boxed;
use crate::upstream::Connector;

/// A request at an endpoint, and its response. Dropped before its end, the connection is closed, or
/// the stream reset.
pub(in crate::proxy) struct Source {
    /// There until dropped or put back.
    session: Option<Box<HttpSession>>,
    stage: Stage,
    /// What has come and was not asked for yet.
    ahead: Option<Result<HttpTask>>,
    connector: Arc<Connector>,
    peer: Box<HttpPeer>,
    /// Whether the connection had been used before.
    pub(in crate::proxy) reused: bool,
}

/// What comes next over HTTP/2.
#[derive(Clone, Copy)]
enum Stage {
    Head,
    Body,
    Trailers,
    Done,
}

const THERE: &str = "there until it is put back";

impl Source {
    /// Opens a connection, or takes an idle one.
    pub(in crate::proxy) async fn open(
        connector: Arc<Connector>,
        peer: Box<HttpPeer>,
    ) -> Result<Self> {
        let (mut session, reused) = connector.get(&peer).await?;
        session.set_read_timeout(peer.options.read_timeout);
        session.set_write_timeout(peer.options.write_timeout);
        Ok(Self {
            session: Some(Box::new(session)),
            stage: Stage::Head,
            ahead: None,
            connector,
            peer,
            reused,
        })
    }

    pub(in crate::proxy) fn is_http2(&self) -> bool {
        matches!(self.session.as_deref(), Some(HttpSession::H2(_)))
    }

    pub(in crate::proxy) fn is_tls(&self) -> bool {
        self.peer.is_tls()
    }

    /// Sends the request.
    pub(in crate::proxy) async fn send(
        &mut self,
        head: Box<RequestHeader>,
        body: Bytes,
    ) -> Result<()> {
        let session = self.session.as_mut().expect(THERE);
        if let HttpSession::H2(stream) = &mut **session {
            stream.write_request_header(head, body.is_empty())?;
        } else {
            session.write_request_header(head).await?;
        }
        if !body.is_empty() {
            session.write_request_body(body, true).await?;
        }
        session.finish_request_body().await
    }

    /// The next part of the response. It may be asked for again when this is dropped half-way.
    pub(in crate::proxy) async fn next(&mut self) -> Result<HttpTask> {
        if let Some(part) = self.ahead.take() {
            return part;
        }
        match &mut **self.session.as_mut().expect(THERE) {
            HttpSession::H1(connection) => connection.read_response_task().await,
            HttpSession::H2(stream) => next_of(stream, &mut self.stage).await,
            HttpSession::Custom(()) => {
                Error::e_explain(ErrorType::InternalError, "no such protocol was asked for")
            }
        }
    }

    /// The next part of the response, where it has come already, and this task has not had its turn. What asks for it is
    /// no part of who waits for this, whose future stays small.
    pub(in crate::proxy) async fn next_at_once(&mut self) -> Option<Result<HttpTask>> {
        poll_fn(|cx| {
            let next = pin!(self.next());
            Poll::Ready(match next.poll(cx) {
                Poll::Ready(next) => Some(next),
                Poll::Pending => None,
            })
        })
        .await
    }

    /// The rest of the response, where it has come already, and as one piece.
    pub(in crate::proxy) async fn rest_at_once(&mut self) -> Option<Bytes> {
        match self.next_at_once().await {
            Some(Ok(HttpTask::Body(data, true))) => Some(data.unwrap_or_default()),
            other => {
                self.ahead = other;
                None
            }
        }
    }

    /// The rest that has been taken is what comes next all the same.
    pub(in crate::proxy) fn take_back(&mut self, rest: Bytes) {
        self.ahead = Some(Ok(HttpTask::Body(Some(rest), true)));
    }

    /// The response has been read to its end: the connection can be used again.
    pub(in crate::proxy) async fn put_back(mut self) {
        if let Some(session) = self.session.take() {
            let idle = self.peer.idle_timeout();
            // It may be moved more than once on its way: whoever waits for this stays small.
            boxed(|| self.connector.release(*session, &self.peer, idle)).await;
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // Pingora has to be told that a stream is gone, so that the connection below it is kept. It
        // never waits for that.
        if let Some(session) = self
            .session
            .take_if(|session| matches!(**session, HttpSession::H2(_)))
        {
            let idle = self.peer.idle_timeout();
            let release = self.connector.release(*session, &self.peer, idle);
            let _ = release.now_or_never();
        }
    }
}

/// Waits for a part of a response.
pub(in crate::proxy) async fn within<T>(
    patience: Duration,
    part: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(patience, part).await {
        Ok(part) => part,
        Err(_) => Error::e_explain(ErrorType::ReadTimedout, "no response in time"),
    }
}

async fn next_of(stream: &mut Http2Session, stage: &mut Stage) -> Result<HttpTask> {
    if let Stage::Head = *stage {
        stream.read_response_header().await?;
        *stage = Stage::Body;
        let head = Box::new(stream.response_header().expect("just read").clone());
        let end = stream.check_response_end_or_error()?;
        if end {
            refuse_missing_body(stream, &head)?;
        }
        return Ok(HttpTask::Header(head, end));
    }
    while let Stage::Body = *stage {
        let Some(data) = stream.read_response_body().await? else {
            *stage = Stage::Trailers;
            break;
        };
        let end = stream.check_response_end_or_error()?;
        // An empty piece would be taken for the end of a chunked body.
        if end || !data.is_empty() {
            return Ok(HttpTask::Body(Some(data), end));
        }
    }
    if let Stage::Trailers = *stage {
        let trailers = stream.read_trailers().await?;
        *stage = Stage::Done;
        if let Some(trailers) = trailers {
            return Ok(HttpTask::Trailer(Some(Box::new(trailers))));
        }
    }
    Ok(HttpTask::Done)
}

/// `h2` does not see that a body is missing where the head ends the stream (RFC 9113, 8.1.1).
fn refuse_missing_body(stream: &Http2Session, head: &ResponseHeader) -> Result<()> {
    let asked_for_head = (stream.request_header()).is_some_and(|head| head.method == Method::HEAD);
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
    let length = head.headers.get(header::CONTENT_LENGTH);
    let announced = length.is_some_and(|length| length.as_bytes().iter().any(|b| *b != b'0'));
    if announced && !asked_for_head && !bodiless {
        let what = "non-zero content-length on EOS headers frame";
        return Error::e_explain(ErrorType::H2Error, what);
    }
    Ok(())
}
