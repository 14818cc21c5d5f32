//! Attempts to get an answer: where, when and for how long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{StatusCode, Version, header};
use pingora_core::protocols::ALPN;
use pingora_core::upstreams::peer::{HttpPeer, PeerOptions};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use wiregate_sdk::{Facts, Reply};

use super::context::Context;
use super::session::BODY_SILENCE;
use crate::upstream::{Ask, Cause, Leave, NoPlace, Place, Upstream};

/// Idle connections that an endpoint had closed, and that a request may run into, at most; then it
/// gets a fresh one.
pub(super) const MOST_STALE: u32 = 2;

/// Timers may ring this much too early.
const TICK: Duration = Duration::from_millis(10);
/// A head of at most so many bytes leaves at once, filters' additions to it included.
const SMALL: usize = 2 * 1024;

/// What an attempt begins with.
struct Admitted {
    place: Place,
    leave: Option<Leave>,
    /// The moment of that.
    now: Instant,
}

/// Why there is no attempt.
struct Refused {
    cause: Cause,
    /// When it is worth asking again.
    after: Option<Duration>,
}

impl Context {
    /// Chooses an endpoint for an attempt: in its turn, and after a pause where it is not the
    /// first.
    ///
    /// # Errors
    /// A 503 where there is no endpoint, a 504 where no time is left, a 500 where the key that
    /// endpoints are chosen by has no value.
    pub(super) async fn begin_attempt(&mut self, session: &mut Session) -> Result<Box<HttpPeer>> {
        if session.req_header().version == Version::HTTP_2 {
            let patience = self.attempts.times.idle.max(BODY_SILENCE);
            session.set_read_timeout(Some(patience));
        }
        if let Some(pause) = self.attempts.pause.take() {
            // What few requests need is boxed apart, which keeps this future small.
            Box::pin(self.patiently(session, tokio::time::sleep(pause))).await?;
        }
        loop {
            self.time_left()?;
            let Some(upstream) = self.attempts.upstream.clone() else {
                return Err(self.fault(Reply::problem(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "no_upstream",
                )));
            };
            match self.admit(session, &upstream).await? {
                Ok(admitted) => {
                    let left = self.time_left()?;
                    let mut peer = self.start(&upstream, admitted, left);
                    self.settle_upgrade(session, &mut peer.options);
                    return Ok(peer);
                }
                Err(refused) => {
                    upstream.metrics.failed(refused.cause);
                    let full = refused.cause == Cause::ConnectionLimitReached;
                    if full || !self.fall_back() {
                        return Err(self.refuse(&upstream, &refused));
                    }
                }
            }
        }
    }

