//! How a fetch failed.

use http::StatusCode;
use wiregate_sdk::Reply;

/// The reason where the upstream has answered with an error of its own.
pub const UPSTREAM_ERROR: &str = "upstream_error";

/// How a fetch failed, for all who waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The status to answer with.
    pub status: StatusCode,
    /// One word, the same in logs, metrics and the problem's `type`.
    pub reason: &'static str,
}

impl Failure {
    /// The one that a reply tells of.
    pub fn of(reply: &Reply) -> Self {
        Self {
            status: reply.status,
            reason: reply.reason().unwrap_or(UPSTREAM_ERROR),
        }
    }

    /// The status that the upstream has answered with, if it has.
    pub fn came_back(&self) -> Option<StatusCode> {
        (self.reason == UPSTREAM_ERROR).then_some(self.status)
    }
}
