//! Conditions of requests, and of those that validate (RFC 9111, 4.3; RFC 9110, 13).

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora_http::RequestHeader;

use super::{date, list, marks};
use crate::cache::Stored;

/// The conditions that a cache evaluates itself, and those on ranges.
static EVALUATED: [HeaderName; 4] = [
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];

/// Whether a request may be for less than a whole response: it has a condition that a cache evaluates, or is for a
/// range.
pub fn may_be_for_less(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| EVALUATED.contains(name))
}

/// Whether the client has what is stored already (4.3.2): a 304 will do. `now` is in seconds since 1970.
pub fn is_not_modified(request: &HeaderMap, stored: &HeaderMap, now: i64) -> bool {
    let mut tags = request.get_all(header::IF_NONE_MATCH).iter().peekable();
    if tags.peek().is_some() {
        let own = stored.get(header::ETAG).map(|tag| opaque(tag.as_bytes()));
        let lines = tags.map(|line| line.as_bytes());
        return lines.flat_map(list::split).any(|tag| {
            tag == b"*" || own.is_some_and(|own| !own.is_empty() && opaque(tag) == own)
        });
    }
    let mut lines = request.get_all(header::IF_MODIFIED_SINCE).iter();
    let (Some(since), None) = (lines.next(), lines.next()) else {
        return false;
    };
    let modified = stored
        .get(header::LAST_MODIFIED)
        .or_else(|| stored.get(header::DATE));
    let read = |value: &HeaderValue| date::parse(value.as_bytes(), now);
    match (read(since), modified.and_then(read)) {
        (Some(since), Some(modified)) => modified <= since,
        _ => false,
    }
}

/// What is compared of a tag where weak ones will do (RFC 9110, 8.8.3.2).
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether a condition on a range holds (RFC 9110, 13.1.5): the stored response is the very one
/// that the client has a part of. `now` is in seconds since 1970.
pub fn range_holds(request: &HeaderMap, stored: &HeaderMap, now: i64) -> bool {
    let Some(condition) = request.get(header::IF_RANGE) else {
        return true;
    };
    match condition.as_bytes() {
        [b'"', ..] => stored.get(header::ETAG) == Some(condition),
        [b'W', b'/', ..] => false,
        _ => {
            stored.get(header::LAST_MODIFIED) == Some(condition)
                && is_made_later(|name| stored.get(name).map(HeaderValue::as_bytes), now)
        }
    }
}

/// The same for one that is stored like this, and leaves with this head.
pub fn range_of_stored_holds(
    request: &HeaderMap,
    head: &HeaderMap,
    stored: &Stored,
    now: i64,
) -> bool {
    let goes_by_tag = |condition: &HeaderValue| condition.as_bytes().contains(&b'"');
    let by_tag = request.get(header::IF_RANGE).is_none_or(goes_by_tag);
    range_holds(request, head, now) && (by_tag || !is_weakly_dated(stored, now))
}

/// Whether the `Last-Modified` of a stored response is a weak validator (RFC 9110, 8.8.2.2). A validation makes none a
/// strong one: whatever else was made in that second has the same date, and so is found to be good as well.
pub(super) fn is_weakly_dated(stored: &Stored, now: i64) -> bool {
    let head = &stored.head;
    let is_dated = head.get(&header::LAST_MODIFIED).is_some();
    let marked = stored.marks & marks::WEAK_DATE != 0;
    is_dated && (marked || !is_made_later(|name| head.get(name), now))
}

/// Whether a response with these fields was made a second after it was modified or later: only then no other was made in
/// the second that `Last-Modified` tells (RFC 9110, 8.8.2.2).
fn is_made_later<'f>(field: impl Fn(&HeaderName) -> Option<&'f [u8]>, now: i64) -> bool {
    let time = |name| date::parse(field(name)?, now);
    match (time(&header::LAST_MODIFIED), time(&header::DATE)) {
        (Some(modified), Some(made)) => modified < made,
        _ => false,
    }
}

/// Makes of a request, which has no body, one for the whole response.
pub fn strip(head: &mut RequestHeader) {
    // One look at what there is costs less than a search for each of these, which few requests have.
    let goes = |name: &HeaderName| EVALUATED.contains(name) || *name == header::EXPECT;
    if head.headers.keys().any(goes) {
        for name in EVALUATED.iter().chain([&header::EXPECT]) {
            head.remove_header(name);
        }
    }
}

