//! A fetch: an exchange with the upstream that is the cache's own.
//!
//! It runs as a task, with nobody behind it. What may be stored goes into the store, as fast as the
//! upstream sends it, and whoever wants it reads it there. What may not be is handed to the one who
//! asked, with the connection that it comes from.

mod ask;
mod fill;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, header};
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::HttpTask;
use pingora_error::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use smallvec::SmallVec;
use tokio::sync::mpsc;
use wiregate_sdk::cache::Plan;
use wiregate_sdk::{Attempt, Bytes, Reply};

use super::super::context::{Attempts, Context};
use super::super::hedge::Source;
use super::super::{failure, heads};
use super::nobody;
use crate::cache::rules::request::Wishes;
use crate::cache::rules::storing::{self, Asked, Why};
use crate::cache::rules::{conditional, reuse};
use crate::cache::store::{Entry, Lead};
use crate::cache::{Dealt, Failure};
use crate::upstream::Endpoint;

/// So many things that a fetch has to tell wait for whoever follows it.
const TOLD_AHEAD: usize = 4;
/// The reason of a failure that the upstream has told by its status.
const UPSTREAM_ERROR: &str = "upstream_error";

/// A fetch that is about to begin.
pub(super) struct Fetch {
    cx: Box<Context>,
    session: Session,
    connector: Arc<Connector>,
    lead: Option<Lead>,
    plan: Plan,
    wishes: Wishes,
    /// The request, as the chain has left it.
    head: RequestHeader,
    /// What is to be validated.
    stale: Option<Arc<Entry>>,
    /// Whether it asks for a validation.
    asks: bool,
}

/// What a fetch tells the one who asked for it.
pub(super) enum Event {
    /// An interim response (RFC 9110, 15.2).
    Interim(Box<ResponseHeader>),
    /// What became of it.
    Answer(Box<Answer>),
    /// A piece of a body that has turned out to be too large: what follows those that the entry has.
    Piece(Bytes),
    /// The end of such a body.
    End,
}

/// What became of a fetch.
pub(super) enum Answer {
    /// A response is being stored, or was refreshed.
    Stored {
        entry: Arc<Entry>,
        dealt: Dealt,
        status: StatusCode,
        report: Report,
    },
    /// What is stored is good, but its new head is for this request alone.
    Good {
        entry: Arc<Entry>,
        head: Box<ResponseHeader>,
        why: Why,
        report: Report,
    },
    /// A response that is for this request alone.
    Own(Box<Own>),
    /// There is none.
    Failed { reply: Reply, report: Report },
}

/// A response that is for the one who asked, with the connection that it comes from.
pub(super) struct Own {
    pub(super) source: Source,
    pub(super) first: HttpTask,
    pub(super) attempts: Handed,
    pub(super) why: Why,
}

/// The attempts behind a response that changes hands. They are counted as over where nobody takes
/// it.
pub(super) struct Handed(Option<Box<Attempts>>);

impl Handed {
    pub(super) fn take(mut self) -> Attempts {
        self.0.take().map(|attempts| *attempts).unwrap_or_default()
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if let Some(attempts) = &mut self.0 {
            attempts.end();
        }
    }
}

/// Who was asked, for the access log.
#[derive(Default)]
pub(super) struct Report {
    pub(super) tried: SmallVec<[Arc<Endpoint>; 2]>,
    pub(super) made: u32,
    pub(super) waited: Option<Duration>,
}

impl Context {
    /// Prepares a fetch of what this request asks for. The filters' `upstream` hooks run here, once.
    ///
    /// # Errors
    /// A filter panicked.
    pub(super) fn fetch(
        &mut self,
        session: &Session,
        lead: Lead,
        stale: Option<Arc<Entry>>,
        connector: Arc<Connector>,
    ) -> Result<Fetch> {
        let mut head = session.req_header().clone();
        let asks = match &stale {
            Some(stale) => conditional::ask(&mut head, &stale.meta().head.headers),
            None => {
                conditional::strip(&mut head);
                false
            }
        };
        head.remove_header(&header::EXPECT);
        self.hooks(&mut head)?;
        let caching = self.caching();
        Ok(Fetch {
            cx: self.detached(),
            session: nobody::session(head),
            connector,
            lead: Some(lead),
            plan: (*caching.plan).clone(),
            wishes: caching.wishes,
            head: session.req_header().clone(),
            stale,
            asks,
        })
    }
}

