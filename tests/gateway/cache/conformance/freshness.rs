//! How long what is stored is fresh (RFC 9111, 4.2), and what may be used after that (4.2.4).

use super::*;

#[test]
fn rfc9111_4_2_1_lifetimes() {
    hold(
        "{}",
        &[
            reply("200 | cache-control: max-age=60", Hit),
            reply("200 | cache-control: max-age=0", Miss),
            reply("200 | cache-control: MaX-aGe=60", Hit),
            reply("200 | cache-control: max-age=\"60\"", Hit),
            reply("200 | cache-control: max-age=060", Hit),
            reply("200 | cache-control: x, max-age=60,, y=1", Hit),
            reply("200 | cache-control: x | cache-control: max-age=60", Hit),
            reply("200 | cache-control: max-age=2147483648", Hit),
            reply("200 | cache-control: max-age=99999999999999999999", Hit),
            // What cannot be read is stale.
            reply("200 | cache-control: max-age=-1", Miss),
            reply("200 | cache-control: max-age=6e9", Miss),
            reply("200 | cache-control: max-age=60.5", Miss),
            reply("200 | cache-control: max-age=a60", Miss),
            reply("200 | cache-control: max-age=60a", Miss),
            reply("200 | cache-control: max-age='60'", Miss),
            reply("200 | cache-control: max-age =60", Miss),
            reply("200 | cache-control: max-age= 60", Miss),
            reply("200 | cache-control: max-age=", Miss),
            reply("200 | cache-control: max-age", Miss),
            // Of two the first counts.
            reply("200 | cache-control: max-age=0, max-age=60", Miss),
            reply(
                "200 | cache-control: max-age=0 | cache-control: max-age=60",
                Miss,
            ),
            // The one for shared caches comes first, then max-age, then the date.
            reply("200 | cache-control: max-age=0, s-maxage=60", Hit),
            reply("200 | cache-control: s-maxage=60, max-age=0", Hit),
            reply("200 | cache-control: max-age=60, s-maxage=0", Miss),
            reply("200 | cache-control: S-MaxAge=60", Hit),
            reply("200 | cache-control: max-age=60 | expires: {-60}", Hit),
            reply("200 | cache-control: max-age=0 | expires: {+60}", Miss),
            reply("200 | cache-control: s-maxage=0 | expires: {+60}", Miss),
            // A quoted text has no directives.
            reply("200 | cache-control: x=\"max-age=60\"", Miss),
            reply(
                "200 | cache-control: x=\"a\\\", max-age=60\", max-age=0",
                Miss,
            ),
            reply("200 | cache-control: \"max-age=60\"", Miss),
        ],
    );
}

#[test]
fn rfc9111_5_3_dates_of_expiry() {
    hold(
        "{}",
        &[
            reply("200 | expires: {+60}", Hit),
            reply("200 | expires: {-60}", Miss),
            reply("200 | expires: {+60} | date: {+0}", Hit),
            reply("200 | expires: {+60} | date: {+60}", Miss),
            reply("200 | expires: {+60} | date: {+120}", Miss),
            reply("200 | expires: {+0} | date: {+0}", Miss),
            reply("200 | expires: 0", Miss),
            reply("200 | expires:", Miss),
            reply("200 | expires: soon", Miss),
            reply("200 | expires: {+60} | expires: {-60}", Miss),
            reply("200 | expires: {+60}, {+60}", Miss),
            // All three forms (RFC 9110, 5.6.7).
            reply("200 | expires: {+60 %A, %d-%b-%y %T GMT}", Hit),
            reply("200 | expires: {+60 %a %b %e %T %Y}", Hit),
            reply("200 | expires: {-60 %A, %d-%b-%y %T GMT}", Miss),
            // What is none of them.
            reply("200 | expires: {+60 %a, %d %b %Y %T +0000}", Miss),
            reply("200 | expires: {+60 %a, %d %b %Y %T EST}", Miss),
            reply("200 | expires: {+60 %FT%TZ}", Miss),
            reply("200 | expires: {+60 %s}", Miss),
            reply("200 | expires: {+60 %a, %d %b %Y %H:%M GMT}", Miss),
        ],
    );
}

#[test]
fn rfc9111_4_2_2_guesses() {
    hold(
        "{}",
        &[
            reply("200 | last-modified: {-9999}", Hit),
            reply("203 | last-modified: {-9999}", Hit),
            reply("204 | last-modified: {-9999}", Hit),
            reply("300 | last-modified: {-9999}", Hit),
            reply("301 | last-modified: {-9999} | location: /x", Hit),
            reply("308 | last-modified: {-9999} | location: /x", Hit),
            reply("404 | last-modified: {-9999}", Hit),
            reply("405 | last-modified: {-9999}", Hit),
            reply("410 | last-modified: {-9999}", Hit),
            reply("414 | last-modified: {-9999}", Hit),
            reply("501 | last-modified: {-9999}", Hit),
            reply("201 | last-modified: {-9999}", Miss),
            reply("202 | last-modified: {-9999}", Miss),
            reply("302 | last-modified: {-9999} | location: /x", Miss),
            reply("303 | last-modified: {-9999} | location: /x", Miss),
            reply("307 | last-modified: {-9999} | location: /x", Miss),
            reply("403 | last-modified: {-9999}", Miss),
            reply("502 | last-modified: {-9999}", Miss),
            reply("503 | last-modified: {-9999}", Miss),
            reply("504 | last-modified: {-9999}", Miss),
            reply("599 | last-modified: {-9999}", Miss),
            reply("599 | last-modified: {-9999} | cache-control: public", Hit),
            // Not where something says how long, and not without anything to guess from.
            reply(
                "200 | last-modified: {-9999} | cache-control: max-age=0, x",
                Validated("if-modified-since: {-9999}"),
            ),
            reply(
                "200 | last-modified: {-9999} | expires: {-9}",
                Validated("if-modified-since: {-9999}"),
            ),
            reply(
                "200 | last-modified: {+9999}",
                Validated("if-modified-since: {+9999}"),
            ),
            reply("200 | x-nothing: 1", Miss),
            reply("200 | cache-control: public", Miss),
            reply("200 | etag: \"a\"", Validated("if-none-match: \"a\"")),
        ],
    );
    hold(
        "{ guess: 0% }",
        &[reply(
            "200 | last-modified: {-9999}",
            Validated("if-modified-since: {-9999}"),
        )],
    );
}

