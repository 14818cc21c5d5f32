//! Attempts to get an answer: at which endpoint, and when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{StatusCode, header};
use pingora_core::protocols::http::ServerSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType, Result};
use wiregate_sdk::{Facts, Reply};

use super::context::Context;
use super::negotiated::Choice;
use super::session::{BODY_SILENCE, gone};
use crate::upstream::{Ask, Cause, Leave, NoPlace, Place, Upstream};

/// Idle connections that an endpoint had closed, and that a request may run into, at most; then it
/// gets a fresh one.
pub(super) const MOST_STALE: u32 = 2;

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
    pub(super) async fn begin_attempt(
        &mut self,
        session: &mut ServerSession,
    ) -> Result<Box<HttpPeer>> {
        let patience = self.attempts.times.idle.max(BODY_SILENCE);
        session.set_read_timeout(Some(patience));
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
                    self.attempts.choice = Choice::of(&peer.options);
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
        session: &mut ServerSession,
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

    /// Waits for something, unless the time is up or the client leaves. Nobody else looks after a client
    /// meanwhile; one that still has a body to send cannot be looked after.
    pub(super) async fn patiently<T>(
        &mut self,
        session: &mut ServerSession,
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
            gone = gone(session), if watched => Err(gone),
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

    /// Goes on at the upstream's fallback, where it has one. What is stored goes before that, where it may stand in.
    pub(super) fn fall_back(&mut self) -> bool {
        if self.stale_stands_in() {
            return false;
        }
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

    /// The reply that waits here, where one does.
    pub(super) fn take_reply(&mut self) -> Option<Reply> {
        self.reply.take()
    }

    /// An error that says no more than that a reply waits here.
    pub(super) fn fault(&mut self, reply: Reply) -> Box<Error> {
        let status = reply.status.as_u16();
        self.reply = Some(reply);
        Error::explain(ErrorType::HTTPStatus(status), "a reply is waiting")
    }
}
