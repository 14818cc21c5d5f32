//! Ranges and conditions where filters change what is stored on its way out (RFC 9110, 13 and 14).

use super::*;

const MODIFIED: &str = "Mon, 01 Jan 2024 00:00:00 GMT";
const JSON: &str = "json: { response: { set: { n: 1 } } }";
const TEMPLATE: &str = "template: { response: { json: '{\"made\": true}' } }";

/// An origin with a document that may be stored, at both paths.
fn origin(content_type: &str, body: &str) -> Origin {
    let origin = Origin::start();
    let fields = format!(
        "cache-control: max-age=60 | content-type: {content_type} | etag: \"a\" | \
         last-modified: {MODIFIED} | accept-ranges: bytes"
    );
    for path in ["/a", "/b"] {
        origin.answers_with(path, 200, &fields, body);
    }
    origin
}

#[test]
fn rfc9110_14_2_a_range_is_of_the_body_that_the_client_gets() {
    for (filters, made) in [
        (format!("cache: {{}}, {JSON}"), "{\"a\":1,\"n\":1}"),
        (format!("{JSON}, cache: {{}}"), "{\"a\":1,\"n\":1}"),
        (format!("cache: {{}}, {TEMPLATE}"), "{\"made\": true}"),
    ] {
        let origin = origin("application/json", "{\"a\": 1}");
        let gateway = Gateway::start(&origin.with_filters(&filters));
        // What is stored has 8 bytes, what leaves has more.
        for (path, range, hit) in [
            ("/a", "bytes=8-", false),
            ("/a", "bytes=8-", true),
            ("/a", "bytes=0-3", true),
            ("/a", "bytes=99-", true),
            ("/b", "bytes=0-3", false),
        ] {
            let answer = get(&gateway, path, &[&format!("range: {range}")]);
            let told = format!("{filters} {path} {range}: {}", did(&answer));
            assert_eq!((answer.status, &*answer.text()), (200, made), "{told}");
            for gone in ["content-range", "accept-ranges", "etag", "last-modified"] {
                assert_eq!(answer.header(gone), "", "{told} {gone}");
            }
            assert_eq!(did(&answer).contains("hit"), hit, "{told}");
        }
        let since = format!("if-modified-since: {MODIFIED}");
        for condition in ["if-none-match: \"a\"", &since] {
            let answer = get(&gateway, "/a", &[condition]);
            assert_eq!(
                (answer.status, &*answer.text()),
                (200, made),
                "{filters} {condition}"
            );
        }
        assert_eq!(origin.count(), 2, "{filters}");
    }
}

#[test]
fn rfc9110_14_2_a_coded_body_has_no_ranges_and_its_own_validator() {
    for filters in ["cache: {}, compress: {}", "compress: {}, cache: {}"] {
        let origin = origin("text/plain", &"a".repeat(3000));
        let gateway = Gateway::start(&origin.with_filters(filters));
        let ask = |more: &[&str]| get(&gateway, "/a", &[&["accept-encoding: gzip"], more].concat());
        for range in ["bytes=5000-", "bytes=0-3"] {
            let answer = ask(&[&format!("range: {range}")]);
            assert_eq!(answer.status, 200, "{filters} {range}");
            assert_eq!(answer.header("content-encoding"), "gzip");
            assert_eq!(answer.header("etag"), "W/\"a\"");
        }
        for tag in ["W/\"a\"", "\"a\""] {
            let same = ask(&[&format!("if-none-match: {tag}")]);
            assert_eq!((same.status, same.body.len()), (304, 0), "{filters} {tag}");
            assert_eq!(same.header("etag"), "W/\"a\"", "{filters} {tag}");
            assert_eq!(same.header("vary"), "accept-encoding", "{filters} {tag}");
            for gone in ["content-encoding", "transfer-encoding", "content-length"] {
                assert_eq!(same.header(gone), "", "{filters} {gone}");
            }
        }
        // Who gets the body as it is stored gets parts of it.
        let part = get(&gateway, "/a", &["range: bytes=2998-"]);
        assert_eq!((part.status, &*part.text()), (206, "aa"), "{filters}");
        let beyond = get(&gateway, "/a", &["range: bytes=5000-"]);
        assert_eq!(beyond.status, 416, "{filters}");
        assert_eq!(beyond.header("content-range"), "bytes */3000");
        assert_eq!(origin.count(), 1, "{filters}");
    }
}

