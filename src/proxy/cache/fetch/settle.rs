//! What becomes of a response: it is stored, or it is for the one who asked.

use std::sync::Arc;

use http::StatusCode;
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_http::ResponseHeader;
use wiregate_sdk::{Reply, ResponseHead};

use super::super::super::context::Context;
use super::super::super::heads;
use super::ask::Head;
use super::{Answer, Filling, Own, Shared};
use crate::cache::rules::reuse;
use crate::cache::rules::storing::{self, StoringTerms, Why};
use crate::cache::store::{Entry, Fill, Lead};
use crate::cache::{Failure, UPSTREAM_ERROR};

/// Another request sees to what is stored.
const BUSY: Why = "busy";

impl Context {
    /// Settles what becomes of a response, for all who wait for it. Where it is stored, the body is to
    /// follow, by way of this exchange.
    pub(super) async fn settle(&mut self, session: &ServerSession, mut head: Box<Head>) -> Answer {
        let status = head.head.status;
        if self.is_elsewhere() {
            // It stands in for a response, and is none of those that the key is for.
            return self.keep(*head, "fallback", false);
        }
        if status == StatusCode::NOT_MODIFIED
            && let Some(stale) = self.fetch_mut().validated().cloned()
        {
            return self.validated(session, head, &stale).await;
        }
        let failed = matches!(status.as_u16(), 500 | 502 | 503 | 504);
        if failed && self.stale_stands_in() {
            drop(head.source);
            self.end_attempt();
            let reply = Reply::problem(status, UPSTREAM_ERROR);
            self.tell_failure(&reply);
            return Answer::Shared(Shared::Failed(reply));
        }
        if self.fetch_mut().alone {
            return own(*head, BUSY);
        }
        heads::drop_named_of(&mut head.head);
        let (plan, asked) = (&self.caching().plan, self.asked(session));
        match storing::terms(plan, &asked, &head.head, head.came) {
            Ok(mut terms) => self.take_in(head, &mut terms).await,
            Err(why) => self.keep(*head, why, failed),
        }
    }

    fn asked<'a>(&'a self, session: &'a ServerSession) -> storing::Asked<'a> {
        let caching = self.caching();
        storing::Asked {
            head: caching.asked.as_deref().unwrap_or(session.req_header()),
            wishes: &caching.wishes,
            identified: self.exchange.identity.is_some(),
        }
    }

    /// Whether what is stored may answer where a fetch fails.
    pub(in crate::proxy) fn stale_stands_in(&self) -> bool {
        let now = self.shared.clock.wall();
        let Some(caching) = &self.caching else {
            return false;
        };
        let stale = caching.fetch.as_ref().and_then(|f| f.stale.as_ref());
        stale.is_some_and(|stale| reuse::stands_in(stale, &caching.wishes, now))
    }

    /// What is stored is good still.
    async fn validated(
        &mut self,
        session: &ServerSession,
        mut head: Box<Head>,
        stale: &Arc<Entry>,
    ) -> Answer {
        heads::edit_response(&mut head.head, |head| heads::settle_response(head, false));
        let (stored, came) = (stale.meta(), head.came);
        let merged = storing::updated(&stored.head.response(), &head.head, came.at);
        let asked = self.asked(session);
        let meta = storing::renewed(&self.caching().plan, &asked, stored, &merged, came);
        if head.end {
            head.source.put_back().await;
        }
        self.end_attempt();
        let refreshed = match meta {
            Ok(_) if self.fetch_mut().alone => Err(BUSY),
            Err(why) if self.fetch_mut().alone => Err(why),
            Ok(meta) => self
                .fetch_mut()
                .lead()
                .refresh(stale, meta)
                .map_err(|_| "purged"),
            Err(why) => {
                let lead = self.fetch_mut().lead();
                self.give_up(lead, why);
                Err(why)
            }
        };
        Answer::Shared(match refreshed {
            Ok(entry) => Shared::Refreshed(entry),
            Err(why) => Shared::Good {
                entry: stale.clone(),
                head: Box::new(merged),
                why,
            },
        })
    }

