//! What one exchange carries from its first hook to its last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Version};
use pingora_core::protocols::http::ServerSession;
use pingora_error::Error;
use smallvec::SmallVec;
use wiregate_sdk::chain::Slots;
use wiregate_sdk::views::Claim;
use wiregate_sdk::{Client, Exchange, Now, Origin, Outcome, Reply, RequestHead, ResponseHead};

use super::begun::Begun;
use super::cache::{Ahead, Caching};
use super::connection::{self, Peer};
use super::failure;
use super::held::Held;
use super::negotiated::Choice;
use super::replay::Slot;
use super::traced::Traced;
use super::{Shared, budget::Share};
use crate::compile::{Route, Snapshot};
use crate::listen::until::Until;
use crate::observe::access_log::Entry;
use crate::observe::metrics::{Ended, RouteMetrics};
use crate::observe::traces::RunningAttempt;
use crate::upstream::{Endpoint, Leave, Live, Place, Retrying, Timeouts, Upstream};

/// One exchange, from its first hook to its last.
pub struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) peer: Arc<Peer>,
    /// When the exchange must be over, told to whoever waits for its client.
    pub(super) until: Arc<Until>,
    pub(super) exchange: Exchange,
    /// The host that the client asked for, with its port.
    pub(super) asked_host: Option<HeaderValue>,
    /// The host that was asked for, where the access log wants it.
    pub(super) host: Option<Box<str>>,
    /// The version of HTTP that the client speaks.
    pub(super) version: Version,
    /// Its trace, where requests are traced.
    pub(super) traced: Option<Traced>,
    /// The route's position in the snapshot.
    pub(super) route: Option<usize>,
    pub(super) slots: Slots,
    pub(super) body: Body,
    pub(super) request_claim: Claim,
    pub(super) response_claim: Claim,
    /// The response, while its head waits for its body.
    pub(super) held: Option<Box<Held>>,
    /// Whether all that filters want of the response body has been done.
    pub(super) body_ended: bool,
    pub(super) attempts: Attempts,
    /// What it has to do with the cache, where a filter has planned that.
    pub(super) caching: Option<Box<Caching>>,
    /// What was found out before.
    pub(super) ahead: Ahead,
    /// The path that was asked for, where it was not normal.
    pub(super) normal_path: Option<Box<str>>,
    /// How long a call may take, where its client says so.
    pub(super) deadline: Option<Duration>,
    /// The reply of a hook that could only say that it failed.
    pub(super) reply: Option<Reply>,
    pub(super) end: End,
}

/// The request body, where it is held in memory.
#[derive(Default)]
pub(super) struct Body {
    /// The bytes to send on.
    pub(super) bytes: Option<Bytes>,
    /// Whether a link that acts has read or made them: then their framing is the gateway's.
    pub(super) taken: bool,
    /// What was read of it for a link that is only looked at, which goes without the rest.
    pub(super) begun: Option<Box<Begun>>,
    /// Since when it is awaited.
    pub(super) awaited: Option<Instant>,
    /// Whether the client was told to go on and send it.
    pub(super) continued: bool,
    /// How many links have had their way with them, or with what was read so far.
    pub(super) passed: usize,
    pub(super) share: Option<Share>,
    /// Where the client's connection comes back to after its stand-in.
    pub(super) lent: Option<Slot>,
    /// Whether a WebSocket is asked for: what a client sends before the answer is no body.
    pub(super) upgrade: bool,
}

