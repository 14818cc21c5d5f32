//! Nothing of one caller reaches another: a test for each way that it could.

use super::super::harness::{KEY_OF_ANN, KEY_OF_BOB, until};
use super::*;

const FRESH: &str = "cache-control: max-age=60";

/// Whether what Ann has got is what Bob gets.
fn is_shared(gateway: &Gateway, ann: &[&str], bob: &[&str]) -> bool {
    let first = get(gateway, "/a", ann);
    assert_eq!(first.status, 200, "{}", first.text());
    let second = get(gateway, "/a", bob);
    first.text() == second.text()
}

const KEYS: &str = "{ api_key: { from: { header: x-key }, keys: [{ name: ann, key: \"${env:KEY_OF_ANN}\" }, { name: bob, key: \"${env:KEY_OF_BOB}\" }] } }";

#[test]
fn rfc9111_3_5_a_response_to_credentials_is_not_shared() {
    let origin = Origin::start();
    origin.says("/a", FRESH);
    let gateway = origin.cached("{}");
    assert!(!is_shared(&gateway, &["authorization: Basic YTpi"], &[]));
    // Once everybody may have it, callers with credentials may, too.
    assert!(told(&get(&gateway, "/a", &["authorization: Basic YTpi"])).1);
}

#[test]
fn a_response_to_an_identified_caller_is_not_shared_whatever_the_credentials() {
    let origin = Origin::start();
    origin.says("/a", FRESH);
    for filters in [
        format!("{KEYS}, {{ cache: {{}} }}"),
        format!("{{ cache: {{}} }}, {KEYS}"),
    ] {
        let gateway = Gateway::start(&origin.with_filters(&filters));
        let (ann, bob) = (
            format!("x-key: {KEY_OF_ANN}"),
            format!("x-key: {KEY_OF_BOB}"),
        );
        assert!(!is_shared(&gateway, &[&ann], &[&bob]), "{filters}");
        assert!(!is_shared(&gateway, &[&ann], &[&ann]), "{filters}");
    }
}

#[test]
fn what_is_stored_is_only_for_those_whom_all_filters_let_through() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60, public");
    // The cache stands before what asks for credentials.
    let gateway = Gateway::start(&origin.with_filters(&format!("{{ cache: {{}} }}, {KEYS}")));
    let (ann, bob) = (
        format!("x-key: {KEY_OF_ANN}"),
        format!("x-key: {KEY_OF_BOB}"),
    );
    assert!(is_shared(&gateway, &[&ann], &[&bob]));
    let stranger = get(&gateway, "/a", &[]);
    assert_eq!(stranger.status, 401);
    assert!(!stranger.text().contains("answer"));
}

#[test]
fn each_caller_can_have_its_own() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: private, max-age=60");
    let filters = format!("{KEYS}, {{ cache: {{ per_caller: true }} }}");
    let gateway = Gateway::start(&origin.with_filters(&filters));
    let (ann, bob) = (
        format!("x-key: {KEY_OF_ANN}"),
        format!("x-key: {KEY_OF_BOB}"),
    );
    assert!(!is_shared(&gateway, &[&ann], &[&bob]));
    assert_eq!(
        told(&get(&gateway, "/a", &[&ann])),
        ("answer 1".to_owned(), true)
    );
    assert_eq!(
        told(&get(&gateway, "/a", &[&bob])),
        ("answer 2".to_owned(), true)
    );
}

#[test]
fn rfc9111_5_2_2_7_a_private_response_is_not_shared() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: private, max-age=60");
    assert!(!is_shared(&origin.cached("{}"), &[], &[]));
    origin.says("/a", "cache-control: max-age=60, private=\"set-cookie\"");
    assert!(!is_shared(&origin.cached("{}"), &[], &[]));
}

