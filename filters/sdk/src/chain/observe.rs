//! Links that are only looked at: they get copies, and nothing that they do leaves these.

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::FutureExt;

use super::{Chain, Entered, Link, Slot, Slots, Stopped};
use crate::views::{Claim, Inbound, Read};
use crate::{Abort, Attempt, Chunk, Exchange, Reply, Request, RequestHead, Response};

/// The word for what is no refusal: a redirect, a preflight.
const ANSWERED: &str = "answered";

/// A request head of the link's own, before the client's connection.
struct Copied<'a> {
    head: RequestHead,
    inbound: &'a mut dyn Inbound,
}

impl Inbound for Copied<'_> {
    fn head(&self) -> &RequestHead {
        &self.head
    }

    fn head_mut(&mut self) -> &mut RequestHead {
        &mut self.head
    }

    fn read_body<'a>(&'a mut self, entered: &'a mut Entered<'_>) -> Read<'a, Bytes> {
        self.inbound.copy_body(entered)
    }

    fn copy_body<'a>(&'a mut self, entered: &'a mut Entered<'_>) -> Read<'a, Bytes> {
        self.inbound.copy_body(entered)
    }

    fn replace_body<'a>(&'a mut self, _: Bytes, _: &'a mut Entered<'_>) -> Read<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

impl Chain {
    /// Which of the entered links would have ended the exchange, and the word for why.
    pub fn observed<'a>(
        &self,
        slots: &'a Slots,
    ) -> impl Iterator<Item = (usize, &'static str)> + 'a {
        let slots = slots.iter().enumerate();
        slots.filter_map(|(position, slot)| Some((position, slot.observed?)))
    }

    /// Which of the entered links had to do without something, and the word for what.
    pub fn degraded<'a>(
        &self,
        slots: &'a Slots,
    ) -> impl Iterator<Item = (usize, &'static str)> + 'a {
        let slots = slots.iter().enumerate();
        slots.filter_map(|(position, slot)| Some((position, slot.degraded?)))
    }

    /// Runs the request hook of an observed link.
    ///
    /// # Errors
    /// What a link before it says of the body that it reads.
    pub(super) async fn observe_request(
        &self,
        link: &Link,
        slot: &mut Slot,
        exchange: &mut Exchange,
        inbound: &mut dyn Inbound,
        entered: Entered<'_>,
    ) -> Result<(), Stopped> {
        let mut seen = Exchange {
            cache: None, // what one before it has planned is no business of its
            ..exchange.clone()
        };
        let mut copied = Copied {
            head: inbound.head().clone(),
            inbound,
        };
        let mut request = Request::new(&mut seen, &mut copied, entered);
        let hook = AssertUnwindSafe(link.filter.request(&mut request, &mut *slot.state));
        let flow = hook.catch_unwind().await;
        slot.degraded = request.degraded;
        let settled = request.settle_copy();
        // Credentials that it took out of the target, and who is calling, are known from then on.
        exchange.target = seen.target;
        if exchange.identity.is_none() {
            exchange.identity = seen.identity;
        }
        let (claim, without) = settled?;
        match (flow.unwrap_or_else(|_| Err(self.panicked(link))), without) {
            (Err(reply), _) => slot.would_end(&reply),
            (Ok(()), Some(reply)) => slot.would_end(&reply),
            (Ok(()), None) => slot.request_claim = claim,
        }
        Ok(())
    }

    /// Runs the hook of an observed link before an attempt.
    pub(super) fn observe_upstream(&self, link: &Link, slot: &mut Slot, attempt: &Attempt<'_>) {
        let mut head = attempt.head.clone();
        let mut copied = Attempt {
            head: &mut head,
            ..*attempt
        };
        let hook = || link.filter.upstream(&mut copied, &mut *slot.state);
        if let Err(reply) = self.guard(link, hook) {
            slot.would_end(&reply);
        }
    }

    /// Runs the response hook of an observed link.
    pub(super) fn observe_response(&self, link: &Link, slot: &mut Slot, res: &mut Response<'_>) {
        let mut head = res.head().clone();
        let mut copied = res.copy(&mut head);
        let hook = self.guard(link, || link.filter.response(&mut copied, &mut *slot.state));
        slot.note_degraded(&mut copied);
        let claim = copied.take_claim();
        slot.gathering = None; // of a response in whose place this one is
        slot.response_claim = match hook {
            Ok(()) if claim == Claim::Whole => slot.gather(res),
            Ok(()) => claim.at_most_watch(),
            Err(reply) => return slot.would_end(&reply),
        };
    }

    /// Shows an observed link a piece of the request body; none after one that it refuses.
    pub(super) fn observe_request_body(&self, link: &Link, slot: &mut Slot, chunk: &Chunk) {
        let mut chunk = chunk.clone();
        let hook = || link.filter.request_body(&mut chunk, &mut *slot.state);
        if let Err(reply) = self.guard(link, hook).unwrap_or_else(|reply| Err(*reply)) {
            slot.would_end(&reply);
        }
    }

    /// Shows an observed link a piece of the response body; none after one that it refuses.
    pub(super) fn observe_response_body(&self, link: &Link, slot: &mut Slot, chunk: &Chunk) {
        if let Some(gathering) = &mut slot.gathering {
            return match gathering.take_in(chunk) {
                Ok(()) => {}
                Err(why) => slot.cannot_go_on(why),
            };
        }
        let mut chunk = chunk.clone();
        let hook = || link.filter.response_body(&mut chunk, &mut *slot.state);
        let reason = match self.guard(link, hook) {
            Ok(Ok(())) => return,
            Ok(Err(Abort { reason })) => reason,
            Err(_) => super::PANICKED,
        };
        slot.cannot_go_on(reason);
    }
}

impl Slot {
    /// Keeps what the link that has just run on a response had to do without.
    pub(super) fn note_degraded(&mut self, res: &mut Response<'_>) {
        self.degraded = res.take_degraded().or(self.degraded);
    }

    pub(super) fn would_end(&mut self, reply: &Reply) {
        self.cannot_go_on(reply.reason().unwrap_or(ANSWERED));
    }

    /// What comes first is what would have ended the exchange.
    pub(super) fn cannot_go_on(&mut self, why: &'static str) {
        self.observed.get_or_insert(why);
        self.request_claim = Claim::None;
        self.response_claim = Claim::None;
        self.gathering = None;
    }
}

#[cfg(test)]
mod tests;
