use std::time::{Duration, SystemTime};

use wiregate_sdk::cache::Plan;

use super::conditional::range_of_stored_holds;
use super::storing::{Asked, Seen, meta, renewed, seen_by_head, updated};
use super::storing_tests::{Lines, case, response};
use crate::cache::Stored;

#[test]
fn rfc9111_3_2_a_304_updates_every_field_but_those_of_the_body() {
    let stored = response(
        200,
        &[
            ("content-length", "9"),
            ("content-encoding", "gzip"),
            ("date", "Sat, 05 Nov 1994 08:49:37 GMT"),
            ("a", "1"),
            ("b", "1"),
            ("b", "2"),
        ],
    );
    let news = response(
        304,
        &[
            ("content-length", "0"),
            ("content-encoding", "br"),
            ("b", "3"),
            ("c", "4"),
            ("age", "7"),
        ],
    );
    let came = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let head = updated(&stored, &news, came);
    assert_eq!(head.status, 200);
    for (name, value) in [
        ("content-length", "9"),
        ("content-encoding", "gzip"),
        ("a", "1"),
        ("b", "3"),
        ("c", "4"),
        // RFC 9110, 6.6.1: it has no date of its own.
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ] {
        let values: Vec<_> = head.headers.get_all(name).iter().collect();
        assert_eq!(values, [value], "{name}");
    }
    // The age is that of the validation.
    assert_eq!(head.headers["age"], "7");
}

#[test]
fn rfc9111_4_3_5_a_head_response_tells_by_validators_whether_what_is_stored_is_good() {
    let stored = response(200, &[("etag", "\"a\""), ("content-length", "9")]);
    let seen = |lines: Lines<'_>| seen_by_head(&stored, &response(200, lines));
    let modified = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(seen(&[("etag", "\"a\"")]), Seen::Good);
    let both = [("etag", "\"a\""), ("content-length", "9")];
    assert_eq!(seen(&both), Seen::Good);
    for outdated in [
        &[("etag", "\"b\"")][..],
        &[("etag", "W/\"a\"")],
        &[("etag", "\"a\""), ("content-length", "8")],
        &[("content-length", "8")],
        &[("etag", "\"a\""), modified],
    ] {
        assert_eq!(seen(outdated), Seen::Outdated, "{outdated:?}");
    }
    // Another body can be as long.
    assert_eq!(seen(&[("content-length", "9")]), Seen::Nothing);
    assert_eq!(seen(&[]), Seen::Nothing);
    let chunked = response(200, &[modified]);
    let news = response(200, &[modified, ("content-length", "9")]);
    assert_eq!(seen_by_head(&chunked, &news), Seen::Good);
}

#[test]
fn rfc9110_8_8_2_2_a_validation_makes_no_weak_date_a_strong_one() {
    let (first, second, later) = (
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:38 GMT",
        "Sun, 06 Nov 1994 09:00:00 GMT",
    );
    let now = 1_795_600_000;
    let holds = |stored: &Stored| {
        let asked = response(200, &[("if-range", first)]);
        let head = stored.head.response();
        range_of_stored_holds(&asked.headers, &head.headers, stored, now)
    };
    for (made, strong) in [(first, false), (second, true)] {
        let head = response(
            200,
            &[
                ("last-modified", first),
                ("date", made),
                ("cache-control", "max-age=1"),
            ],
        );
        let mut stored = case()
            .of(|plan, asked, came| meta(plan, asked, &head, came))
            .unwrap();
        assert_eq!(holds(&stored), strong, "{made}");
        for _ in 0..2 {
            let news = response(304, &[("date", later)]);
            let merged = updated(&stored.head.response(), &news, SystemTime::UNIX_EPOCH);
            let renew =
                |plan: &Plan, asked: &Asked<'_>, came| renewed(plan, asked, &stored, &merged, came);
            stored = case().of(renew).unwrap();
            assert_eq!(stored.head.get(&http::header::DATE), Some(later.as_bytes()));
            assert_eq!(holds(&stored), strong, "{made}, and validated");
        }
    }
}
