//! How an attempt ends.

use std::time::Duration;

use http::{HeaderValue, StatusCode, Version, header};
use pingora_core::protocols::http::ServerSession;
use pingora_error::{Error, ErrorSource, ErrorType, Result, RetryType};
use pingora_http::ResponseHeader;
use wiregate_sdk::Reply;

use super::context::{Attempts, Context};
use super::{failure, framing, websocket};
use crate::listen::until::Late;
use crate::upstream::{Cause, Ended, Outcome};

/// So many interim responses may come before a response: whoever sends them for ever never answers.
const MOST_INTERIM: u32 = 16;

impl Context {
    /// No connection: nothing was sent.
    pub(super) fn end_unconnected(
        &mut self,
        session: &ServerSession,
        mut error: Box<Error>,
    ) -> Box<Error> {
        error.as_up();
        if self.has_spent_deadline() {
            // Its client's time was too short for a connection: that says nothing about the endpoint.
            self.end_attempt();
            let _ = self.time_left(); // leaves the reply that says so
            error.set_retry(false);
            return error;
        }
        let endpoint = self.attempts.tried.last().cloned();
        self.failed(&error);
        if failure::lacks_descriptor(&error) {
            self.lacks_descriptor();
            error.set_retry(false);
            return error;
        }
        if let (Some(endpoint), Some(upstream)) = (endpoint, &self.attempts.upstream)
            && endpoint.could_not_be_reached(self.shared.clock.instant())
        {
            let (upstream, endpoint) = (&upstream.name, &endpoint.label);
            let why = failure::detail(&error);
            tracing::warn!(%upstream, %endpoint, why, "an endpoint cannot be reached: others go before it");
        }
        let again = self.goes_elsewhere(session)
            || self.tries_again(session, Ended::Unsent)
            || self.fall_back();
        error.set_retry(again);
        error
    }

    /// There is no descriptor for a connection; there is none for another endpoint either.
    pub(super) fn lacks_descriptor(&mut self) {
        let cause = Cause::ConnectionLimitReached;
        let reply = Reply::problem(cause.status(), cause.word())
            .log("no file descriptor is left for a connection to an endpoint")
            .header(header::RETRY_AFTER, 1.into());
        self.reply = Some(reply);
    }

    /// The exchange with an endpoint broke.
    pub(super) fn end_broken(
        &mut self,
        session: &ServerSession,
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
        self.note_downgrade(&error);
        let unanswered = self.attempts.started.is_some();
        let mut error = self.settle_silence(error);
        if *error.esource() != ErrorSource::Upstream || self.reply.is_some() {
            self.end_attempt();
            error.set_retry(false);
            return error;
        }
        if self.is_stalled(&error) {
            self.end_attempt();
            // Where all of the time is over, the reply says so.
            if unanswered && self.time_left().is_ok() {
                let why = "no request body in time";
                error = Error::explain(ErrorType::ReadTimedout, why).into_down();
            }
            error.set_retry(false);
            return error;
        }
        let kind = ending(&error);
        error.set_retry(false);
        if unanswered && is_stale(&error, reused) && self.ran_into_stale(session) {
            error.set_retry(true);
            return error;
        }
        self.charge(&error, reused);
        if unanswered && let Some(ended) = kind {
            error.set_retry(self.tries_again(session, ended));
        }
        error
    }

    /// What was noticed while the client was awaited, but is for the endpoint to answer for: that has all that
    /// it waits for.
    fn settle_silence(&mut self, error: Box<Error>) -> Box<Error> {
        let silent = *error.etype() == failure::SILENT_ENDPOINT;
        if silent {
            self.leave_connection();
        }
        let over = failure::is_over(&error)
            && self.attempts.started.is_some()
            && self.attempts.upload.is_none()
            && self.has_taken_total();
        match silent || over {
            true => Error::explain(ErrorType::ReadTimedout, "no response in time").into_up(),
            false => error,
        }
    }

