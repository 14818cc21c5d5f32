//! Hedged requests: a race of two endpoints for the head of a response.
//!
//! Pingora's proxy holds one session with an endpoint at a time. So the first attempt of a request that may
//! be hedged is made here, with two connections where it takes long; the winner's response is passed on as on the
//! straight way (`straight.rs`). What is tried again after that goes as any other request does.

mod leg;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, Result};
use tokio::time::{Sleep, sleep};
use wiregate_sdk::Facts;

use super::context::Context;
use super::session::gone;
use super::straight::{Source, again, has_plain_target};
use crate::upstream::{Ask, Breaker, Connector, Hedged, Hedging};
use leg::{Aside, Leg, Lost, Step, ask};

/// A body that is larger than this is not sent twice at a time.
const LARGEST_BODY: usize = 64 * 1024;

/// The race for a response.
pub(super) struct Race {
    connector: Arc<Connector>,
    body: Bytes,
    /// The attempt that the context tells of.
    front: Leg,
    /// The other one.
    back: Option<(Leg, Aside)>,
    /// Whether the one in front is the second one.
    turned: bool,
    /// How long the first endpoint has, while there is no second one.
    after: Option<Duration>,
    hedging: Option<Hedging>,
}

/// What happens in a race.
enum Event {
    Front(Result<Step, Lost>),
    Back(Result<Step, Lost>),
    Late,
    Gone(Box<Error>),
}

impl Context {
    /// Whether this request may be under way at two endpoints.
    pub(super) fn may_be_hedged(&self, session: &mut ServerSession) -> bool {
        let hedges = (self.attempts.upstream.as_ref()).is_some_and(|u| u.hedge.is_some());
        if !hedges || !session.req_header().method.is_idempotent() {
            return false;
        }
        // What was read for links that are only looked at has its own framing, and goes as if it had not been.
        match self.body.bytes.as_ref().filter(|_| self.body.taken) {
            Some(bytes) => bytes.len() <= LARGEST_BODY && has_plain_target(session),
            None => self.sends_head_alone(session),
        }
    }

    /// Makes the first attempt, and a second one beside it where it takes long. Returns whether the request was
    /// answered; where not, there is to be another attempt, as after any other one.
    ///
    /// # Errors
    /// What went wrong, where it is not tried again.
    pub(super) async fn race(
        &mut self,
        session: &mut ServerSession,
        connector: &Arc<Connector>,
    ) -> Result<bool> {
        match self.first_head(session, connector).await? {
            Some((source, head)) => self.conclude(session, source, Ok(head)).await,
            None => Ok(false),
        }
    }

    /// The head of a response, and where its rest comes from; nothing where there is to be another
    /// attempt.
    ///
    /// # Errors
    /// What went wrong, where it is not tried again.
    async fn first_head(
        &mut self,
        session: &mut ServerSession,
        connector: &Arc<Connector>,
    ) -> Result<Option<(Source, HttpTask)>> {
        let peer = self.begin_attempt(session).await?;
        let mut race = self.line_up(connector, peer);
        let won = self.run(session, &mut race).await;
        drop(race);
        match won {
            Ok(won) => Ok(Some(won)),
            Err(error) => again(error).map(|()| None),
        }
    }

    /// A race with one attempt so far, which has just begun.
    pub(super) fn line_up(&self, connector: &Arc<Connector>, peer: Box<HttpPeer>) -> Race {
        let hedge = (self.attempts.upstream.as_ref()).and_then(|u| u.hedge.as_ref());
        Race {
            connector: connector.clone(),
            body: self.body.bytes.clone().unwrap_or_default(),
            front: open(connector, peer, self.attempts.made),
            back: None,
            turned: false,
            after: hedge.and_then(|hedge| hedge.after()),
            hedging: None,
        }
    }

    /// Runs a race to the head of a response. Where a client leaves that fetches for others as well, the
    /// race can be run on without it.
    ///
    /// # Errors
    /// What went wrong.
    pub(super) async fn run(
        &mut self,
        session: &mut ServerSession,
        race: &mut Race,
    ) -> Result<(Source, HttpTask)> {
        let watched = session.is_body_done();
        let mut late = std::pin::pin!(sleep(race.after.unwrap_or_default()));
        loop {
            let event = race.event(session, watched, late.as_mut()).await;
            let step = match event {
                Event::Late => {
                    race.after = None;
                    self.hedge(session, race);
                    continue;
                }
                Event::Gone(error) if self.goes_on_without_client(&error) => return Err(error),
                Event::Gone(error) => {
                    self.tell_hedge(race, Hedged::Abandoned);
                    return Err(self.end_broken(session, error, false));
                }
                Event::Front(step) => step,
                Event::Back(step) => {
                    self.turn(race);
                    step
                }
            };
            match step {
                Ok(Step::Open(source)) => self.send(session, race, source)?,
                Ok(Step::Head(source, head)) => {
                    self.win(race);
                    return Ok((source, head));
                }
                Err(lost) => self.lose(session, race, lost)?,
            }
        }
    }

