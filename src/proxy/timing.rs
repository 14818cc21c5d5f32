//! How long an exchange may take, and how long its endpoint.

use std::time::{Duration, Instant};

use pingora_core::protocols::http::ServerSession;
use pingora_core::upstreams::peer::PeerOptions;
use pingora_error::{Error, Result};
use pingora_http::RequestHeader;
use wiregate_sdk::Reply;

use super::context::Context;
use crate::upstream::Cause;

/// Timers may ring this much too early.
const TICK: Duration = Duration::from_millis(10);
/// A head of at most so many bytes leaves at once, filters' additions to it included.
const SMALL: usize = 2 * 1024;

impl Context {
    /// The time that the exchange may take in all; `None` for any.
    pub(super) fn may_take(&self) -> Option<Duration> {
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

    /// Leaves it to whoever waits for the client to wait for the endpoint as well: Pingora would make a
    /// timer for each read. Where there is a body, Pingora may be kept from the client while it writes, or
    /// give its client up, and keeps its own time-outs: but for the one for reads over HTTP/2, which does
    /// not know of the upload beside it. Nor is there one for the write of a small head, which a connection
    /// that idles takes at once.
    pub(super) fn time_reads(
        &mut self,
        session: &mut ServerSession,
        options: &mut PeerOptions,
        http1: bool,
    ) {
        self.attempts.timed = true;
        let empty = session.is_body_done() && session.is_body_empty();
        let nothing = empty && self.body.bytes.is_none() && !self.body.upgrade;
        if nothing || self.body.upgrade || !http1 {
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
        self.attempts.reused = reused;
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
    pub(super) fn await_upload(&mut self, session: &mut ServerSession) {
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