    /// An attempt has failed. What cannot be sent again over another connection than an idle one
    /// that the endpoint had closed fails through nobody's fault.
    pub(super) fn charge(&mut self, error: &Error, reused: bool) {
        match is_stale(error, reused) && self.attempts.started.is_some() {
            true => {
                self.note_break();
                self.end_attempt();
            }
            false => self.failed(error),
        }
    }

    /// An attempt has run into a connection that the endpoint had closed: its span tells, though it counts
    /// against nobody.
    pub(super) fn note_break(&mut self) {
        if let Some(span) = &mut self.attempts.span {
            span.failed(Cause::ConnectionTerminated.word());
        }
    }

    /// An endpoint that has all that it waits for is silent. Its connection over HTTP/2 may be dead,
    /// though nothing says so: other requests get others.
    fn leave_connection(&self) {
        if let (Some(place), None, true) = (
            &self.attempts.open,
            self.attempts.upload,
            self.attempts.shares,
        ) {
            place.endpoint().leave_generation(self.attempts.generation);
        }
    }

    /// The exchange was cut off because nobody noticed any more that it had to be over. Where that is
    /// because its endpoint took no more of it, that has failed, and other requests get other connections.
    pub(super) fn note_cut(&mut self) {
        let Some(late) = self.until.cut() else {
            return;
        };
        self.end.error.get_or_insert("http_response_timeout");
        if late == Late::Endpoint
            && let Some(place) = &self.attempts.open
        {
            place.endpoint().leave_generation(self.attempts.generation);
            self.failed(&Error::explain(ErrorType::WriteTimedout, "nothing is taken").into_up());
        }
    }

    /// Whether an endpoint is silent because it waits for the rest of a body that the client does
    /// not send. That is nothing against the endpoint: else a few such clients could have it taken
    /// out for all.
    fn is_stalled(&self, error: &Error) -> bool {
        *error.etype() == ErrorType::ReadTimedout && self.attempts.upload.is_some()
    }

    /// The head of a response has come from an endpoint; nothing of it was passed on.
    ///
    /// # Errors
    /// It is none that may be passed on, or the request is tried again.
    pub(super) fn upstream_head(
        &mut self,
        session: &ServerSession,
        head: &mut ResponseHeader,
    ) -> Result<()> {
        let status = head.status;
        let switches = status == StatusCode::SWITCHING_PROTOCOLS;
        if switches && (head.version < Version::HTTP_11 || !websocket::is_asked_for(session, head))
        {
            let unasked = ErrorType::Custom(failure::UNASKED_UPGRADE);
            return Err(Error::explain(unasked, "101 to a request for no upgrade").into_up());
        }
        if status.is_informational() && !switches {
            self.attempts.interim += 1;
            if self.attempts.interim > MOST_INTERIM {
                let many = format!("more than {MOST_INTERIM} interim responses");
                return Err(Error::explain(ErrorType::InvalidHTTPHeader, many).into_up());
            }
            return Ok(());
        }
        if !switches {
            framing::settle(head)?;
        }
        self.answered(status);
        if self.tries_again(session, Ended::Status(status)) {
            self.attempts.passed_over = true;
            let again = ErrorType::CustomCode("status to retry", status.as_u16());
            return Err(Error::new(again).into_up());
        }
        Ok(())
    }

    /// The head of a response has come.
    fn answered(&mut self, status: StatusCode) {
        if let Some(span) = &mut self.attempts.span {
            span.answered(status);
        }
        let Some(upstream) = &self.attempts.upstream else {
            return;
        };
        if let Some(started) = self.attempts.started.take() {
            let now = self.shared.clock.instant();
            let waited = now - started;
            self.attempts.waited = Some(waited);
            upstream.metrics.answered(status, waited);
            if let Some(place) = &self.attempts.open {
                upstream.report(place.endpoint(), Outcome::Answered(status), waited, now);
                self.attempts.answered = Some(status);
            }
            match status {
                StatusCode::SWITCHING_PROTOCOLS => self.until.heard(),
                _ => self.await_endpoint(now),
            }
        }
        self.tell_breaker(!status.is_server_error());
    }

