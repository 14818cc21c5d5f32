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
use pingora_core::protocols::http::HttpTask;
use pingora_error::{Error, ErrorSource, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use wiregate_sdk::Reply;
use wiregate_sdk::views::Claim;

use super::super::context::Context;
use super::super::failure;
use super::super::hedge::Source;
use crate::cache::rules::conditional;
use crate::cache::rules::storing::Why;
use crate::cache::store::{Entry, Lead};
use crate::cache::{Dealt, Failure};
use crate::upstream::Connector;
use ask::Asked;
use detached::Detached;
pub(super) use fill::Filling;

/// The reason of a failure that the upstream has told by its status.
const UPSTREAM_ERROR: &str = "upstream_error";

/// What an exchange has to do with a fetch that it makes.
pub(super) struct Fetch {
    /// The right to it, until it is known what becomes of it.
    lead: Option<Lead>,
    /// What is stored and cannot be used as it is.
    stale: Option<Arc<Entry>>,
    /// Whether the upstream is asked if that is good still.
    asks: bool,
}

/// What became of a fetch.
pub(super) enum Answer {
    /// A response is being stored, or was refreshed.
    Stored {
        entry: Arc<Entry>,
        /// Its head.
        head: Box<ResponseHeader>,
        dealt: Dealt,
        status: StatusCode,
    },
    /// What is stored is good, but its new head is for this request alone.
    Good {
        entry: Arc<Entry>,
        head: Box<ResponseHeader>,
        why: Why,
    },
    /// A response that is for this request alone.
    Own(Box<Own>),
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
        let has_validator = |entry: &Arc<Entry>| {
            let fields = &entry.meta().head.headers;
            fields.contains_key(header::ETAG) || fields.contains_key(header::LAST_MODIFIED)
        };
        Self {
            lead: Some(lead),
            asks: stale.as_ref().is_some_and(has_validator),
            stale,
        }
    }

    /// What the upstream is asked about.
    fn validated(&self) -> Option<&Arc<Entry>> {
        self.stale.as_ref().filter(|_| self.asks)
    }

    fn lead(&mut self) -> Lead {
        self.lead.take().expect("taken once")
    }
}

impl Context {
    /// Fetches, for this request and all who wait, and answers it. Returns whether it was answered.
    ///
    /// # Errors
    /// The client's, or what broke off a response.
    pub(super) async fn lead(
        &mut self,
        session: &mut Session,
        lead: Lead,
        connector: Arc<Connector>,
    ) -> Result<bool> {
        let caching = self.caching_mut();
        let stale = caching.stale.clone();
        caching.fetch = Some(Box::new(Fetch::new(lead, stale)));
        self.request_claim = Claim::None; // there is no body that filters could want
        let answer = match self.ask(session, &connector, None).await {
            Ok(Asked::Head(head)) => self.settle(session, *head).await,
            Ok(Asked::Left(begun, error)) => {
                if let Ok(detached) = self.detach(session, &connector) {
                    detached.go_on(begun);
                }
                return Err(error);
            }
            Err(error) => Answer::Failed(self.fail_for_all(&error)),
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
        let Some(fetch) = caching.and_then(|caching| caching.fetch.as_ref()) else {
            return;
        };
        match fetch.validated() {
            Some(stale) => drop(conditional::ask(head, &stale.meta().head.headers)),
            None => conditional::strip(head),
        }
        head.remove_header(&header::EXPECT);
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
            lead.failed(Failure {
                status: reply.status,
                reason: reply.reason().unwrap_or(UPSTREAM_ERROR),
            });
        }
    }

    fn fetch_mut(&mut self) -> &mut Fetch {
        (self.caching_mut().fetch.as_deref_mut()).expect("there while it is made")
    }

    /// Makes of a fetch that was begun one that goes on without this exchange.
    ///
    /// # Errors
    /// A filter panicked.
    fn detach(&mut self, session: &Session, connector: &Arc<Connector>) -> Result<Detached> {
        let fetch = self.caching_mut().fetch.take();
        let fetch = fetch.expect("there while it is made");
        let mut detached = Detached::new(self, session, *fetch, connector.clone())?;
        detached.take_attempts(self);
        Ok(detached)
    }
}
