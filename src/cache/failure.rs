//! How a fetch failed.

use http::StatusCode;

/// How a fetch failed, for all who waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The status to answer with.
    pub status: StatusCode,
    /// One word, the same in logs, metrics and the problem's `type`.
    pub reason: &'static str,
}