#[test]
fn a_cookie_that_is_set_reaches_one_caller() {
    let origin = Origin::start();
    origin.says(
        "/a",
        "cache-control: max-age=60, public | set-cookie: session=ann",
    );
    assert!(!is_shared(&origin.cached("{}"), &[], &[]));
    let stripping = origin.cached("{ set_cookie: strip }");
    assert_eq!(get(&stripping, "/a", &[]).header("set-cookie"), "");
    let hit = get(&stripping, "/a", &[]);
    assert!(told(&hit).1);
    assert_eq!(hit.header("set-cookie"), "");
}

#[test]
fn a_response_to_a_cookie_is_not_shared_by_a_ttl_or_a_guess() {
    let origin = Origin::start();
    origin.says("/a", "last-modified: Sun, 06 Nov 1994 08:49:37 GMT");
    let ann = ["cookie: session=ann"];
    assert!(!is_shared(&origin.cached("{}"), &ann, &[]));
    assert!(!is_shared(&origin.cached("60s"), &ann, &[]));
}

#[test]
fn force_does_not_share_what_is_for_one_caller() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: no-store");
    let options = "{ ttl: 60s, force: true }";
    assert!(!is_shared(
        &origin.cached(options),
        &["authorization: Basic YTpi"],
        &[]
    ));
    origin.says("/a", "set-cookie: session=ann");
    assert!(!is_shared(&origin.cached(options), &[], &[]));
    origin.says("/a", "cache-control: private, no-store");
    assert!(!is_shared(&origin.cached(options), &[], &[]));
    origin.says("/a", "cache-control: no-store");
    let ann = ["cookie: session=ann"];
    assert!(!is_shared(&origin.cached(options), &ann, &[]));
}

#[test]
fn hosts_queries_and_schemes_do_not_share() {
    let origin = Origin::start();
    for path in ["/a", "/a?x=1", "/a?x=2"] {
        origin.says(path, FRESH);
    }
    let gateway = origin.cached("{}");
    assert!(!is_shared(
        &gateway,
        &["host: one.example"],
        &["host: two.example"]
    ));
    assert_ne!(
        get(&gateway, "/a?x=1", &[]).text(),
        get(&gateway, "/a?x=2", &[]).text()
    );
    // What a client says of a host in a field of its own changes nothing for others.
    assert!(is_shared(
        &gateway,
        &["x-forwarded-host: evil.example"],
        &[]
    ));
    assert!(!origin.last().contains("evil.example"));
}

#[test]
fn what_clients_of_a_trusted_proxy_say_of_a_host_is_for_themselves() {
    let origin = Origin::start();
    let x_forwarded = [
        "x-forwarded-host: evil.example",
        "x-forwarded-prefix: //evil.example",
        "x-forwarded-port: 1",
    ];
    let forwarded = [
        "forwarded: for=192.0.2.1;host=evil.example",
        "forwarded: for=192.0.2.1;proto=gopher",
    ];
    // Whose request it is makes no difference.
    for (fields, all, of_client) in [
        (
            "x_forwarded",
            &x_forwarded[..],
            "x-forwarded-for: 192.0.2.1",
        ),
        ("rfc7239", &forwarded, "forwarded: for=192.0.2.1"),
    ] {
        origin.says("/a", FRESH);
        let listener = format!("{{ trusted_proxies: [127.0.0.0/8], trusted_fields: {fields} }}");
        let gateway = Gateway::start_with(&origin.configuration("{}"), &listener);
        let first = get(&gateway, "/a", &[]).text();
        for said in all {
            let own = get(&gateway, "/a", &[said]);
            assert!(!told(&own).1, "{said}");
            assert!(origin.last().contains(said), "{said}: {}", origin.last());
            assert_eq!(get(&gateway, "/a", &[]).text(), first, "{said}");
        }
        assert_eq!(get(&gateway, "/a", &[of_client]).text(), first);
    }
}

