//! Which requests may be served over HTTP/2: by the rules that hold for HTTP/1.1 as well, since an
//! endpoint that speaks it gets them all.

use http::{HeaderMap, HeaderValue, Method, Request, header};
use pingora_core::protocols::http::authority::validate_request_authority;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use smallvec::SmallVec;

use crate::listen::http1::{Refused, authority, is_named, length};

/// A request that may be served, out of one that has come; its path had a `fragment`, which `h2`
/// has cut off, or had none.
///
/// # Errors
/// What is wrong with it: it is malformed (RFC 9113, 8.1.1).
pub(super) fn head_of(request: Request<()>, fragment: bool) -> Result<RequestHeader> {
    if fragment {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "the path has a fragment");
    }
    let (mut parts, ()) = request.into_parts();
    check_values(&parts.headers)?;
    join_cookies(&mut parts.headers);
    let head = RequestHeader::from(parts);
    check_framing(&head)?;
    check_target(&head)?;
    Ok(head)
}

/// A value that begins or ends with a blank is malformed (RFC 9113, 8.2.1): an endpoint over HTTP/1.1 would read it
/// without that, and so another one than filters and routes have seen.
fn check_values(headers: &HeaderMap) -> Result<()> {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let mut values = headers.values().map(HeaderValue::as_bytes);
    match values.any(|value| is_blank(value.first()) || is_blank(value.last())) {
        true => Error::e_explain(ErrorType::InvalidHTTPHeader, "a blank around a value"),
        false => Ok(()),
    }
}

/// HTTP/2 frames bodies itself; what fields say of them must be true wherever it is read.
fn check_framing(head: &RequestHeader) -> Result<()> {
    for name in head.headers.keys() {
        // Nearly all fields are told apart by their length.
        let framing = match name.as_str().len() {
            14 => is_named(name.as_str(), "content-length"),
            17 => is_named(name.as_str(), "transfer-encoding"),
            _ => Ok(false),
        };
        framing.map_err(malformed)?;
    }
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let (first, second) = (lengths.next(), lengths.next());
    if second.is_some() {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "more than one content-length");
    }
    first.map_or(Ok(()), |value| {
        length(value.as_bytes()).map(drop).map_err(malformed)
    })
}

/// Checks the path and the host (RFC 9113, 8.3.1).
fn check_target(head: &RequestHeader) -> Result<()> {
    let path = head.raw_path();
    if path.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "the path has control bytes");
    }
    let scheme = head.uri.scheme_str().unwrap_or("http").as_bytes();
    if !scheme.first().is_some_and(u8::is_ascii_alphabetic) {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "the scheme is none");
    }
    let named = head.uri.authority().map(|named| named.as_str().as_bytes());
    let host = (head.headers.get(header::HOST)).map(|host| host.as_bytes());
    let Some(named) = named.or(host) else {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "no authority");
    };
    if !authority::is_valid(named) {
        return Error::e_explain(
            ErrorType::InvalidHTTPHeader,
            "the authority is a name or an address, and a port",
        );
    }
    if head.method == Method::CONNECT {
        return Ok(());
    }
    let whole_server = path == b"*" && head.method == Method::OPTIONS;
    if !path.starts_with(b"/") && !whole_server {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "the path is no path");
    }
    validate_request_authority(head)
}

fn malformed(refused: Refused) -> Box<Error> {
    Error::explain(ErrorType::InvalidHTTPHeader, refused.detail.into_owned())
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
