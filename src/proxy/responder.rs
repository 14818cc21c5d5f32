//! The one place where the gateway's own replies are written.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_error::{Error, Result};
use pingora_http::ResponseHeader;
use serde_json::{Map, Value};
use tokio::task::unconstrained;
use wiregate_sdk::chain::{Slots, Stopped, has_length};
use wiregate_sdk::reply::{Problem, ReplyBody};
use wiregate_sdk::views::Claim;
use wiregate_sdk::{Chain, Origin, Reply, Response};

use super::budget::Share;
use super::context::Context;
use super::heads::TakenResponse;
use super::inbound::no_memory;
use super::request::expects_continue;
use super::{failure, grpc};
use crate::upstream::Cause;

/// An unread body up to this size is read and forgotten, so that the connection can go on.
const DRAINED: u64 = 64 * 1024;
/// How long such a body may take.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// The status to log for a client that is gone, as nginx has it.
const CLIENT_GONE: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};
/// How long a client gets to take notice of a reply while it still sends.
const LINGER: Duration = Duration::from_millis(500);

impl Context {
    /// Answers with a reply of the gateway's own.
    ///
    /// # Errors
    /// The client is gone.
    pub(super) async fn respond(
        &mut self,
        session: &mut ServerSession,
        reply: Reply,
        origin: Origin,
    ) -> Result<()> {
        drain(session).await;
        let is_call = grpc::is_call(session.req_header());
        let (mut reply, mut bare, mut refused) = (reply, false, false);
        // What filters make of it is held until it is written.
        let mut share = None;
        let (call, mut head, body) = loop {
            self.note(&reply, origin);
            let call = is_call && !reply.status.is_success();
            let (mut head, body) = match call {
                true => (trailers_only(session, &reply)?, Bytes::new()),
                false => self.draft(&reply)?,
            };
            let body = if bare { Bytes::new() } else { body };
            let came = body.len();
            match self.through_filters(session, &mut head, body, bare).await {
                Ok(body) => {
                    let made = body.len().saturating_sub(came);
                    if self.account(&mut share, made) {
                        break (call, head, body);
                    }
                    if refused {
                        head.remove_header(&header::CONTENT_ENCODING);
                        break (call, head, Bytes::new());
                    }
                    (reply, refused) = (no_memory(), true);
                }
                // A link has a say over a whole body once, and what cannot pass in pieces goes
                // without a body: this comes to an end.
                Err((stopped, in_pieces)) => {
                    self.stopped(stopped.link, &stopped.reply);
                    (reply, bare) = (stopped.reply, bare | in_pieces);
                }
            }
        };
        self.identify(&mut head);
        if call {
            self.end.status = Some(head.status);
            return write_head_alone(session, head).await;
        }
        self.write_whole(session, head, body).await
    }

    /// Writes a response whose body is there as a whole.
    ///
    /// # Errors
    /// The client is gone.
    pub(super) async fn write_whole(
        &mut self,
        session: &mut ServerSession,
        mut head: ResponseHeader,
        body: Bytes,
    ) -> Result<()> {
        self.end.status = Some(head.status);
        measure(&mut head, &body)?;
        let bodiless = self.exchange.method == Method::HEAD || is_bodiless(head.status);
        if bodiless && Chain::response_claim(&self.slots) >= Claim::Rewrite {
            // What a filter would make of the body is not known, nor how long that would be.
            head.remove_header(&header::CONTENT_LENGTH);
        }
        let body = if bodiless { Bytes::new() } else { body };
        if body.is_empty() {
            return write_head_alone(session, head).await;
        }
        session.write_response_header(Box::new(head)).await?;
        session.write_response_body(body, true).await?;
        linger(session).await;
        Ok(())
    }

    /// What went wrong gets its reply, unless a response has begun. Returns the status.
    pub(super) async fn fail(&mut self, session: &mut ServerSession, error: &Error) -> u16 {
        if *error.etype() == failure::ANSWERED {
            linger(session).await;
            return self.end.status.map_or(0, |status| status.as_u16());
        }
        let begun = has_begun(session);
        let failure = failure::of(error, begun);
        let reply = self.take_reply();
        self.let_go(session);
        if begun {
            let reason = reply.as_ref().and_then(Reply::reason);
            let reason = self
                .end
                .error
                .get_or_insert(reason.unwrap_or(failure.reason));
            let reply = failure.status.map(|status| Reply::problem(status, reason));
            return end_call(session, reply).await;
        }
        let Some(status) = failure.status else {
            self.end.error = Some(failure.reason);
            self.end.status = Some(CLIENT_GONE);
            return 0;
        };
        let reply = reply
            .unwrap_or_else(|| Reply::problem(status, failure.reason).log(failure::detail(error)));
        let code = reply.status.as_u16();
        self.end.error = reply.reason();
        self.return_connection(session);
        // A client that is gone has its own line in the log.
        let _ = self.respond(session, reply, Origin::Gateway).await;
        code
    }

