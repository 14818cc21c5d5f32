//! The straight way to an endpoint, for requests without a body.
//!
//! Pingora's proxy reads from the client and writes to the endpoint at the same time, with a channel between
//! the two and room for both. Where there is nothing to read, one after the other will do: the head is sent, and
//! the response passed on as it comes. What counts is the same on both ways, and so is the code that does it.

mod request;
mod response;
mod source;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, header};
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, Result};
use wiregate_sdk::views::Claim;

use super::context::Context;
use crate::config::model::upstream::Protocol;
use crate::upstream::Connector;

pub(super) use source::{Source, within};

impl Context {
    /// Whether the next attempt goes the straight way: there is no body to be sent, nor will there be a tunnel, and
    /// the connection comes from the worker's own pool, as far as anybody knows.
    pub(super) fn goes_straight(&self, session: &mut ServerSession) -> bool {
        let http1 =
            (self.attempts.upstream.as_ref()).is_some_and(|upstream| match upstream.protocol {
                Protocol::Http1 => true,
                Protocol::Negotiate => !upstream.expects_http2(),
                Protocol::H2c | Protocol::H2 => false,
            });
        http1
            && self.body.bytes.as_ref().is_none_or(Bytes::is_empty)
            && self.sends_head_alone(session)
    }

    /// Whether a request is over with its head, and has a target that any server takes.
    pub(super) fn sends_head_alone(&self, session: &mut ServerSession) -> bool {
        self.request_claim == Claim::None
            && session.is_body_empty()
            && !session.req_header().headers.contains_key(header::EXPECT)
            && has_plain_target(session)
    }

    /// Makes one attempt. Returns whether the request was answered; where not, there is to be another attempt.
    ///
    /// # Errors
    /// What went wrong, where it is not tried again.
    pub(super) async fn go_straight(
        &mut self,
        session: &mut ServerSession,
        connector: &Arc<Connector>,
    ) -> Result<bool> {
        let mut peer = self.begin_attempt(session).await?;
        self.time_reads(session, &mut peer.options, true);
        let Some(mut source) = self.send_head(session, connector, peer).await? else {
            return Ok(false);
        };
        let first = self.next_part(session, &mut source).await;
        self.conclude(session, source, first).await
    }

    /// Passes a response on that begins with this part, and gives its connection back. Returns whether the request
    /// was answered; where not, there is to be another attempt.
    ///
    /// # Errors
    /// What went wrong, where it is not tried again.
    pub(super) async fn conclude(
        &mut self,
        session: &mut ServerSession,
        mut source: Source,
        first: Result<HttpTask>,
    ) -> Result<bool> {
        let passed = match first {
            Ok(first) => self.pass_on(session, &mut source, first).await,
            Err(error) => Err(error),
        };
        match passed {
            Ok(()) => {
                source.put_back().await;
                Ok(true)
            }
            Err(error) => {
                let reused = source.reused;
                drop(source);
                again(self.end_broken(session, error, reused)).map(|()| false)
            }
        }
    }

    /// Sends the head of a request that has no body; nothing where there is to be another attempt.
    ///
    /// # Errors
    /// What went wrong, where it is not tried again.
    pub(super) async fn send_head(
        &mut self,
        session: &mut ServerSession,
        connector: &Arc<Connector>,
        peer: Box<HttpPeer>,
    ) -> Result<Option<Source>> {
        // A client that leaves meanwhile is noticed once there is a connection, or none.
        let mut source = match Source::open(connector.clone(), peer).await {
            Ok(source) => source,
            Err(error) => {
                let error = self.end_unconnected(session, error.into_up());
                return again(error).map(|()| None);
            }
        };
        self.connected(source.reused);
        self.await_upload(session); // there is nothing to upload
        let head = self.head_for_endpoint(session, source.is_http2(), source.is_tls());
        let sent = match head {
            Ok(head) => {
                let sent = source.send(head, Bytes::new()).await;
                sent.map_err(Error::into_up)
            }
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => Ok(Some(source)),
            Err(error) => again(self.end_broken(session, error, source.reused)).map(|()| None),
        }
    }
}

/// Whether a request is for a path, and for no tunnel.
pub(super) fn has_plain_target(session: &ServerSession) -> bool {
    let head = session.req_header();
    head.method != Method::CONNECT
        && !head.headers.contains_key(header::UPGRADE)
        && head.raw_path_is_utf8()
        && head.raw_path().starts_with(b"/")
}

/// Whether there is to be another attempt.
///
/// # Errors
/// There is not.
pub(super) fn again(error: Box<Error>) -> Result<()> {
    if error.retry() { Ok(()) } else { Err(error) }
}
