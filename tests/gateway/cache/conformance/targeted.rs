//! Fields for caches like this one (RFC 9213).

use super::*;

#[test]
fn rfc9213_2_2_the_field_for_this_cache_counts_alone() {
    hold(
        "{}",
        &[
            reply("200 | cdn-cache-control: max-age=60", Hit),
            reply(
                "200 | cdn-cache-control: max-age=60 | cache-control: no-store",
                Hit,
            ),
            reply(
                "200 | cdn-cache-control: max-age=60 | cache-control: private",
                Hit,
            ),
            reply("200 | cdn-cache-control: max-age=60 | expires: {-60}", Hit),
            reply(
                "200 | cdn-cache-control: max-age=60 | cache-control: max-age=0",
                Hit,
            ),
            reply("200 | cdn-cache-control: s-maxage=60, max-age=0", Hit),
            reply(
                "200 | cdn-cache-control: max-age=0 | cache-control: max-age=60",
                Miss,
            ),
            reply(
                "200 | cdn-cache-control: no-store | cache-control: max-age=60",
                Miss,
            ),
            reply(
                "200 | cdn-cache-control: private | cache-control: max-age=60",
                Miss,
            ),
            reply(
                "200 | cdn-cache-control: no-cache | cache-control: max-age=60",
                Miss,
            ),
            reply("200 | cdn-cache-control: no-store, max-age=60", Miss),
            reply("200 | cdn-cache-control: max-age=60 | age: 70", Miss),
            reply("200 | cdn-cache-control: max-age=60 | age: 30", Hit),
            reply("200 | cdn-cache-control: max-age=99999999999", Hit),
            reply(
                "200 | cdn-cache-control: max-age=-1 | cache-control: max-age=60",
                Miss,
            ),
            reply("200 | cdn-cache-control: max-age=60;x=1, y=\"z\"", Hit),
            reply(
                "200 | cdn-cache-control: x=\"max-age=60\" | cache-control: no-store",
                Miss,
            ),
            // The most exact one of several.
            reply(
                "200 | wiregate-cache-control: no-store | cdn-cache-control: max-age=60",
                Miss,
            ),
            reply(
                "200 | wiregate-cache-control: max-age=60 | cdn-cache-control: no-store",
                Hit,
            ),
        ],
    );
}

#[test]
fn rfc9213_2_1_what_is_no_dictionary_is_as_good_as_absent() {
    hold(
        "{}",
        &[
            reply(
                "200 | cdn-cache-control: max-age=60, &&& | cache-control: no-store",
                Miss,
            ),
            reply(
                "200 | cdn-cache-control: no-store, &&& | cache-control: max-age=60",
                Hit,
            ),
            reply(
                "200 | cdn-cache-control: max-age=\"60\" | cache-control: no-store",
                Miss,
            ),
            reply(
                "200 | cdn-cache-control: max-age =60 | cache-control: no-store",
                Miss,
            ),
            reply(
                "200 | cdn-cache-control: max-age= 60 | cache-control: no-store",
                Miss,
            ),
            reply(
                "200 | cdn-cache-control: max-age=60.5 | cache-control: no-store",
                Miss,
            ),
            reply(
                "200 | cdn-cache-control: MaX-aGe=60 | cache-control: no-store",
                Miss,
            ),
            reply("200 | cdn-cache-control: | cache-control: max-age=60", Hit),
        ],
    );
}
