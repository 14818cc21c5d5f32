//! Which requests a stored response is for (RFC 9111, 4.1).

use super::*;

const ON_A: &str = "200 | cache-control: max-age=60 | vary: a";
const ON_BOTH: &str = "200 | cache-control: max-age=60 | vary: a, B";

#[test]
fn rfc9111_4_1_what_vary_names_must_be_the_same() {
    hold(
        "{}",
        &[
            ("a: 1", ON_A, "a: 1", Hit),
            ("a: 1", ON_A, "a: 2", Miss),
            ("a: 1", ON_A, "", Miss),
            ("", ON_A, "a: 1", Miss),
            ("", ON_A, "a:", Miss),
            ("", ON_A, "b: 1", Hit),
            ("a: 1 | b: 1", ON_A, "a: 1 | b: 2", Hit),
            ("a: 1 | b: 1", ON_BOTH, "b: 1 | a: 1", Hit),
            ("a: 1 | b: 1", ON_BOTH, "a: 1 | b: 2", Miss),
            ("a: 1 | b: 1", ON_BOTH, "a: 1", Miss),
            ("a: 1", ON_BOTH, "a: 1", Hit),
            ("a: 1", ON_BOTH, "a: 1 | b: 1", Miss),
            (
                "a: 1 | b: 1",
                "200 | cache-control: max-age=60 | vary: a | vary: b",
                "a: 1 | b: 2",
                Miss,
            ),
            (
                "a: 1 | b: 1",
                "200 | cache-control: max-age=60 | vary: a,,b",
                "a: 1 | b: 1",
                Hit,
            ),
            (
                "a: 1",
                "200 | cache-control: max-age=60 | vary: *",
                "a: 1",
                Miss,
            ),
            (
                "a: 1",
                "200 | cache-control: max-age=60 | vary: a, *",
                "a: 1",
                Miss,
            ),
            (
                "a: 1",
                "200 | cache-control: max-age=60 | vary: *, a",
                "a: 1",
                Miss,
            ),
            (
                "a: 1",
                "200 | cache-control: max-age=60 | vary: a | vary: *",
                "a: 1",
                Miss,
            ),
            (
                "a: 1",
                "200 | cache-control: max-age=60 | vary: , *",
                "a: 1",
                Miss,
            ),
            (
                "a: 1",
                "200 | cache-control: max-age=60 | vary: a b",
                "a: 1",
                Miss,
            ),
        ],
    );
}

#[test]
fn rfc9111_4_1_forms_that_an_origin_could_tell_apart() {
    let on_coding = "200 | cache-control: max-age=60 | vary: accept-encoding";
    let on_language = "200 | cache-control: max-age=60 | vary: accept-language";
    let on_origin = "200 | cache-control: max-age=60 | vary: origin";
    hold(
        "{}",
        &[
            ("a: 1, 2", ON_A, "a:   1, 2", Hit),
            ("a: 1, 2", ON_A, "a: 1 | a: 2", Miss),
            ("a: 1 | a: 2", ON_A, "a: 1 | a: 2", Hit),
            ("a: 1,2", ON_A, "a: 1 ,  2", Miss),
            ("a: 1, 2", ON_A, "a: 2, 1", Miss),
            ("a: x", ON_A, "a: X", Miss),
            (
                "origin: ,https://app.example",
                on_origin,
                "origin: https://app.example",
                Miss,
            ),
            (
                "accept-encoding: gzip, br",
                on_coding,
                "accept-encoding: br,gzip",
                Hit,
            ),
            (
                "accept-encoding: GZIP",
                on_coding,
                "accept-encoding: gzip",
                Miss,
            ),
            (
                "accept-encoding: gzip",
                on_coding,
                "accept-encoding: gzip;q=0",
                Miss,
            ),
            (
                "accept-encoding: gzip",
                on_coding,
                "accept-encoding: br",
                Miss,
            ),
            (
                "accept-language: en, de",
                on_language,
                "accept-language: en, de",
                Hit,
            ),
            (
                "accept-language: en, de",
                on_language,
                "accept-language: de, en",
                Miss,
            ),
            (
                "accept-language: en",
                on_language,
                "accept-language: en;q=0.5, de",
                Miss,
            ),
        ],
    );
}
