//! The way to an upstream: which endpoint, and the head that it gets.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderValue, StatusCode, Version, header};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorSource, ErrorType, Result, RetryType};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use wiregate_sdk::types::CidrSet;
use wiregate_sdk::views::Claim;
use wiregate_sdk::{Attempt, Facts, Reply};

use super::context::Context;
use super::grpc;
use super::responder::has_begun;
use crate::upstream::{Ask, Outcome};

// Static text costs Pingora's header maps one allocation less than a `HeaderName`.
const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED_HOST: &str = "x-forwarded-host";
/// Idle connections that an endpoint had closed, and that a request may run into, at most. After so
/// many it gets a new connection, which cannot be one of them.
const MOST_STALE: u32 = 2;
/// Proxies that a request may have come through, at most; those before are not looked at.
const MOST_HOPS: usize = 32;

impl Context {
    /// Chooses an endpoint for an attempt.
    ///
    /// # Errors
    /// A 503 where no endpoint is available, a 504 where no time is left, a 500 where the key that
    /// endpoints are chosen by has no value.
    pub(super) fn begin_attempt(&mut self, session: &mut Session) -> Result<Box<HttpPeer>> {
        let left = self.time_left()?;
        let Some(upstream) = self.attempts.upstream.clone() else {
            return Err(self.fault(Reply::problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "no_upstream",
            )));
        };
        let facts = Facts {
            request: session.req_header(),
            exchange: &self.exchange,
            response: None,
        };
        let wish = upstream.policy.wish(&facts).map_err(|why| {
            let reply = Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "condition_failed");
            self.fault(reply.log(format!("`hash.by` has no value: {why}")))
        })?;
        let now = self.shared.clock.instant();
        let ask = Ask::new(&self.attempts.tried, &wish, now);
        let Some(chosen) = upstream.choose(&ask) else {
            let reply = Reply::problem(StatusCode::SERVICE_UNAVAILABLE, upstream.lack())
                .log(format!("no endpoint of `{}` is available", upstream.name));
            return Err(self.fault(reply));
        };
        let mut peer = Box::new(chosen.endpoint().peer.clone());
        if self.attempts.stale == MOST_STALE {
            use_new_connection(&mut peer);
        }
        if let Some(left) = left {
            for timeout in [
                &mut peer.options.connection_timeout,
                &mut peer.options.total_connection_timeout,
                &mut peer.options.read_timeout,
                &mut peer.options.write_timeout,
            ] {
                *timeout = Some(timeout.map_or(left, |timeout| timeout.min(left)));
            }
        }
        self.settle_upgrade(session, &mut peer.options);
        self.attempts.tried.push(chosen.endpoint().clone());
        self.attempts.made += 1;
        self.attempts.started = Some(now);
        self.attempts.open = Some(chosen);
        upstream.metrics.begin();
        Ok(peer)
    }

    /// The time that the exchange may still take; `None` for any.
    ///
    /// # Errors
    /// A 504 where none is left.
    pub(super) fn time_left(&mut self) -> Result<Option<Duration>> {
        let upstream = self.attempts.upstream.as_ref();
        let total = upstream.and_then(|upstream| upstream.total);
        let Some(total) = total.into_iter().chain(self.deadline).min() else {
            return Ok(None);
        };
        let spent = self.shared.clock.instant() - self.exchange.now.instant;
        match total.checked_sub(spent).filter(|left| !left.is_zero()) {
            Some(left) => Ok(Some(left)),
            None => Err(self.fault(
                Reply::problem(StatusCode::GATEWAY_TIMEOUT, "http_response_timeout")
                    .log(format!("the exchange may take {total:?}")),
            )),
        }
    }

    /// An error that Pingora passes on, while the reply waits here.
    pub(super) fn fault(&mut self, reply: Reply) -> Box<Error> {
        let status = reply.status.as_u16();
        self.reply = Some(reply);
        Error::explain(ErrorType::HTTPStatus(status), "a reply is waiting")
    }

    /// No connection: another endpoint may be tried, since nothing was sent.
    pub(super) fn end_unconnected(
        &mut self,
        _session: &Session,
        mut error: Box<Error>,
    ) -> Box<Error> {
        self.report_failure();
        self.end_attempt();
        let counted = self.attempts.made - self.attempts.stale;
        let allowed = (self.attempts.upstream.as_ref()).map_or(1, |upstream| upstream.attempts);
        error.set_retry(counted < allowed);
        error
    }

    /// The exchange with an endpoint broke. It is only tried again where the endpoint closed a
    /// connection that had been idle, as the request left, and the request may be repeated.
    pub(super) fn end_broken(
        &mut self,
        session: &Session,
        mut error: Box<Error>,
        reused: bool,
    ) -> Box<Error> {
        let stale = reused && error.retry == RetryType::ReusedOnly;
        if *error.esource() == ErrorSource::Upstream && !stale {
            self.report_failure();
        }
        self.end_attempt();
        let repeatable = session.req_header().method.is_idempotent()
            && !session.as_ref().retry_buffer_truncated()
            && !self.attempts.body_seen
            && !has_begun(session);
        if repeatable && self.reply.is_none() && self.attempts.stale < MOST_STALE {
            error.retry.decide_reuse(reused);
            if error.retry() {
                // The endpoint itself did nothing wrong: it may be tried again.
                self.attempts.stale += 1;
                self.attempts.tried.pop();
            }
        } else {
            error.set_retry(false);
        }
        error
    }

    /// The head of a response has come.
    pub(super) fn answered(&mut self, status: StatusCode) {
        let Some(upstream) = &self.attempts.upstream else {
            return;
        };
        if let Some(started) = self.attempts.started.take() {
            let now = self.shared.clock.instant();
            let waited = now - started;
            self.attempts.waited = Some(waited);
            upstream.metrics.answered(status, waited);
            if let Some(chosen) = &self.attempts.open {
                upstream.report(chosen.endpoint(), Outcome::Answered(status), waited, now);
            }
        }
    }

    /// The endpoint did not answer, or broke off.
    fn report_failure(&self) {
        if let (Some(upstream), Some(chosen)) = (&self.attempts.upstream, &self.attempts.open) {
            let now = self.shared.clock.instant();
            let waited = (self.attempts.started).map_or(Duration::ZERO, |started| now - started);
            upstream.report(chosen.endpoint(), Outcome::Failed, waited, now);
        }
    }

    /// Where the client is to come back to the endpoint that has answered, it gets a ticket.
    pub(super) fn give_ticket(&self, session: &Session, head: &mut ResponseHeader) -> Result<()> {
        let https = self.exchange.client.scheme == "https";
        let (Some(upstream), Some(endpoint)) =
            (&self.attempts.upstream, self.attempts.tried.last())
        else {
            return Ok(());
        };
        match upstream.ticket(endpoint, session.req_header(), https) {
            Some(field) => head.append_header(header::SET_COOKIE, field).map(drop),
            None => Ok(()),
        }
    }

    /// Counts an attempt as over, with a response or without.
    pub(super) fn end_attempt(&mut self) {
        if self.attempts.open.take().is_none() {
            return;
        }
        let unanswered = self.attempts.started.take();
        if let Some(started) = unanswered {
            self.attempts.waited = Some(self.shared.clock.instant() - started);
        }
        if let Some(upstream) = &self.attempts.upstream {
            upstream.metrics.end(unanswered.is_none());
        }
    }

    /// Finishes the head that an endpoint gets.
    ///
    /// # Errors
    /// A 500, where a filter panicked.
    pub(super) fn forward(&mut self, session: &Session, head: &mut RequestHeader) -> Result<()> {
        self.frame(session, head)?;
        self.forwarded(head)?;
        if head.version == Version::HTTP_2 && grpc::is_call(&head.headers) {
            // Pingora takes it out as a field for one hop; a gRPC server wants to see it.
            head.insert_header(header::TE, "trailers")?;
        }
        let (Some(position), Some(upstream)) = (self.route, self.attempts.upstream.clone()) else {
            return Ok(());
        };
        if upstream.http2_only && head.version != Version::HTTP_2 {
            let reply = Reply::problem(StatusCode::BAD_GATEWAY, "tls_protocol_error").log(format!(
                "an endpoint of `{}` does not choose HTTP/2",
                upstream.name
            ));
            return Err(self.fault(reply));
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
    fn frame(&self, session: &Session, head: &mut RequestHeader) -> Result<()> {
        if let Some(bytes) = &self.body.bytes {
            head.remove_header(&header::EXPECT);
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

    /// `X-Forwarded-*`: what a trusted proxy said is kept and added to, all else is replaced.
    fn forwarded(&self, head: &mut RequestHeader) -> Result<()> {
        let own = self.peer.forwarded_for.clone();
        let (mut scheme, mut host) = (true, true);
        if self.peer.trusted {
            scheme = !head.headers.contains_key(FORWARDED_PROTO);
            host = !head.headers.contains_key(FORWARDED_HOST);
            let chain = chain_of_proxies(head, &own);
            head.insert_header(FORWARDED_FOR, chain)?;
        } else {
            head.insert_header(FORWARDED_FOR, own)?;
        }
        if scheme {
            let scheme = HeaderValue::from_static(self.exchange.client.scheme);
            head.insert_header(FORWARDED_PROTO, scheme)?;
        }
        if host {
            match self.asked_host.clone() {
                Some(host) => head.insert_header(FORWARDED_HOST, host)?,
                None => drop(head.remove_header(FORWARDED_HOST)),
            }
        }
        Ok(())
    }
}

/// Keeps an attempt away from the pool: no connection in it has this key. The new connection is not
/// kept either, as nobody else would find it.
fn use_new_connection(peer: &mut HttpPeer) {
    peer.group_key = fastrand::u64(..);
    peer.options.idle_timeout = Some(Duration::from_millis(1));
}

/// What `X-Forwarded-For` said already, with one more address.
fn chain_of_proxies(head: &RequestHeader, own: &HeaderValue) -> Vec<u8> {
    let mut chain = Vec::new();
    for value in head.headers.get_all(FORWARDED_FOR) {
        chain.extend_from_slice(value.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(own.as_bytes());
    chain
}

/// The host that the client asks for, with its port.
pub(super) fn asked_host(head: &RequestHeader) -> Option<HeaderValue> {
    if let Some(host) = head.headers.get(header::HOST) {
        return Some(host.clone());
    }
    HeaderValue::from_str(head.uri.authority()?.as_str()).ok()
}

fn has_body(session: &Session) -> bool {
    let headers = &session.req_header().headers;
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get(header::CONTENT_LENGTH)
            .map_or(session.req_header().version == Version::HTTP_2, |length| {
                length.as_bytes() != b"0"
            })
}

/// The client's address as trusted proxies tell it: the last one in `X-Forwarded-For` that is
/// not a trusted proxy itself.
pub(super) fn client_address(trusted: &CidrSet, head: &RequestHeader) -> Option<IpAddr> {
    let mut found = None;
    let fields: Vec<&str> = (head.headers.get_all(FORWARDED_FOR).iter())
        .filter_map(|value| value.to_str().ok())
        .collect();
    let hops = fields.iter().rev().flat_map(|field| field.rsplit(','));
    for hop in hops.take(MOST_HOPS) {
        let Ok(address) = hop.trim().parse::<IpAddr>() else {
            return found; // whoever wrote this is not to be believed further
        };
        found = Some(address);
        if !trusted.contains(address) {
            return found;
        }
    }
    found
}

/// The scheme that a trusted proxy tells.
pub(super) fn scheme(head: &RequestHeader) -> Option<&'static str> {
    match head.headers.get(FORWARDED_PROTO)?.as_bytes() {
        b"https" => Some("https"),
        b"http" => Some("http"),
        _ => None,
    }
}
