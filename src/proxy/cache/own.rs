//! What a request gets of a response that is not stored: its conditions and its range were not sent, since
//! the response was asked for in the name of all.

use http::{HeaderMap, StatusCode, header};
use pingora_http::ResponseHeader;

use super::super::context::{Attempts, Context};
use crate::cache::rules::conditional;

/// Whether the client has this response already (RFC 9110, 13).
pub(super) fn is_had(asked: &HeaderMap, head: &ResponseHeader, now: i64) -> bool {
    head.status == StatusCode::OK && conditional::is_not_modified(asked, &head.headers, now)
}

/// Makes of a head the word that the client has it: what describes the body alone goes (RFC 9110, 15.4.5).
pub(super) fn make_not_modified(head: &mut ResponseHeader) {
    head.set_status(StatusCode::NOT_MODIFIED)
        .expect("it is a status");
    for name in [
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::TRANSFER_ENCODING,
    ] {
        head.remove_header(&name);
    }
}

/// Whether the client wants a part of this response only (RFC 9110, 14).
pub(super) fn is_part_wanted(asked: &HeaderMap, head: &ResponseHeader, now: i64) -> bool {
    let gives_none = |value: &http::HeaderValue| value == "none";
    head.status == StatusCode::OK
        && asked.contains_key(header::RANGE)
        && !head
            .headers
            .get(header::ACCEPT_RANGES)
            .is_some_and(gives_none)
        && conditional::range_holds(asked, &head.headers, now)
}

impl Context {
    /// The request goes to the upstream by itself, as if nothing had been asked for it.
    pub(super) fn begin_anew(&mut self) {
        self.end_attempt();
        if let Some(upstream) = self.attempts.upstream.clone() {
            self.attempts = Attempts::default();
            self.head_for(upstream);
        }
    }
}