/// Makes of it one that asks whether the stored response is still good (4.3.1). Nothing is asked
/// where that has no validator.
pub fn ask(head: &mut RequestHeader, stored: &HeaderMap) -> bool {
    strip(head);
    let pairs = [
        (header::ETAG, header::IF_NONE_MATCH),
        (header::LAST_MODIFIED, header::IF_MODIFIED_SINCE),
    ];
    let mut asks = false;
    for (own, condition) in pairs {
        if let Some(value) = stored.get(&own) {
            asks |= head.insert_header(condition, value).is_ok();
        }
    }
    asks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    const NOW: i64 = 1_795_600_000;

    fn unmodified(request: &[(&'static str, &str)], stored: &[(&'static str, &str)]) -> bool {
        is_not_modified(&headers(request), &headers(stored), NOW)
    }

    #[test]
    fn rfc9110_13_1_2_if_none_match_compares_weakly() {
        let stored = [("etag", "\"a\"")];
        for tags in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "\"x,\", W/\"a\"", "*"] {
            assert!(unmodified(&[("if-none-match", tags)], &stored), "{tags}");
        }
        for tags in ["\"b\"", "", "\"A\"", "\"a", "a"] {
            assert!(!unmodified(&[("if-none-match", tags)], &stored), "{tags}");
        }
        assert!(unmodified(
            &[("if-none-match", "\"a\"")],
            &[("etag", "W/\"a\"")]
        ));
        assert!(!unmodified(&[("if-none-match", "\"a\"")], &[]));
        assert!(unmodified(&[("if-none-match", "*")], &[]));
    }

    #[test]
    fn rfc9111_4_3_2_if_none_match_comes_before_if_modified_since() {
        let stored = [
            ("etag", "\"a\""),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ];
        let later = ("if-modified-since", "Sun, 06 Nov 1994 09:49:37 GMT");
        assert!(unmodified(&[later], &stored));
        assert!(!unmodified(&[later, ("if-none-match", "\"b\"")], &stored));
    }

    #[test]
    fn rfc9110_13_1_3_if_modified_since() {
        let same = "Sun, 06 Nov 1994 08:49:37 GMT";
        let stored = [("last-modified", same)];
        assert!(unmodified(&[("if-modified-since", same)], &stored));
        let rfc850 = [("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT")];
        assert!(unmodified(&rfc850, &stored));
        let earlier = [("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")];
        assert!(!unmodified(&earlier, &stored));
        assert!(!unmodified(&[("if-modified-since", "0")], &stored));
        // Without Last-Modified the date of the response stands for it (9111, 4.3.2).
        assert!(unmodified(
            &[("if-modified-since", same)],
            &[("date", same)]
        ));
        assert!(!unmodified(&[("if-modified-since", same)], &[]));
    }

    #[test]
    fn rfc9110_13_1_5_if_range_compares_strongly() {
        let stored = [
            ("etag", "\"a\""),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("date", "Sun, 06 Nov 1994 08:49:38 GMT"),
        ];
        let holds = |condition| {
            let asked = headers(&[("if-range", condition)]);
            range_holds(&asked, &headers(&stored), NOW)
        };
        assert!(holds("\"a\""));
        assert!(holds("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert!(!holds("W/\"a\""));
        assert!(!holds("\"b\""));
        assert!(!holds("Sun, 06 Nov 1994 08:49:38 GMT"));
        assert!(range_holds(&headers(&[]), &headers(&stored), NOW));
        let weak = [("etag", "W/\"a\"")];
        assert!(!range_holds(
            &headers(&[("if-range", "W/\"a\"")]),
            &headers(&weak),
            NOW
        ));
    }

    #[test]
    fn rfc9110_8_8_2_2_a_date_is_strong_where_the_response_is_of_a_later_second() {
        let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
        let holds = |made: &[(&'static str, &str)]| {
            let stored = [&[("last-modified", modified)], made].concat();
            range_holds(&headers(&[("if-range", modified)]), &headers(&stored), NOW)
        };
        assert!(holds(&[("date", "Sun, 06 Nov 1994 08:49:38 GMT")]));
        for weak in [
            &[("date", modified)][..],
            &[("date", "Sun, 06 Nov 1994 08:49:36 GMT")],
            &[("date", "now")],
            &[],
        ] {
            assert!(!holds(weak), "{weak:?}");
        }
    }

    #[test]
    fn rfc9111_4_3_1_validators_take_the_place_of_the_clients_conditions() {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in [
            ("If-None-Match", "\"x\""),
            ("Range", "bytes=0-1"),
            ("If-Range", "\"x\""),
        ] {
            head.insert_header(name, value).unwrap();
        }
        assert!(ask(&mut head, &headers(&[("etag", "W/\"a\"")])));
        assert_eq!(head.headers["if-none-match"], "W/\"a\"");
        assert_eq!(head.headers.len(), 1);
        assert!(!ask(&mut head, &headers(&[])));
        assert!(head.headers.is_empty());
    }
}