#[test]
fn vary_tells_callers_apart_by_their_secrets_and_keeps_none_of_them() {
    use std::os::unix::fs::PermissionsExt;
    let (origin, folder) = (Origin::start(), tempfile::tempdir().unwrap());
    let fields = "cache-control: max-age=60 | vary: cookie, x-api-key";
    origin.says("/a", fields);
    let path = folder.path().join("cache");
    let options = "{ store: d, per_caller: true, key: 'request.headers[\"x-tenant\"]' }";
    let filters = format!("{KEYS}, {{ cache: {options} }}");
    let gateway = Gateway::start(&format!(
        "caches: {{ d: {{ disk: {{ path: {}, size: 64MiB }} }} }}\n{}",
        path.display(),
        origin.with_filters(&filters)
    ));
    let ann = format!("x-key: {KEY_OF_ANN}");
    let with = |cookie: &str, key: &str| {
        let (cookie, key) = (
            format!("cookie: session={cookie}"),
            format!("x-api-key: {key}"),
        );
        get(
            &gateway,
            "/a",
            &[&ann, &cookie, &key, "x-tenant: tenant-1234"],
        )
        .text()
    };
    let first = with("secret-1234", "own-key-1234");
    assert_eq!(with("secret-1234", "own-key-1234"), first);
    assert_ne!(with("secret-9999", "own-key-1234"), first);
    assert_ne!(with("secret-1234", "own-key-9999"), first);
    let size = || gateway.admin("GET", "/caches").json()["caches"]["d"]["disk"].as_u64();
    until("they are written", || {
        size().is_some_and(|bytes| bytes > 1_000)
    });
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let mut all = Vec::new();
    for file in std::fs::read_dir(&path).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.path());
        all.extend(std::fs::read(file.path()).unwrap());
    }
    let all = String::from_utf8_lossy(&all).into_owned();
    assert!(all.contains("answer "), "the bodies are there");
    for secret in ["secret-1234", "own-key-1234", "tenant-1234", "ann"] {
        assert!(!all.contains(secret), "{secret}");
    }
}

