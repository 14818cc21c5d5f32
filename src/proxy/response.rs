//! The way out: a response head from upstream goes back up the chain.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;
use pingora_http::ResponseHeader;
use wiregate_sdk::views::Claim;
use wiregate_sdk::{Chain, Facts, Origin, Response, ResponseHead};

use super::context::{Context, Heads, Traffic, protocol};
use super::heads::{REQUEST_ID, TakenResponse};
use super::{heads, replay};
use crate::cache::Dealt;
use crate::compile::Route;
use crate::observe::access_log::{Ended, Entry, Target};

/// What the gateway itself adds to a response: `via`, and the request's id.
const OWN_FIELDS: usize = 2;

impl Context {
    /// A response head from upstream is about to leave.
    ///
    /// # Errors
    /// A 500, where a filter panicked; a 502 or 503, where a filter wants the whole body and there
    /// is no room for it.
    pub(super) fn response_head(
        &mut self,
        session: &mut ServerSession,
        head: &mut ResponseHeader,
    ) -> Result<()> {
        let status = head.status;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            heads::settle_interim(head);
            return Ok(());
        }
        self.end.origin = Origin::Upstream;
        self.invalidate(head);
        let trailers = head.version == Version::HTTP_2 && self.version == Version::HTTP_2;
        let mut taken = TakenResponse::of(head);
        let adds = self.route().map_or(0, |route| route.adds_fields);
        if adds > 0 {
            // Where it fails, it is made field by field.
            let _ = taken.parts.headers.try_reserve(OWN_FIELDS + adds);
        }
        heads::settle_response(&mut taken.parts, trailers);
        if self.caching.is_some() {
            // What is stored is what the upstream said, without what this gateway tells one caller.
            taken.put(head);
            self.passed(session, head)?;
            taken = TakenResponse::of(head);
        }
        if let Some(ticket) = self.ticket(session) {
            taken.parts.headers.append(header::SET_COOKIE, ticket);
        }
        self.leave_taken(session, taken, head, Origin::Upstream)
    }

    /// A response head leaves: back up the chain, then framed for the client.
    ///
    /// # Errors
    /// A 500, where a filter panicked.
    pub(super) fn leave(
        &mut self,
        session: &mut ServerSession,
        head: ResponseHead,
        origin: Origin,
    ) -> Result<ResponseHeader> {
        let mut place = heads::without_fields(head.status);
        self.leave_taken(session, head.into(), &mut place, origin)?;
        Ok(place)
    }

    /// A head that was taken out of its place goes back up the chain, and into its place.
    fn leave_taken(
        &mut self,
        session: &mut ServerSession,
        mut taken: TakenResponse,
        head: &mut ResponseHeader,
        origin: Origin,
    ) -> Result<()> {
        self.put_id(&mut taken.parts.headers); // filters see this one, and not another's
        let filtered = self.route.filter(|_| !self.slots.is_empty());
        let (ran, edited) = filtered.map_or((Ok(None), false), |position| {
            let chain = &self.snapshot.routes[position].chain;
            let request = session.req_header();
            let mut view = Response::new(&mut self.exchange, request, &mut taken.parts, origin);
            let ran = chain.response(&mut view, &mut self.slots, false);
            (ran, view.is_edited())
        });
        if edited && !self.has_id(&taken.parts.headers) {
            self.put_id(&mut taken.parts.headers);
        }
        if filtered.is_some() {
            self.bound_gathering(Some(&taken.parts.headers));
        }
        taken.put(head);
        match ran {
            Err(reply) => return Err(self.fault(reply)),
            Ok(Some(link)) => return self.hold(session, head, link),
            Ok(None) if filtered.is_some() => self.frame_response(session, head)?,
            Ok(None) => {}
        }
        self.end.status = Some(head.status);
        Ok(())
    }

    /// Whether nothing can follow this head (RFC 9112, 6.3).
    pub(super) fn is_bodiless(&self, status: StatusCode) -> bool {
        self.exchange.method == Method::HEAD
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
            || status == StatusCode::SWITCHING_PROTOCOLS
    }

    /// The body's framing follows from what filters will do to it.
    fn frame_response(&mut self, session: &ServerSession, head: &mut ResponseHeader) -> Result<()> {
        self.response_claim = Chain::response_claim(&self.slots);
        let bodiless = self.is_bodiless(head.status);
        if self.response_claim >= Claim::Rewrite {
            head.remove_header(&header::CONTENT_LENGTH);
            head.remove_header(&header::ACCEPT_RANGES);
        }
        if bodiless {
            self.response_claim = Claim::None;
        } else if self.response_claim == Claim::Rewrite
            && session.req_header().version == Version::HTTP_11
        {
            head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
        }
        Ok(())
    }

    /// Every response carries the request's id, whatever filters do to it.
    pub(super) fn identify(&self, head: &mut ResponseHeader) {
        if !self.has_id(&head.headers) {
            heads::edit_response(head, |head| self.put_id(&mut head.headers));
        }
    }

    fn has_id(&self, fields: &HeaderMap) -> bool {
        fields.get_all(&REQUEST_ID).iter().eq([&*self.exchange.id])
    }

    fn put_id(&self, fields: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.exchange.id) {
            fields.insert(&REQUEST_ID, id);
        }
    }

    /// Puts the client's session back in its place, where a stand-in had it.
    pub(super) fn return_connection(&mut self, session: &mut ServerSession) {
        if let Some(slot) = self.body.lent.take() {
            replay::give_back(session, &slot);
        }
    }

    /// Writes the access log's line, if it is to have one.
    pub(super) fn log(
        &self,
        route: Option<&Route>,
        traffic: &Traffic,
        took: Duration,
        heads: Option<Heads<'_>>,
    ) {
        let log = self.shared.access_log.load();
        let Some(log) = &**log else {
            return;
        };
        let facts = heads.map(|heads| Facts {
            request: heads.request,
            exchange: &self.exchange,
            response: heads.response,
        });
        let ended = Ended {
            status: self.end.status,
            failed: self.end.error.is_some(),
            duration: took,
        };
        if log.plan().takes(ended, facts.as_ref()) {
            log.write(self.entry(route, traffic, took, log.plan().extra(facts.as_ref())));
        }
    }

    fn entry(
        &self,
        route: Option<&Route>,
        traffic: &Traffic,
        took: Duration,
        extra: Vec<Box<str>>,
    ) -> Entry {
        let upstream = self.attempts.upstream.as_ref();
        let endpoint = (self.attempts.tried.last()).map(|endpoint| endpoint.label.clone());
        let labels = |those: Vec<(usize, &'static str)>| label(route, &those);
        let chain = route.map(|route| &route.chain);
        let observed = chain.map(|chain| chain.observed(&self.slots).collect());
        let degraded = chain.map(|chain| chain.degraded(&self.slots).collect());
        let target = self.exchange.target.path_and_query();
        let identity = self.exchange.identity.as_ref();
        let consumer = identity.and_then(|identity| identity.consumer.as_ref());
        let (trace_id, span_id) = self.trace_ids();
        Entry {
            time: self.exchange.now.wall,
            request_id: self.exchange.id.clone(),
            trace_id,
            span_id,
            client: self.exchange.client.address,
            method: Entry::method(&self.exchange.method),
            target: Target::new(target.map_or("", |target| target.as_str())),
            host: self.host.clone(),
            protocol: protocol(self.version),
            route: route.map(|route| route.name.clone()),
            upstream: upstream.map(|upstream| upstream.name.clone()),
            endpoint,
            status: self.end.status.map(|status| status.as_u16()),
            bytes_in: traffic.received,
            bytes_out: traffic.sent,
            duration: took,
            cache: self.dealt().map(Dealt::word),
            upstream_time: self.attempts.waited,
            attempts: self.attempts.made,
            identity: identity.map(|identity| identity.name.clone()),
            consumer: consumer.map(|consumer| consumer.name.clone()),
            refused_by: self.refused_by(route),
            observed: observed.map_or_else(Vec::new, labels),
            degraded: degraded.map_or_else(Vec::new, labels),
            error: self.end.error,
            detail: self.end.detail.as_deref().map(Entry::text),
            extra,
        }
    }
}

/// Links with the word that there is to say about each, by their labels.
fn label(route: Option<&Route>, links: &[(usize, &'static str)]) -> Vec<(Box<str>, &'static str)> {
    let label = |link: usize| Some(route?.chain.links.get(link)?.label.as_str().into());
    let links = links.iter();
    links
        .filter_map(|(link, word)| Some((label(*link)?, *word)))
        .collect()
}
