//! Heads without what Pingora keeps beside them.
//!
//! Pingora remembers how each field name was spelled, in a second map that every clone and every
//! edit pays for. Field names are case-insensitive (RFC 9110, 5.1): the map is let go of, and room
//! is made for the fields that the gateway adds. On HTTP/1.1 known names leave in their usual
//! spelling, others in lower case.

use http::{Request, Response, request, response};
use pingora_http::{RequestHeader, ResponseHeader};

/// The fields that the gateway adds to a request: `x-forwarded-*`, and one more.
const ADDED_TO_REQUEST: usize = 4;
/// The fields that the gateway adds to a response: id, date, connection, and one more.
const ADDED_TO_RESPONSE: usize = 4;

/// Lightens a request head that goes in origin form. Other forms keep what the URI cannot hold.
pub(super) fn lighten_request(head: &mut RequestHeader) {
    if !head.has_case() || !head.raw_path().starts_with(b"/") {
        return;
    }
    let empty = RequestHeader::from(Request::new(()).into_parts().0);
    let mut parts = request::Parts::from(std::mem::replace(head, empty));
    parts.headers.reserve(ADDED_TO_REQUEST);
    *head = parts.into();
}

/// Lightens a response head that says nothing of its own beside its status.
pub(super) fn lighten_response(head: &mut ResponseHeader) {
    if !head.has_case() || head.get_reason_phrase() != head.status.canonical_reason() {
        return;
    }
    let empty = ResponseHeader::from(Response::new(()).into_parts().0);
    let mut parts = response::Parts::from(std::mem::replace(head, empty));
    parts.headers.reserve(ADDED_TO_RESPONSE);
    *head = parts.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lightened_request_says_the_same() {
        let mut head = RequestHeader::build("POST", b"/a?b=c", None).unwrap();
        head.insert_header("X-Own", "1").unwrap();
        head.append_header("X-Own", "2").unwrap();
        head.set_version(http::Version::HTTP_11);
        lighten_request(&mut head);
        assert!(!head.has_case());
        assert_eq!(head.raw_path(), b"/a?b=c");
        assert_eq!(
            (head.method.as_str(), head.version),
            ("POST", http::Version::HTTP_11)
        );
        let values: Vec<_> = head.headers.get_all("x-own").iter().collect();
        assert_eq!(values, ["1", "2"]);
    }

    #[test]
    fn a_target_that_is_no_path_is_kept() {
        for target in ["http://example.com/a", "*"] {
            let mut head = RequestHeader::build("OPTIONS", target.as_bytes(), None).unwrap();
            lighten_request(&mut head);
            assert_eq!(head.raw_path(), target.as_bytes());
        }
    }

    #[test]
    fn a_reason_phrase_of_its_own_is_kept() {
        let mut head = ResponseHeader::build(200, None).unwrap();
        head.set_reason_phrase(Some("Fine")).unwrap();
        lighten_response(&mut head);
        assert_eq!(head.get_reason_phrase(), Some("Fine"));

        head.set_reason_phrase(None).unwrap();
        head.insert_header("X-Own", "1").unwrap();
        lighten_response(&mut head);
        assert!(!head.has_case());
        assert_eq!(
            (head.status.as_u16(), &head.headers["x-own"]),
            (200, &"1".parse().unwrap())
        );
    }
}
