//! One exchange over HTTP/2, as Pingora talks to it.
//!
//! Pingora's own session drops interim responses (103, 100), knows no deadline, and can only be
//! made by Pingora's own accept loop; this one stands on the same streams of `h2`.

mod custom;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::date::get_cached_date;
use pingora_error::{Error, ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::time::Instant;
use wiregate_sdk::Reply;

use crate::listen::Ending;
use crate::listen::until::Until;
use crate::proxy::conversation::Conversation;
use crate::proxy::grpc;
use crate::proxy::heads::{self, REQUEST_ID, TakenResponse};
use crate::proxy::pace::{Pace, Paces};
use crate::proxy::session::{Account, late, untaken};

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
    account: Account,
    paces: Paces,
    body: RecvStream,
    /// Whether the request body has been read to its end.
    body_ended: bool,
    respond: SendResponse<Bytes>,
    writer: Option<SendStream<Bytes>>,
    /// Whether the response has ended.
    ended: bool,
    /// Where it is known whether the fields of the response are to be kept, once it is written.
    conversation: Option<Arc<Conversation>>,
    /// When the exchange must be over.
    pub(super) until: Arc<Until>,
    ending: Ending,
}

impl Session {
    /// The exchange that a request begins.
    pub fn new(
        head: RequestHeader,
        body: RecvStream,
        respond: SendResponse<Bytes>,
        digest: Arc<Digest>,
        ending: Ending,
        paces: Paces,
    ) -> Self {
        let until = Until::default();
        // A call's deadline holds before anything else is known of it.
        let deadline = grpc::deadline(&head).and_then(Result::ok);
        until.set(deadline.and_then(|deadline| Instant::now().checked_add(deadline)));
        let until = Arc::new(until);
        Self {
            account: Account::new(head, digest, until.clone()),
            paces,
            body,
            body_ended: false,
            respond,
            writer: None,
            ended: false,
            conversation: None,
            until,
            ending,
        }
    }

    /// The same, whose response keeps its fields where the access log asks about them.
    pub(super) fn keeping_fields_for(mut self, conversation: Arc<Conversation>) -> Self {
        self.conversation = Some(conversation);
        self
    }

    async fn read(&mut self) -> Result<Option<Bytes>> {
        let data = match self.account.written.is_none() {
            true => {
                let next = self.body.data();
                let read = self.account.read_within(&mut self.paces.request, next);
                read.await.map_err(late)?
            }
            // Now the time-outs towards the endpoint hold: a stream may be silent in this direction.
            false => self.body.data().await,
        };
        let data =
            (data.transpose()).or_err(ErrorType::ReadError, "the request body breaks off")?;
        let Some(data) = data else {
            self.body_ended = true;
            return Ok(None);
        };
        self.paces.request.moved(data.len());
        self.account.came(&data);
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
        let reset = poll_fn(|cx| match &mut self.writer {
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
        if self.ended || self.account.written.is_some() {
            return Ok(());
        }
        let status = head.status;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Error::e_explain(ErrorType::InvalidHTTPHeader, "HTTP/2 knows no 101");
        }
        // What is kept of it is its status: as a rule that is all that is asked for.
        let mut parts = TakenResponse::of(&mut head).parts;
        head.set_status(status)?;
        for name in &FOR_ONE_HOP {
            parts.headers.remove(name);
        }
        if status.is_informational() {
            return (self
                .respond
                .send_informational(Response::from_parts(parts, ())))
            .or_err(ErrorType::WriteError, "an interim response cannot be sent");
        }
        if let Some(id) = parts.headers.get_mut(&REQUEST_ID) {
            // It comes once: in the table of the connection's fields it would only push out others
            // (RFC 7541, 7.1.3).
            id.set_sensitive(true);
        }
        if !parts.headers.contains_key(header::DATE) {
            parts.headers.insert(header::DATE, get_cached_date());
        }
        // By the log that there is by now: a reload may have changed it since the request came.
        let asking = self.conversation.as_ref();
        if asking.is_some_and(|asking| asking.shared.log_asks_response()) {
            heads::edit_response(&mut head, |head| head.headers.clone_from(&parts.headers));
        }
        let writer = (self
            .respond
            .send_response(Response::from_parts(parts, ()), end))
        .or_err(ErrorType::WriteError, "a response cannot be sent")?;
        self.account.written = Some(head);
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
        let pace = (&mut self.paces.response, self.account.write_timeout);
        send(writer, data, end, pace)
            .await
            .map_err(Error::into_down)?;
        self.account.went(bytes);
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

    /// The answer to a call that is nothing but its status.
    fn write_status(&mut self, fields: [(&'static str, HeaderValue); 2]) -> Result<()> {
        let mut head = ResponseHeader::build(StatusCode::OK, Some(4))?;
        if let Some(content_type) = self.account.head.headers.get(header::CONTENT_TYPE) {
            head.insert_header(header::CONTENT_TYPE, content_type)?;
        }
        for (name, value) in fields {
            head.insert_header(name, value)?;
        }
        self.write_head(Box::new(head), true)
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

/// Sends a piece of a body as fast as the client takes it, which has a limit for each wait.
async fn send(
    writer: &mut SendStream<Bytes>,
    mut data: Bytes,
    end: bool,
    (pace, limit): (&mut Pace, Option<Duration>),
) -> Result<()> {
    let sent = |sent: std::result::Result<(), h2::Error>| {
        sent.or_err(ErrorType::WriteError, "a response cannot be sent")
    };
    if data.is_empty() {
        return sent(writer.send_data(data, end)); // there is no room to wait for
    }
    while !data.is_empty() {
        writer.reserve_capacity(data.len());
        let room = poll_fn(|cx| writer.poll_capacity(cx));
        let room = pace.wait(limit, room).await.map_err(untaken)?;
        let Some(room) = room else {
            return Error::e_explain(ErrorType::H2Error, "the stream is closed");
        };
        let room = room.or_err(ErrorType::H2Error, "while the client takes a response")?;
        let piece = data.split_to(room.min(data.len()));
        if !piece.is_empty() {
            pace.moved(piece.len());
            sent(writer.send_data(piece, end && data.is_empty()))?;
        }
    }
    Ok(())
}

impl Drop for Session {
    /// A call that is cut off because the gateway ends gets a status. Any other exchange that has
    /// not ended is reset by `h2`.
    fn drop(&mut self) {
        if self.ended || !self.ending.is_over() || !grpc::is_call(&self.account.head) {
            return;
        }
        let fields = grpc::fields(&Reply::problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "the gateway ends",
        ));
        // Whether the client still listens changes nothing.
        let _ = match self.writer {
            Some(_) => self.end_with(HeaderMap::from_iter(
                fields.map(|(name, value)| (HeaderName::from_static(name), value)),
            )),
            None => self.write_status(fields),
        };
    }
}

#[cfg(test)]
mod tests;
