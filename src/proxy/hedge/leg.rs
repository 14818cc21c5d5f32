//! One of the two attempts of a race.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora_core::protocols::http::HttpTask;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;

use super::super::context::Context;
use super::super::straight::{Source, within};
use crate::observe::traces::RunningAttempt;
use crate::upstream::{Endpoint, Leave, Place, Upstream};

/// Where an attempt has got to.
pub(super) enum Step {
    /// There is a connection.
    Open(Source),
    /// The head of a response has come.
    Head(Source, HttpTask),
}

/// How an attempt failed.
pub(super) struct Lost {
    pub(super) error: Box<Error>,
    /// Whether there was a connection, and whether it had been used before.
    pub(super) connection: Option<bool>,
}

/// One of the two attempts of a race.
pub(super) struct Leg {
    pub(super) doing: Pin<Box<dyn Future<Output = Result<Step, Lost>> + Send>>,
    /// Which attempt at an answer it is.
    pub(super) number: u32,
}

/// Sends a request and waits for the head of its response.
pub(super) async fn ask(
    mut source: Source,
    head: Box<RequestHeader>,
    body: Bytes,
    patience: Duration,
) -> Result<Step, Lost> {
    let asked = async {
        source.send(head, body).await?;
        within(patience, source.next()).await
    };
    match asked.await {
        Ok(task) => Ok(Step::Head(source, task)),
        Err(error) => Err(Lost {
            error: error.into_up(),
            connection: Some(source.reused),
        }),
    }
}

/// What counts for the attempt that is not the one in the context. Dropped, it has ended without
/// an answer.
pub(super) struct Aside {
    upstream: Arc<Upstream>,
    endpoint: Arc<Endpoint>,
    open: Option<Place>,
    leave: Option<Leave>,
    started: Option<Instant>,
    connected: Option<Instant>,
    shares: bool,
    generation: u32,
    span: Option<RunningAttempt>,
}

impl Aside {
    pub(super) fn new(
        upstream: Arc<Upstream>,
        place: Place,
        generation: u32,
        leave: Option<Leave>,
        now: Instant,
    ) -> Self {
        upstream.metrics.begin();
        Self {
            upstream,
            endpoint: place.endpoint().clone(),
            open: Some(place),
            leave,
            started: Some(now),
            connected: None,
            shares: false,
            generation,
            span: None,
        }
    }

    /// With its span, where its trace is recorded.
    pub(super) fn with(mut self, span: Option<RunningAttempt>) -> Self {
        self.span = span;
        self
    }

    /// Another endpoint was faster.
    pub(super) fn is_outpaced(&self, now: Instant) -> Duration {
        let waited = self.started.map_or(Duration::ZERO, |started| now - started);
        self.upstream.outpaced(&self.endpoint, waited, now);
        waited
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if self.open.take().is_some() {
            self.upstream.metrics.end(false);
        }
    }
}

impl Context {
    /// Puts the attempt that stands aside in the place of the present one, and that aside.
    pub(super) fn change_places(&mut self, aside: &mut Aside) {
        let attempts = &mut self.attempts;
        std::mem::swap(&mut attempts.open, &mut aside.open);
        std::mem::swap(&mut attempts.leave, &mut aside.leave);
        std::mem::swap(&mut attempts.started, &mut aside.started);
        std::mem::swap(&mut attempts.connected, &mut aside.connected);
        std::mem::swap(&mut attempts.shares, &mut aside.shares);
        std::mem::swap(&mut attempts.generation, &mut aside.generation);
        std::mem::swap(&mut attempts.span, &mut aside.span);
        // The present one is the last of those tried.
        attempts
            .tried
            .retain(|tried| !Arc::ptr_eq(tried, &aside.endpoint));
        if let Some(last) = attempts.tried.last_mut() {
            let before = std::mem::replace(last, aside.endpoint.clone());
            aside.endpoint = before.clone();
            let position = attempts.tried.len() - 1;
            attempts.tried.insert(position, before);
        }
    }

    /// The attempt in front has failed. Where that is because nothing came in time, its connection over
    /// HTTP/2 may be dead, though nothing says so: other requests get others.
    pub(super) fn leave_silent(&self, lost: &Lost) {
        let silent = lost.connection.is_some() && *lost.error.etype() == ErrorType::ReadTimedout;
        if let (true, true, Some(place)) = (silent, self.attempts.shares, &self.attempts.open) {
            place.endpoint().leave_generation(self.attempts.generation);
        }
    }
}
