//! Requests for the same: one of them fetches, and the others wait for what becomes of that.

use std::cell::RefCell;
use std::sync::Arc;

use http::header;
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;
use wiregate_sdk::{Origin, Reply};

use super::super::context::Context;
use crate::cache::rules::reuse::{self, Reuse};
use crate::cache::rules::vary;
use crate::cache::store::{Asker, Entry, Join, Outcome, Waiting};
use crate::cache::{Dealt, Failure, Selector};

impl Context {
    /// Waits for another request's fetch. Returns whether this one was answered; nothing where it has to
    /// join those who fetch once more.
    pub(super) async fn wait(
        &mut self,
        session: &mut ServerSession,
        waiting: Waiting,
    ) -> Result<Option<bool>> {
        let outcome = waiting.outcome(self.caching().plan.policy.patience);
        let outcome = self.patiently(session, outcome).await?;
        self.caching_mut().collapsed = true;
        match outcome {
            Outcome::Entry(entry) => {
                let (wishes, now) = (&self.caching().wishes, self.shared.clock.wall());
                if !vary::fits(&entry.meta().vary, &session.req_header().headers) {
                    return Ok(None);
                }
                if reuse::judge(&entry, wishes, now) == Reuse::No {
                    return Ok(Some(false)); // each request has to ask for itself
                }
                self.serve_shared(session, entry).await.map(Some)
            }
            Outcome::Failed(failure) => self.failed_for_all(session, failure).await.map(Some),
            Outcome::Alone | Outcome::Late => Ok(Some(false)),
            Outcome::Left => Ok(None),
        }
    }

    /// Whose request it is, as the upstream sees it. A response to somebody's may be for its caller alone.
    pub(super) fn asker(&self, session: &ServerSession) -> Asker {
        if self.caching().plan.caller.is_some() {
            return Asker::Anybody; // of those that the key is for
        }
        if self.exchange.identity.is_some() {
            return Asker::Credentials;
        }
        let mut asker = Asker::Anybody;
        for name in session.req_header().headers.keys() {
            if *name == header::AUTHORIZATION {
                return Asker::Credentials;
            } else if *name == header::COOKIE {
                asker = Asker::Cookie;
            }
        }
        asker
    }

    /// Joins those who fetch.
    pub(super) fn join(&mut self, session: &ServerSession) -> Join {
        let wanted = RefCell::new(std::mem::take(&mut self.caching_mut().wanted));
        let caching = self.caching();
        let headers = &session.req_header().headers;
        let now = self.exchange.now.wall;
        let is = |selectors: &[Selector]| wanted.borrow_mut().is(selectors, headers);
        let (store, asker) = (&caching.store, self.asker(session));
        let join = store.join_for(caching.key(), asker, is, |entry| {
            is(&entry.meta().vary) && reuse::judge(entry, &caching.wishes, now) != Reuse::No
        });
        self.caching_mut().wanted = wanted.into_inner();
        join
    }

    /// Answers with what another request's fetch has brought.
    pub(super) async fn serve_shared(
        &mut self,
        session: &mut ServerSession,
        entry: Arc<Entry>,
    ) -> Result<bool> {
        let caching = self.caching_mut();
        caching.collapsed = true;
        caching.dealt = Dealt::Collapsed;
        self.serve_hit(session, entry).await.map(|()| true)
    }

    /// The fetch of another request has failed: so has this one, unless what is stored may stand in.
    async fn failed_for_all(
        &mut self,
        session: &mut ServerSession,
        failure: Failure,
    ) -> Result<bool> {
        if self.stand_in(session, &failure).await? {
            return Ok(true);
        }
        self.caching_mut().dealt = Dealt::Miss;
        let reply = Reply::problem(failure.status, failure.reason)
            .log("the fetch of another request, which this one waited for, has failed");
        self.respond(session, reply, Origin::Gateway)
            .await
            .map(|()| true)
    }
}
