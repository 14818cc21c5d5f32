//! A body on its way from the upstream into the store.

use std::time::Duration;

use pingora_core::protocols::http::HttpTask;
use tokio::sync::mpsc;
use wiregate_sdk::Bytes;

use super::super::super::hedge::Source;
use super::ask::Head;
use super::{Event, Fetch};
use crate::cache::store::{Fill, Refused};

/// Where the pieces of a body go.
enum Goal {
    /// Into the store.
    Store(Fill),
    /// To the one who asked, who has read those before them from the store: it was too large for
    /// that.
    Asker,
}

impl Fetch {
    /// The body goes into the store, to its end. Where it breaks off, so does what was stored of it.
    pub(super) async fn fill(mut self, head: Head, fill: Fill, tell: Option<mpsc::Sender<Event>>) {
        let Head {
            mut source, end, ..
        } = head;
        let remember = self.plan.policy.remember;
        let (mut goal, mut end) = (Goal::Store(fill), end);
        while !end {
            let Some((data, last)) = self.piece(&mut source).await else {
                return;
            };
            end = last;
            if data.is_empty() {
                continue;
            }
            goal = match goal.take(data, remember, tell.as_ref()).await {
                Some(goal) => goal,
                None => return,
            };
        }
        match (goal, tell) {
            (Goal::Store(fill), _) => drop(fill.finish()),
            (Goal::Asker, Some(tell)) => drop(tell.send(Event::End).await),
            (Goal::Asker, None) => {}
        }
        source.put_back().await;
    }

    /// The next piece, and whether it is the last; nothing where the body breaks off.
    async fn piece(&mut self, source: &mut Source) -> Option<(Bytes, bool)> {
        let error = match self.cx.next_part(source).await {
            Ok(HttpTask::Body(data, last)) => return Some((data.unwrap_or_default(), last)),
            Ok(HttpTask::Failed(error)) => error,
            // Trailers are not stored (RFC 9111, 3.1).
            Ok(_) => return Some((Bytes::new(), true)),
            Err(error) => error.into_up(),
        };
        self.cx.end_broken(&self.session, error, source.reused);
        None
    }
}

impl Goal {
    /// Takes a piece, and says where the next one goes; nothing where nobody wants it.
    async fn take(
        self,
        data: Bytes,
        remember: Duration,
        tell: Option<&mpsc::Sender<Event>>,
    ) -> Option<Self> {
        if let Self::Store(mut fill) = self {
            match fill.push(&data) {
                Ok(()) => return Some(Self::Store(fill)),
                Err(Refused::Length) => return None,
                Err(why) => fill.abandon(remember, &why),
            }
        }
        // The rest goes as fast as the one who asked takes it.
        let sent = tell?.send(Event::Piece(data)).await;
        sent.is_ok().then_some(Self::Asker)
    }
}
