//! What tells whether a client has a response already.

use wiregate_sdk::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use wiregate_sdk::{Bytes, HeaderMap, HeaderValue, Origin, Response, StatusCode};

/// The weak form of a strong tag; `None` where it is weak.
pub(super) fn weakened(tag: &HeaderValue) -> Option<HeaderValue> {
    let strong = tag.as_bytes();
    if !strong.starts_with(b"\"") {
        return None;
    }
    let weak: Bytes = [b"W/", strong].concat().into();
    Some(HeaderValue::from_maybe_shared(weak).expect("what was valid stays valid"))
}

/// Whether a 304 is about to take the place of what the cache has: the client asks with the tag or the date of this very
/// response (RFC 9110, 13.1.2 and 13.1.3). There are more ways to have it, which cost some memory for a moment.
pub(super) fn is_had(res: &Response<'_>) -> bool {
    if res.origin != Origin::Cache || res.status() != StatusCode::OK {
        return false;
    }
    let asked = &res.request.headers;
    if !asked.contains_key(IF_NONE_MATCH) {
        let since = asked.get(IF_MODIFIED_SINCE);
        return since.is_some() && since == res.headers().get(LAST_MODIFIED);
    }
    let Some(tag) = res.headers().get(ETAG).map(HeaderValue::as_bytes) else {
        return false;
    };
    asks_for(asked, tag.strip_prefix(b"W/").unwrap_or(tag))
}

/// Whether a client asks whether this tag is still the one.
pub(super) fn asks_for(asked: &HeaderMap, tag: &[u8]) -> bool {
    let mut lines = asked.get_all(IF_NONE_MATCH).iter();
    let is_in = |line: &[u8]| line.windows(tag.len()).any(|part| part == tag);
    !tag.is_empty() && lines.any(|line| is_in(line.as_bytes()))
}
