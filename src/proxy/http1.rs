//! A conversation over HTTP/1.1: one request after another.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use tokio::time::{Instant, Sleep};

use super::conversation::Conversation;
use super::malformed;
use crate::listen::http1::{Gate, Message, Refused};
use crate::listen::stream::Connection;

/// What a connection brings next.
enum Next {
    /// A head that may go on.
    Head,
    /// What gets a last reply.
    Refused(Refused),
    /// Nothing any more.
    Nothing,
}

impl Conversation {
    /// One request after another, each of which Pingora sees by itself. `begun` is when the first
    /// byte came.
    pub(super) async fn http1(
        &self,
        connection: Connection,
        begun: Option<Instant>,
        shutdown: &ShutdownWatch,
    ) {
        let mut gate = Box::new(Gate::new(connection));
        let mut patience = Patience {
            begun,
            timer: pin!(tokio::time::sleep(self.peer.idle)),
            stop: pin!(stopped(shutdown.clone())),
            listens: false,
            shutdown,
        };
        loop {
            match self.next(&mut gate, &mut patience).await {
                Next::Head => {}
                Next::Nothing => return,
                Next::Refused(refused) => {
                    malformed::answer(&self.shared, &self.peer, &mut gate, &refused).await;
                    return gate.close().await;
                }
            }
            let message = Message::new(gate, self.peer.lent.clone());
            let mut session = ServerSession::new_http1(Box::new(message));
            session.set_keepalive(Some(0)); // without end: the time is kept here
            let kept = self.proxy.process_new_http(session, shutdown).await;
            let goes_on = kept.is_some() | self.peer.take_goes_on();
            drop(kept);
            let Some(back) = self.peer.lent.take_back() else {
                return;
            };
            gate = back;
            if !goes_on || !gate.is_between() || self.peer.lent.is_tunnel() {
                return gate.close().await;
            }
        }
    }

    /// Waits for the next head: as long as the connection may idle while nothing comes, and as long
    /// as a head may take once some of it has.
    async fn next(&self, gate: &mut Gate, patience: &mut Patience<'_, impl Future>) -> Next {
        let (limit, deadline) = {
            let live = self.shared.live.load();
            let limits = &live.settings.limits;
            (limits.head.len(), Duration::from(limits.head_deadline))
        };
        let mut begun = patience.begun.take();
        let idle_until = Instant::now() + self.peer.idle;
        poll_fn(|cx| {
            if let Poll::Ready(arrived) = gate.poll_head(cx, limit) {
                return Poll::Ready(match arrived {
                    Some(Ok(())) => Next::Head,
                    Some(Err(refused)) => Next::Refused(refused),
                    None => Next::Nothing,
                });
            }
            if begun.is_none() && gate.has_begun() {
                begun = Some(Instant::now());
            }
            match begun {
                Some(begun) => {
                    let over = patience.until(begun + deadline, cx);
                    over.map(|()| Next::Refused(Refused::late()))
                }
                None if patience.is_stopped(cx) => Poll::Ready(Next::Nothing),
                None => patience.until(idle_until, cx).map(|()| Next::Nothing),
            }
        })
        .await
    }
}

async fn stopped(mut shutdown: ShutdownWatch) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// How long a connection waits, and what for.
struct Patience<'a, S> {
    /// When the first byte came, until the first head has.
    begun: Option<Instant>,
    timer: Pin<&'a mut Sleep>,
    stop: Pin<&'a mut S>,
    listens: bool,
    shutdown: &'a ShutdownWatch,
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

    /// Whether the gateway is stopping. The signal is shared by all workers, and guarded by a
    /// lock: the task asks to be woken once, which holds as long as it lives, and looks at the
    /// signal's number from then on.
    fn is_stopped(&mut self, cx: &mut Context<'_>) -> bool {
        if !std::mem::replace(&mut self.listens, true) {
            return self.stop.as_mut().poll(cx).is_ready();
        }
        self.shutdown.has_changed().unwrap_or(true)
    }
}
