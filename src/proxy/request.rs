//! The way in: normalise, find the route, run its chain, settle the body and the upstream.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri, header};
use pingora_core::protocols::http::ServerSession;
use prometheus::IntCounter;
use uuid::Uuid;
use uuid::fmt::Urn;
use wiregate_sdk::cache::Plan;
use wiregate_sdk::chain::Stopped;
use wiregate_sdk::host_of;
use wiregate_sdk::views::Claim;
use wiregate_sdk::{Chunk, Facts, Reply};

use super::boxed::boxed;
use super::context::Context;
use super::inbound::Client;
use super::replay::{self, Rest};
use super::{forwarded, heads, rules};
use crate::compile::{Goal, Route};
use crate::config::model::UnderscoresInFields;
use crate::observe::metrics::LinkMetrics;
use crate::router::{Hit, Refusal};

/// An id for a request: a UUIDv7 (RFC 9562, 5.7), so that ids sort by time. It names a request
/// and guards nothing: a fast generator will do.
pub(super) fn new_id(wall: SystemTime) -> Box<str> {
    write_id(wall, &mut Uuid::encode_buffer()).into()
}

/// The same, into a place of one's own.
pub(super) fn write_id(wall: SystemTime, place: &mut [u8; Urn::LENGTH]) -> &str {
    let since = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let random = fastrand::u128(..).to_ne_bytes();
    let mut ten = [0; 10];
    ten.copy_from_slice(&random[..10]);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &ten).into_uuid();
    id.hyphenated().encode_lower(place)
}

impl Context {
    /// Takes a request in, up to the choice of an upstream.
    ///
    /// # Errors
    /// The reply that ends it.
    pub(super) async fn enter(&mut self, session: &mut ServerSession) -> Result<(), Reply> {
        let found = guard(|| self.find_route(session))
            .unwrap_or_else(|| Err(panicked(self.shared.metrics.panics())));
        self.metrics().begin();
        self.end.begun = true;
        found?;
        if !self.ahead.is_plain(&self.snapshot) {
            // A gRPC call may say how long it may take.
            self.deadline = rules::deadline(session.req_header())?;
            forwarded::limit_hops(session.req_header_mut())?;
        }
        let has_chain = |route: &Route| !route.chain.links.is_empty();
        if let Some(plan) = self.plan_ahead() {
            self.exchange.cache = Some(plan);
        } else if self.route().is_some_and(has_chain) {
            // What not every request needs is boxed apart, which keeps this future small.
            boxed(|| self.run_chain(session)).await?;
            self.settle_body(session)?;
        }
        self.settle_upstream(session)
    }

    /// What its chain comes to, where that is known: then it counts as run, and is not.
    fn plan_ahead(&self) -> Option<Box<Plan>> {
        let route = self
            .route()
            .filter(|_| self.ahead.has_key(&self.snapshot))?;
        let policy = route.chain.plan_for_all()?.clone();
        route.link_metrics.iter().for_each(LinkMetrics::ran);
        Some(Box::new(Plan {
            policy,
            key: Vec::new(),
            caller: None,
        }))
    }

    fn find_route(&mut self, session: &mut ServerSession) -> Result<(), Reply> {
        let hit = match self.ahead.path(&self.snapshot) {
            Some(at) => (self.snapshot.router).found(at, session.req_header().uri.path()),
            None => self.look_for_route(session)?,
        };
        self.route = Some(hit.route);
        self.exchange.route = self.snapshot.routes[hit.route].name.clone();
        self.exchange.params = hit.params;
        if let Some(traced) = &mut self.traced {
            traced.path = Some(hit.path);
        }
        Ok(())
    }

