//! Bodies on their way through, piece by piece, where a filter asked for them.

use bytes::Bytes;
use http::StatusCode;
use pingora_core::protocols::http::ServerSession;
use pingora_error::{Error, ErrorType, Result};
use wiregate_sdk::Chunk;
use wiregate_sdk::chain::Stopped;
use wiregate_sdk::views::Claim;

use super::context::Context;

impl Context {
    /// A piece of the request body is about to be sent on.
    ///
    /// # Errors
    /// What a filter replied to it, or a 504 where no time is left.
    pub(super) fn request_body(
        &mut self,
        session: &ServerSession,
        body: &mut Option<Bytes>,
        end: bool,
    ) -> Result<()> {
        if !session.was_upgraded() {
            self.came();
            self.time_left()?;
        }
        let streamed = self.request_claim != Claim::None
            && self.body.bytes.is_none()
            && !session.was_upgraded();
        if streamed {
            self.stream_request_body(body, end)?;
        }
        // An empty last piece would end a chunked body a second time (cloudflare/pingora#935).
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        Ok(())
    }

    fn stream_request_body(&mut self, body: &mut Option<Bytes>, end: bool) -> Result<()> {
        self.attempts.body_seen |= body.is_some();
        let mut chunk = Chunk {
            data: body.take().unwrap_or_default(),
            last: end,
        };
        // What was read before there was an endpoint comes first, and some have seen it (`begun.rs`).
        let from = std::mem::take(&mut self.body.passed);
        debug_assert!(!end || from == 0, "what was read to its end is a whole");
        self.filter_request_body(&mut chunk, from)?;
        *body = Some(chunk.data);
        Ok(())
    }

    fn filter_request_body(&mut self, chunk: &mut Chunk, from: usize) -> Result<()> {
        let Some(position) = self.route else {
            return Ok(());
        };
        let chain = &self.snapshot.routes[position].chain;
        let passed = chain.request_body(chunk, &mut self.slots, from);
        passed.map_err(|Stopped { link, reply }| {
            self.stopped(link, &reply);
            self.fault(reply)
        })
    }

    /// A piece of the response body is about to leave.
    ///
    /// # Errors
    /// Where the exchange must be cut.
    pub(super) fn response_body(&mut self, body: &mut Option<Bytes>, end: bool) -> Result<()> {
        if self.end.status != Some(StatusCode::SWITCHING_PROTOCOLS) {
            self.time_left()?; // a tunnel lives as long as its ends want it to
            self.heard(end);
        }
        if self.body_ended || (self.response_claim == Claim::None && self.held.is_none()) {
            return Ok(());
        }
        let mut chunk = Chunk {
            data: body.take().unwrap_or_default(),
            last: end,
        };
        self.filter_response_body(&mut chunk)?;
        self.body_ended = end;
        self.gather(&mut chunk)?;
        *body = Some(chunk.data);
        Ok(())
    }

    /// The response ends with trailers: what filters still hold leaves before them.
    ///
    /// # Errors
    /// Where the exchange must be cut.
    pub(super) fn response_trailers(&mut self) -> Result<Option<Bytes>> {
        self.heard(true);
        if self.body_ended || (self.response_claim == Claim::None && self.held.is_none()) {
            return Ok(None);
        }
        let mut chunk = Chunk {
            data: Bytes::new(),
            last: true,
        };
        self.filter_response_body(&mut chunk)?;
        self.body_ended = true;
        self.gather(&mut chunk)?;
        Ok(Some(chunk.data).filter(|data| !data.is_empty()))
    }

    fn filter_response_body(&mut self, chunk: &mut Chunk) -> Result<()> {
        let Some(position) = self.route else {
            return Ok(());
        };
        let chain = &self.snapshot.routes[position].chain;
        let to = self.held.as_ref().map_or(0, |held| held.link + 1);
        let passed = chain.response_body(chunk, &mut self.slots, to);
        passed.map_err(|abort| {
            self.end.error = Some(abort.reason);
            Error::explain(ErrorType::InternalError, abort.reason)
        })
    }
}