impl Fetch {
    /// Runs without anybody who follows.
    pub(super) fn alone(self) {
        tokio::spawn(self.run(None));
    }

    /// Runs, and tells the one who asked.
    pub(super) fn start(self) -> mpsc::Receiver<Event> {
        let (tell, events) = mpsc::channel(TOLD_AHEAD);
        tokio::spawn(self.run(Some(tell)));
        events
    }

    async fn run(mut self, tell: Option<mpsc::Sender<Event>>) {
        let head = match self.ask(tell.as_ref()).await {
            Ok(head) => head,
            Err(error) => {
                let reply = self.reply_to(&error);
                return self.fail(reply, tell).await;
            }
        };
        let status = head.head.status;
        if let Some(stale) = self.stale.clone().filter(|_| self.asks)
            && status == StatusCode::NOT_MODIFIED
        {
            return self.validated(head, &stale, tell).await;
        }
        let failed = matches!(status.as_u16(), 500 | 502 | 503 | 504);
        if failed && self.stale_stands_in() {
            drop(head.source);
            let reply = Reply::problem(status, UPSTREAM_ERROR);
            return self.fail(reply, tell).await;
        }
        // What is stored has lost what was for its hop; what is handed over loses it later.
        let mut settled = ResponseHeader::clone(&head.head);
        heads::settle_response(&mut settled, None);
        let terms = storing::terms(&self.plan, &self.asked(), &settled, head.sent);
        match terms.map(|terms| terms.stored(settled)) {
            Ok(meta) => self.store(head, meta, tell).await,
            Err(why) => self.hand_over(head, why, failed, tell).await,
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            head: &self.head,
            wishes: &self.wishes,
            identified: self.cx.exchange.identity.is_some(),
        }
    }

    fn stale_stands_in(&self) -> bool {
        let now = self.cx.shared.clock.now().wall;
        let stale = self.stale.as_ref();
        stale.is_some_and(|stale| reuse::stands_in(stale, &self.wishes, now))
    }

    fn report(&self) -> Report {
        let attempts = &self.cx.attempts;
        Report {
            tried: attempts.tried.clone(),
            made: attempts.made,
            waited: attempts.waited,
        }
    }

    fn reply_to(&mut self, error: &Error) -> Reply {
        let failure = failure::of(error, false);
        self.cx.take_reply().unwrap_or_else(|| {
            let status = failure.status.unwrap_or(StatusCode::BAD_GATEWAY);
            Reply::problem(status, failure.reason).log(failure::detail(error))
        })
    }

    /// It has failed, for all who wait.
    async fn fail(mut self, reply: Reply, tell: Option<mpsc::Sender<Event>>) {
        if let Some(lead) = self.lead.take() {
            lead.failed(Failure {
                status: reply.status,
                reason: reply.reason().unwrap_or(UPSTREAM_ERROR),
            });
        }
        let report = self.report();
        send(tell, Answer::Failed { reply, report }).await;
    }
}

async fn send(tell: Option<mpsc::Sender<Event>>, answer: Answer) {
    if let Some(tell) = tell {
        // Whoever has gone needs no answer.
        let _ = tell.send(Event::Answer(Box::new(answer))).await;
    }
}

impl Context {
    /// The `upstream` hooks of the filters, on the head of a fetch. There is no endpoint yet.
    fn hooks(&mut self, head: &mut RequestHeader) -> Result<()> {
        let (Some(position), Some(upstream)) = (self.route, &self.attempts.upstream) else {
            return Ok(());
        };
        let chain = &self.snapshot.routes[position].chain;
        let hooks = heads::edit_request(head, |head| {
            let mut attempt = Attempt {
                exchange: &self.exchange,
                head,
                upstream: &upstream.name,
                endpoint: "",
                number: 1,
            };
            chain.upstream(&mut attempt, &mut self.slots)
        });
        hooks.map_err(|reply| self.fault(reply))
    }
}