#[test]
fn rfc9110_13_conditions_go_by_the_validators_that_filters_leave() {
    let origin = origin("text/plain", "0123456789");
    let filters = "headers: { response: { set: { etag: '\"own\"' }, remove: last-modified } }";
    let gateway = Gateway::start(&origin.with_filters(&format!("{filters}, cache: {{}}")));
    get(&gateway, "/a", &[]);
    let same = get(&gateway, "/a", &["if-none-match: \"own\""]);
    assert_eq!((same.status, same.header("etag")), (304, "\"own\""));
    assert_eq!(get(&gateway, "/a", &["if-none-match: \"a\""]).status, 200);
    let range = "range: bytes=0-1";
    for (tag, status) in [("\"own\"", 206), ("\"a\"", 200), (MODIFIED, 200)] {
        let answer = get(&gateway, "/a", &[range, &format!("if-range: {tag}")]);
        assert_eq!(answer.status, status, "{tag}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn rfc9110_13_what_a_filter_has_waited_for_and_left_alone_may_be_had_already() {
    let origin = origin("application/json", "{\"a\": 1}");
    let filters = "json: { response: { remove: [b] } }, cache: {}";
    let gateway = Gateway::start(&origin.with_filters(filters));
    let first = get(&gateway, "/a", &[]);
    assert_eq!((first.status, first.header("etag")), (200, "\"a\""));
    let since = format!("if-modified-since: {MODIFIED}");
    for condition in ["if-none-match: \"a\"", &since] {
        let same = get(&gateway, "/a", &[condition]);
        assert_eq!((same.status, same.body.len()), (304, 0), "{condition}");
        assert_eq!(same.header("etag"), "\"a\"");
        for gone in ["content-length", "transfer-encoding", "content-type"] {
            assert_eq!(same.header(gone), "", "{gone}");
        }
    }
    let other = get(&gateway, "/a", &["if-none-match: \"b\""]);
    assert_eq!((other.status, &*other.text()), (200, "{\"a\": 1}"));
    assert_eq!(origin.count(), 1);
}

#[test]
fn rfc9110_13_1_5_a_part_of_a_file_that_has_just_been_written_is_glued_to_none() {
    let origin = Origin::start();
    for (path, date, status) in [
        ("/same", MODIFIED, 200),
        ("/later", "Mon, 01 Jan 2024 00:00:01 GMT", 206),
    ] {
        let fields =
            format!("cache-control: max-age=999999999 | date: {date} | last-modified: {MODIFIED}");
        origin.answers_with(path, 200, &fields, "0123456789");
        let gateway = origin.cached("{}");
        for _ in 0..2 {
            let condition = format!("if-range: {MODIFIED}");
            let answer = get(&gateway, path, &["range: bytes=0-1", &condition]);
            assert_eq!(answer.status, status, "{path}: {}", did(&answer));
        }
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn rfc9110_8_8_2_2_nor_is_one_that_was_found_to_be_good_later_on() {
    for (made, parts) in [(MODIFIED, 200), ("Mon, 01 Jan 2024 00:00:01 GMT", 206)] {
        let address = origin::answers(move |head| {
            let is_known = head.to_ascii_lowercase().contains("if-modified-since");
            let (status, date, rest) = match is_known {
                true => (304, "Mon, 01 Jan 2024 00:10:00 GMT", "\r\n"),
                false => (200, made, "content-length: 10\r\n\r\n0123456789"),
            };
            format!(
                "HTTP/1.1 {status} Said\r\ncache-control: no-cache\r\nlast-modified: {MODIFIED}\r\ndate: {date}\r\n{rest}"
            )
        });
        let gateway = Gateway::start(&format!(
            "upstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}\n\
             routes: [{{ name: all, filters: [cache: {{}}], upstream: app }}]\n"
        ));
        get(&gateway, "/a", &[]);
        for _ in 0..2 {
            let condition = format!("if-range: {MODIFIED}");
            let answer = get(&gateway, "/a", &["range: bytes=0-1", &condition]);
            assert!(did(&answer).contains("fwd-status=304"), "{}", did(&answer));
            assert_eq!(answer.status, parts, "made at {made}");
        }
    }
}