    fn look_for_route(&mut self, session: &mut ServerSession) -> Result<Hit, Reply> {
        if self.snapshot.settings.underscores_in_fields == UnderscoresInFields::Drop {
            heads::drop_underscores(session.req_header_mut());
        }
        self.settle_client(session)?;
        heads::settle_connection(session.req_header_mut())?;
        self.show_trace(session.req_header_mut());
        let head = session.req_header();
        if let Err(denied) = rules::no_tunnel(head) {
            // Bytes that were meant for one must not become a request.
            self.peer.lent.close();
            return Err(denied);
        }
        // What conditions see is what is matched and sent on, however it was written.
        self.settle_target(session)?;
        let head = session.req_header();
        let host = host_of(head);
        if !self.peer.may_ask_for(&host, &self.snapshot) {
            drop(host);
            self.peer.lent.close(); // the next connection is for the right name
            return Err(misdirected());
        }
        let (router, path) = (&self.snapshot.router, head.uri.path());
        let found = router.find(head, &mut self.exchange, &host, path);
        let hit = found.map_err(|error| {
            Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "condition_failed")
                .log(error.to_string())
        })?;
        hit.ok_or_else(|| {
            Reply::problem(StatusCode::NOT_FOUND, "no_route").detail("no route takes this request")
        })
    }

    /// Puts the normalised path into the head; `exchange.target` keeps what was received.
    fn settle_target(&mut self, session: &mut ServerSession) -> Result<(), Reply> {
        let head = session.req_header();
        let path = (self.snapshot.router)
            .normalise(head.uri.path())
            .map_err(|refusal| refused(&refusal))?;
        if path == head.uri.path() {
            return Ok(());
        }
        let target = target(&path, head.uri.query())?;
        self.normal_path = Some(path.into());
        // Over HTTP/2 the host may stand in the target alone, and must not go with it.
        let host = self.asked_host.clone();
        let head = session.req_header_mut();
        if let Some(host) = host.filter(|_| !head.headers.contains_key(header::HOST)) {
            // A name and a value that always fit.
            let _ = head.insert_header(header::HOST, host);
        }
        head.set_uri(target);
        Ok(())
    }

    async fn run_chain(&mut self, session: &mut ServerSession) -> Result<(), Reply> {
        let Some(position) = self.route else {
            return Ok(());
        };
        let route = &self.snapshot.routes[position];
        let limits = &self.snapshot.settings.limits;
        let mut inbound = Client::new(session, &mut self.body, &self.shared, limits);
        let reached = |link: usize| route.link_metrics[link].ran();
        let ran = (route.chain)
            .request(&mut self.exchange, &mut inbound, &mut self.slots, reached)
            .await;
        drop(inbound);
        ran.map_err(|Stopped { link, reply }| {
            self.stopped(link, &reply);
            reply
        })?;
        self.request_claim = wiregate_sdk::Chain::request_claim(&self.slots);
        Ok(())
    }

    /// What was read of the body waits for an endpoint.
    fn settle_body(&mut self, session: &mut ServerSession) -> Result<(), Reply> {
        if let Some(begun) = self.body.begun.take() {
            if !begun.ended {
                self.settle_begun(session, *begun);
                return Ok(());
            }
            // It is whole, only that it was too large to be kept.
            self.body.bytes = Some(begun.pieces.freeze());
            self.body.share = Some(begun.share);
        }
        match self.body.bytes.take() {
            Some(bytes) => self.settle_whole(session, bytes),
            None => Ok(()),
        }
    }

    /// A body that is in memory goes through those filters that wanted its pieces and have not seen
    /// it yet, as one piece, so that its length is known and a second attempt sends the same bytes.
    fn settle_whole(&mut self, session: &mut ServerSession, bytes: Bytes) -> Result<(), Reply> {
        let mut chunk = Chunk {
            data: bytes,
            last: true,
        };
        if let Some(position) = self.route {
            let chain = &self.snapshot.routes[position].chain;
            let passed = chain.request_body(&mut chunk, &mut self.slots, self.body.passed);
            passed.map_err(|Stopped { link, reply }| {
                self.stopped(link, &reply);
                reply
            })?;
        }
        if self.body.taken {
            let limits = &self.snapshot.settings.limits;
            Client::new(session, &mut self.body, &self.shared, limits).charge(chunk.data.len())?;
        }
        let was_empty = !self.body.taken && session.is_body_empty();
        if chunk.data.is_empty() && (was_empty || session.is_upgrade_req()) {
            // A tunnel needs no replay, nor does what never was there.
            self.request_claim = Claim::None;
            return Ok(());
        }
        self.body.bytes = Some(chunk.data.clone());
        self.body.lent = Some(replay::lend(session, chunk.data, Rest::None));
        Ok(())
    }

    /// A link has ended the request with this reply.
    pub(super) fn stopped(&mut self, link: usize, reply: &Reply) {
        if let Some(route) = self.route() {
            route.link_metrics[link].stopped(reply);
        }
        self.end.refused_by = Some(link).filter(|_| reply.reason().is_some());
    }

    fn settle_upstream(&mut self, session: &ServerSession) -> Result<(), Reply> {
        let fault = |reason: &'static str, log: String| {
            Err(Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, reason).log(log))
        };
        let upstream = match &self.exchange.upstream {
            Some(name) => match self.snapshot.upstreams.get(name) {
                Some(upstream) => upstream,
                None => return fault("unknown_upstream", format!("a filter chose `{name}`")),
            },
            None => match self.route().and_then(|route| route.goal.as_ref()) {
                Some(Goal::One(upstream)) => upstream,
                Some(Goal::Split(split)) => {
                    let facts = Facts {
                        request: session.req_header(),
                        exchange: &self.exchange,
                        response: None,
                    };
                    match split.choose(&facts) {
                        Ok(upstream) => upstream,
                        Err(why) => return fault("condition_failed", why),
                    }
                }
                None => return fault("no_upstream", "no filter answered".to_owned()),
            },
        };
        self.head_for(upstream.clone());
        Ok(())
    }
}