#[test]
fn a_request_that_goes_round_the_cache_shows_no_tags() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60 | cache-tag: customer-ann");
    let gateway = origin.cached("{ tags: cache-tag, bypass: '\"session\" in request.cookies' }");
    for fields in [&[][..], &["cookie: session=1"]] {
        let answer = get(&gateway, "/a", fields);
        assert_eq!(
            (answer.status, answer.header("cache-tag")),
            (200, ""),
            "{fields:?}"
        );
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn routes_and_upstreams_do_not_share() {
    let (one, two) = (Origin::start(), Origin::start());
    for origin in [&one, &two] {
        origin.answers_with("/a", 200, FRESH, "same");
    }
    let gateway = Gateway::start(&format!(
        "upstreams:\n  one: {{ endpoints: [\"{}\"] }}\n  two: {{ endpoints: [\"{}\"] }}\n\
         filters: {{ kept: {{ cache: {{}} }} }}\n\
         routes:\n  - {{ name: one, filters: [kept], upstream: one }}\n\
         \x20 - {{ name: two, match: {{ headers: {{ x-tenant: two }} }}, filters: [kept], upstream: two }}\n",
        one.address, two.address
    ));
    get(&gateway, "/a", &[]);
    get(&gateway, "/a", &["x-tenant: two"]);
    assert_eq!((one.count(), two.count()), (1, 1));
}

#[test]
fn what_filters_change_of_a_request_is_part_of_its_key() {
    let origin = Origin::start();
    for path in ["/en/a", "/de/a"] {
        origin.says(path, FRESH);
    }
    let rewrite = "{ rewrite: { path: \"/${request.headers['x-language']}/a\" } }, { cache: {} }";
    let gateway = Gateway::start(&origin.with_filters(rewrite));
    assert!(!is_shared(
        &gateway,
        &["x-language: en"],
        &["x-language: de"]
    ));
    assert!(is_shared(
        &gateway,
        &["x-language: en"],
        &["x-language: en"]
    ));
}

#[test]
fn expressions_and_fields_can_be_part_of_a_key() {
    let origin = Origin::start();
    origin.says("/a", FRESH);
    let gateway = origin.cached("{ key: 'request.headers[\"x-tenant\"]' }");
    assert!(!is_shared(&gateway, &["x-tenant: a"], &["x-tenant: b"]));
    let gateway = origin.cached("{ vary: x-tenant }");
    assert!(!is_shared(&gateway, &["x-tenant: a"], &["x-tenant: b"]));
    // Two parts are not one that looks the same.
    let gateway = origin.cached("{ key: ['request.headers[\"a\"]', 'request.headers[\"b\"]'] }");
    assert!(!is_shared(&gateway, &["a: x", "b: yz"], &["a: xy", "b: z"]));
}

#[test]
fn the_answer_to_a_head_request_is_not_taken_for_one_to_get() {
    let origin = Origin::start();
    origin.answers.lock().unwrap().insert(
        "/a".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{FRESH}\r\ncontent-length: 0\r\n\r\n"),
    );
    let gateway = origin.cached("{}");
    send(&gateway, "HEAD", "/a");
    origin.says("/a", FRESH);
    assert_eq!(get(&gateway, "/a", &[]).text(), "answer 2");
}

#[test]
fn a_request_with_a_body_goes_by_itself() {
    let origin = Origin::start();
    origin.says("/a", FRESH);
    let gateway = origin.cached("{}");
    let url = gateway.url("/a");
    let bodied = curl(&["-X", "GET", "-d", "who=ann", &url]);
    assert_eq!(did(&bodied), "wiregate; fwd=bypass");
    assert!(!told(&get(&gateway, "/a", &[])).1);
}

#[test]
fn who_gets_responses_of_his_own_keeps_no_url_from_the_cache() {
    let address = origin::answers(|head| {
        let own = head.contains("session=");
        let terms = if own { "private" } else { "max-age=60" };
        format!("HTTP/1.1 200 OK\r\ncache-control: {terms}\r\ncontent-length: 1\r\n\r\na")
    });
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}\n\
         routes: [{{ name: all, filters: [cache: {{ remember: 1h }}], upstream: app }}]\n"
    ));
    let attack = |path| get(&gateway, path, &["cookie: session=1"]);
    let first = attack("/a");
    assert!(did(&first).contains("detail=private"), "{}", did(&first));
    // Others, without a cookie, have never heard of it.
    let other = get(&gateway, "/a", &[]);
    assert!(did(&other).contains("; stored"), "{}", did(&other));
    assert!(did(&attack("/a")).contains("hit"));
    // Those with another cookie get their turn, however often he asks.
    attack("/b");
    until("it is stored", || {
        attack("/b");
        let with_cookie = get(&gateway, "/b", &["cookie: theme=dark"]);
        did(&with_cookie).contains("hit") || did(&with_cookie).contains("; stored")
    });
    assert!(did(&get(&gateway, "/b", &[])).contains("hit"));
}

#[test]
fn spellings_of_a_host_share_nothing_and_a_purge_of_the_name_hits_all() {
    let origin = Origin::start();
    origin.says("/a", FRESH);
    let gateway = origin.cached("{}");
    let spellings = [
        "host: Shop.example",
        "host: shop.example",
        "host: shop.example:80",
        "host: shop.example:",
        "host: shop.example.",
    ];
    for (number, host) in spellings.iter().enumerate() {
        let own = format!("answer {}", number + 1);
        assert_eq!(get(&gateway, "/a", &[host]).text(), own, "{host}");
        assert_eq!(told(&get(&gateway, "/a", &[host])), (own, true), "{host}");
    }
    let purged = gateway.admin("POST", "/caches/purge?url=http://shop.example/a");
    assert_eq!(purged.json()["purged"], spellings.len());
    for host in spellings {
        assert!(!told(&get(&gateway, "/a", &[host])).1, "{host}");
    }
}
