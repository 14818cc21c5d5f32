//! A stored head and its body, written to a client as they are there.

use pingora_core::protocols::http::HttpTask;
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use tokio::sync::mpsc;
use tokio::time::timeout;
use wiregate_sdk::Bytes;
use wiregate_sdk::views::Claim;

use super::super::context::Context;
use super::broken_off;
use super::fetch::Event;
use crate::cache::store::{Broken, Reader};

/// So many things leave with one call: a head, and pieces of 64 KiB.
const TOGETHER: usize = 8;

/// Where the pieces of a body come from.
pub(super) struct Body {
    pub(super) reader: Reader,
    /// Where the rest comes from, if the body turns out to be too large for the store.
    pub(super) rest: Option<mpsc::Receiver<Event>>,
}

impl Context {
    /// Sends a head and what follows it: pieces that are there with one call, and those that are not when they
    /// come.
    pub(super) async fn send_stored(
        &mut self,
        session: &mut Session,
        head: ResponseHeader,
        body: Option<Body>,
    ) -> Result<()> {
        let mut tasks = Vec::with_capacity(TOGETHER);
        tasks.push(HttpTask::Header(Box::new(head), body.is_none()));
        let Some(mut body) = body else {
            return session
                .downstream_session
                .response_duplex_vec(tasks)
                .await
                .map(drop);
        };
        let mut next = body.reader.ready();
        loop {
            let mut end = false;
            while let Some(Ok(piece)) = next {
                // What ends a body leaves together with its end.
                next = piece.as_ref().and_then(|_| body.reader.ready());
                end = piece.is_none() || matches!(next, Some(Ok(None)));
                tasks.push(self.piece_task(piece, end)?);
                if end || tasks.len() == TOGETHER {
                    break;
                }
            }
            let client = &mut session.downstream_session;
            let write = client.response_duplex_vec(std::mem::take(&mut tasks));
            match self.time_left()? {
                None => write.await?,
                Some(left) => match timeout(left, write).await {
                    Ok(written) => written?,
                    Err(_) => return Err(self.out_of_time()),
                },
            };
            if end {
                return Ok(());
            }
            if !matches!(next, Some(Ok(_))) {
                next = Some(Ok(self.piece_in_time(session, &mut body).await?));
            }
        }
    }

    /// The next piece, within the time that the exchange has.
    async fn piece_in_time(
        &mut self,
        session: &mut Session,
        body: &mut Body,
    ) -> Result<Option<Bytes>> {
        match self.time_left()? {
            None => self.piece(session, body).await,
            Some(left) => match timeout(left, self.piece(session, body)).await {
                Ok(piece) => piece,
                Err(_) => Err(self.out_of_time()),
            },
        }
    }

    /// A piece of the body, after the filters that claimed it.
    fn piece_task(&mut self, mut data: Option<Bytes>, end: bool) -> Result<HttpTask> {
        if self.response_claim != Claim::None || self.held.is_some() {
            self.response_body(&mut data, end)?;
        }
        Ok(HttpTask::Body(data, end))
    }

    /// The next piece, unless the client leaves.
    async fn piece(&mut self, session: &mut Session, body: &mut Body) -> Result<Option<Bytes>> {
        let read = match body.reader.ready() {
            Some(read) => read,
            None => {
                let reader = &mut body.reader;
                tokio::select! {
                    biased;
                    read = reader.next() => read,
                    gone = session.downstream_session.read_body_or_idle(true) => {
                        return Err(gone.err().unwrap_or_else(broken_off).into_down());
                    }
                }
            }
        };
        match read {
            Ok(piece) => Ok(piece),
            Err(Broken) => self.piece_of_rest(session, body).await,
        }
    }

    /// A body that was too large for the store comes from its fetch.
    async fn piece_of_rest(
        &mut self,
        session: &mut Session,
        body: &mut Body,
    ) -> Result<Option<Bytes>> {
        let event = match &mut body.rest {
            None => None,
            Some(rest) => tokio::select! {
                biased;
                event = rest.recv() => event,
                gone = session.downstream_session.read_body_or_idle(true) => {
                    return Err(gone.err().unwrap_or_else(broken_off).into_down());
                }
            },
        };
        match event {
            Some(Event::Piece(piece)) => Ok(Some(piece)),
            Some(Event::End) => Ok(None),
            _ => {
                self.end.error.get_or_insert("http_response_incomplete");
                Err(broken_off())
            }
        }
    }
}
