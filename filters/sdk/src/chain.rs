//! The filters of one route in execution order, and how an exchange runs through them.

mod erased;
mod gather;
mod observe;
mod watch;
mod whole;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt;
use http::StatusCode;
use smallvec::SmallVec;

use crate::build::Ties;
use crate::cache::Policy;
use crate::views::{Claim, Inbound};
use crate::{
    Abort, Attempt, Chunk, Exchange, Filter, Flow, Mode, Outcome, Reply, Request, Response,
};
use erased::Erased;
pub use gather::Gather;
use gather::Gathering;
pub use watch::{Hook, Watch};
pub use whole::has_length;

/// The word for a filter that panicked.
const PANICKED: &str = "filter_panicked";

/// Is told of a panic.
pub type OnPanic = Arc<dyn Fn() + Send + Sync>;

/// The filters of one route, flattened, in execution order.
#[derive(Default)]
pub struct Chain {
    /// The links, outermost first.
    pub links: Vec<Link>,
    /// Is told of each panic in one of their hooks, whatever became of the request.
    pub on_panic: Option<OnPanic>,
    /// Is told how long their hooks take.
    pub watch: Option<Arc<dyn Watch>>,
}

/// One filter in its place. A filter that was named once and is used by several routes is one
/// and the same filter in all of them.
#[derive(Clone)]
pub struct Link {
    /// The filter's name in the configuration: its own word, or the one the user gave it.
    pub label: String,
    /// The filter's own word.
    pub name: &'static str,
    /// Where it is written: `file:line`.
    pub place: String,
    /// The path parameters that its expressions ask for, without those that `has` is asked about.
    pub params: Vec<Box<str>>,
    /// What ties it to the links before it and behind it.
    pub ties: Ties,
    /// Whether it acts, or is only looked at.
    pub mode: Mode,
    filter: Arc<dyn Erased>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.label, self.place)
    }
}

/// What the hooks of one link tell each other in one exchange.
type State = Box<dyn Any + Send + Sync>;

/// One exchange's part of one link: what it asked for, and its state.
pub struct Slot {
    state: State,
    request_claim: Claim,
    response_claim: Claim,
    /// Why the exchange would have ended here, of a link that is only looked at.
    observed: Option<&'static str>,
    /// What the link had to do without.
    degraded: Option<&'static str>,
    /// Whether it has had a response's whole body.
    had_whole: bool,
    /// The response that it is to be shown once that has left, of a link that is only looked at.
    gathering: Option<Box<Gathering>>,
    /// Whether it is measured how long its hooks take.
    measured: bool,
}

/// One exchange's way through a chain: a slot for each link that it has entered.
pub type Slots = SmallVec<[Slot; 8]>;

/// What stopped a request in the chain.
#[derive(Debug)]
pub struct Stopped {
    /// The position of the link that stopped it.
    pub link: usize,
    /// What it answers.
    pub reply: Reply,
}

/// The links that a request has entered, from the point of view of the one it is in now.
pub struct Entered<'a> {
    chain: &'a Chain,
    slots: &'a mut [Slot],
}

impl Chain {
    /// What the cache is to do with every request alike, where nothing else happens to it in the chain.
    pub fn plan_for_all(&self) -> Option<&Arc<Policy>> {
        match &self.links[..] {
            [link] if link.mode == Mode::Enforce => link.filter.plan_for_all(),
            _ => None,
        }
    }
}

impl Slot {
    fn new(state: State, measured: bool) -> Self {
        Self {
            state,
            request_claim: Claim::None,
            response_claim: Claim::None,
            observed: None,
            degraded: None,
            had_whole: false,
            gathering: None,
            measured,
        }
    }
}