    /// A response that is not for the cache stays with the one who asked.
    fn keep(&mut self, head: Head, why: Why, failed: bool) -> Answer {
        match self.fetch_mut().lead.take() {
            Some(lead) if failed => lead.failed(Failure {
                status: head.head.status,
                reason: UPSTREAM_ERROR,
            }),
            Some(lead) => self.give_up(lead, why),
            None => {} // it was this request's alone
        }
        own(head, why)
    }

    /// Where the request itself asks for it, the next one of those who wait gets the lead. Whatever else is the reason,
    /// it is remembered for requests that are alike: those without cookies and credentials never learn what came of
    /// one with them, and even those that are alike try again soon. Else whoever gets responses of his own could
    /// keep all others from the cache.
    fn give_up(&self, lead: Lead, why: Why) {
        match why {
            "request-no-store" => drop(lead),
            _ => lead.not_stored(self.caching().plan.policy.remember),
        }
    }

    /// Takes a response in, whose head is for the one who asked as well. What is yet to come of its body comes by way of
    /// this exchange.
    async fn take_in(&mut self, mut head: Box<Head>, terms: &mut StoringTerms) -> Answer {
        head.take_body().await;
        let (entry, fill) = match self.store(&head, terms) {
            Ok(stored) => stored,
            Err(why) => return own(*head, why),
        };
        if fill.is_some() {
            head.give_back();
        }
        let Head { source, head, .. } = *head;
        if let Some(fill) = fill {
            self.caching_mut().filling = Some(Filling::new(source, fill));
        } else {
            // The connection can be used again.
            self.heard(true);
            source.put_back().await;
            self.end_attempt();
        }
        let head = (!self.leaves_as_stored(&entry)).then(|| {
            let via = heads::via_of(head.version);
            let mut head = Box::new(ResponseHead::from(*head));
            terms.edit(&mut head.headers, via);
            head
        });
        Answer::Shared(Shared::Stored { entry, head })
    }

    /// Stores a response, whose body is there, or else is to be filled in.
    ///
    /// # Errors
    /// Why it is not stored.
    fn store(
        &mut self,
        head: &Head,
        terms: &mut StoringTerms,
    ) -> Result<(Arc<Entry>, Option<Fill>), Why> {
        let length = if head.end { Some(0) } else { terms.length };
        let lead = self.fetch_mut().lead();
        let policy = &self.caching().plan.policy;
        let (store, remember) = (policy.store, policy.remember);
        let largest = self.snapshot.stores[store].largest();
        if length.is_some_and(|length| length > largest) {
            lead.too_large(remember, terms.vary());
            return Err("too-large");
        }
        let is_good = |body: u64| body <= largest && length.is_none_or(|length| length == body);
        let body = match head.end {
            true => Some(&b""[..]),
            false => head.body.as_deref(),
        };
        let body = body.filter(|body| is_good(body.len() as u64));
        let meta = terms.stored(made(terms, &head.head, &lead, body));
        let stored = match body {
            Some(body) => lead.store(meta, body, remember).map(|entry| (entry, None)),
            None => {
                let fill = lead.fill(meta, length, remember);
                fill.map(|fill| (fill.entry().clone(), Some(fill)))
            }
        };
        stored.map_err(|_| "refused")
    }
}

/// The head that is stored. Where the body is there, what goes for it leaves it its memory.
fn made(
    terms: &StoringTerms,
    head: &ResponseHeader,
    lead: &Lead,
    body: Option<&[u8]>,
) -> crate::cache::Head {
    let via = heads::via_of(head.version);
    let draft = terms.draft(&head.headers, Some(&via));
    let room = lead.behind(body.unwrap_or_default());
    let spare = body.map(|body| lead.make_room(draft.bytes() + room, body));
    draft.head(head.status, room, spare.unwrap_or_default())
}

/// It is for the one who asked alone.
fn own(mut head: Head, why: Why) -> Answer {
    head.give_back();
    Answer::Own(Box::new(Own {
        source: head.source,
        first: HttpTask::Header(head.head, head.end),
        why,
    }))
}
