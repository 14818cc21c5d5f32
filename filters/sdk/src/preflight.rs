//! Preflights: what browsers ask before a page may use another origin.

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderValue, Method};

use crate::views::RequestHead;

/// The method that a preflight asks for: an `OPTIONS` with `Origin` and
/// `Access-Control-Request-Method` (Fetch standard, 4.8). Nothing for every other request.
pub fn asked_method(head: &RequestHead) -> Option<&HeaderValue> {
    if head.method != Method::OPTIONS || !head.headers.contains_key(ORIGIN) {
        return None;
    }
    head.headers.get(ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::request_head;

    #[test]
    fn all_of_it_makes_a_preflight() {
        for (method, origin, wish, asked) in [
            ("OPTIONS", "origin", "access-control-request-method", true),
            ("GET", "origin", "access-control-request-method", false),
            (
                "OPTIONS",
                "x-origin",
                "access-control-request-method",
                false,
            ),
            ("OPTIONS", "origin", "access-control-request-headers", false),
        ] {
            let mut head = request_head(method, "/");
            for (name, value) in [(origin, "https://a.test"), (wish, "PUT")] {
                head.headers.insert(name, HeaderValue::from_static(value));
            }
            let found = asked_method(&head).map(HeaderValue::as_bytes);
            assert_eq!(
                found,
                asked.then_some(&b"PUT"[..]),
                "{method} {origin} {wish}"
            );
        }
    }
}