impl Entered<'_> {
    /// How many they are, which is the position of the link that the request is in.
    pub fn count(&self) -> usize {
        self.slots.len()
    }

    /// Passes a piece of the request body through those that claimed it, in order, from this one on.
    ///
    /// # Errors
    /// The reply of the link that refused, and its position.
    pub fn pass(&mut self, chunk: &mut Chunk, from: usize) -> Result<(), Stopped> {
        self.chain.request_body(chunk, self.slots, from)
    }

    /// What the link that the request is in stops it with.
    pub fn stop(&self, reply: Reply) -> Stopped {
        Stopped {
            link: self.count(),
            reply,
        }
    }
}

impl Link {
    /// Puts a filter in its place.
    pub fn new<F: Filter>(label: String, place: String, filter: F) -> Self {
        Self {
            label,
            name: F::NAME,
            place,
            params: Vec::new(),
            ties: Ties::default(),
            mode: Mode::Enforce,
            filter: Arc::new(filter),
        }
    }
}

impl Chain {
    /// Runs the request hooks in order, until one replies; slots are made on the way. `reached` is
    /// told the position of each link before its hook runs.
    ///
    /// # Errors
    /// The reply, or a 500, where a filter panicked, and the link that made it: where it read the
    /// body, that may be one before it.
    pub async fn request(
        &self,
        exchange: &mut Exchange,
        inbound: &mut dyn Inbound,
        slots: &mut Slots,
        reached: impl Fn(usize),
    ) -> Result<(), Stopped> {
        debug_assert!(slots.is_empty(), "a chain is entered once");
        // One future for all links: what each of them gives back is moved less often.
        let measured = self.measures();
        for (position, link) in self.links.iter().enumerate() {
            reached(position);
            let state = self.state(position, link)?;
            let _running = self.begin(position, measured, Hook::Request);
            slots.push(Slot::new(state, measured));
            let (slot, before) = slots.split_last_mut().expect("just pushed");
            let entered = Entered {
                chain: self,
                slots: before,
            };
            if link.mode == Mode::Observe {
                let observed = self.observe_request(link, slot, exchange, inbound, entered);
                Box::pin(observed).await?;
                continue;
            }
            let mut request = Request::new(exchange, inbound, entered);
            let hook = AssertUnwindSafe(link.filter.request(&mut request, &mut *slot.state));
            let flow = hook.catch_unwind().await;
            let flow = flow.unwrap_or_else(|_| Err(self.panicked(link)));
            slot.degraded = request.degraded;
            slot.request_claim = match request.left_alone(&flow) {
                Some(claim) => claim,
                // What few requests need is boxed apart.
                None => Box::pin(request.settle(flow)).await?,
            };
        }
        Ok(())
    }

    /// The state of a link that is about to run.
    fn state(&self, position: usize, link: &Link) -> Result<State, Stopped> {
        let state = self.guard(link, || link.filter.state());
        state.map_err(|reply| Stopped {
            link: position,
            reply: *reply,
        })
    }

    /// Runs the hooks of the entered links before an attempt, in order.
    ///
    /// # Errors
    /// A 500, where a filter panicked.
    pub fn upstream(&self, attempt: &mut Attempt<'_>, slots: &mut Slots) -> Flow {
        for (position, (link, slot)) in self.links.iter().zip(slots).enumerate() {
            let _running = self.begin(position, slot.measured, Hook::Upstream);
            if link.mode == Mode::Observe {
                self.observe_upstream(link, slot, attempt);
                continue;
            }
            self.guard(link, || link.filter.upstream(attempt, &mut *slot.state))
                .map_err(|reply| *reply)?;
        }
        Ok(())
    }