/// The attempts to reach an endpoint.
#[derive(Default)]
pub(super) struct Attempts {
    pub(super) upstream: Option<Arc<Upstream>>,
    /// The endpoints tried, the present one last.
    pub(super) tried: SmallVec<[Arc<Endpoint>; 2]>,
    /// How long each step may take.
    pub(super) times: Timeouts,
    /// How many were made.
    pub(super) made: u32,
    /// How many of them at this upstream, and not at one that it is the fallback of.
    pub(super) here: u32,
    /// How many of those ran into a connection that the endpoint had closed.
    pub(super) stale: u32,
    /// The place of the one that is under way.
    pub(super) open: Option<Place>,
    /// The circuit breaker's leave for it, until that has been told of a failure.
    pub(super) leave: Option<Leave>,
    /// Its span, where the trace is recorded.
    pub(super) span: Option<RunningAttempt>,
    /// Since when it has a connection.
    pub(super) connected: Option<Instant>,
    /// Whether that has served before, and may have been closed meanwhile.
    pub(super) reused: bool,
    /// The request's place among those under way at this upstream, and among those tried again.
    pub(super) live: Option<Live>,
    pub(super) retrying: Option<Retrying>,
    /// Whether its endpoint is waited for where its client is.
    pub(super) timed: bool,
    /// Whether its connection carries other requests as well.
    pub(super) shares: bool,
    /// Which of the endpoint's connections it may have.
    pub(super) generation: u32,
    /// What its endpoint may choose, and has chosen.
    pub(super) choice: Choice,
    /// How long to wait before the next one.
    pub(super) pause: Option<Duration>,
    /// How many interim responses have come.
    pub(super) interim: u32,
    /// Whether its response is dropped, so that there is another one.
    pub(super) passed_over: bool,
    /// When it began, until its response has; later by the time that the client takes for its
    /// body.
    pub(super) started: Option<Instant>,
    /// The status of its response, until that is over.
    pub(super) answered: Option<StatusCode>,
    /// Since when the client's next piece of the body is awaited; `None` once all has come.
    pub(super) upload: Option<Instant>,
    /// Whether a piece of the body has gone through a filter that reads or rewrites it.
    pub(super) body_seen: bool,
    /// From the start of the last attempt to the head of its response, without the time that the
    /// client has taken for its body.
    pub(super) waited: Option<Duration>,
}

/// How the exchange has ended so far.
pub(super) struct End {
    pub(super) origin: Origin,
    pub(super) status: Option<StatusCode>,
    /// One word for what went wrong.
    pub(super) error: Option<&'static str>,
    /// One sentence for the operator.
    pub(super) detail: Option<String>,
    /// The link that refused the request.
    pub(super) refused_by: Option<usize>,
    /// Whether the metrics know that the request is being worked on.
    pub(super) begun: bool,
    pub(super) finished: bool,
}

impl Default for End {
    fn default() -> Self {
        Self {
            origin: Origin::Gateway,
            status: None,
            error: None,
            detail: None,
            refused_by: None,
            begun: false,
            finished: false,
        }
    }
}

impl Context {
    /// A request has arrived.
    pub(super) fn arrive(shared: &Arc<Shared>, session: &ServerSession, ahead: Ahead) -> Box<Self> {
        let (peer, until) = connection::current();
        let head = session.req_header();
        let now = ahead.now().unwrap_or_else(|| shared.clock.now());
        let snapshot = shared.live.load_full();
        let id = super::request::new_id(now.wall);
        let exchange = exchange(id, now, peer.client(), head, &peer);
        let mut this = Self::begin(shared.clone(), snapshot, peer, until, exchange);
        this.asked_host = super::forwarded::asked_host(head);
        this.version = head.version;
        this.ahead = ahead;
        if shared.access_log.load().is_some() {
            this.host = Some(Entry::text(&wiregate_sdk::host_of(head)));
        }
        this.begin_trace(head);
        this
    }

    /// An exchange of the cache's own, for the request of this one: nobody is told how it ends.
    pub(super) fn detached(&self) -> Box<Self> {
        let (shared, snapshot) = (self.shared.clone(), self.snapshot.clone());
        let exchange = self.exchange.clone();
        let mut this = Self::begin(
            shared,
            snapshot,
            self.peer.clone(),
            Arc::default(),
            exchange,
        );
        this.asked_host.clone_from(&self.asked_host);
        this.version = self.version;
        this.route = self.route;
        this.traced = self.traced.as_ref().map(Traced::following);
        this.end.finished = true;
        if let Some(upstream) = &self.attempts.upstream {
            this.head_for(upstream.clone());
        }
        this
    }

