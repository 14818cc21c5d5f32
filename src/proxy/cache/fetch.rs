//! A fetch: what is asked of the upstream for all who want the same.
//!
//! It is a part of the exchange of the one who asked first, as long as that one stays: its attempts
//! are that exchange's own, and the body goes into the store and to its client at the same pace as it
//! comes. Where its client leaves, or takes less than the upstream sends, the others do not notice:
//! the store has all that has come, and an exchange of the cache's own (`detached.rs`) goes on
//! where there is nobody else to do so. What may not be stored stays with the one who asked.

mod ask;
mod detached;
mod fill;
mod settle;

use std::sync::Arc;

use http::{StatusCode, header};
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_error::{Error, ErrorSource, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use wiregate_sdk::views::Claim;
use wiregate_sdk::{Reply, ResponseHead};

use super::super::context::Context;
use super::super::failure;
use super::super::straight::Source;
use crate::cache::Failure;
use crate::cache::rules::conditional;
use crate::cache::rules::storing::Why;
use crate::cache::store::{Entry, Lead};
use crate::upstream::Connector;
use ask::Asked;
use detached::Detached;
pub(super) use fill::Filling;

/// What an exchange has to do with a fetch that it makes.
pub(super) struct Fetch {
    /// The right to it, until it is known what becomes of it.
    lead: Option<Lead>,
    /// Whether it is this request's alone: another one has the right.
    alone: bool,
    /// What is stored and cannot be used as it is.
    stale: Option<Arc<Entry>>,
    /// Whether the upstream is asked if that is good still.
    asks: bool,
}

/// What became of a fetch.
pub(super) enum Answer {
    /// A response that is for this request alone.
    Own(Box<Own>),
    /// Anything else.
    Shared(Shared),
}

/// What became of a fetch, but for a response that is for the one who asked.
pub(super) enum Shared {
    /// A response is being stored; its head is for the one who asked, where that does not get it as it is stored.
    Stored {
        entry: Arc<Entry>,
        head: Option<Box<ResponseHead>>,
    },
    /// What is stored is good, and was refreshed.
    Refreshed(Arc<Entry>),
    /// What is stored is good, but its new head is for this request alone.
    Good {
        entry: Arc<Entry>,
        head: Box<ResponseHeader>,
        why: Why,
    },
    /// There is none.
    Failed(Reply),
}

/// A response that is for the one who asked, with the connection that it comes from.
pub(super) struct Own {
    pub(super) source: Source,
    pub(super) first: HttpTask,
    pub(super) why: Why,
}

impl Fetch {
    /// A fetch by this right. What is stale is validated, where it has something to do that by.
    pub(super) fn new(lead: Lead, stale: Option<Arc<Entry>>) -> Self {
        Self {
            lead: Some(lead),
            alone: false,
            asks: stale.as_deref().is_some_and(has_validator),
            stale,
        }
    }

    /// A validation of what is stale for one request alone, where it has something to do that by.
    pub(super) fn alone(stale: Option<&Arc<Entry>>) -> Option<Self> {
        let stale = stale.filter(|stale| has_validator(stale))?;
        Some(Self {
            lead: None,
            alone: true,
            asks: true,
            stale: Some(stale.clone()),
        })
    }

    /// What the upstream is asked about.
    fn validated(&self) -> Option<&Arc<Entry>> {
        self.stale.as_ref().filter(|_| self.asks)
    }

    fn lead(&mut self) -> Lead {
        self.lead.take().expect("taken once")
    }
}

fn has_validator(entry: &Entry) -> bool {
    let head = &entry.meta().head;
    head.get(&header::ETAG).is_some() || head.get(&header::LAST_MODIFIED).is_some()
}

impl Context {
    /// Fetches, for this request and all who wait, and answers it. Returns whether it was answered.
    ///
    /// # Errors
    /// The client's, or what broke off a response.
    pub(super) async fn fetch(
        &mut self,
        session: &mut ServerSession,
        fetch: Fetch,
        connector: &Arc<Connector>,
    ) -> Result<bool> {
        let alone = fetch.alone;
        self.caching_mut().fetch = Some(fetch);
        self.request_claim = Claim::None; // there is no body that filters could want
        let answer = match self.ask(session, connector, None).await {
            Ok(Asked::Head(head)) => self.settle(session, head).await,
            Ok(Asked::Left(_, error)) if alone => return Err(error),
            Ok(Asked::Left(begun, error)) => {
                if let Ok(detached) = self.detach(session, connector) {
                    detached.go_on(begun);
                }
                return Err(error);
            }
            Err(error) => Answer::Shared(Shared::Failed(self.fail_for_all(&error))),
        };
        let answered = self.answer(session, answer).await;
        self.let_fill_go_on();
        answered
    }

    /// Whether an error of this exchange's client ends less than the exchange: it fetches for others
    /// as well.
    pub(in crate::proxy) fn goes_on_without_client(&self, error: &Error) -> bool {
        let caching = self.caching.as_ref();
        caching.is_some_and(|caching| caching.fetch.is_some())
            && *error.esource() == ErrorSource::Downstream
            && !failure::is_over(error)
            && !ask::is_silent(error)
    }

    /// Makes of the head of a request the one of its fetch, where it is one: conditions are the
    /// cache's own (RFC 9111, 4.3.1), and it is for the whole response.
    pub(in crate::proxy) fn ask_for_all(&self, head: &mut RequestHeader) {
        let caching = self.caching.as_ref();
        let Some((caching, fetch)) = caching.and_then(|own| Some((own, own.fetch.as_ref()?)))
        else {
            return;
        };
        match fetch.validated().filter(|_| !self.is_elsewhere()) {
            Some(stale) => {
                let stored = stale.meta().head.response();
                conditional::ask(head, &stored.headers);
            }
            None if caching.plain => {} // it has none
            None => conditional::strip(head),
        }
    }

    /// Whether another upstream is asked than the one that the key is of, as its fallback.
    pub(super) fn is_elsewhere(&self) -> bool {
        let own = self.caching().upstream.as_ref();
        let asked = self.attempts.upstream.as_ref();
        own.map(|own| &own.name) != asked.map(|asked| &asked.name)
    }

    /// It has failed, for all who wait.
    fn fail_for_all(&mut self, error: &Error) -> Reply {
        let failure = failure::of(error, false);
        let reply = self.take_reply().unwrap_or_else(|| {
            let status = failure.status.unwrap_or(StatusCode::BAD_GATEWAY);
            Reply::problem(status, failure.reason).log(failure::detail(error))
        });
        self.tell_failure(&reply);
        reply
    }

    fn tell_failure(&mut self, reply: &Reply) {
        let fetch = self.caching_mut().fetch.as_mut();
        if let Some(lead) = fetch.and_then(|fetch| fetch.lead.take()) {
            lead.failed(Failure::of(reply));
        }
    }

    fn fetch_mut(&mut self) -> &mut Fetch {
        (self.caching_mut().fetch.as_mut()).expect("there while it is made")
    }

    /// Makes of a fetch that was begun one that goes on without this exchange.
    ///
    /// # Errors
    /// A filter panicked.
    fn detach(&mut self, session: &ServerSession, connector: &Arc<Connector>) -> Result<Detached> {
        let fetch = self.caching_mut().fetch.take();
        let fetch = fetch.expect("there while it is made");
        let (place, _) = self.occupy(); // in the place of the client's own
        let mut detached = Detached::new(self, session, fetch, connector.clone(), place)?;
        detached.take_attempts(self);
        Ok(detached)
    }
}
