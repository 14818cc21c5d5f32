//! What becomes of a response: it is stored, or it is for the one who asked.

use std::sync::Arc;

use http::{StatusCode, header};
use pingora_core::protocols::http::HttpTask;
use tokio::sync::mpsc;

use super::super::super::heads;
use super::ask::Head;
use super::{Answer, Event, Fetch, Handed, Own, UPSTREAM_ERROR, send};
use crate::cache::rules::storing::{self, Why};
use crate::cache::store::{Entry, Lead};
use crate::cache::{Dealt, Failure, Stored};

impl Fetch {
    /// What is stored is good still.
    pub(super) async fn validated(
        mut self,
        mut head: Head,
        stale: &Arc<Entry>,
        tell: Option<mpsc::Sender<Event>>,
    ) {
        heads::settle_response(&mut head.head, None);
        let (stored, sent) = (stale.meta(), head.sent);
        let merged = storing::updated(&stored.head, &head.head, sent.came);
        let meta = storing::renewed(&self.plan, &self.asked(), stored, &merged, sent);
        if head.end {
            head.source.put_back().await;
        }
        let report = self.report();
        let lead = self.lead.take().expect("taken once");
        let refreshed = match meta {
            Ok(meta) => lead.refresh(stale, meta).map_err(|_| "purged"),
            Err(why) => {
                self.give_up(lead, why);
                Err(why)
            }
        };
        let answer = match refreshed {
            Ok(entry) => Answer::Stored {
                entry,
                dealt: Dealt::Revalidated,
                status: StatusCode::NOT_MODIFIED,
                report,
            },
            Err(why) => Answer::Good {
                entry: stale.clone(),
                head: Box::new(merged),
                why,
                report,
            },
        };
        send(tell, answer).await;
    }

    /// A response that is not for the cache goes to the one who asked.
    pub(super) async fn hand_over(
        mut self,
        head: Head,
        why: Why,
        failed: bool,
        tell: Option<mpsc::Sender<Event>>,
    ) {
        let lead = self.lead.take().expect("taken once");
        if failed {
            lead.failed(Failure {
                status: head.head.status,
                reason: UPSTREAM_ERROR,
            });
        } else {
            self.give_up(lead, why);
        }
        self.own(head, why, tell).await;
    }

    /// It is for the one who asked alone.
    async fn own(mut self, head: Head, why: Why, tell: Option<mpsc::Sender<Event>>) {
        let attempts = Handed(Some(Box::new(std::mem::take(&mut self.cx.attempts))));
        let own = Own {
            source: head.source,
            first: HttpTask::Header(head.head, head.end),
            attempts,
            why,
        };
        let answer = Answer::Own(Box::new(own));
        send(tell, answer).await;
    }

    /// Where the request itself asks for it, the next one of those who wait gets the lead. Whatever else is the reason,
    /// it is remembered for requests that are alike: those without cookies and credentials never learn what came of
    /// one with them, and even those that are alike try again soon. Else whoever gets responses of his own could
    /// keep all others from the cache.
    fn give_up(&self, lead: Lead, why: Why) {
        match why {
            "request-no-store" => drop(lead),
            _ => lead.not_stored(self.plan.policy.remember),
        }
    }

    pub(super) async fn store(
        mut self,
        head: Head,
        meta: Stored,
        tell: Option<mpsc::Sender<Event>>,
    ) {
        let length = (head.head.headers.get(header::CONTENT_LENGTH))
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let length = if head.end { Some(0) } else { length };
        let lead = self.lead.take().expect("taken once");
        let largest = self.cx.snapshot.stores[self.plan.policy.store].largest();
        if length.is_some_and(|length| length > largest) {
            lead.too_large(self.plan.policy.remember, &meta.vary);
            return self.own(head, "too-large", tell).await;
        }
        let fill = match lead.fill(meta, length) {
            Ok(fill) => fill,
            Err(_) => return self.own(head, "refused", tell).await,
        };
        let status = head.head.status;
        let answer = Answer::Stored {
            entry: fill.entry().clone(),
            dealt: Dealt::Miss,
            status,
            report: self.report(),
        };
        if let Some(tell) = &tell {
            let _ = tell.send(Event::Answer(Box::new(answer))).await;
        }
        self.fill(head, fill, tell).await;
    }
}
