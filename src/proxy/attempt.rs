//! Attempts to get an answer: where, for how long, and whether there is another one.

use std::os::fd::RawFd;
use std::time::Duration;

use http::{StatusCode, header};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorSource, ErrorType, Result, RetryType};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use wiregate_sdk::Reply;

use super::context::Context;
use super::first_byte::FirstByte;
use super::responder::has_begun;
use super::{failure, forwarded};
use crate::upstream::{Ask, Cause, Ended, Leave, NoPlace, Place, Upstream};

/// Idle connections that an endpoint had closed, and that a request may run into, at most; then it
/// gets a fresh one.
const MOST_STALE: u32 = 2;
/// Marks connections that are not taken from the idle ones.
const FRESH: u64 = 1 << 63;

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
    /// A 503 where there is no endpoint, a 504 where no time is left.
    pub(super) async fn begin_attempt(&mut self, session: &mut Session) -> Result<Box<HttpPeer>> {
        if let Some(pause) = self.attempts.pause.take() {
            self.patiently(session, tokio::time::sleep(pause)).await?;
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
                Ok((place, leave)) => {
                    let left = self.time_left()?;
                    return Ok(self.start(&upstream, place, leave, left));
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
    ) -> Result<Result<(Place, Option<Leave>), Refused>> {
        let now = self.shared.clock.instant();
        let leave = match upstream.breaker.as_ref().map(|breaker| breaker.ask(now)) {
            Some(Err(after)) => {
                return Ok(Err(Refused {
                    cause: Cause::CircuitOpen,
                    after: Some(after),
                }));
            }
            leave => leave.and_then(Result::ok),
        };
        let tried = std::mem::take(&mut self.attempts.tried);
        let ask = Ask { tried: &tried };
        let mut place = Ok(upstream.place(&ask));
        if matches!(place, Ok(Err(NoPlace::Full))) {
            place = self
                .patiently(session, Box::pin(upstream.place_in_turn(&ask)))
                .await;
        }
        self.attempts.tried = tried;
        Ok(match place? {
            Ok(place) => Ok((place, leave)),
            Err(NoPlace::Unhealthy) => Err(Refused {
                cause: Cause::DestinationUnavailable,
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
    async fn patiently<T>(
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
        place: Place,
        leave: Option<Leave>,
        left: Option<Duration>,
    ) -> Box<HttpPeer> {
        let mut peer = Box::new(place.endpoint().peer.clone());
        self.attempts.times.bound(&mut peer, left);
        if self.attempts.stale >= MOST_STALE {
            peer.group_key ^= FRESH;
            peer.options.idle_timeout = Some(Duration::ZERO);
        }
        if self.attempts.live.is_none() {
            self.attempts.live = Some(upstream.budget.enter());
        }
        self.attempts.tried.push(place.endpoint().clone());
        self.attempts.made += 1;
        self.attempts.here += 1;
        self.attempts.started = Some(self.shared.clock.instant());
        self.attempts.open = Some(place);
        self.attempts.leave = leave;
        upstream.metrics.begin();
        peer
    }

    /// Goes on at the upstream's fallback, where it has one.
    fn fall_back(&mut self) -> bool {
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
    pub(super) fn head_for(&mut self, upstream: std::sync::Arc<Upstream>) {
        self.attempts.times = match self.route() {
            Some(route) => upstream.timeouts.with(&route.timeouts),
            None => upstream.timeouts,
        };
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
            _ => "has no healthy endpoint",
        };
        let mut reply = Reply::problem(cause.status(), cause.word())
            .log(format!("upstream `{}` {why}", upstream.name));
        if let Some(after) = refused.after {
            let seconds = after.as_secs_f64().ceil().max(1.0) as u64;
            reply = reply.header(header::RETRY_AFTER, seconds.into());
        }
        self.fault(reply)
    }

    /// The time that the exchange may still take; `None` for any.
    ///
    /// # Errors
    /// A 504 where none is left.
    pub(super) fn time_left(&mut self) -> Result<Option<Duration>> {
        let Some(total) = self.attempts.times.total else {
            return Ok(None);
        };
        let spent = self.shared.clock.instant() - self.exchange.now.instant;
        match total.checked_sub(spent).filter(|left| !left.is_zero()) {
            Some(left) => Ok(Some(left)),
            None => Err(self.out_of_time()),
        }
    }

    fn out_of_time(&mut self) -> Box<Error> {
        let total = self.attempts.times.total.unwrap_or_default();
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

    /// There is a connection.
    pub(super) fn connected(&mut self, connection: RawFd) {
        self.attempts.connection = Some(connection);
    }

    /// The request has been sent to its end: the response is awaited from now on.
    pub(super) fn sent(&mut self) {
        let (times, unanswered) = (self.attempts.times, self.attempts.started.is_some());
        // Where both times are the same Pingora's own will do.
        if let Some(connection) = self.attempts.connection
            && times.first_byte < times.idle
            && unanswered
        {
            self.attempts.first_byte = Some(FirstByte::within(times.first_byte, connection));
        }
    }

    /// No connection: nothing was sent.
    pub(super) fn end_unconnected(
        &mut self,
        session: &Session,
        mut error: Box<Error>,
    ) -> Box<Error> {
        error.as_up();
        self.failed(&error);
        let again = self.tries_again(session, Ended::Unsent) || self.fall_back();
        error.set_retry(again);
        error
    }

    /// The exchange with an endpoint broke.
    pub(super) fn end_broken(
        &mut self,
        session: &Session,
        mut error: Box<Error>,
        reused: bool,
    ) -> Box<Error> {
        if self.attempts.passed_over {
            // Its status was to be tried again; that it was answered has been counted.
            self.attempts.passed_over = false;
            self.end_attempt();
            error.set_retry(true);
            return error;
        }
        let unanswered = self.attempts.started.is_some();
        let late = self.attempts.first_byte.take();
        if *error.esource() != ErrorSource::Upstream || self.reply.is_some() {
            self.end_attempt();
            error.set_retry(false);
            return error;
        }
        if unanswered && late.is_some_and(|late| late.is_over()) {
            error = Error::explain(ErrorType::ReadTimedout, "no response in time").into_up();
        }
        let kind = ending(&error);
        error.set_retry(false);
        if unanswered && reused && kind == Some(Ended::Reset) && self.ran_into_stale(session) {
            error.set_retry(true);
            return error;
        }
        self.failed(&error);
        if unanswered && let Some(ended) = kind {
            error.set_retry(self.tries_again(session, ended));
        }
        error
    }

    /// An endpoint may close an idle connection as a request leaves. That is nobody's fault: the
    /// request is sent again where it may be repeated, at the same endpoint.
    fn ran_into_stale(&mut self, session: &Session) -> bool {
        if self.attempts.stale >= MOST_STALE
            || !session.req_header().method.is_idempotent()
            || !self.is_repeatable(session)
        {
            return false;
        }
        self.end_attempt();
        self.attempts.stale += 1;
        self.attempts.tried.pop();
        true
    }

    /// Whether nothing of the request is lost for another attempt.
    fn is_repeatable(&self, session: &Session) -> bool {
        !session.as_ref().retry_buffer_truncated()
            && !self.attempts.body_seen
            && !has_begun(session)
    }

    /// Decides on another attempt; its pause and its share of the budget are taken then.
    fn tries_again(&mut self, session: &Session, ended: Ended) -> bool {
        let Some(upstream) = self.attempts.upstream.clone() else {
            return false;
        };
        let retry = &upstream.retry;
        let method = &session.req_header().method;
        let harmless = ended == Ended::Unsent || method.is_idempotent() || retry.unsafe_methods;
        let counted = self.attempts.here - self.attempts.stale;
        if counted >= retry.attempts
            || !retry.covers(ended)
            || !harmless
            || !self.is_repeatable(session)
        {
            return false;
        }
        if self.attempts.retrying.is_none() {
            self.attempts.retrying = retry.spend(&upstream.budget);
        }
        let made = self.attempts.retrying.is_some();
        upstream.metrics.retried(made);
        if made {
            self.attempts.pause = Some(retry.pause(counted)).filter(|pause| !pause.is_zero());
        }
        made
    }

    /// The head of a response has come from an endpoint; nothing of it was passed on.
    ///
    /// # Errors
    /// It is none that may be passed on, or the request is tried again.
    pub(super) fn upstream_head(
        &mut self,
        session: &Session,
        head: &mut ResponseHeader,
    ) -> Result<()> {
        let status = head.status;
        if status == StatusCode::SWITCHING_PROTOCOLS && !session.is_upgrade_req() {
            let unasked = ErrorType::Custom(failure::UNASKED_UPGRADE);
            return Err(Error::explain(unasked, "101 to a request for no upgrade").into_up());
        }
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        self.answered(status);
        if self.tries_again(session, Ended::Status(status)) {
            self.attempts.passed_over = true;
            let again = ErrorType::CustomCode("status to retry", status.as_u16());
            return Err(Error::new(again).into_up());
        }
        forwarded::settle_hop(head);
        Ok(())
    }

    /// The head of a response has come.
    fn answered(&mut self, status: StatusCode) {
        self.attempts.first_byte = None;
        let Some(upstream) = &self.attempts.upstream else {
            return;
        };
        if let Some(started) = self.attempts.started.take() {
            let waited = self.shared.clock.instant() - started;
            self.attempts.waited = Some(waited);
            upstream.metrics.answered(status, waited);
        }
        self.tell_breaker(!status.is_server_error());
    }

    /// An attempt has failed through no fault of the client's or the gateway's.
    fn failed(&mut self, error: &Error) {
        let unanswered = self.attempts.started.is_some();
        let cause = failure::upstream(error, !unanswered);
        if unanswered {
            self.tell_breaker(false);
        }
        if let Some(upstream) = &self.attempts.upstream {
            upstream.metrics.failed(cause);
        }
        self.end_attempt();
    }

    fn tell_breaker(&mut self, good: bool) {
        let Some(leave) = self.attempts.leave.take() else {
            return;
        };
        if let Some(upstream) = &self.attempts.upstream
            && let Some(breaker) = &upstream.breaker
            && let Some(turn) = breaker.tell(&leave, self.shared.clock.instant(), good)
        {
            upstream.metrics.turned(turn);
            tracing::warn!(upstream = %upstream.name, "circuit breaker: {turn:?}");
        }
    }

    /// Counts an attempt as over, with a response or without.
    pub(super) fn end_attempt(&mut self) {
        self.attempts.first_byte = None;
        self.attempts.connection = None;
        self.attempts.leave = None;
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
}

/// How an attempt ended, where it may be repeated at all.
fn ending(error: &Error) -> Option<Ended> {
    use ErrorType as E;
    match error.etype() {
        // Pingora takes a stream that the endpoint has refused unseen for one to be repeated
        // (RFC 9113, 8.7); that it is broken HTTP/2 does not tell what was done before.
        E::H2Error | E::H2Downgrade if error.retry == RetryType::Decided(true) => {
            Some(Ended::Unsent)
        }
        E::ReadTimedout | E::WriteTimedout => Some(Ended::Timeout),
        E::ConnectionClosed | E::ReadError | E::WriteError | E::H2Error => Some(Ended::Reset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_looked_at_is_told_from_what_broke() {
        let mut refused = Error::new(ErrorType::H2Error);
        refused.retry = true.into();
        assert_eq!(ending(&refused), Some(Ended::Unsent));
        let mut broken = Error::new(ErrorType::InvalidH2);
        broken.retry = true.into();
        assert_eq!(ending(&broken), None);
        let closed = Error::new(ErrorType::ConnectionClosed);
        assert_eq!(ending(&closed), Some(Ended::Reset));
        let late = Error::new(ErrorType::ReadTimedout);
        assert_eq!(ending(&late), Some(Ended::Timeout));
        let nonsense = Error::new(ErrorType::InvalidHTTPHeader);
        assert_eq!(ending(&nonsense), None);
    }
}
