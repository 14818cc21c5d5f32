//! A fetch: an exchange with the upstream that is the cache's own.
//!
//! It runs as a task, with nobody behind it. What may be stored goes into the store, as fast as the
//! upstream sends it, and whoever wants it reads it there. What may not be is handed to the one who
//! asked, with the connection that it comes from.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::HttpTask;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use smallvec::SmallVec;
use tokio::sync::mpsc;
use wiregate_sdk::cache::Plan;
use wiregate_sdk::{Attempt, Bytes, Reply};

use super::super::context::{Attempts, Context};
use super::super::hedge::Source;
use super::super::{failure, forwarded, heads};
use super::nobody;
use crate::cache::rules::request::Wishes;
use crate::cache::rules::storing::{self, Asked, Why};
use crate::cache::rules::{Sent, conditional, reuse};
use crate::cache::store::{Entry, Fill, Lead, Refused};
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
    Own {
        source: Box<Source>,
        first: HttpTask,
        attempts: Box<Attempts>,
        why: Why,
    },
    /// There is none.
    Failed { reply: Reply, report: Report },
}

/// Who was asked, for the access log.
#[derive(Default)]
pub(super) struct Report {
    pub(super) tried: SmallVec<[Arc<Endpoint>; 2]>,
    pub(super) made: u32,
    pub(super) waited: Option<Duration>,
}

