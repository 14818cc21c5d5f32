//! What is stored (RFC 9111, 3).

use super::*;

#[test]
fn rfc9111_3_whatever_is_final_whole_and_says_how_long_it_is_fresh() {
    hold(
        "{}",
        &[
            reply("200 | cache-control: max-age=60", Hit),
            reply("201 | cache-control: max-age=60", Hit),
            reply("202 | cache-control: max-age=60", Hit),
            reply("203 | cache-control: max-age=60", Hit),
            reply("204 | cache-control: max-age=60", Hit),
            reply("299 | cache-control: max-age=60", Hit),
            reply("301 | cache-control: max-age=60 | location: /x", Hit),
            reply("302 | cache-control: max-age=60 | location: /x", Hit),
            reply("303 | cache-control: max-age=60 | location: /x", Hit),
            reply("307 | cache-control: max-age=60 | location: /x", Hit),
            reply("308 | cache-control: max-age=60 | location: /x", Hit),
            reply("399 | cache-control: max-age=60", Hit),
            reply("400 | cache-control: max-age=60", Hit),
            reply("404 | cache-control: max-age=60", Hit),
            reply("410 | cache-control: max-age=60", Hit),
            reply("499 | cache-control: max-age=60", Hit),
            reply("500 | cache-control: max-age=60", Hit),
            reply("503 | cache-control: max-age=60", Hit),
            reply("599 | cache-control: max-age=60", Hit),
            reply("200 | expires: {+60} | x-without: date", Hit),
            // Parts and answers to conditions are not (3.3, 3.4).
            reply(
                "206 | cache-control: max-age=60 | content-range: bytes 0-4/5",
                Miss,
            ),
            reply("412 | cache-control: max-age=60", Miss),
            reply("416 | cache-control: max-age=60", Miss),
        ],
    );
}

#[test]
fn rfc9111_5_2_2_directives_that_forbid_it() {
    hold(
        "{}",
        &[
            reply("200 | cache-control: no-store, max-age=60", Miss),
            reply("200 | cache-control: max-age=60, No-StOrE", Miss),
            reply("200 | cache-control: max-age=60,no-store", Miss),
            reply(
                "200 | cache-control: max-age=60 | cache-control: no-store",
                Miss,
            ),
            reply("200 | expires: {+60} | cache-control: no-store", Miss),
            reply("200 | cache-control: no-store=1, max-age=60", Miss),
            reply("200 | cache-control: private, max-age=60", Miss),
            reply("200 | cache-control: PRIVATE, max-age=60", Miss),
            reply(
                "200 | cache-control: private=\"x-a, x-b\", max-age=60",
                Miss,
            ),
            reply("200 | expires: {+60} | cache-control: private", Miss),
            reply("200 | cache-control: private, public, max-age=60", Miss),
            // What only looks like one does not.
            reply("200 | cache-control: max-age=60, x=\"no-store\"", Hit),
            reply("200 | cache-control: max-age=60, x=\"a, no-store, b\"", Hit),
            reply("200 | cache-control: max-age=60, xno-store, no-storex", Hit),
            reply("200 | cache-control: max-age=60 | pragma: no-store", Hit),
        ],
    );
}

#[test]
fn rfc9111_5_2_2_3_must_understand_is_about_the_status() {
    hold(
        "{}",
        &[
            reply(
                "200 | cache-control: must-understand, no-store, max-age=60",
                Hit,
            ),
            reply(
                "404 | cache-control: no-store, must-understand, max-age=60",
                Hit,
            ),
            reply(
                "299 | cache-control: must-understand, no-store, max-age=60",
                Miss,
            ),
            reply("599 | cache-control: must-understand, max-age=60", Miss),
            reply("200 | cache-control: must-understand, max-age=60", Hit),
        ],
    );
}

#[test]
fn rfc9111_3_5_what_was_asked_for_with_credentials() {
    let with = "authorization: Basic YTpi";
    hold(
        "{}",
        &[
            (with, "200 | cache-control: max-age=60", "", Miss),
            (with, "200 | cache-control: max-age=60", with, Miss),
            (with, "200 | expires: {+60}", with, Miss),
            (with, "200 | last-modified: {-999}", with, Miss),
            (
                with,
                "200 | cache-control: max-age=60, proxy-revalidate",
                with,
                Miss,
            ),
            (
                with,
                "200 | cache-control: max-age=60, no-cache",
                with,
                Miss,
            ),
            (with, "200 | cache-control: max-age=60, public", with, Hit),
            (with, "200 | cache-control: max-age=60, public", "", Hit),
            (with, "200 | cache-control: s-maxage=60", "", Hit),
            (
                with,
                "200 | cache-control: max-age=60, must-revalidate",
                "",
                Hit,
            ),
            (
                with,
                "200 | cache-control: public, private, max-age=60",
                with,
                Miss,
            ),
            (
                with,
                "200 | cache-control: public, no-store, max-age=60",
                with,
                Miss,
            ),
            ("", "200 | cache-control: max-age=60", with, Hit),
        ],
    );
}

#[test]
fn rfc9111_7_3_a_cookie_that_is_set_is_for_one_caller() {
    hold(
        "{}",
        &[
            reply("200 | cache-control: max-age=60 | set-cookie: a=b", Miss),
            reply(
                "200 | cache-control: public, max-age=60 | set-cookie: a=b",
                Miss,
            ),
            reply("200 | last-modified: {-9999} | set-cookie: a=b", Miss),
        ],
    );
    hold(
        "{ set_cookie: keep }",
        &[reply(
            "200 | cache-control: max-age=60 | set-cookie: a=b",
            Hit,
        )],
    );
}
