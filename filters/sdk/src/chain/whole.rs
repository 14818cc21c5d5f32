//! Responses whose body is there as a whole before the head leaves.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};

use super::{Chain, Hook, Slot, Stopped};
use crate::views::Claim;
use crate::{Abort, Bytes, Chunk, Reply, Response};

impl Chain {
    /// Takes a response up from the link that waits for its body, as [`Chain::response`] told: that
    /// link gets the body, as the links behind it have left it, then the response hooks of those
    /// before it run, and the body passes those that claimed it. Returns the body to send.
    ///
    /// # Errors
    /// The reply to send in its place, and the link that made it.
    pub async fn climb(
        &self,
        res: &mut Response<'_>,
        mut body: Bytes,
        slots: &mut [Slot],
        waiting: usize,
        lenient: bool,
    ) -> Result<Bytes, Stopped> {
        let mut waiting = Some(waiting);
        while let Some(link) = waiting {
            let stopped = |reply| Stopped { link, reply };
            let (before, slot) = slots[..=link].split_at_mut(link);
            tell_length(res, &body);
            body = self
                .whole(link, res, body, &mut slot[0])
                .await
                .map_err(stopped)?;
            tell_length(res, &body);
            waiting = self.response(res, before, lenient).map_err(stopped)?;
            let to = waiting.map_or(0, |link| link + 1);
            body = self.pass_whole(body, before, to).map_err(stopped)?;
        }
        Ok(body)
    }

    /// Passes a whole body, which may be empty, through those of these links that claimed it, up to
    /// the one at this position.
    ///
    /// # Errors
    /// A 502, where one of them cannot go on: nothing has left yet that would have to be cut.
    pub fn pass_whole(&self, body: Bytes, slots: &mut [Slot], to: usize) -> Result<Bytes, Reply> {
        if Self::response_claim(slots) == Claim::None {
            return Ok(body);
        }
        let mut chunk = Chunk {
            data: body,
            last: true,
        };
        self.response_body(&mut chunk, slots, to)
            .map_err(|Abort { reason }| Reply::problem(StatusCode::BAD_GATEWAY, reason))?;
        Ok(chunk.data)
    }

    async fn whole(
        &self,
        position: usize,
        res: &mut Response<'_>,
        body: Bytes,
        slot: &mut Slot,
    ) -> Result<Bytes, Reply> {
        slot.had_whole = true;
        slot.response_claim = Claim::None;
        let link = &self.links[position];
        let _running = self.begin(position, slot.measured, Hook::ResponseBody);
        let hook = AssertUnwindSafe(link.filter.response_whole(res, body, &mut *slot.state));
        let body = hook.catch_unwind().await;
        slot.note_degraded(res);
        body.unwrap_or_else(|_| Err(*self.panicked(link)))
    }
}

/// Says how long the body is by now, whatever the endpoint said of its own: the links to come go
/// by it.
fn tell_length(res: &mut Response<'_>, body: &Bytes) {
    let mut headers = res.headers_mut();
    headers.remove(&TRANSFER_ENCODING);
    if !has_length(headers.map(), body.len()) {
        headers.set(&CONTENT_LENGTH, body.len().into());
    }
}

/// Whether these fields say that a body has so many bytes, once and plainly.
pub fn has_length(headers: &HeaderMap, length: usize) -> bool {
    let mut told = headers.get_all(CONTENT_LENGTH).iter();
    match (told.next(), told.next()) {
        (Some(told), None) => told.as_bytes() == itoa::Buffer::new().format(length).as_bytes(),
        _ => false,
    }
}
