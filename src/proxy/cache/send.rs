//! A stored head and its body, written to a client as they are there.

use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use tokio::time::timeout;
use wiregate_sdk::Bytes;
use wiregate_sdk::views::Claim;

use super::super::context::Context;
use super::super::responder::write_head_alone;
use super::broken_off;
use crate::cache::store::{Broken, Reader};

/// So many things leave with one call: a head, and pieces of 64 KiB.
const TOGETHER: usize = 8;

impl Context {
    /// Sends a head and what follows it: pieces that are there with one call, and those that are not when they
    /// come.
    pub(super) async fn send_stored(
        &mut self,
        session: &mut ServerSession,
        head: ResponseHeader,
        reader: Option<Reader>,
    ) -> Result<()> {
        let Some(mut reader) = reader else {
            return write_head_alone(session, head).await;
        };
        let mut next = reader.ready();
        if matches!(next, Some(Ok(None))) && !self.filters_pieces() {
            return write_head_alone(session, head).await;
        }
        let mut tasks = Vec::with_capacity(TOGETHER);
        tasks.push(HttpTask::Header(Box::new(head), false));
        loop {
            let mut end = false;
            while let Some(Ok(piece)) = next {
                // What ends a body leaves together with its end.
                next = piece.as_ref().and_then(|_| reader.ready());
                end = piece.is_none() || matches!(next, Some(Ok(None)));
                tasks.push(self.piece_task(piece, end)?);
                if end || tasks.len() == TOGETHER {
                    break;
                }
            }
            self.write_in_time(session, std::mem::take(&mut tasks))
                .await?;
            if end {
                return Ok(());
            }
            if !matches!(next, Some(Ok(_))) {
                next = Some(Ok(self.piece_in_time(session, &mut reader).await?));
            }
        }
    }

    /// Writes, within the time that the exchange has.
    async fn write_in_time(
        &mut self,
        session: &mut ServerSession,
        tasks: Vec<HttpTask>,
    ) -> Result<()> {
        let left = self.time_left()?;
        let write = self.write_and_fill(session, tasks);
        match left {
            None => write.await,
            Some(left) => match timeout(left, write).await {
                Ok(written) => written,
                Err(_) => Err(self.out_of_time()),
            },
        }
    }

    /// Sends a head and all that follows it.
    pub(super) async fn send_whole(
        &mut self,
        session: &mut ServerSession,
        head: ResponseHeader,
        body: Bytes,
    ) -> Result<()> {
        if body.is_empty() {
            return write_head_alone(session, head).await;
        }
        let tasks = vec![
            HttpTask::Header(Box::new(head), false),
            HttpTask::Body(Some(body), true),
        ];
        self.write_in_time(session, tasks).await
    }

    /// The next piece, within the time that the exchange has.
    async fn piece_in_time(
        &mut self,
        session: &mut ServerSession,
        reader: &mut Reader,
    ) -> Result<Option<Bytes>> {
        match self.time_left()? {
            None => self.piece(session, reader).await,
            Some(left) => match timeout(left, self.piece(session, reader)).await {
                Ok(piece) => piece,
                Err(_) => Err(self.out_of_time()),
            },
        }
    }

    /// A piece of the body, after the filters that claimed it.
    fn piece_task(&mut self, mut data: Option<Bytes>, end: bool) -> Result<HttpTask> {
        if self.filters_pieces() {
            self.response_body(&mut data, end)?;
        }
        Ok(HttpTask::Body(data, end))
    }

    /// Whether pieces of the body are for filters as well.
    fn filters_pieces(&self) -> bool {
        self.response_claim != Claim::None || self.held.is_some()
    }

    /// The next piece, unless the client leaves.
    async fn piece(
        &mut self,
        session: &mut ServerSession,
        reader: &mut Reader,
    ) -> Result<Option<Bytes>> {
        let read = loop {
            match reader.ready() {
                Some(read) => break read,
                None if self.fills() => self.fill_some(session).await?,
                None => tokio::select! {
                    biased;
                    read = reader.next() => break read,
                    gone = session.read_body_or_idle(true) => {
                        return Err(gone.err().unwrap_or_else(broken_off).into_down());
                    }
                },
            }
        };
        match read {
            Ok(piece) => Ok(piece),
            // It was too large for the store, or is broken off.
            Err(Broken) => self.piece_for_asker(session).await,
        }
    }
}
