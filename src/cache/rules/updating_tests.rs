use super::storing::{head_agrees, updated};
use super::storing_tests::{Lines, response};

#[test]
fn rfc9111_3_2_a_304_updates_every_field_but_those_of_the_body() {
    let stored = response(
        200,
        &[
            ("content-length", "9"),
            ("content-encoding", "gzip"),
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
    let head = updated(&stored, &news);
    assert_eq!(head.status, 200);
    for (name, value) in [
        ("content-length", "9"),
        ("content-encoding", "gzip"),
        ("a", "1"),
        ("b", "3"),
        ("c", "4"),
    ] {
        let values: Vec<_> = head.headers.get_all(name).iter().collect();
        assert_eq!(values, [value], "{name}");
    }
    // The age is that of the validation.
    assert_eq!(head.headers["age"], "7");
}

#[test]
fn rfc9111_4_3_5_a_head_response_agrees_where_all_it_says_is_the_same() {
    let stored = response(200, &[("etag", "\"a\""), ("content-length", "9")]);
    let agrees = |lines: Lines<'_>| head_agrees(&stored, &response(200, lines));
    assert!(agrees(&[("etag", "\"a\"")]));
    assert!(agrees(&[("etag", "\"a\""), ("content-length", "9")]));
    assert!(agrees(&[("content-length", "9")]));
    assert!(!agrees(&[("etag", "\"b\"")]));
    assert!(!agrees(&[("etag", "\"a\""), ("content-length", "8")]));
    assert!(agrees(&[]));
}
