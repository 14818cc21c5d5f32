//! The way of a fetch to the head of a final response.

use http::{HeaderValue, StatusCode, header};
use pingora_core::protocols::http::HttpTask;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use tokio::sync::mpsc;

use super::super::super::context::Context;
use super::super::super::hedge::Source;
use super::{Event, Fetch};
use crate::cache::rules::{Sent, conditional};

/// The head of a final response, and where the rest comes from.
pub(super) struct Head {
    pub(super) source: Source,
    pub(super) head: Box<ResponseHeader>,
    pub(super) end: bool,
    pub(super) sent: Sent,
}

impl Fetch {
    /// Asks until there is the head of a final response.
    pub(super) async fn ask(&mut self, tell: Option<&mpsc::Sender<Event>>) -> Result<Head> {
        loop {
            let asked = self.cx.shared.clock.now().wall;
            let (session, connector) = (&mut self.session, &self.connector);
            let Some((source, first)) = self.cx.first_head(session, connector).await? else {
                continue;
            };
            if let Some((source, head, end)) = self.final_head(source, first, tell).await? {
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
}

impl Context {
    /// The next part of a response, within the time that the exchange has.
    pub(super) async fn next_part(&mut self, source: &mut Source) -> Result<HttpTask> {
        match self.time_left()? {
            None => source.next().await,
            Some(left) => match tokio::time::timeout(left, source.next()).await {
                Ok(part) => part,
                Err(_) => Error::e_explain(ErrorType::ReadTimedout, "no response in time"),
            },
        }
    }
}
