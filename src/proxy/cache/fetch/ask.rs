//! The way of a fetch to the head of a final response.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::{HeaderValue, StatusCode, header};
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use wiregate_sdk::Bytes;

use super::super::super::context::Context;
use super::super::super::hedge::Race;
use super::super::super::straight::{Source, again, within};
use super::super::super::{failure, heads};
use crate::cache::rules::Came;
use crate::upstream::Connector;

/// The head of a final response, and where the rest comes from.
pub(super) struct Head {
    pub(super) source: Source,
    pub(super) head: Box<ResponseHeader>,
    pub(super) end: bool,
    /// All of the body, where it was there at once.
    pub(super) body: Option<Bytes>,
    pub(super) came: Came,
}

impl Head {
    /// Takes the body, where all of it is there.
    pub(super) async fn take_body(&mut self) {
        if !self.end {
            self.body = self.source.rest_at_once().await;
        }
    }

    /// The body is what comes next from its source all the same.
    pub(super) fn give_back(&mut self) {
        if let Some(body) = self.body.take() {
            self.source.take_back(body);
        }
    }
}

/// What came of asking.
pub(super) enum Asked {
    Head(Box<Head>),
    /// The client has left, in this way: the fetch goes on where it was, or begins anew.
    Left(Option<Begun>, Box<Error>),
}

/// A request that was sent, and whose response is awaited.
pub(super) enum Begun {
    /// At one endpoint or two, as the upstream hedges.
    Race(Box<Race>),
    /// At one.
    Sent(Source),
}

/// What comes of waiting for a response.
enum Awaited {
    Head(Box<Head>),
    /// There is to be another attempt.
    Again,
    Left(Begun, Box<Error>),
}

impl Context {
    /// Asks until there is the head of a final response, going on with what was `begun`.
    ///
    /// # Errors
    /// What went wrong.
    pub(super) async fn ask(
        &mut self,
        session: &mut ServerSession,
        connector: &Arc<Connector>,
        mut begun: Option<Begun>,
    ) -> Result<Asked> {
        loop {
            let begun = match begun.take() {
                Some(begun) => Some(begun),
                None => match self.begin_asking(session, connector).await {
                    Ok(begun) => begun,
                    Err(error) if self.goes_on_without_client(&error) => {
                        return Ok(Asked::Left(None, error));
                    }
                    Err(error) => return Err(error),
                },
            };
            let awaited = match begun {
                Some(Begun::Race(race)) => Box::pin(self.await_race(session, race)).await?,
                Some(Begun::Sent(source)) => self.await_head(session, source, None).await?,
                None => Awaited::Again,
            };
            match awaited {
                Awaited::Again => {}
                Awaited::Left(begun, error) => return Ok(Asked::Left(Some(begun), error)),
                Awaited::Head(head) if self.is_for_another(&head.head) => {
                    self.fetch_mut().asks = false;
                    self.end_attempt();
                }
                Awaited::Head(head) => return Ok(Asked::Head(head)),
            }
        }
    }

    /// Begins an attempt; nothing where there is to be another one.
    async fn begin_asking(
        &mut self,
        session: &mut ServerSession,
        connector: &Arc<Connector>,
    ) -> Result<Option<Begun>> {
        let mut peer = self.begin_attempt(session).await?;
        let upstream = self.attempts.upstream.as_ref();
        if upstream.is_some_and(|upstream| upstream.hedge.is_some()) {
            return Ok(Some(Begun::Race(Box::new(self.line_up(connector, peer)))));
        }
        if !self.is_detached() {
            self.time_reads(session, &mut peer.options, true);
        }
        let sent = self.send_head(session, connector, peer).await?;
        Ok(sent.map(Begun::Sent))
    }

    async fn await_race(
        &mut self,
        session: &mut ServerSession,
        mut race: Box<Race>,
    ) -> Result<Awaited> {
        match self.run(session, &mut race).await {
            Ok((source, first)) => self.await_head(session, source, Some(first)).await,
            Err(error) if self.goes_on_without_client(&error) => {
                Ok(Awaited::Left(Begun::Race(race), error))
            }
            Err(error) => again(error).map(|()| Awaited::Again),
        }
    }