#[test]
fn rfc9111_4_2_3_ages() {
    hold(
        "{}",
        &[
            reply("200 | cache-control: max-age=60 | age: 30", Hit),
            reply("200 | cache-control: max-age=60 | age: 60", Miss),
            reply("200 | cache-control: max-age=60 | age: 61", Miss),
            reply("200 | expires: {+60} | age: 61", Miss),
            reply("200 | cache-control: s-maxage=60 | age: 61", Miss),
            reply(
                "200 | last-modified: {-9999} | age: 99999",
                Validated("if-modified-since: {-9999}"),
            ),
            reply("200 | cache-control: max-age=60 | date: {-61}", Miss),
            reply("200 | cache-control: max-age=60 | date: {-30}", Hit),
            reply("200 | cache-control: max-age=60 | date: {+999}", Hit),
            reply("200 | cache-control: max-age=60 | date: yesterday", Hit),
            // The first one counts; what is no number is none.
            reply("200 | cache-control: max-age=60 | age: 99, 0", Miss),
            reply("200 | cache-control: max-age=60 | age: 99 | age: 0", Miss),
            reply("200 | cache-control: max-age=60 | age: 0, 99", Hit),
            reply(
                "200 | cache-control: max-age=60 | age: 99999999999999999999",
                Miss,
            ),
            reply("200 | cache-control: max-age=60 | age: -99", Hit),
            reply("200 | cache-control: max-age=60 | age: 99.5", Hit),
            reply("200 | cache-control: max-age=60 | age: old", Hit),
        ],
    );
}

#[test]
fn rfc9111_4_2_4_and_rfc5861_what_is_stale() {
    hold(
        "{}",
        &[
            reply(
                "200 | cache-control: max-age=60 | age: 99 | etag: \"a\"",
                Validated("if-none-match: \"a\""),
            ),
            reply(
                "200 | cache-control: max-age=60, stale-if-error=99 | age: 70",
                Miss,
            ),
            reply(
                "200 | cache-control: max-age=60, stale-while-revalidate=5 | age: 70 | etag: \"a\"",
                Validated("if-none-match: \"a\""),
            ),
        ],
    );
    // Neither the configuration nor a request makes of it what it forbids.
    let allows = "{ stale_while_revalidate: 1h, stale_if_error: 1h }";
    let wishes = "cache-control: max-stale";
    for forbids in [
        "must-revalidate",
        "proxy-revalidate",
        "no-cache",
        "s-maxage=60",
    ] {
        let said = format!("200 | age: 99 | etag: \"a\" | cache-control: max-age=60, {forbids}");
        let said: &'static str = said.leak();
        let validated = Validated("if-none-match: \"a\"");
        hold(
            allows,
            &[reply(said, validated), ("", said, wishes, validated)],
        );
    }
}

#[test]
fn rfc9111_4_3_what_a_stale_one_is_validated_by() {
    let etag = "200 | cache-control: no-cache | etag: \"a\"";
    let weak = "200 | cache-control: no-cache | etag: W/\"a\"";
    let both = "200 | cache-control: no-cache | etag: \"a\" | last-modified: {-999}";
    hold(
        "{}",
        &[
            reply(etag, Validated("if-none-match: \"a\"")),
            reply(weak, Validated("if-none-match: w/\"a\"")),
            reply(both, Validated("if-none-match: \"a\"")),
            reply(both, Validated("if-modified-since: {-999}")),
            reply(
                "200 | cache-control: no-cache | last-modified: {-999}",
                Validated("if-modified-since: {-999}"),
            ),
            reply("200 | cache-control: no-cache", Miss),
            reply(
                "200 | cache-control: no-cache, max-age=60 | etag: \"a\"",
                Validated("if-none-match: \"a\""),
            ),
            reply(
                "200 | cache-control: no-cache=\"x\", max-age=60 | etag: \"a\"",
                Validated("if-none-match: \"a\""),
            ),
            // Its own validator takes the place of the client's.
            (
                "",
                etag,
                "if-none-match: \"b\"",
                Validated("if-none-match: \"a\""),
            ),
            (
                "",
                etag,
                "if-modified-since: {-9}",
                Validated("if-none-match: \"a\""),
            ),
        ],
    );
}
