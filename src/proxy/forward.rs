//! The head that an endpoint gets.

use bytes::Bytes;
use http::{HeaderValue, Version, header};
use pingora_core::protocols::http::ServerSession;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use wiregate_sdk::views::Claim;
use wiregate_sdk::{Attempt, RequestHead};

use super::context::Context;
use super::{grpc, heads};
use crate::config::model::upstream::Protocol;
use crate::upstream::Address;

impl Context {
    /// Finishes the head that an endpoint gets.
    ///
    /// # Errors
    /// A 500, where a filter panicked.
    pub(super) fn forward(
        &mut self,
        session: &ServerSession,
        head: &mut RequestHeader,
    ) -> Result<()> {
        self.attempts.shares = head.version == Version::HTTP_2;
        self.note_choice(head);
        if self.asked_host.as_ref().is_none_or(|host| host.is_empty()) {
            self.name_host(head)?;
        }
        self.frame(session, head)?;
        heads::edit_request(head, |head| self.finish_head(head))?;
        if let Some(span) = &mut self.attempts.span {
            let hides = (self.snapshot.traces.as_ref()).is_some_and(|traces| traces.hides);
            let asked = self.normal_path.as_deref();
            let asked = asked.unwrap_or(self.exchange.target.path());
            span.sent(
                &head.method,
                &head.uri,
                head.version,
                hides.then_some(asked),
            );
        }
        Ok(())
    }

    /// A request may have named no host, but one over HTTP/1.1 or later should (RFC 9112, 3.2): then it
    /// is the endpoint, unless a filter has named another one.
    fn name_host(&self, head: &mut RequestHeader) -> Result<()> {
        let named = head.headers.get(header::HOST);
        if named.is_some_and(|host| !host.is_empty()) || head.uri.authority().is_some() {
            return Ok(());
        }
        let Some(endpoint) = self.attempts.tried.last() else {
            return Ok(());
        };
        let host = match &endpoint.address {
            _ if !endpoint.peer.sni.is_empty() => endpoint.peer.sni.as_str(),
            Address::Inet(_) => &*endpoint.label,
            Address::Unix(_) => "localhost",
        };
        head.insert_header(header::HOST, host)
    }

    /// The interim response that a client waits for before its body does not get through from an
    /// endpoint over HTTP/2: it gets it from here (RFC 9110, 10.1.1).
    pub(super) async fn answer_expectation(
        &mut self,
        session: &mut ServerSession,
        head: &mut RequestHeader,
    ) -> Result<()> {
        if head.version != Version::HTTP_2 || head.remove_header(&header::EXPECT).is_none() {
            return Ok(());
        }
        let begun = session.is_body_done() || session.body_bytes_read() > 0;
        if begun || std::mem::replace(&mut self.body.continued, true) {
            return Ok(());
        }
        let written = session.write_continue_response();
        written.await.map_err(Error::into_down)
    }

    /// What goes on from hop to hop, and what the filters want of an attempt.
    fn finish_head(&mut self, head: &mut RequestHead) -> Result<()> {
        self.pass_trace(&mut head.headers);
        self.forwarded(&mut head.headers)?;
        if head.version == Version::HTTP_2 && grpc::is_content(&head.headers) {
            // Pingora takes it out as a field for one hop; a gRPC server wants to see it.
            let trailers = HeaderValue::from_static("trailers");
            head.headers.insert(header::TE, trailers);
        }
        let (Some(position), Some(upstream)) = (self.route, &self.attempts.upstream) else {
            return Ok(());
        };
        if upstream.protocol == Protocol::H2 && head.version != Version::HTTP_2 {
            let why = format!("an endpoint of `{}` does not choose HTTP/2", upstream.name);
            return Err(Error::explain(ErrorType::TLSHandshakeFailure, why).into_up());
        }
        upstream.hide_ticket(head);
        if self.slots.is_empty() {
            return Ok(());
        }
        let mut attempt = Attempt {
            exchange: &self.exchange,
            head,
            upstream: &upstream.name,
            endpoint: (self.attempts.tried.last()).map_or("", |endpoint| &endpoint.label),
            number: self.attempts.made,
        };
        let chain = &self.snapshot.routes[position].chain;
        chain
            .upstream(&mut attempt, &mut self.slots)
            .map_err(|reply| self.fault(reply))
    }

    /// The body's framing follows from what filters did to it.
    fn frame(&self, session: &ServerSession, head: &mut RequestHeader) -> Result<()> {
        if self.body.bytes.is_some() || self.body.continued {
            head.remove_header(&header::EXPECT);
        }
        // What was read for links that are only looked at leaves as if it had not been.
        let taken = |bytes: &&Bytes| self.body.taken || bytes.is_empty();
        if let Some(bytes) = self.body.bytes.as_ref().filter(taken) {
            head.remove_header(&header::TRANSFER_ENCODING);
            let had = head.headers.contains_key(header::CONTENT_LENGTH);
            if had || !bytes.is_empty() {
                head.insert_header(header::CONTENT_LENGTH, bytes.len())?;
            }
        } else if self.request_claim == Claim::Rewrite && has_body(session) {
            head.remove_header(&header::CONTENT_LENGTH);
            if head.version == Version::HTTP_11 {
                head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
            }
        }
        Ok(())
    }
}

fn has_body(session: &ServerSession) -> bool {
    let headers = &session.req_header().headers;
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get(header::CONTENT_LENGTH)
            .map_or(session.req_header().version == Version::HTTP_2, |length| {
                length.as_bytes() != b"0"
            })
}
