//! Which requests may be served: what Pingora checks of those that come to its own sessions.

use http::{HeaderMap, HeaderValue, Method, Request, header};
use pingora_core::protocols::http::authority::validate_request_authority;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use smallvec::SmallVec;

/// A request that may be served, out of one that has come.
///
/// # Errors
/// What is wrong with it: it is malformed (RFC 9113, 8.1.1).
pub(super) fn head_of(request: Request<()>) -> Result<RequestHeader> {
    let (mut parts, ()) = request.into_parts();
    join_cookies(&mut parts.headers);
    let lengths = parts.headers.get_all(header::CONTENT_LENGTH).iter();
    if lengths.count() > 1 {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "more than one content-length");
    }
    let head = RequestHeader::from(parts);
    let path = head.raw_path();
    if path.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "the path has control bytes");
    }
    if head.uri.authority().is_none() && !head.headers.contains_key(header::HOST) {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "no authority");
    }
    if head.method != Method::CONNECT {
        if !path.starts_with(b"/") && path != b"*" {
            return Error::e_explain(ErrorType::InvalidHTTPHeader, "the path is no path");
        }
        validate_request_authority(&head)?;
    }
    Ok(head)
}

/// Puts cookies together that came in fields of their own, which HTTP/1.1 does not know and filters
/// need not (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: SmallVec<[&[u8]; 8]> = (headers.get_all(header::COOKIE).iter())
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() < 2 {
        return;
    }
    let joined = crumbs.join(&b"; "[..]);
    drop(crumbs);
    let joined = HeaderValue::from_bytes(&joined).expect("it is made of valid values");
    headers.insert(header::COOKIE, joined);
}
