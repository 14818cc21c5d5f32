//! Requests that went to the upstream by themselves, when their response comes: what it changes
//! about what is stored (RFC 9111, 4.3.5 and 4.4).

use http::{Method, StatusCode};
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;
use pingora_http::ResponseHeader;

use super::super::context::Context;
use crate::cache::rules::Came;
use crate::cache::rules::status::{Stored, Told};
use crate::cache::rules::storing::{self, Asked, Seen};
use crate::cache::store::{Asker, Join, Mode, What};

impl Context {
    /// The response to a request that the cache did not answer is about to leave.
    pub(in crate::proxy) fn passed(
        &mut self,
        session: &ServerSession,
        head: &mut ResponseHeader,
    ) -> Result<()> {
        let Some(caching) = &mut self.caching else {
            return Ok(());
        };
        let told = caching.told.take().unwrap_or(Told::Forwarded {
            why: caching.forwarded,
            status: None,
            collapsed: false,
            stored: Stored::No(None),
        });
        if self.exchange.method == Method::HEAD {
            self.freshen(session, head);
        }
        if let Some(tags) = self.tags() {
            head.remove_header(tags);
        }
        self.tell_status(head, &told)
    }

    /// Where a request that may change a resource has succeeded, what is stored of it, and of what the
    /// response names, is used no more, whichever routes have stored it, and where.
    pub(in crate::proxy) fn invalidate(&self, head: &ResponseHeader) {
        let is_done = head.status.is_success() || head.status.is_redirection();
        let used = &self.snapshot.used_stores;
        if self.exchange.method.is_safe() || used.is_empty() || !is_done {
            return;
        }
        for what in self.changed_urls(head).into_iter().map(What::Url) {
            for store in used.iter().map(|at| self.snapshot.stores[*at].store()) {
                store.purge(&what, Mode::Hard);
            }
        }
    }

    /// The response to a HEAD request may tell that a stale response is still good, or that a fresh one is not.
    fn freshen(&self, session: &ServerSession, head: &ResponseHeader) {
        let caching = self.caching();
        let is_told = head.status == StatusCode::OK && !self.is_elsewhere();
        let Some(stale) = caching.stale.as_ref().filter(|_| is_told) else {
            return;
        };
        let stored = stale.meta().head.response();
        match storing::seen_by_head(&stored, head) {
            Seen::Good => {}
            Seen::Outdated => return caching.store.soften(stale),
            Seen::Nothing => return,
        }
        let mut asked = session.req_header().clone();
        asked.set_method(Method::GET); // what is refreshed is the response to one
        let asked = Asked {
            head: &asked,
            wishes: &caching.wishes,
            identified: self.exchange.identity.is_some(),
        };
        let waited = self.attempts.waited.unwrap_or_default();
        let came = Came::new(self.shared.clock.wall(), waited);
        let merged = storing::updated(&stored, head, came.at);
        if let Ok(meta) = storing::renewed(&caching.plan, &asked, stale.meta(), &merged, came)
            && let Join::Lead(lead) = caching.store.join(caching.key(), Asker::Anybody, |_| false)
        {
            // A purge has been faster: then there is nothing to refresh.
            let _ = lead.refresh(stale, meta);
        }
    }
}
