//! How long the hooks of filters take.

use std::time::{Duration, Instant};

use super::Chain;

/// A hook of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// [`Filter::request`](crate::Filter::request), with the time that it waits.
    Request,
    /// [`Filter::upstream`](crate::Filter::upstream).
    Upstream,
    /// [`Filter::response`](crate::Filter::response).
    Response,
    /// [`Filter::request_body`](crate::Filter::request_body).
    RequestBody,
    /// [`Filter::response_body`](crate::Filter::response_body), and
    /// [`Filter::response_whole`](crate::Filter::response_whole) with the time that it waits.
    ResponseBody,
    /// [`Filter::done`](crate::Filter::done).
    Done,
}

impl Hook {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::Request,
        Self::Upstream,
        Self::Response,
        Self::RequestBody,
        Self::ResponseBody,
        Self::Done,
    ];

    /// The word for it in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Upstream => "upstream",
            Self::Response => "response",
            Self::RequestBody => "request_body",
            Self::ResponseBody => "response_body",
            Self::Done => "done",
        }
    }
}

/// Is told how long the hooks of a chain take.
pub trait Watch: Send + Sync {
    /// Whether the exchange that begins now is measured.
    fn measures(&self) -> bool;
    /// The present moment.
    fn now(&self) -> Instant;
    /// A hook of the link at this position has taken so long.
    fn took(&self, link: usize, hook: Hook, time: Duration);
}

/// A hook that runs and is measured; it has ended when this is dropped.
pub(super) struct Running<'a> {
    watch: &'a dyn Watch,
    link: usize,
    hook: Hook,
    since: Instant,
}

impl Chain {
    /// Whether the exchange that enters the chain is measured.
    pub(super) fn measures(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.measures())
    }

    /// A hook of the link at this position begins.
    pub(super) fn begin(&self, link: usize, measured: bool, hook: Hook) -> Option<Running<'_>> {
        if !measured {
            return None;
        }
        let watch = self.watch.as_deref()?;
        Some(Running {
            watch,
            link,
            hook,
            since: watch.now(),
        })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let time = self.watch.now().saturating_duration_since(self.since);
        self.watch.took(self.link, self.hook, time);
    }
}

#[cfg(test)]
mod tests;