    /// Asks whether there may be an attempt, and waits for its turn.
    async fn admit(
        &mut self,
        session: &mut Session,
        upstream: &Upstream,
    ) -> Result<Result<Admitted, Refused>> {
        let mut now = self.shared.clock.instant();
        let leave = match upstream.breaker.as_ref().map(|breaker| breaker.ask(now)) {
            Some(Err(after)) => {
                return Ok(Err(Refused {
                    cause: Cause::CircuitOpen,
                    after: Some(after),
                }));
            }
            leave => leave.and_then(Result::ok),
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
        let tried = std::mem::take(&mut self.attempts.tried);
        let ask = Ask::new(&tried, &wish, now);
        let mut place = Ok(upstream.place(&ask));
        if matches!(place, Ok(Err(NoPlace::Full))) {
            let turn = upstream.place_in_turn(&ask);
            place = Box::pin(self.patiently(session, turn)).await;
            now = self.shared.clock.instant();
        }
        self.attempts.tried = tried;
        Ok(match place? {
            Ok(place) => Ok(Admitted { place, leave, now }),
            Err(NoPlace::Unhealthy) => Err(Refused {
                cause: upstream.lack(),
                after: None,
            }),
            Err(NoPlace::Full) => Err(Refused {
                cause: Cause::ConnectionLimitReached,
                after: Some(Duration::from_secs(1)),
            }),
        })
    }

    /// Waits for something, unless the time is up or the client leaves. Pingora does not look
    /// after a client in this hook; a client that still has a body to send cannot be looked after.
    pub(super) async fn patiently<T>(
        &mut self,
        session: &mut Session,
        wait: impl Future<Output = T>,
    ) -> Result<T> {
        let watched = session.is_body_done();
        let wait = async {
            match self.time_left()? {
                Some(left) => tokio::time::timeout(left, wait)
                    .await
                    .ok()
                    .map_or_else(|| Err(self.out_of_time()), Ok),
                None => Ok(wait.await),
            }
        };
        tokio::select! {
            biased;
            waited = wait => waited,
            gone = session.downstream_session.read_body_or_idle(true), if watched => {
                let gone = gone.err().unwrap_or_else(|| Error::new(ErrorType::ConnectionClosed));
                Err(gone.into_down())
            }
        }
    }

    fn start(
        &mut self,
        upstream: &Upstream,
        Admitted { place, leave, now }: Admitted,
        left: Option<Duration>,
    ) -> Box<HttpPeer> {
        self.attempts.generation = place.endpoint().generation();
        let mut peer = place.endpoint().peer_of(self.attempts.generation);
        self.attempts.times.bound(&mut peer, left);
        if self.attempts.stale >= MOST_STALE {
            // No connection in the pool has this key, nor will another attempt ask for it.
            peer.group_key = fastrand::u64(..);
            peer.options.idle_timeout = Some(Duration::ZERO);
        }
        if self.attempts.live.is_none() {
            self.attempts.live = Some(upstream.budget.enter());
        }
        self.attempts.tried.push(place.endpoint().clone());
        self.attempts.made += 1;
        self.attempts.here += 1;
        self.attempts.span = self.span_of_attempt(upstream, place.endpoint(), now);
        self.attempts.started = Some(now);
        self.attempts.open = Some(place);
        self.attempts.leave = leave;
        upstream.metrics.begin();
        peer
    }

    /// Goes on at the upstream's fallback, where it has one.
    pub(super) fn fall_back(&mut self) -> bool {
        let fallback = (self.attempts.upstream.as_ref())
            .and_then(|upstream| upstream.fallback.as_ref())
            .and_then(|name| self.snapshot.upstreams.get(name));
        let Some(fallback) = fallback.cloned() else {
            return false;
        };
        self.head_for(fallback);
        true
    }

    /// The upstream whose endpoints are tried from now on.
    pub(super) fn head_for(&mut self, upstream: Arc<Upstream>) {
        self.attempts.times = match self.route() {
            Some(route) => upstream.timeouts.with(&route.timeouts),
            None => upstream.timeouts,
        };
        let over = self.may_take().and_then(|total| {
            let arrived = tokio::time::Instant::from_std(self.exchange.now.instant);
            arrived.checked_add(total)
        });
        self.until.set(over);
        self.attempts.upstream = Some(upstream);
        self.attempts.tried.clear();
        (self.attempts.here, self.attempts.stale) = (0, 0);
        (self.attempts.live, self.attempts.retrying) = (None, None);
    }

    fn refuse(&mut self, upstream: &Upstream, refused: &Refused) -> Box<Error> {
        let cause = refused.cause;
        let why = match cause {
            Cause::CircuitOpen => "is not asked: too many attempts have failed",
            Cause::ConnectionLimitReached => "has as many requests as it may have",
            Cause::DnsError => "has no endpoint: its names were never resolved",
            _ => "has no endpoint that is available",
        };
        let mut reply = Reply::problem(cause.status(), cause.word())
            .log(format!("upstream `{}` {why}", upstream.name));
        if let Some(after) = refused.after {
            let seconds = after.as_secs_f64().ceil().max(1.0) as u64;
            reply = reply.header(header::RETRY_AFTER, seconds.into());
        }
        self.fault(reply)
    }

    /// The time that the exchange may take in all; `None` for any.
    fn may_take(&self) -> Option<Duration> {
        let total = self.attempts.times.total;
        total.into_iter().chain(self.deadline).min()
    }

    /// The time that the exchange may still take; `None` for any.
    ///
    /// # Errors
    /// A 504 where none is left.
    pub(super) fn time_left(&mut self) -> Result<Option<Duration>> {
        let Some(total) = self.may_take() else {
            return Ok(None);
        };
        let spent = self.shared.clock.instant() - self.exchange.now.instant;
        match total.checked_sub(spent).filter(|left| !left.is_zero()) {
            Some(left) => Ok(Some(left)),
            None => Err(self.out_of_time()),
        }
    }

    /// Whether the exchange has taken as long as the configuration says, be it shorter or longer
    /// than its client's own deadline.
    pub(super) fn has_taken_total(&self) -> bool {
        let spent = self.shared.clock.instant() - self.exchange.now.instant;
        (self.attempts.times.total).is_some_and(|total| spent >= total)
    }

    /// Whether the time that the client itself has given is over, and not that which the
    /// configuration gives.
    pub(super) fn has_spent_deadline(&self) -> bool {
        let spent = self.shared.clock.instant() - self.exchange.now.instant;
        let over = |deadline: Duration| spent + TICK >= deadline;
        self.deadline.is_some_and(over) && !self.has_taken_total()
    }

    /// The time that the exchange may take is over.
    pub(super) fn out_of_time(&mut self) -> Box<Error> {
        let total = self.may_take().unwrap_or_default();
        let cause = Cause::ResponseTimeout;
        self.fault(
            Reply::problem(cause.status(), cause.word())
                .log(format!("the exchange may take {total:?}")),
        )
    }

    /// An error that Pingora passes on, while the reply waits here.
    pub(super) fn fault(&mut self, reply: Reply) -> Box<Error> {
        let status = reply.status.as_u16();
        self.reply = Some(reply);
        Error::explain(ErrorType::HTTPStatus(status), "a reply is waiting")
    }

    /// Leaves it to whoever waits for the client to wait for the endpoint as well: Pingora would make a
    /// timer for each read. Where there is a body, Pingora may be kept from the client while it writes, or
    /// give its client up, and keeps its own time-outs: but for the one for reads over HTTP/2, which does
    /// not know of the upload beside it. Nor is there one for the write of a small head, which a connection
    /// that idles takes at once.
    pub(super) fn time_reads(&mut self, session: &mut Session, options: &mut PeerOptions) {
        self.attempts.timed = true;
        let empty = session.is_body_done() && session.is_body_empty();
        let nothing = empty && self.body.bytes.is_none() && !self.body.upgrade;
        if nothing || self.body.upgrade || options.alpn != ALPN::H1 {
            options.read_timeout = None;
        }
        if nothing && is_small(session.req_header()) {
            options.write_timeout = None;
        }
    }

    /// The attempt has a connection.
    pub(super) fn connected(&mut self, reused: bool) {
        let started = self.attempts.started;
        self.attempts.connected = started;
        let Some(upstream) = &self.attempts.upstream else {
            return;
        };
        match started.filter(|_| !reused) {
            Some(started) => {
                let now = self.shared.clock.instant();
                self.attempts.connected = Some(now);
                upstream.metrics.connected(now - started);
            }
            None => upstream.metrics.reused(),
        }
    }

    /// The head of the request is about to leave: what is left of its body is the client's to send.
    pub(super) fn await_upload(&mut self, session: &mut Session) {
        if session.is_body_done() || self.body.upgrade {
            return self.sent();
        }
        let now = self.shared.clock.instant();
        self.attempts.upload = Some(now);
        self.await_within(now, self.attempts.times.idle);
    }

    /// A piece of the body has come. The time that the client has taken for it is not the
    /// endpoint's.
    pub(super) fn came(&mut self) {
        let Some(since) = &mut self.attempts.upload else {
            return;
        };
        // An endpoint over HTTP/2 that takes nothing of a body keeps Pingora from its client, and
        // has it forget about that when it gives up writing.
        self.until.enforce(self.attempts.shares);
        let now = self.shared.clock.instant();
        if let Some(started) = &mut self.attempts.started {
            *started += now - *since;
        }
        *since = now;
        self.await_within(now, self.attempts.times.idle);
    }

    /// A piece of the body goes on to the endpoint.
    pub(super) fn passed_on(&mut self, end: bool) {
        if end && self.attempts.upload.is_some() {
            self.sent();
        }
    }

    /// The request has been sent to its end: the response is awaited from now on.
    fn sent(&mut self) {
        let upload = self.attempts.upload.take();
        self.until.enforce(false);
        let connected = self.attempts.connected.filter(|_| upload.is_none());
        self.await_endpoint(connected.unwrap_or_else(|| self.shared.clock.instant()));
    }

    /// From this moment on the endpoint is to answer, or to go on with its answer.
    pub(super) fn await_endpoint(&self, now: Instant) {
        let times = &self.attempts.times;
        let patience = match self.attempts.started {
            Some(_) => times.first_byte,
            None => times.idle,
        };
        self.await_within(now, patience);
    }

    fn await_within(&self, now: Instant, patience: Duration) {
        if self.attempts.timed {
            self.until.await_endpoint(now.into(), patience);
        }
    }

    /// A piece of the response has come.
    pub(super) fn heard(&self, end: bool) {
        if end {
            self.until.heard();
        } else if self.attempts.timed {
            self.await_endpoint(self.shared.clock.instant());
        }
    }
}

/// Whether a head is no more than a connection that idles takes at once: Linux has room for this much
/// in the smallest buffer that it gives a connection (`SOCK_MIN_SNDBUF`).
fn is_small(head: &RequestHeader) -> bool {
    let mut size = head.raw_path().len();
    for (name, value) in &head.headers {
        size += name.as_str().len() + value.len() + 4;
    }
    size <= SMALL
}