    /// Runs the response hooks of these links, innermost first, up to the first one that waits for
    /// the whole body: its position, where there is one. [`Chain::climb`] goes on from there. A
    /// hook that panics is counted and passed over when the response is the gateway's own
    /// (`lenient`).
    ///
    /// # Errors
    /// A 500, where a filter panicked.
    pub fn response(
        &self,
        res: &mut Response<'_>,
        slots: &mut [Slot],
        lenient: bool,
    ) -> Result<Option<usize>, Reply> {
        for (position, (link, slot)) in self.links.iter().zip(slots).enumerate().rev() {
            let _running = self.begin(position, slot.measured, Hook::Response);
            if link.mode == Mode::Observe {
                self.observe_response(link, slot, res);
            } else {
                let hook = self.guard(link, || link.filter.response(res, &mut *slot.state));
                let claim = res.take_claim();
                slot.note_degraded(res);
                slot.response_claim = match hook {
                    Ok(()) => claim,
                    Err(_) if lenient => Claim::None,
                    Err(reply) => return Err(*reply),
                };
            }
            if slot.response_claim == Claim::Whole && slot.had_whole {
                slot.response_claim = Claim::None;
            }
            if slot.response_claim == Claim::Whole && res.may_have_body() {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// Passes a piece of the request body through the links that claimed it, in order, from this
    /// one on.
    ///
    /// # Errors
    /// The reply of the link that refused, and its position.
    pub fn request_body(
        &self,
        chunk: &mut Chunk,
        slots: &mut [Slot],
        from: usize,
    ) -> Result<(), Stopped> {
        let links = self.links.iter().zip(slots).enumerate();
        for (position, (link, slot)) in links.skip(from) {
            if slot.request_claim == Claim::None {
                continue;
            }
            let _running = self.begin(position, slot.measured, Hook::RequestBody);
            if link.mode == Mode::Observe {
                self.observe_request_body(link, slot, chunk);
            } else {
                self.guard(link, || link.filter.request_body(chunk, &mut *slot.state))
                    .unwrap_or_else(|reply| Err(*reply))
                    .map_err(|reply| Stopped {
                        link: position,
                        reply,
                    })?;
            }
        }
        Ok(())
    }

    /// Passes a piece of the response body through those of these links that claimed it, innermost
    /// first, up to the one at this position.
    ///
    /// # Errors
    /// Why the exchange must be cut.
    pub fn response_body(
        &self,
        chunk: &mut Chunk,
        slots: &mut [Slot],
        to: usize,
    ) -> Result<(), Abort> {
        let links = self.links.iter().zip(slots).enumerate();
        for (position, (link, slot)) in links.skip(to).rev() {
            if slot.response_claim == Claim::None {
                continue;
            }
            let _running = self.begin(position, slot.measured, Hook::ResponseBody);
            if link.mode == Mode::Observe {
                self.observe_response_body(link, slot, chunk);
            } else {
                self.guard(link, || link.filter.response_body(chunk, &mut *slot.state))
                    .map_err(|_| Abort { reason: PANICKED })??;
            }
        }
        Ok(())
    }

    /// Tells the entered links how it ended, innermost first.
    pub fn done(&self, outcome: &Outcome<'_>, slots: &mut Slots) {
        for (position, (link, slot)) in self.links.iter().zip(slots).enumerate().rev() {
            let _running = self.begin(position, slot.measured, Hook::Done);
            let _ = self.guard(link, || link.filter.done(outcome, &mut *slot.state));
        }
    }

    /// Runs a hook; a panic becomes a reply, boxed to keep what nearly every call gives small.
    fn guard<T>(&self, link: &Link, hook: impl FnOnce() -> T) -> Result<T, Box<Reply>> {
        catch_unwind(AssertUnwindSafe(hook)).map_err(|_| self.panicked(link))
    }

    /// The reply for a request whose filter panicked. The panic hook has already logged it.
    #[cold]
    fn panicked(&self, link: &Link) -> Box<Reply> {
        if let Some(tell) = &self.on_panic {
            tell();
        }
        let reply = Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, PANICKED);
        Box::new(reply.log(format!("filter {} panicked", link.label)))
    }

    /// What these links, taken together, want of the request body.
    pub fn request_claim(slots: &[Slot]) -> Claim {
        let claims = slots.iter().map(|slot| slot.request_claim);
        claims.max().unwrap_or_default()
    }

    /// What these links, taken together, want of the response body.
    pub fn response_claim(slots: &[Slot]) -> Claim {
        let claims = slots.iter().map(|slot| slot.response_claim);
        claims.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
