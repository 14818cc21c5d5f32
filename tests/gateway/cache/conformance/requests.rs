//! What requests ask of caches (RFC 9111, 5.2.1 and 5.4), and conditions and ranges that what is stored answers
//! (4.3.2; RFC 9110, 13 and 14).

use super::*;

const FRESH: &str = "200 | cache-control: max-age=60 | age: 20 | etag: \"a\"";
const STALE: &str = "200 | cache-control: max-age=60 | age: 70 | etag: \"a\"";
const ASKED: Expected = Validated("if-none-match: \"a\"");

#[test]
fn rfc9111_5_2_1_directives_of_requests() {
    hold(
        "{}",
        &[
            ("", FRESH, "cache-control: max-age=0", ASKED),
            ("", FRESH, "cache-control: max-age=10", ASKED),
            ("", FRESH, "cache-control: max-age=50", Hit),
            ("", FRESH, "cache-control: max-age=99", Hit),
            ("", FRESH, "cache-control: max-age=x", ASKED),
            ("", FRESH, "cache-control: min-fresh=50", ASKED),
            ("", FRESH, "cache-control: min-fresh=9", Hit),
            ("", FRESH, "cache-control: no-cache", ASKED),
            ("", FRESH, "cache-control: No-Cache", ASKED),
            (
                "",
                FRESH,
                "cache-control: x | cache-control: no-cache",
                ASKED,
            ),
            ("", FRESH, "cache-control: x=\"no-cache\"", Hit),
            ("", FRESH, "cache-control: only-if-cached", Hit),
            ("", STALE, "cache-control: only-if-cached", Says(504)),
            ("", STALE, "cache-control: only-if-cached, max-stale", Hit),
            ("", STALE, "cache-control: max-stale", Hit),
            ("", STALE, "cache-control: max-stale=60", Hit),
            ("", STALE, "cache-control: max-stale=5", ASKED),
            ("", STALE, "cache-control: max-stale=x", ASKED),
            ("", STALE, "cache-control: max-stale, no-cache", ASKED),
            ("", STALE, "cache-control: max-age=99", ASKED),
            ("", STALE, "cache-control: max-age=0, max-stale=60", Hit),
            // Nothing of such a request is stored; what is stored may answer it.
            ("cache-control: no-store", FRESH, "", Miss),
            ("", FRESH, "cache-control: no-store", Hit),
            ("cache-control: no-cache", FRESH, "", Hit),
            ("cache-control: max-age=0", FRESH, "", Hit),
        ],
    );
    hold(
        "{ obey_requests: false }",
        &[
            ("cache-control: no-store", FRESH, "", Hit),
            ("", FRESH, "cache-control: no-cache", Hit),
            ("", FRESH, "pragma: no-cache", Hit),
            ("", FRESH, "cache-control: max-age=0", Hit),
            ("", STALE, "cache-control: max-stale", ASKED),
        ],
    );
}

#[test]
fn rfc9111_5_4_pragma() {
    hold(
        "{}",
        &[
            ("", FRESH, "pragma: no-cache", ASKED),
            ("", FRESH, "pragma: x, No-Cache", ASKED),
            ("", FRESH, "pragma: x", Hit),
            // It is for those who know no Cache-Control.
            (
                "",
                FRESH,
                "pragma: no-cache | cache-control: max-age=50",
                Hit,
            ),
            // In a response it means nothing.
            reply("200 | cache-control: max-age=60 | pragma: no-cache", Hit),
            reply("200 | last-modified: {-9999} | pragma: no-cache", Hit),
        ],
    );
}

#[test]
fn rfc8246_2_what_is_immutable_is_validated_where_somebody_insists() {
    let said = "200 | cache-control: max-age=60, immutable | age: 20 | etag: \"a\"";
    let stale = "200 | cache-control: max-age=60, immutable | age: 70 | etag: \"a\"";
    hold(
        "{}",
        &[
            ("", said, "cache-control: max-age=0", Hit),
            ("", said, "cache-control: no-cache", ASKED),
            ("", stale, "", ASKED),
        ],
    );
}

