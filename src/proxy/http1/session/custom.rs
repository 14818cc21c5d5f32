//! What Pingora asks of a session.

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::custom::server::Session as CustomSession;
use pingora_core::protocols::http::v1::common::is_upgrade_req;
use pingora_error::Result;
use pingora_http::ResponseHeader;

use super::{Framing, Pieces, Session};
use crate::proxy::session::{answered, by_account, drained_within, no_messages, unless_late};

#[async_trait]
impl CustomSession for Session {
    by_account!();

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.read().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        if self.is_read() {
            return Ok(());
        }
        drained_within(self.account.drain_timeout, self.read_to_end()).await
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.take(HttpTask::Header(head, end)).await?;
        self.send_head().await
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.write_response_header(Box::new(head.clone()), end)
            .await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.write(&mut Pieces::from_iter([data])).await?;
        match end {
            true => self.end().await,
            false => self.flush().await,
        }
    }

    async fn write_trailers(&mut self, _trailers: HeaderMap) -> Result<()> {
        self.end().await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let head_alone = matches!(tasks.last(), Some(HttpTask::Header(..)));
        let mut ended = false;
        let mut pieces = Pieces::new();
        for task in tasks {
            if let HttpTask::Body(data, end) | HttpTask::UpgradedBody(data, end) = task {
                pieces.extend(data.filter(|data| !data.is_empty()));
                ended |= end;
            } else {
                self.write(&mut pieces).await?;
                ended |= self.take(task).await?;
            }
        }
        self.write(&mut pieces).await?;
        if ended || self.framing == Framing::Length(0) {
            self.end().await?;
            return Ok(true);
        }
        match head_alone {
            true => self.send_head().await?,
            false => self.flush().await?,
        }
        if self.paces.response.has_waited() {
            self.peer.lent.until.resume();
        }
        Ok(false)
    }

    /// The next piece of the body; after the last one it waits until the client is gone, until the
    /// exchange must be over, or until its endpoint is late. A tunnel lives as long as its ends want
    /// it to.
    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let peer = self.peer.clone();
        let until = Some(&*peer.lent.until).filter(|_| self.tunnel.is_none());
        let next = async {
            if no_body_expected || self.is_read() {
                return Err(self.given_up().await);
            }
            if self.framing == Framing::Whole && self.tunnel.is_none() {
                return Err(answered());
            }
            self.read().await
        };
        unless_late(until, next).await
    }

    async fn shutdown(&mut self, _code: u32, _why: &str) {
        self.goes_on = false; // whoever takes the gate back ends the connection
    }

    async fn finish(&mut self) -> Result<()> {
        self.end().await
    }

    fn is_body_done(&mut self) -> bool {
        self.is_read()
    }

    fn is_body_empty(&mut self) -> bool {
        self.account.received == 0 && self.is_read()
    }

    /// It is called when the head has left: without a body there is nothing to keep.
    fn enable_retry_buffering(&mut self) {
        if !self.is_read() {
            self.account.keep();
        }
    }

    fn is_upgrade_req(&self) -> bool {
        is_upgrade_req(&self.account.head)
    }

    fn was_upgraded(&self) -> bool {
        self.tunnel.is_some()
    }

    // What only sessions of protocols of one's own have.

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    no_messages!();
}
