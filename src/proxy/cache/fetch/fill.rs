//! A body on its way from the upstream into the store, and what the store has no room for on its way
//! to the one who asked.

use std::pin::pin;
use std::time::Duration;

use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_error::{Error, ErrorType, Result};
use wiregate_sdk::Bytes;

use super::super::super::context::Context;
use super::super::super::straight::{Source, within};
use super::super::broken_off;
use super::ask::is_silent;
use crate::cache::store::{Fill, Refused};

/// So many pieces that are there already are taken before something else is done.
const TOGETHER: usize = 8;

/// A body that comes from the upstream.
pub(in crate::proxy::cache) struct Filling {
    source: Source,
    goal: Goal,
}

/// Where the pieces of a body go.
enum Goal {
    /// Into the store.
    Store(Fill),
    /// To the one who asked, who reads those before them from the store: it was too large for that.
    Asker { piece: Bytes, last: bool },
    /// Nowhere: it broke off.
    Broken(Box<Error>),
}

impl Filling {
    pub(super) fn new(source: Source, fill: Fill) -> Self {
        Self {
            source,
            goal: Goal::Store(fill),
        }
    }

    /// Whether others than the one who asked get it.
    pub(super) fn is_for_others(&self) -> bool {
        matches!(self.goal, Goal::Store(_))
    }
}

impl Context {
    /// Whether the body that is being stored comes by way of this exchange.
    pub(in crate::proxy::cache) fn fills(&self) -> bool {
        let filling = self.caching.as_ref().and_then(|c| c.filling.as_ref());
        filling.is_some_and(|filling| filling.is_for_others())
    }

    /// Stores the body to its end.
    pub(super) async fn fill_up(&mut self, session: &ServerSession) {
        while self.fills() {
            let part = self.next_of_fill(false).await;
            self.take_part(part).await;
        }
        self.settle_break(session);
        self.caching_mut().filling = None;
    }

    /// Stores what has come already.
    pub(in crate::proxy::cache) async fn fill_ready(&mut self, session: &ServerSession) {
        for _ in 0..TOGETHER {
            if !self.fills() {
                break;
            }
            let Some(filling) = self.caching_mut().filling.as_mut() else {
                break;
            };
            match filling.source.next_at_once().await {
                Some(part) => self.take_part(part).await,
                None => break,
            }
        }
        self.settle_break(session);
    }

    /// Stores what comes next, unless the client leaves.
    ///
    /// # Errors
    /// It has left.
    pub(in crate::proxy::cache) async fn fill_some(
        &mut self,
        session: &mut ServerSession,
    ) -> Result<()> {
        let timed = self.is_timed();
        let part = tokio::select! {
            biased;
            part = self.next_of_fill(timed) => part,
            gone = session.read_body_or_idle(true) => {
                match gone.err().unwrap_or_else(broken_off) {
                    silent if is_silent(&silent) => Err(silent),
                    gone => return Err(gone.into_down()),
                }
            }
        };
        self.take_part(part).await;
        self.settle_break(session);
        Ok(())
    }

    /// Waits for the client to take something, and stores what comes meanwhile.
    ///
    /// # Errors
    /// The client's.
    pub(in crate::proxy::cache) async fn write_and_fill(
        &mut self,
        session: &mut ServerSession,
        tasks: Vec<HttpTask>,
    ) -> Result<()> {
        let written = {
            let mut write = pin!(session.response_duplex_vec(tasks));
            loop {
                if !self.fills() {
                    break write.await;
                }
                tokio::select! {
                    biased;
                    written = &mut write => break written,
                    part = self.next_of_fill(false) => self.take_part(part).await,
                }
            }
        };
        self.settle_break(session);
        written.map(drop)
    }

    /// What the store had no room for, which comes as fast as the client takes it.
    ///
    /// # Errors
    /// The client has left, or the body breaks off.
    pub(in crate::proxy::cache) async fn piece_for_asker(
        &mut self,
        session: &mut ServerSession,
    ) -> Result<Option<Bytes>> {
        loop {
            let filling = self.caching_mut().filling.as_mut();
            let Some(Goal::Asker { piece, last }) = filling.map(|filling| &mut filling.goal) else {
                self.time_left()?;
                self.end.error.get_or_insert("http_response_incomplete");
                return Err(broken_off());
            };
            if !piece.is_empty() {
                return Ok(Some(std::mem::take(piece)));
            }
            if *last {
                self.end_fill().await;
                return Ok(None);
            }
            self.fill_some(session).await?;
        }
    }

    /// What comes next from the upstream, which may take a while for it where that is not `timed` elsewhere. The time that
    /// an exchange has ends what is done for its own client, and not what others get by way of it.
    async fn next_of_fill(&mut self, timed: bool) -> Result<HttpTask> {
        let patience = match self.is_detached() {
            true => self.patience()?,
            false => self.attempts.times.idle,
        };
        match &mut self.caching_mut().filling {
            Some(filling) if timed => filling.source.next().await,
            Some(filling) => within(patience, filling.source.next()).await,
            None => Error::e_explain(ErrorType::InternalError, "nothing is fetched"),
        }
    }

    /// Takes a part of the response, and does with it what is to be done.
    async fn take_part(&mut self, part: Result<HttpTask>) {
        let caching = self.caching_mut();
        let remember = caching.plan.policy.remember;
        let Some(filling) = &mut caching.filling else {
            return;
        };
        let (data, last) = match part {
            Ok(HttpTask::Body(data, last)) => (data.unwrap_or_default(), last),
            Ok(HttpTask::Failed(error)) | Err(error) => {
                filling.goal = Goal::Broken(error.into_up()); // others see that it breaks off
                return;
            }
            // Trailers are not stored (RFC 9111, 3.1).
            Ok(_) => (Bytes::new(), true),
        };
        if !filling.goal.take(data, last, remember) {
            caching.filling = None; // it is longer than it said
            return self.end_attempt();
        }
        let stored = last && filling.is_for_others();
        self.heard(last);
        if stored {
            self.end_fill().await;
        }
    }

    /// The body has come to its end: the connection can be used again.
    async fn end_fill(&mut self) {
        let Some(filling) = self.caching_mut().filling.take() else {
            return;
        };
        let Filling { source, goal } = filling;
        if let Goal::Store(fill) = goal {
            drop(fill.finish());
        }
        source.put_back().await;
        self.end_attempt();
    }

    /// Where the body broke off, the endpoint is charged with that.
    fn settle_break(&mut self, session: &ServerSession) {
        let Some(caching) = &mut self.caching else {
            return;
        };
        let broken = (caching.filling.as_ref())
            .is_some_and(|filling| matches!(filling.goal, Goal::Broken(_)));
        if broken
            && let Some(filling) = caching.filling.take()
            && let Goal::Broken(error) = filling.goal
        {
            self.end_broken(session, error, filling.source.reused);
        }
    }
}

impl Goal {
    /// Takes a piece, and becomes what the next one goes to; false where nobody wants it.
    fn take(&mut self, data: Bytes, last: bool, remember: Duration) -> bool {
        let pushed = match self {
            Self::Store(_) if data.is_empty() => Ok(()),
            Self::Store(fill) => fill.push(&data),
            _ => {
                *self = Self::Asker { piece: data, last };
                return true;
            }
        };
        match pushed {
            Ok(()) => true,
            Err(Refused::Length) => false,
            Err(why) => {
                let stored = std::mem::replace(self, Self::Asker { piece: data, last });
                if let Self::Store(fill) = stored {
                    fill.abandon(remember, &why);
                }
                true
            }
        }
    }
}