/// Runs what chooses a route, expressions and patterns included; nothing where it panicked. That is
/// a fault of the gateway or of a library, and costs this one request.
pub(super) fn guard<T>(choose: impl FnOnce() -> T) -> Option<T> {
    // What it may leave half done is this exchange, which then ends.
    catch_unwind(AssertUnwindSafe(choose)).ok()
}

/// The reply for a request whose route could not be chosen. The panic hook has already logged it.
fn panicked(panics: &IntCounter) -> Reply {
    panics.inc();
    Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "routing_panicked")
        .log("the choice of a route panicked")
}

/// The target with a normalised path.
fn target(path: &str, query: Option<&str>) -> Result<Uri, Reply> {
    let target = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    Uri::try_from(target).map_err(|_| {
        Reply::problem(StatusCode::BAD_REQUEST, "invalid_path").detail("the path is not valid")
    })
}

/// What is asked of clients for this name was not asked on this connection (RFC 9110, 15.5.20).
fn misdirected() -> Reply {
    Reply::problem(StatusCode::MISDIRECTED_REQUEST, "misdirected_request")
        .detail("this connection is not for this host: open another one for it")
}

fn refused(refusal: &Refusal) -> Reply {
    Reply::problem(StatusCode::BAD_REQUEST, "invalid_path").detail(refusal.to_string())
}

/// Whether a request announces that it waits for a `100 Continue` (RFC 9110, 10.1.1).
pub(super) fn expects_continue(fields: &HeaderMap) -> bool {
    (fields.get(header::EXPECT))
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_the_choice_of_a_route_is_a_500_and_counted() {
        let panics = IntCounter::new("panics", "panics").unwrap();
        let run = |choose: fn() -> Result<(), Reply>| {
            guard(choose).unwrap_or_else(|| Err(panicked(&panics)))
        };
        assert!(run(|| Ok(())).is_ok());
        assert_eq!(panics.get(), 0);
        let reply = run(|| panic!("a library broke")).unwrap_err();
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(reply.reason(), Some("routing_panicked"));
        assert_eq!(panics.get(), 1);
    }
}
