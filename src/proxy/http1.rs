//! A conversation over HTTP/1.1: one request after another.

mod answer;
mod lent;
mod session;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pingora_core::protocols::Digest;
use pingora_http::RequestHeader;
use tokio::time::{Instant, Sleep};

use super::cache::{Ahead, Known};
use super::conversation::{Conversation, digest_of};
use super::malformed;
use super::pace::Paces;
use crate::listen::http1::{Gate, Refused};
use crate::listen::stream::Connection;
use crate::listen::{Ending, LEAVE};
use lent::{After, Back};
use session::Session;

pub(super) use answer::wants_more;
pub(super) use lent::{Lent, Lines};
pub(super) use session::send_whole;

impl Conversation {
    /// One request after another. `begun` is when the first byte came.
    pub(super) async fn http1(
        &self,
        connection: Connection,
        begun: Option<Instant>,
        ending: &Ending,
    ) {
        let digest = digest_of(&connection);
        let mut gate = Box::new(Gate::new(connection));
        let mut patience = Patience {
            begun,
            timer: pin!(tokio::time::sleep(self.peer.idle)),
            stop: pin!(ending.stopped()),
            listens: false,
            leaving: None,
            ending,
        };
        loop {
            let (mut ahead, mut known) = (Ahead::default(), None);
            let waited = self.next(&mut gate, &mut patience, &mut ahead, &mut known);
            let next = waited.await;
            if let Some(known) = known {
                let goes_on = self.give(&mut gate, known, ending).await;
                drop(ahead); // which gives its place back: a connection may linger
                match goes_on {
                    true => continue,
                    false => return gate.close().await,
                }
            }
            let head = match next {
                Some(Ok(Some(head))) => head,
                Some(Ok(None)) | None => return gate.leave().await,
                Some(Err(refused)) => {
                    drop(ahead);
                    malformed::answer(&self.shared, &self.peer, &mut gate, &refused).await;
                    return gate.close().await;
                }
            };
            let admitted = ahead.take_admitted();
            let place = match admitted.unwrap_or_else(|| self.admit(head.uri.path())) {
                Ok(place) => place,
                Err(why) => match self.shed_http1(&mut gate, &head, why).await {
                    true => continue,
                    false => return gate.close().await,
                },
            };
            let back = self.exchange(head, ahead, gate, digest.clone(), ending);
            let back = back.await;
            drop(place);
            let Some(back) = back else {
                return;
            };
            gate = back.gate;
            match back.after {
                After::Next if gate.is_between() => {}
                After::Next | After::Close => return gate.close().await,
                After::BreakOff => return gate.connection.break_off(),
            }
        }
    }

    /// Serves a request; the gate, which has let it through, comes back where it is there still.
    async fn exchange(
        &self,
        head: RequestHeader,
        ahead: Ahead,
        gate: Box<Gate>,
        digest: Arc<Digest>,
        ending: &Ending,
    ) -> Option<Back> {
        let paces = Paces::of(&self.shared.live.load().settings.limits);
        let session = Session::new(head, gate, self.peer.clone(), digest, paces);
        {
            // Pinned, since it is large; gone at the end of this block, which brings the gate back.
            let exchange = pin!(self.proxy.serve(Box::new(session), ahead, ending.stop()));
            let exchange = self.peer.lent.until.unless_stuck(exchange);
            // A tunnel says goodbye itself.
            let cut = || !self.peer.lent.is_tunnel();
            ending.unless_over(exchange, cut).await;
        }
        self.peer.lent.take_back()
    }

    /// Waits for the next head, which is nothing where it is known what answers it, or for what gets a last reply
    /// instead: as long as the connection may idle while nothing comes, and as long as a head may take once some of it
    /// has.
    async fn next(
        &self,
        gate: &mut Gate,
        patience: &mut Patience<'_, impl Future>,
        ahead: &mut Ahead,
        known: &mut Option<Known>,
    ) -> Option<Result<Option<RequestHeader>, Refused>> {
        let (limit, deadline) = {
            let live = self.shared.live.load();
            let limits = &live.settings.limits;
            (limits.head.len(), Duration::from(limits.head_deadline))
        };
        let mut begun = patience.begun.take();
        let since = Instant::now();
        poll_fn(|cx| {
            let arrived = gate.poll_head(cx, limit, &mut |seen| {
                *known = self.know(seen, ahead);
                known.is_some()
            });
            if let Poll::Ready(arrived) = arrived {
                return Poll::Ready(arrived);
            }
            if begun.is_none() && gate.has_begun() {
                begun = Some(Instant::now());
            }
            match begun {
                Some(begun) => {
                    let crowded = patience.ending.crowded();
                    let deadline = crowded.map_or(deadline, |short| deadline.min(short));
                    let over = patience.until(begun + deadline, cx);
                    over.map(|()| Some(Err(Refused::late())))
                }
                None if patience.is_stopped(cx) => {
                    let idle_until = since + self.peer.idle;
                    let leave = patience.leave_at(idle_until, self.shared.is_handed_over());
                    patience.until(leave, cx).map(|()| None)
                }
                None => {
                    let crowded = patience.ending.crowded();
                    let idle = crowded.map_or(self.peer.idle, |short| self.peer.idle.min(short));
                    patience.until(since + idle, cx).map(|()| None)
                }
            }
        })
        .await
    }
}

/// How long a connection waits, and what for.
struct Patience<'a, S> {
    /// When the first byte came, until the first head has.
    begun: Option<Instant>,
    timer: Pin<&'a mut Sleep>,
    stop: Pin<&'a mut S>,
    listens: bool,
    /// When it is closed, once the gateway is stopping.
    leaving: Option<Instant>,
    ending: &'a Ending,
}

impl<S: Future> Patience<'_, S> {
    /// Ready when this moment has come. One timer serves a connection as long as it lives: it is
    /// set anew only when it rings, or would ring too late.
    fn until(&mut self, moment: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.timer.deadline() > moment {
                self.timer.as_mut().reset(moment);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= moment {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(moment);
        }
    }

    /// When a connection without a request is closed although the gateway is stopping. A request may
    /// be on its way: it is answered, and told that it was the last one. Where another process has
    /// taken over there is no hurry, and it may idle as ever.
    fn leave_at(&mut self, idle_until: Instant, handed_over: bool) -> Instant {
        if self.ending.is_over() {
            return Instant::now();
        }
        let now = || idle_until.min(Instant::now() + LEAVE);
        match handed_over {
            true => idle_until,
            false => *self.leaving.get_or_insert_with(now),
        }
    }

    /// Whether the gateway is stopping. The signal is shared by all workers, and guarded by a
    /// lock: the task asks to be woken once, which holds as long as it lives, and looks at the
    /// signal's number from then on.
    fn is_stopped(&mut self, cx: &mut Context<'_>) -> bool {
        if !std::mem::replace(&mut self.listens, true) {
            return self.stop.as_mut().poll(cx).is_ready();
        }
        self.ending.is_leaving()
    }
}