    /// An exchange of which nothing is known but who asks.
    fn begin(
        shared: Arc<Shared>,
        snapshot: Arc<Snapshot>,
        peer: Arc<Peer>,
        until: Arc<Until>,
        exchange: Exchange,
    ) -> Box<Self> {
        Box::new(Self {
            shared,
            snapshot,
            peer,
            until,
            exchange,
            asked_host: None,
            host: None,
            version: Version::HTTP_11,
            traced: None,
            route: None,
            slots: Slots::new(),
            body: Body::default(),
            request_claim: Claim::None,
            response_claim: Claim::None,
            held: None,
            body_ended: false,
            attempts: Attempts::default(),
            caching: None,
            ahead: Ahead::default(),
            normal_path: None,
            deadline: None,
            reply: None,
            end: End::default(),
        })
    }

    /// The exchange is over: everyone who wants to know is told.
    pub(super) fn finish(&mut self, session: &mut ServerSession, error: Option<&Error>) {
        self.return_connection(session);
        let failed = error.filter(|error| *error.etype() != failure::ANSWERED);
        if let (Some(error), None) = (failed, self.end.error) {
            let begun = super::responder::has_begun(session);
            self.end.error = Some(failure::of(error, begun).reason);
        }
        self.end_attempt();
        let traffic = Traffic {
            sent: session.body_bytes_sent() as u64,
            received: session.body_bytes_read() as u64,
        };
        self.tell(&traffic, Some(Heads::of(session)));
    }

    /// Tells filters, metrics and log how it ended. Once.
    fn tell(&mut self, traffic: &Traffic, heads: Option<Heads<'_>>) {
        if std::mem::replace(&mut self.end.finished, true) {
            return;
        }
        let now = self.shared.clock.instant();
        let duration = now - self.exchange.now.instant;
        let route = self.route.map(|position| &self.snapshot.routes[position]);
        if let Some(route) = route {
            let outcome = Outcome {
                exchange: &self.exchange,
                status: self.end.status,
                origin: self.end.origin,
                error: self.end.error,
                duration,
                bytes_sent: traffic.sent,
                bytes_received: traffic.received,
            };
            route.chain.done(&outcome, &mut self.slots);
            for (link, _) in route.chain.observed(&self.slots) {
                route.link_metrics[link].observed();
            }
            for (link, _) in route.chain.degraded(&self.slots) {
                route.link_metrics[link].degraded();
            }
        }
        if self.end.begun {
            self.metrics().end(&Ended {
                method: &self.exchange.method,
                status: self.end.status,
                error: self.end.error,
                duration: Some(duration),
                received: traffic.received,
                sent: traffic.sent,
            });
            if let Some(dealt) = self.dealt() {
                self.metrics().dealt(dealt);
            }
        }
        self.log(route, traffic, duration, heads);
        self.tell_trace(duration);
    }

    /// The route, once one has won.
    pub(super) fn route(&self) -> Option<&Route> {
        self.route.map(|position| &self.snapshot.routes[position])
    }

    pub(super) fn metrics(&self) -> &RouteMetrics {
        self.route()
            .map_or(&self.snapshot.unrouted, |route| &route.metrics)
    }
}

/// Body bytes on the client's side.
pub(super) struct Traffic {
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// What the client and the gateway have said in the end.
pub(super) struct Heads<'a> {
    pub(super) request: &'a RequestHead,
    pub(super) response: Option<&'a ResponseHead>,
}

impl<'a> Heads<'a> {
    fn of(session: &'a ServerSession) -> Self {
        Self {
            request: session.req_header(),
            response: session.response_written().map(|head| &**head),
        }
    }
}

impl Drop for Context {
    /// The exchange was given up before its end: the client is gone, the gateway stops, or it was cut off.
    fn drop(&mut self) {
        self.let_fill_go_on();
        self.note_cut();
        self.end.error.get_or_insert("connection_terminated");
        self.end_attempt();
        let (received, sent) = self.until.traffic();
        let traffic = Traffic { sent, received };
        self.tell(&traffic, None);
    }
}

/// What logs and traces call a version of HTTP.
pub(super) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

/// What is known of an exchange when its request has come.
pub(super) fn exchange(
    id: Box<str>,
    now: Now,
    client: Client,
    head: &RequestHead,
    peer: &Peer,
) -> Exchange {
    Exchange {
        id,
        now,
        client,
        method: head.method.clone(),
        target: head.uri.clone(),
        route: Arc::clone(&peer.no_route),
        params: Vec::new(),
        identity: None,
        upstream: None,
        cache: None,
    }
}
