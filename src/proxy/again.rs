//! Whether a request is tried again once an attempt has failed, and where.

use pingora_core::protocols::http::ServerSession;

use super::attempt::MOST_STALE;
use super::context::Context;
use super::responder::has_begun;
use crate::upstream::Ended;

impl Context {
    /// An endpoint may close an idle connection as a request leaves. That is nobody's fault: the
    /// request is sent again where it may be repeated, at the same endpoint.
    pub(super) fn ran_into_stale(&mut self, session: &ServerSession) -> bool {
        if self.attempts.stale >= MOST_STALE
            || !session.req_header().method.is_idempotent()
            || !self.is_repeatable(session)
        {
            return false;
        }
        self.note_break();
        self.end_attempt();
        self.attempts.stale += 1;
        self.attempts.tried.pop();
        true
    }

    /// Whether nothing of the request is lost for another attempt.
    fn is_repeatable(&self, session: &ServerSession) -> bool {
        !session.retry_buffer_truncated() && !self.attempts.body_seen && !has_begun(session)
    }

    /// Whether the request, of which nothing was sent, goes to an endpoint that was not tried yet. That
    /// multiplies nothing, and takes no share of the budget, nor a pause.
    pub(super) fn goes_elsewhere(&self, session: &ServerSession) -> bool {
        let Some(upstream) = &self.attempts.upstream else {
            return false;
        };
        let goes = self.attempts.here - self.attempts.stale < upstream.retry.attempts
            && upstream.retry.covers(Ended::Unsent)
            && upstream.has_more_than(&self.attempts.tried)
            && self.is_repeatable(session);
        if goes {
            upstream.metrics.retried(true);
        }
        goes
    }

    /// Decides on another attempt; its pause and its share of the budget are taken then.
    pub(super) fn tries_again(&mut self, session: &ServerSession, ended: Ended) -> bool {
        let Some(upstream) = &self.attempts.upstream else {
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
}