#[test]
fn rfc9110_13_1_conditions_that_what_is_stored_answers() {
    let weak = "200 | cache-control: max-age=60 | etag: W/\"a\"";
    let modified = "200 | cache-control: max-age=60 | last-modified: {-999}";
    let both = "200 | cache-control: max-age=60 | etag: \"a\" | last-modified: {-999}";
    hold(
        "{}",
        &[
            ("", FRESH, "if-none-match: \"a\"", Says(304)),
            ("", FRESH, "if-none-match: W/\"a\"", Says(304)),
            ("", weak, "if-none-match: \"a\"", Says(304)),
            ("", weak, "if-none-match: W/\"a\"", Says(304)),
            ("", FRESH, "if-none-match: \"b\", \"a\"", Says(304)),
            (
                "",
                FRESH,
                "if-none-match: \"b\" | if-none-match: \"a\"",
                Says(304),
            ),
            ("", FRESH, "if-none-match: *", Says(304)),
            ("", FRESH, "if-none-match: \"b\"", Says(200)),
            ("", FRESH, "if-none-match: \"A\"", Says(200)),
            ("", FRESH, "if-none-match: \"aa\"", Says(200)),
            ("", modified, "if-none-match: \"a\"", Says(200)),
            ("", modified, "if-modified-since: {-999}", Says(304)),
            ("", modified, "if-modified-since: {-99}", Says(304)),
            ("", modified, "if-modified-since: {-9999}", Says(200)),
            (
                "",
                modified,
                "if-modified-since: {-99 %A, %d-%b-%y %T GMT}",
                Says(304),
            ),
            (
                "",
                modified,
                "if-modified-since: {-99 %a %b %e %T %Y}",
                Says(304),
            ),
            ("", modified, "if-modified-since: lately", Says(200)),
            // The tag counts where there is one (4.3.2).
            (
                "",
                both,
                "if-none-match: \"b\" | if-modified-since: {-9}",
                Says(200),
            ),
            (
                "",
                both,
                "if-none-match: \"a\" | if-modified-since: {-9999}",
                Says(304),
            ),
            // Only the origin knows.
            ("", FRESH, "if-match: \"a\"", Miss),
            ("", modified, "if-unmodified-since: {-9}", Miss),
            // The whole is fetched, whatever was asked for: the next one gets it.
            ("if-none-match: \"b\"", FRESH, "", Hit),
            ("if-none-match: \"a\"", FRESH, "", Hit),
            ("range: bytes=0-1", FRESH, "", Hit),
        ],
    );
}

#[test]
fn rfc9110_14_ranges_of_what_is_stored() {
    hold(
        "{}",
        &[
            ("", FRESH, "range: bytes=0-1", Says(206)),
            ("", FRESH, "range: bytes=2-", Says(206)),
            ("", FRESH, "range: bytes=-2", Says(206)),
            ("", FRESH, "range: bytes=9-", Says(416)),
            ("", FRESH, "range: bytes=-0", Says(416)),
            ("", FRESH, "range: lines=0-1", Says(200)),
            ("", FRESH, "range: bytes=1-0", Says(200)),
            ("", FRESH, "range: bytes=0-1 | if-range: \"a\"", Says(206)),
            ("", FRESH, "range: bytes=0-1 | if-range: \"b\"", Says(200)),
            ("", FRESH, "range: bytes=0-1 | if-range: W/\"a\"", Says(200)),
            (
                "",
                FRESH,
                "range: bytes=0-1 | if-none-match: \"a\"",
                Says(304),
            ),
            ("range: bytes=0-1", FRESH, "range: bytes=2-3", Says(206)),
            (
                "",
                "404 | cache-control: max-age=60",
                "range: bytes=0-1",
                Says(404),
            ),
        ],
    );
}
