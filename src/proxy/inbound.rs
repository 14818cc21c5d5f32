//! The client's side of an exchange, as filters may use it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use wiregate_sdk::Reply;
use wiregate_sdk::views::Inbound;

use super::Shared;
use super::context::Body;
use super::request::expects_continue;
use crate::config::model::Limits;

/// How much is taken from the budget at a time: small bodies ask once.
const STEP: usize = 64 * 1024;

/// The client's side of an exchange.
pub(super) struct Client<'a> {
    session: &'a mut Session,
    body: &'a mut Body,
    shared: &'a Shared,
    limits: &'a Limits,
}

impl<'a> Client<'a> {
    /// The client's side of this session's exchange.
    pub(super) fn new(
        session: &'a mut Session,
        body: &'a mut Body,
        shared: &'a Shared,
        limits: &'a Limits,
    ) -> Self {
        Self {
            session,
            body,
            shared,
            limits,
        }
    }

    /// Takes what a body in place of the client's own needs beyond what that one had.
    ///
    /// # Errors
    /// A 503, where the memory for bodies is used up.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Reply> {
        let share = (self.body.share).get_or_insert_with(|| self.shared.budget.share());
        let more = (bytes as u64).saturating_sub(share.bytes());
        if more > 0 && !share.grow(more, self.limits.body_memory.get()) {
            return Err(no_memory());
        }
        Ok(())
    }

    /// Reads the client's body to its end and forgets it: a filter has put another in its place.
    ///
    /// # Errors
    /// As for a body that is kept.
    pub(super) async fn discard(&mut self) -> Result<(), Reply> {
        self.whole(false).await.map(drop)
    }

    async fn whole(&mut self, keep: bool) -> Result<Bytes, Reply> {
        let limit = self.limits.buffered_body.get();
        if declared_length(self.session).is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        if expects_continue(self.session) && !self.session.is_body_done() {
            let written = self.session.downstream_session.write_continue_response();
            written.await.map_err(|_| gone())?;
        }
        let deadline: Duration = self.limits.body_deadline.into();
        tokio::time::timeout(deadline, self.collect(limit, keep))
            .await
            .map_err(|_| slow(deadline))?
    }

    async fn collect(&mut self, limit: u64, keep: bool) -> Result<Bytes, Reply> {
        let mut share = self.shared.budget.share();
        let mut total = 0;
        let mut whole = BytesMut::new();
        while let Some(piece) = self
            .session
            .read_request_body()
            .await
            .map_err(|error| broken(&error))?
        {
            total += piece.len();
            if total as u64 > limit {
                return Err(too_large(limit));
            }
            if !keep {
                continue;
            }
            if total > whole.capacity() {
                let ceiling = usize::try_from(limit).unwrap_or(usize::MAX);
                let room = total
                    .max(whole.capacity() * 2)
                    .max(STEP)
                    .min(ceiling.max(total));
                let more = room - whole.capacity();
                if !share.grow(more as u64, self.limits.body_memory.get()) {
                    return Err(no_memory());
                }
                whole.reserve(room - whole.len());
            }
            whole.extend_from_slice(&piece);
        }
        self.body.read = true;
        if keep {
            self.body.share = Some(share);
        }
        Ok(whole.freeze())
    }
}

impl Inbound for Client<'_> {
    fn head(&self) -> &RequestHeader {
        self.session.req_header()
    }

    fn head_mut(&mut self) -> &mut RequestHeader {
        self.session.req_header_mut()
    }

    fn read_body(&mut self) -> Pin<Box<dyn Future<Output = Result<Bytes, Reply>> + Send + '_>> {
        Box::pin(async move {
            if let Some(bytes) = &self.body.bytes {
                return Ok(bytes.clone());
            }
            let bytes = self.whole(true).await?;
            self.body.bytes = Some(bytes.clone());
            Ok(bytes)
        })
    }

    fn replace_body(&mut self, body: Bytes) {
        self.body.bytes = Some(body);
    }
}

fn declared_length(session: &Session) -> Option<u64> {
    let value = session.get_header(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.trim().parse().ok()
}

/// The reply to a body that is too large (RFC 9110, 15.5.14).
pub(super) fn too_large(limit: u64) -> Reply {
    Reply::problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large")
        .detail(format!("the request body may have {limit} bytes"))
}

fn slow(deadline: Duration) -> Reply {
    Reply::problem(StatusCode::REQUEST_TIMEOUT, "body_timeout").detail(format!(
        "the request body did not arrive within {deadline:?}"
    ))
}

fn no_memory() -> Reply {
    Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "body_memory_exhausted")
        .detail("too many request bodies are being worked on")
        .header(header::RETRY_AFTER, http::HeaderValue::from_static("1"))
}

fn gone() -> Reply {
    Reply::problem(StatusCode::BAD_REQUEST, "connection_terminated")
}

fn broken(error: &pingora_error::Error) -> Reply {
    match error.etype() {
        pingora_error::ErrorType::ReadTimedout => {
            Reply::problem(StatusCode::REQUEST_TIMEOUT, "body_timeout")
        }
        _ => Reply::problem(StatusCode::BAD_REQUEST, "http_request_error")
            .detail("the request body is broken off or malformed")
            .log(error.to_string()),
    }
}
