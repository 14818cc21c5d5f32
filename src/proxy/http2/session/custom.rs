//! What Pingora asks of a session.

use async_trait::async_trait;
use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, header};
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::custom::server::Session as CustomSession;
use pingora_error::{Error, Result};
use pingora_http::ResponseHeader;

use super::Session;
use crate::proxy::session::{answered, by_account, drained_within, no_messages, unless_late};

#[async_trait]
impl CustomSession for Session {
    by_account!();

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.read().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        if self.is_body_done() {
            return Ok(());
        }
        drained_within(self.account.drain_timeout, self.read_to_end()).await
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.write_head(head, end).map_err(Error::into_down)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        (self.write_head(Box::new(head.clone()), end)).map_err(Error::into_down)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.write(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.end_with(trailers).map_err(Error::into_down)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut end = false;
        for task in tasks {
            if let HttpTask::Failed(error) = task {
                return Err(error); // the endpoint's, not the client's
            }
            end |= self.take(task).await.map_err(Error::into_down)?;
        }
        if end {
            self.end().map_err(Error::into_down)?;
        } else if self.paces.response.has_waited() {
            self.until.resume();
        }
        Ok(end)
    }

    /// The next piece of the body; after the last one it waits until the client is gone, until the
    /// exchange must be over, or until its endpoint is late.
    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let until = self.until.clone();
        let next = async {
            if no_body_expected || self.is_body_done() {
                return Err(self.given_up().await);
            }
            if self.ended {
                return Err(answered());
            }
            self.read().await
        };
        unless_late(Some(&until), next).await
    }

    async fn shutdown(&mut self, _code: u32, _why: &str) {
        if !self.ended {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    async fn finish(&mut self) -> Result<()> {
        self.end().map_err(Error::into_down)
    }

    fn is_body_done(&mut self) -> bool {
        self.body_ended || self.is_body_empty() || self.body.is_end_stream()
    }

    fn is_body_empty(&mut self) -> bool {
        let length = || self.account.head.headers.get(header::CONTENT_LENGTH);
        self.account.received == 0
            && (self.body.is_end_stream() || length().is_some_and(|value| value == "0"))
    }

    fn enable_retry_buffering(&mut self) {
        self.account.keep();
    }

    // What only sessions of protocols of one's own have.

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    no_messages!();
}