    fn note(&mut self, reply: &Reply, origin: Origin) {
        self.end.origin = origin;
        if let ReplyBody::Problem(problem) = &reply.body {
            self.end.error = Some(problem.reason);
            self.end.detail.clone_from(&problem.log);
        }
    }

    fn draft(&self, reply: &Reply) -> Result<(ResponseHeader, Bytes)> {
        let mut head = ResponseHeader::build(reply.status, Some(reply.headers.len() + 6))?;
        let body = match &reply.body {
            ReplyBody::Empty => Bytes::new(),
            ReplyBody::Bytes(content_type, bytes) => {
                head.insert_header(header::CONTENT_TYPE, content_type)?;
                bytes.clone()
            }
            ReplyBody::Problem(problem) => {
                let json = HeaderValue::from_static("application/problem+json");
                head.insert_header(header::CONTENT_TYPE, json)?;
                head.insert_header(header::CACHE_CONTROL, "no-store")?;
                if let Some(cause) = Cause::of(problem.reason) {
                    head.insert_header("proxy-status", cause.proxy_status())?;
                }
                self.problem(reply.status, problem)
            }
        };
        for (name, value) in &reply.headers {
            head.append_header(name, value)?;
        }
        // Filters go by it, as they do with a response from upstream.
        measure(&mut head, &body)?;
        Ok((head, body))
    }

    /// Takes memory for so many bytes; `false` where there is none.
    fn account(&self, share: &mut Option<Share>, bytes: usize) -> bool {
        let limit = self.snapshot.settings.limits.body_memory.get();
        let share = (bytes > 0).then(|| share.get_or_insert_with(|| self.shared.budget.share()));
        share.is_none_or(|share| share.cover(bytes, limit))
    }

    /// The members of RFC 9457, 3.1, then the reply's own.
    fn problem(&self, status: StatusCode, problem: &Problem) -> Bytes {
        let mut members = Map::new();
        let mut member = |name: &str, value: Value| {
            members.insert(name.to_owned(), value);
        };
        member("type", format!("urn:wiregate:{}", problem.reason).into());
        member(
            "title",
            status.canonical_reason().unwrap_or("Unknown").into(),
        );
        member("status", status.as_u16().into());
        if let Some(detail) = &problem.detail {
            member("detail", detail.as_str().into());
        }
        member(
            "instance",
            format!("urn:request:{}", self.exchange.id).into(),
        );
        for (name, value) in &problem.members {
            member(name, value.clone());
        }
        let mut text = Value::Object(members).to_string();
        text.push('\n');
        text.into()
    }

    /// The links that the request has entered see the reply on its way out.
    ///
    /// # Errors
    /// What a link sends in its place, and whether that came of the body in pieces.
    async fn through_filters(
        &mut self,
        session: &ServerSession,
        head: &mut ResponseHeader,
        body: Bytes,
        bare: bool,
    ) -> Result<Bytes, (Stopped, bool)> {
        let Some(position) = self.route else {
            return Ok(body);
        };
        let chain = &self.snapshot.routes[position].chain;
        let mut taken = TakenResponse::of(head);
        let request = session.req_header();
        let parts = &mut taken.parts;
        let mut view = Response::new(&mut self.exchange, request, parts, Origin::Gateway);
        let passed = pass(chain, &mut view, body, bare, &mut self.slots).await;
        taken.put(head);
        passed
    }
}

/// A reply's head and body, back up the chain. A bare one has no body, whatever becomes of that in
/// pieces.
async fn pass(
    chain: &Chain,
    view: &mut Response<'_>,
    body: Bytes,
    bare: bool,
    slots: &mut Slots,
) -> Result<Bytes, (Stopped, bool)> {
    let waiting = chain.response(view, slots, true);
    debug_assert!(waiting.is_ok(), "a lenient pass does not fail");
    let waiting = waiting.unwrap_or_default();
    let to = waiting.map_or(0, |link| link + 1);
    let body = match chain.pass_whole(body, slots, to) {
        Ok(body) => body,
        Err(_) if bare => Bytes::new(),
        Err(reply) => return Err((Stopped { link: to, reply }, true)),
    };
    let Some(link) = waiting else {
        return Ok(body);
    };
    let climbed = chain.climb(view, body, slots, link, true);
    climbed.await.map_err(|stopped| (stopped, false))
}