    /// Passes interim responses on, up to the final one.
    async fn await_head(
        &mut self,
        session: &mut ServerSession,
        mut source: Source,
        mut first: Option<HttpTask>,
    ) -> Result<Awaited> {
        let error = loop {
            let next = match first.take() {
                Some(first) => Ok(first),
                None => match self.next_head(session, &mut source).await {
                    Ok(next) => next,
                    Err(error) => return Ok(Awaited::Left(Begun::Sent(source), error)),
                },
            };
            match next {
                Ok(HttpTask::Header(mut head, end)) => {
                    match self.upstream_head(session, &mut head) {
                        Ok(()) if !head.status.is_informational() => {
                            let came = self.shared.clock.wall();
                            let waited = self.attempts.waited.unwrap_or_default();
                            return Ok(Awaited::Head(Box::new(Head {
                                source,
                                head,
                                end,
                                body: None,
                                came: Came::new(came, waited),
                            })));
                        }
                        Ok(()) => self.pass_interim(session, head),
                        Err(error) => break error,
                    }
                }
                Ok(_) => break Error::explain(ErrorType::InvalidHTTPHeader, "no head").into_up(),
                // These say themselves whose fault they are.
                Err(error) if failure::is_over(&error) || is_silent(&error) => break error,
                Err(error) => break error.into_up(),
            }
        };
        let reused = source.reused;
        drop(source);
        again(self.end_broken(session, error, reused)).map(|()| Awaited::Again)
    }

    /// What comes next of a response that has not begun.
    ///
    /// # Errors
    /// The client has left.
    async fn next_head(
        &mut self,
        session: &mut ServerSession,
        source: &mut Source,
    ) -> Result<Result<HttpTask>> {
        let patience = match self.patience() {
            Ok(patience) => patience,
            Err(error) => return Ok(Err(error)),
        };
        let timed = self.is_timed();
        let next = async {
            match timed {
                true => source.next().await,
                false => within(patience, source.next()).await,
            }
        };
        tokio::select! {
            biased;
            next = next => Ok(next),
            gone = session.read_body_or_idle(true) => {
                let closed = || Error::new(ErrorType::ConnectionClosed);
                let error = gone.err().unwrap_or_else(closed).into_down();
                match self.goes_on_without_client(&error) {
                    true => Err(error),
                    false => Ok(Err(error)), // the time is over, or the endpoint's is
                }
            }
        }
    }

    /// How long the endpoint may take for what comes next.
    ///
    /// # Errors
    /// No time is left.
    pub(super) fn patience(&mut self) -> Result<Duration> {
        let times = &self.attempts.times;
        let patience = match self.attempts.started {
            Some(_) => times.first_byte,
            None => times.idle,
        };
        let left = self.time_left()?;
        Ok(left.map_or(patience, |left| left.min(patience)))
    }

    /// Whether whoever waits for the client waits for the endpoint as well.
    pub(super) fn is_timed(&self) -> bool {
        self.attempts.timed && !self.is_detached()
    }

    /// Passes an interim response on. Others wait for the final one: what the client does not take at
    /// once leaves with that.
    fn pass_interim(&self, session: &mut ServerSession, mut head: Box<ResponseHeader>) {
        if !self.is_detached() {
            heads::settle_interim(&mut head);
            let interim = vec![HttpTask::Header(head, false)];
            let write = session.response_duplex_vec(interim);
            // Whoever has gone wants none, and is missed soon.
            let _ = tokio::task::unconstrained(write).now_or_never();
        }
    }

    /// Whether a 304 is about another response than the one that is stored (RFC 9111, 4.3.4).
    fn is_for_another(&self, head: &ResponseHeader) -> bool {
        if head.status != StatusCode::NOT_MODIFIED {
            return false;
        }
        let fetch = self.caching().fetch.as_ref();
        let stale = fetch.and_then(|fetch| fetch.validated());
        let strong = |tag: &&HeaderValue| !tag.as_bytes().starts_with(b"W/");
        let own = stale.and_then(|stale| stale.meta().head.get(&header::ETAG));
        let news = head.headers.get(header::ETAG).filter(strong);
        own.is_some_and(|own| news.is_some_and(|news| news != own))
    }
}

/// Whether it is the endpoint that has let those wait who wait for the client.
pub(super) fn is_silent(error: &Error) -> bool {
    *error.etype() == failure::SILENT_ENDPOINT
}