    /// An attempt has failed through no fault of the client's or the gateway's.
    pub(super) fn failed(&mut self, error: &Error) {
        let unanswered = self.attempts.started.is_some();
        let cause = failure::upstream(error, !unanswered);
        if let Some(span) = &mut self.attempts.span {
            span.failed(cause.word());
        }
        if failure::lacks_descriptor(error) {
            if let Some(upstream) = &self.attempts.upstream {
                upstream.metrics.failed(cause);
            }
            return self.end_attempt();
        }
        match unanswered {
            true => self.tell_breaker(false),
            false => self.tell_breaker_of_break(),
        }
        if let Some(upstream) = &self.attempts.upstream {
            upstream.metrics.failed(cause);
            if let Some(place) = &self.attempts.open {
                let now = self.shared.clock.instant();
                let started = self.attempts.started;
                let waited = started.map_or(Duration::ZERO, |started| now - started);
                let outcome =
                    (self.attempts.answered.take()).map_or(Outcome::Failed, Outcome::Broke);
                upstream.report(place.endpoint(), outcome, waited, now);
            }
        }
        self.end_attempt();
    }

    /// Where the client is to come back to the endpoint that has answered, it gets a ticket.
    pub(super) fn ticket(&self, session: &ServerSession) -> Option<HeaderValue> {
        let upstream = self.attempts.upstream.as_ref()?;
        let https = self.exchange.client.scheme == "https";
        upstream.ticket(&self.attempts.tried, session.req_header(), https)
    }

    /// An answer has come, or none will.
    fn tell_breaker(&mut self, good: bool) {
        if let Some(upstream) = &self.attempts.upstream
            && let Some(breaker) = &upstream.breaker
            && let Some(leave) = &mut self.attempts.leave
        {
            let turn = breaker.tell(leave, self.shared.clock.instant(), good);
            upstream.circuit_turned(turn);
        }
        if !good {
            self.attempts.leave = None; // it cannot become worse
        }
    }

    /// The answer breaks off in its middle.
    fn tell_breaker_of_break(&mut self) {
        if let Some(upstream) = &self.attempts.upstream
            && let Some(breaker) = &upstream.breaker
            && let Some(leave) = self.attempts.leave.take()
        {
            upstream.circuit_turned(breaker.broke(leave, self.shared.clock.instant()));
        }
    }

    /// Counts an attempt as over, with a response or without.
    pub(super) fn end_attempt(&mut self) {
        if let (Some(started), true) = (self.attempts.started, self.attempts.open.is_some()) {
            self.attempts.waited = Some(self.shared.clock.instant() - started);
        }
        self.until.heard();
        self.until.enforce(false);
        self.attempts.end();
    }
}

impl Attempts {
    /// Counts the present one as over, with a response or without.
    pub(super) fn end(&mut self) {
        self.connected = None;
        self.leave = None;
        self.upload = None;
        self.interim = 0;
        self.timed = false;
        self.span = None; // it ends with the attempt
        let answered = self.answered.take();
        let Some(place) = self.open.take() else {
            return;
        };
        let unanswered = self.started.take().is_some();
        if let Some(upstream) = &self.upstream {
            upstream.metrics.end(!unanswered);
            if let Some(status) = answered {
                upstream.ended(place.endpoint(), status);
            }
        }
    }
}

/// Whether a connection that had been used before has ended, as one that idled may at any time.
fn is_stale(error: &Error, reused: bool) -> bool {
    reused && ending(error) == Some(Ended::Reset) && !failure::is_of_stream(error)
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
        E::ReadError if failure::is_misframed(error) => None,
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