/// Writes a head that nothing follows: over HTTP/2 it ends the stream itself.
///
/// # Errors
/// The client is gone.
pub(super) async fn write_head_alone(
    session: &mut ServerSession,
    head: ResponseHeader,
) -> Result<()> {
    let only = HttpTask::Header(Box::new(head), true);
    session.response_duplex_vec(vec![only]).await?;
    linger(session).await;
    Ok(())
}

/// The reply to a gRPC call: a head that is trailers as well, and nothing after it.
fn trailers_only(session: &ServerSession, reply: &Reply) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(reply.headers.len() + 6))?;
    if let Some(content_type) = session.get_header(header::CONTENT_TYPE) {
        head.insert_header(header::CONTENT_TYPE, content_type)?;
    }
    for (name, value) in &reply.headers {
        head.append_header(name, value)?;
    }
    head.insert_header(header::CACHE_CONTROL, "no-store")?;
    for (name, value) in grpc::fields(reply) {
        head.insert_header(name, value)?;
    }
    if session.req_header().version != Version::HTTP_2 {
        head.insert_header(header::CONTENT_LENGTH, 0)?;
    }
    Ok(head)
}

/// Ends a gRPC call whose response has begun with trailers that say what went wrong; any other
/// response is cut. Always 0: there is no status to tell.
async fn end_call(session: &mut ServerSession, reply: Option<Reply>) -> u16 {
    let call = grpc::may_stream(session.req_header());
    if let (true, Some(reply)) = (call, reply) {
        let mut trailers = HeaderMap::new();
        for (name, value) in grpc::fields(&reply) {
            trailers.insert(name, value);
        }
        // A client that is gone learns nothing.
        let _ = session.write_response_trailers(trailers).await;
    }
    0
}

/// Says how long a body is, where there may be one (RFC 9110, 8.6).
fn measure(head: &mut ResponseHeader, body: &Bytes) -> Result<()> {
    if is_bodiless(head.status) {
        head.remove_header(&header::CONTENT_LENGTH);
        return Ok(());
    }
    if has_length(&head.headers, body.len()) {
        return Ok(());
    }
    head.insert_header(header::CONTENT_LENGTH, body.len())
}

fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Whether a response has begun that no other can take the place of (RFC 9110, 15.2).
pub(super) fn has_begun(session: &ServerSession) -> bool {
    session.response_written().is_some_and(|head| {
        !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS
    })
}

/// Reads a small unread body, so that the connection can be used again: one whose length is told, or what has come
/// already of one in chunks, whose client may be waiting for the reply.
async fn drain(session: &mut ServerSession) {
    if session.is_body_done() || expects_continue(&session.req_header().headers) {
        return;
    }
    let Some(length) = session.get_header(header::CONTENT_LENGTH) else {
        if session.get_header(header::TRANSFER_ENCODING).is_some() {
            let _ = unconstrained(read_some(session)).now_or_never();
        }
        return;
    };
    let length = length.to_str().ok();
    let length = length.and_then(|length| length.trim().parse::<u64>().ok());
    if length.is_some_and(|length| length <= DRAINED) {
        let _ = tokio::time::timeout(DRAIN_TIME, read_some(session)).await;
    }
}

/// Reads a body to its end, unless it turns out to be large.
async fn read_some(session: &mut ServerSession) {
    let mut left = DRAINED;
    while let Ok(Some(data)) = session.read_request_body().await {
        match left.checked_sub(data.len() as u64) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// Lets a client that still sends its body take notice of an error, over HTTP/2: dropping the
/// stream resets it, and some clients (curl 7.88) forget a reply that they have not read by then. These
/// stop sending where they read an error; anything else leaves them waiting, but for the reset.
async fn linger(session: &mut ServerSession) {
    let is_error =
        |head: &ResponseHeader| head.status.is_client_error() || head.status.is_server_error();
    let is_heard = session.req_header().version == Version::HTTP_2
        && session.response_written().is_some_and(is_error);
    if is_heard && !session.is_body_done() {
        let rest = session.drain_request_body();
        let _ = tokio::time::timeout(LINGER, rest).await;
    }
}