    /// Asks a second endpoint, where that may be and there is one.
    fn hedge(&mut self, session: &ServerSession, race: &mut Race) {
        let Some(upstream) = self.attempts.upstream.clone() else {
            return;
        };
        let Some(hedge) = &upstream.hedge else {
            return;
        };
        if upstream.breaker.as_ref().is_some_and(Breaker::is_open) {
            // What may be tried now is a probe, and another request's.
            return upstream.metrics.hedged(Hedged::NoEndpoint);
        }
        let Some(hedging) = hedge.spend(&upstream.budget) else {
            return upstream.metrics.hedged(Hedged::NoBudget);
        };
        let now = self.shared.clock.instant();
        let facts = Facts {
            request: session.req_header(),
            exchange: &self.exchange,
            response: None,
        };
        let leave = upstream.breaker.as_ref().map(|breaker| breaker.ask(now));
        let (Ok(leave), Ok(wish)) = (leave.transpose(), upstream.policy.wish(&facts)) else {
            return upstream.metrics.hedged(Hedged::NoEndpoint);
        };
        let place = upstream.place(&Ask::new(&self.attempts.tried, &wish, now));
        let tried = &self.attempts.tried;
        // Where there is no other endpoint, one that was tried is chosen again.
        let other = place.ok().filter(|place| {
            let chosen = &place.endpoint().address;
            tried.iter().all(|tried| tried.address != *chosen)
        });
        let (Some(place), Ok(left)) = (other, self.time_left()) else {
            return upstream.metrics.hedged(Hedged::NoEndpoint);
        };
        let generation = place.endpoint().generation();
        let mut peer = place.endpoint().peer_of(generation);
        self.attempts.times.bound(&mut peer, left);
        self.attempts.made += 1;
        let leg = open(&race.connector, peer, self.attempts.made);
        let span = self.span_of_attempt(&upstream, place.endpoint(), now);
        race.hedging = Some(hedging);
        let last = self.attempts.tried.len().saturating_sub(1);
        let endpoint = place.endpoint().clone();
        self.attempts.tried.insert(last, endpoint);
        let aside = Aside::new(upstream, place, generation, leave, now);
        race.back = Some((leg, aside.with(span)));
    }

    /// Puts the other attempt in front.
    fn turn(&mut self, race: &mut Race) {
        if let Some((leg, aside)) = &mut race.back {
            std::mem::swap(leg, &mut race.front);
            self.change_places(aside);
            race.turned = !race.turned;
        }
    }

    /// The attempt in front has a connection.
    fn send(&mut self, session: &ServerSession, race: &mut Race, source: Source) -> Result<()> {
        self.connected(source.reused);
        let made = std::mem::replace(&mut self.attempts.made, race.front.number);
        let head = self.head_for_endpoint(session, source.is_http2(), source.is_tls());
        self.attempts.made = made;
        let head = match head {
            Ok(head) => head,
            Err(error) => {
                self.tell_hedge(race, Hedged::Abandoned);
                return Err(self.end_broken(session, error, source.reused));
            }
        };
        let patience = self.attempts.times.first_byte;
        race.front.doing = Box::pin(ask(source, head, race.body.clone(), patience));
        Ok(())
    }

    /// The attempt in front has the head of a response.
    fn win(&mut self, race: &mut Race) {
        let now = self.shared.clock.instant();
        let mut waited = self.attempts.started.map(|started| now - started);
        if race.turned {
            let first = race.back.as_ref().map(|(_, aside)| aside.is_outpaced(now));
            waited = first;
        }
        let upstream = self.attempts.upstream.as_ref();
        if let (Some(waited), Some(hedge)) = (waited, upstream.and_then(|u| u.hedge.as_ref())) {
            hedge.observe(waited);
        }
        let outcome = if race.turned {
            Hedged::Won
        } else {
            Hedged::Lost
        };
        self.tell_hedge(race, outcome);
    }

    /// The attempt in front has failed: the other one goes on alone, or there is none.
    fn lose(&mut self, session: &ServerSession, race: &mut Race, lost: Lost) -> Result<()> {
        race.after = None;
        self.leave_silent(&lost);
        if race.turned {
            self.tell_hedge(race, Hedged::Failed);
        }
        if race.back.is_some() {
            self.turn(race);
            let (_, mut failed) = race.back.take().expect("just seen");
            self.change_places(&mut failed);
            self.charge(&lost.error, lost.connection == Some(true));
            self.change_places(&mut failed);
            return Ok(());
        }
        Err(match lost.connection {
            None => self.end_unconnected(session, lost.error),
            Some(reused) => self.end_broken(session, lost.error, reused),
        })
    }

    /// Counts what came of a second endpoint, where there was one. Once.
    fn tell_hedge(&self, race: &mut Race, outcome: Hedged) {
        if race.hedging.take().is_some()
            && let Some(upstream) = &self.attempts.upstream
        {
            upstream.metrics.hedged(outcome);
        }
    }
}

impl Race {
    /// What happens next.
    async fn event(
        &mut self,
        session: &mut ServerSession,
        watched: bool,
        late: Pin<&mut Sleep>,
    ) -> Event {
        let (front, back) = (&mut self.front.doing, &mut self.back);
        let other = async {
            match back {
                Some((leg, _)) => leg.doing.as_mut().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            step = front.as_mut() => Event::Front(step),
            step = other => Event::Back(step),
            gone = gone(session), if watched => Event::Gone(gone),
            () = late, if self.after.is_some() => Event::Late,
        }
    }
}

fn open(connector: &Arc<Connector>, peer: Box<HttpPeer>, number: u32) -> Leg {
    let opening = Source::open(connector.clone(), peer);
    let doing = async {
        let opened = opening.await;
        opened.map(Step::Open).map_err(|error| Lost {
            error: error.into_up(),
            connection: None,
        })
    };
    Leg {
        doing: Box::pin(doing),
        number,
    }
}