/// The head of a final response, and where the rest comes from.
struct Head {
    source: Source,
    head: Box<ResponseHeader>,
    end: bool,
    sent: Sent,
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
        match storing::meta(&self.plan, &self.asked(), &head.head, head.sent) {
            Ok(meta) => {
                let mut meta = meta;
                // What cannot be added is not there; a field that is static always can be.
                let _ = forwarded::name_ourselves(&mut meta.head);
                self.store(head, meta, tell).await;
            }
            Err(why) => self.hand_over(head, why, failed, tell).await,
        }
    }

    /// Asks until there is the head of a final response.
    async fn ask(&mut self, tell: Option<&mpsc::Sender<Event>>) -> Result<Head> {
        loop {
            let asked = self.cx.shared.clock.now().wall;
            let (session, connector) = (&mut self.session, &self.connector);
            let Some((source, first)) = self.cx.first_head(session, connector).await? else {
                continue;
            };
            if let Some((source, mut head, end)) = self.final_head(source, first, tell).await? {
                heads::settle_response(&mut head);
                heads::lighten_response(&mut head);
                if self.is_for_another(&head) {
                    conditional::strip(self.session.req_header_mut());
                    self.asks = false;
                    self.cx.end_attempt();
                    continue;
                }
                let came = self.cx.shared.clock.now().wall;
                let sent = Sent { asked, came };
                return Ok(Head {
                    source,
                    head,
                    end,
                    sent,
                });
            }
        }
    }

    /// Passes interim responses on, up to the final one; nothing where it is to be asked again.
    async fn final_head(
        &mut self,
        mut source: Source,
        first: HttpTask,
        tell: Option<&mpsc::Sender<Event>>,
    ) -> Result<Option<(Source, Box<ResponseHeader>, bool)>> {
        let mut next = Ok(first);
        let error = loop {
            match next {
                Ok(HttpTask::Header(mut head, end)) => {
                    let checked = self.cx.upstream_head(&self.session, &mut head);
                    match checked {
                        Ok(()) if !head.status.is_informational() => {
                            return Ok(Some((source, head, end)));
                        }
                        Ok(()) => {
                            if let Some(tell) = tell {
                                // Whoever has gone wants no interim responses.
                                let _ = tell.try_send(Event::Interim(head));
                            }
                            next = self.cx.next_part(&mut source).await;
                        }
                        Err(error) => break error,
                    }
                }
                Ok(_) => break Error::explain(ErrorType::InvalidHTTPHeader, "no head").into_up(),
                Err(error) => break error.into_up(),
            }
        };
        let reused = source.reused;
        drop(source);
        let error = self.cx.end_broken(&self.session, error, reused);
        if error.retry() { Ok(None) } else { Err(error) }
    }

    /// Whether a 304 is about another response than the one that is stored (RFC 9111, 4.3.4).
    fn is_for_another(&self, head: &ResponseHeader) -> bool {
        let stale = self.stale.as_ref().filter(|_| self.asks);
        let strong = |tag: &&HeaderValue| !tag.as_bytes().starts_with(b"W/");
        let own = stale.and_then(|stale| stale.meta().head.headers.get(header::ETAG));
        let news = head.headers.get(header::ETAG).filter(strong);
        head.status == StatusCode::NOT_MODIFIED && news.is_some() && own.is_some() && news != own
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

    /// What is stored is good still.
    async fn validated(
        mut self,
        head: Head,
        stale: &Arc<Entry>,
        tell: Option<mpsc::Sender<Event>>,
    ) {
        let merged = storing::updated(&stale.meta().head, &head.head);
        let meta = storing::meta(&self.plan, &self.asked(), &merged, head.sent);
        head.source.put_back().await;
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
    async fn hand_over(
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
        let attempts = Box::new(std::mem::take(&mut self.cx.attempts));
        let answer = Answer::Own {
            source: Box::new(head.source),
            first: HttpTask::Header(head.head, head.end),
            attempts,
            why,
        };
        send(tell, answer).await;
    }

    /// Where it was this one request that could not have its response stored, the next one of those who
    /// wait gets the lead: else whoever sends credentials could keep all others from the cache.
    fn give_up(&self, lead: Lead, why: Why) {
        match why {
            "request-no-store" | "authorization" | "cookie" => drop(lead),
            _ => lead.not_stored(self.plan.policy.remember),
        }
    }

    async fn store(
        mut self,
        head: Head,
        meta: crate::cache::Stored,
        tell: Option<mpsc::Sender<Event>>,
    ) {
        let length = (head.head.headers.get(header::CONTENT_LENGTH))
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let length = if head.end { Some(0) } else { length };
        let lead = self.lead.take().expect("taken once");
        let largest = self.cx.snapshot.stores[self.plan.policy.store].largest();
        if length.is_some_and(|length| length > largest) {
            lead.not_stored(self.plan.policy.remember);
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

    /// The body goes into the store, to its end.
    async fn fill(mut self, head: Head, fill: Fill, tell: Option<mpsc::Sender<Event>>) {
        let Head {
            mut source, end, ..
        } = head;
        let (mut fill, mut end) = (Some(fill), end);
        while !end {
            let part = match self.cx.next_part(&mut source).await {
                Ok(part) => part,
                Err(error) => {
                    drop(fill); // whoever follows learns that it broke off
                    let reused = source.reused;
                    drop(source);
                    self.cx.end_broken(&self.session, error.into_up(), reused);
                    return;
                }
            };
            let data = match part {
                HttpTask::Body(data, last) => {
                    end = last;
                    data
                }
                HttpTask::Failed(error) => {
                    self.cx.end_broken(&self.session, error, source.reused);
                    return;
                }
                _ => {
                    end = true; // trailers are not stored (RFC 9111, 3.1)
                    None
                }
            };
            let Some(data) = data.filter(|data| !data.is_empty()) else {
                continue;
            };
            if let Some(filling) = &mut fill {
                match filling.push(&data) {
                    Ok(()) => continue,
                    Err(Refused::Length) => return,
                    Err(_) => {
                        if let Some(fill) = fill.take() {
                            fill.abandon(self.plan.policy.remember);
                        }
                    }
                }
            }
            // Too large: the rest is for the one who asked, as fast as that takes it.
            let Some(tell) = &tell else { return };
            if tell.send(Event::Piece(data)).await.is_err() {
                return;
            }
        }
        match fill {
            Some(fill) => drop(fill.finish()),
            None => {
                if let Some(tell) = &tell {
                    let _ = tell.send(Event::End).await;
                }
            }
        }
        source.put_back().await;
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
        let mut attempt = Attempt {
            exchange: &self.exchange,
            head,
            upstream: &upstream.name,
            endpoint: "",
            number: 1,
        };
        let chain = &self.snapshot.routes[position].chain;
        let hooks = chain.upstream(&mut attempt, &mut self.slots);
        hooks.map_err(|reply| self.fault(reply))
    }

    /// The next part of a response, within the time that the exchange has.
    async fn next_part(&mut self, source: &mut Source) -> Result<HttpTask> {
        match self.time_left()? {
            None => source.next().await,
            Some(left) => match tokio::time::timeout(left, source.next()).await {
                Ok(part) => part,
                Err(_) => Error::e_explain(ErrorType::ReadTimedout, "no response in time"),
            },
        }
    }
}
