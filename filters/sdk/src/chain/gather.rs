//! Whole responses for links that are only looked at: nothing waits for them. What passes is kept, and shown to them once
//! the response has left.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::{Chain, Hook, Slot, has_length};
use crate::views::{Claim, ResponseHead};
use crate::{Bytes, Chunk, Exchange, Origin, RequestHead, Response};

/// Keeps a copy of a body, within bounds that are the gateway's.
pub trait Gather: Send + Sync {
    /// Takes in another piece.
    ///
    /// # Errors
    /// The word for why there is no room for it.
    fn take_in(&mut self, piece: Bytes) -> Result<(), &'static str>;
    /// All that was taken in.
    fn whole(&mut self) -> Bytes;
}

/// What an observed link is to be shown once the response has left.
pub(super) struct Gathering {
    /// The head, as the links behind it had left it.
    head: ResponseHead,
    origin: Origin,
    body: Box<dyn Gather>,
    /// Whether something keeps the body within bounds.
    bounded: bool,
    /// Whether the body has come to its end.
    ended: bool,
}

/// Keeps what nothing bounds yet, or never will: a reply of the gateway's own, or the body of a test.
#[derive(Default)]
struct Unbounded(Vec<Bytes>);

impl Gather for Unbounded {
    fn take_in(&mut self, piece: Bytes) -> Result<(), &'static str> {
        self.0.push(piece);
        Ok(())
    }

    fn whole(&mut self) -> Bytes {
        match &mut self.0[..] {
            [one] => std::mem::take(one),
            several => several.concat().into(),
        }
    }
}

impl Gathering {
    pub(super) fn take_in(&mut self, chunk: &Chunk) -> Result<(), &'static str> {
        self.ended |= chunk.last;
        match chunk.data.is_empty() {
            true => Ok(()),
            false => self.body.take_in(chunk.data.clone()),
        }
    }
}

impl Slot {
    /// Begins to keep a response for a link that wants the whole of it. Once: nobody is shown a second one, and none that
    /// has no body.
    pub(super) fn gather(&mut self, res: &Response<'_>) -> Claim {
        if self.had_whole || !res.may_have_body() {
            return Claim::None;
        }
        self.gathering = Some(Box::new(Gathering {
            head: res.head().clone(),
            origin: res.origin,
            body: Box::<Unbounded>::default(),
            bounded: false,
            ended: has_length(&res.head().headers, 0), // no piece of it may come
        }));
        Claim::Watch
    }
}

impl Chain {
    /// Keeps what observed links are to be shown of a body within bounds, what has come of it included; where there can
    /// be no room for it, the word for why.
    pub fn bound(slots: &mut [Slot], room: impl Fn() -> Result<Box<dyn Gather>, &'static str>) {
        for slot in slots {
            let Some(gathering) = slot.gathering.as_mut().filter(|those| !those.bounded) else {
                continue;
            };
            let came = gathering.body.whole();
            let made = room().and_then(|mut room| room.take_in(came).map(|()| room));
            match made {
                Ok(room) => (gathering.body, gathering.bounded) = (room, true),
                Err(why) => slot.cannot_go_on(why),
            }
        }
    }

    /// Whether observed links are to be shown a response that has left.
    pub fn has_gathered(slots: &[Slot]) -> bool {
        let mut gathered = slots.iter().filter_map(|slot| slot.gathering.as_ref());
        gathered.any(|gathering| gathering.ended)
    }

    /// Shows observed links the whole of a response that has left, innermost first.
    pub async fn show_gathered(
        &self,
        exchange: &Exchange,
        request: &RequestHead,
        slots: &mut [Slot],
    ) {
        for (position, (link, slot)) in self.links.iter().zip(slots).enumerate().rev() {
            let Some(mut gathered) = slot.gathering.take().filter(|those| those.ended) else {
                continue;
            };
            slot.had_whole = true;
            let _running = self.begin(position, slot.measured, Hook::ResponseBody);
            let body = gathered.body.whole();
            let mut seen = Exchange {
                cache: None,
                ..exchange.clone()
            };
            let mut res = Response::new(&mut seen, request, &mut gathered.head, gathered.origin);
            let hook = link.filter.response_whole(&mut res, body, &mut *slot.state);
            let made = AssertUnwindSafe(hook).catch_unwind().await;
            slot.note_degraded(&mut res);
            if let Err(reply) = made.unwrap_or_else(|_| Err(*self.panicked(link))) {
                slot.would_end(&reply);
            }
        }
    }
}
