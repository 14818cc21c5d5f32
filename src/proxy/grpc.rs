//! What gRPC expects of HTTP: deadlines, and errors as trailers.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use pingora_http::RequestHeader;
use wiregate_sdk::Reply;
use wiregate_sdk::reply::ReplyBody;

/// The field that says how a call ended.
pub(super) const STATUS: &str = "grpc-status";
/// The field that says more about it.
pub(super) const MESSAGE: &str = "grpc-message";
/// The deadline of a call, from its start.
static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Whether this is a gRPC call: a POST of its content-type, over HTTP/2 where it is not gRPC-Web. Any
/// other request, whatever it says of its content, has replies with the status that they mean: as
/// 200, which those to calls have, a cache would keep them for others.
pub(super) fn is_call(head: &RequestHeader) -> bool {
    head.method == Method::POST
        && match content(&head.headers) {
            Some(rest) => head.version == Version::HTTP_2 || starts_with(rest, b"-web"),
            None => false,
        }
}

/// Whether this is a call whose client may send messages for as long as it likes. Over HTTP/1.1 there
/// is gRPC-Web alone, of which a request is one message.
pub(super) fn may_stream(head: &RequestHeader) -> bool {
    head.version == Version::HTTP_2 && is_call(head)
}

/// Whether the content is one of gRPC's.
pub(super) fn is_content(headers: &HeaderMap) -> bool {
    content(headers).is_some()
}

/// What follows `application/grpc`.
fn content(headers: &HeaderMap) -> Option<&[u8]> {
    let content_type = headers.get(header::CONTENT_TYPE)?.as_bytes();
    let start = b"application/grpc";
    let rest = starts_with(content_type, start).then(|| &content_type[start.len()..])?;
    matches!(rest.first(), None | Some(b'+' | b'-' | b';' | b' ')).then_some(rest)
}

/// Types are compared without their case (RFC 9110, 8.3.1).
fn starts_with(text: &[u8], start: &[u8]) -> bool {
    (text.get(..start.len())).is_some_and(|text| text.eq_ignore_ascii_case(start))
}

/// The deadline of a call; `None` where this is no call or it has none.
///
/// # Errors
/// Where it is written wrong.
pub(super) fn deadline(head: &RequestHeader) -> Option<Result<Duration, ()>> {
    let value = head.headers.get(&TIMEOUT)?;
    is_call(head).then(|| parse(value.as_bytes()).ok_or(()))
}

/// At most eight digits, and a unit.
fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(count * 3600)),
        b'M' => Some(Duration::from_secs(count * 60)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// The status of a call that ends with this reply: gRPC's mapping of HTTP's, but that a deadline
/// that has passed has a status of its own.
fn code(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 => 14,
        504 => 4,
        _ => 2,
    }
}

/// The fields that say of a call what a reply says of a request.
pub(super) fn fields(reply: &Reply) -> [(&'static str, HeaderValue); 2] {
    let message = match &reply.body {
        ReplyBody::Problem(problem) => problem.detail.as_deref().unwrap_or(problem.reason),
        _ => reply.status.canonical_reason().unwrap_or_default(),
    };
    let message = HeaderValue::from_str(&percent(message));
    let code = HeaderValue::from(u16::from(code(reply.status)));
    [
        (STATUS, code),
        (MESSAGE, message.expect("what is encoded is visible ASCII")),
    ]
}

/// Text as gRPC writes it in a field: what is not visible ASCII, and `%`, as `%XX`.
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_deadlines() {
        let read = |text: &str| parse(text.as_bytes());
        assert_eq!(read("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(read("100m"), Some(Duration::from_millis(100)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        assert_eq!(read("0n"), Some(Duration::ZERO));
        for wrong in ["", "S", "1", "1s", "-1S", "123456789S", "1.5S", " 1S"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn knows_a_call_by_its_method_content_type_and_protocol() {
        let head = |method: &str, version, text: &'static str| {
            let mut head = RequestHeader::build(method, b"/", None).unwrap();
            head.set_version(version);
            if !text.is_empty() {
                head.insert_header("content-type", text).unwrap();
            }
            head
        };
        let call = |method, version, text| is_call(&head(method, version, text));
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        for grpc in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc-web",
            "Application/gRPC",
            "application/GRPC-web",
        ] {
            assert!(call("POST", two, grpc), "{grpc}");
            assert_eq!(call("POST", one, grpc), grpc.ends_with("web"), "{grpc}");
            assert!(!call("GET", two, grpc), "{grpc}");
            assert!(may_stream(&head("POST", two, grpc)), "{grpc}");
            assert!(!may_stream(&head("POST", one, grpc)), "{grpc}");
        }
        for other in ["application/grpcs", "application/json", ""] {
            assert!(!call("POST", two, other), "{other}");
        }
    }

    #[test]
    fn says_what_a_reply_says() {
        let reply = Reply::problem(StatusCode::UNAUTHORIZED, "no_token").detail("é: 100%\n");
        let [status, message] = fields(&reply);
        assert_eq!(status, (STATUS, HeaderValue::from_static("16")));
        assert_eq!(message.1, "%C3%A9: 100%25%0A");
        let bare = Reply::problem(StatusCode::GATEWAY_TIMEOUT, "http_response_timeout");
        assert_eq!(fields(&bare)[0].1, "4");
        assert_eq!(fields(&bare)[1].1, "http_response_timeout");
    }
}
