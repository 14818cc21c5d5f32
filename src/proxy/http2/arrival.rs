//! Which requests may be served: what Pingora checks of those that come to its own sessions.

use http::{Method, Request, header};
use pingora_core::protocols::http::authority::validate_request_authority;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;

/// A request that may be served, out of one that has come.
///
/// # Errors
/// What is wrong with it: it is malformed (RFC 9113, 8.1.1).
pub(super) fn head_of(request: Request<()>) -> Result<RequestHeader> {
    let (parts, ()) = request.into_parts();
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
