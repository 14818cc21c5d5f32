//! When a stored response answers (RFC 9111, 4 and 5.2.1).

use super::*;

#[test]
fn rfc9111_4_a_fresh_response_is_used_again() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60 | x-own: 1");
    let gateway = origin.cached("{}");
    let first = get(&gateway, "/a", &[]);
    assert_eq!(first.text(), "answer 1");
    assert_eq!(did(&first), "wiregate; fwd=uri-miss; stored");
    let second = get(&gateway, "/a", &[]);
    assert_eq!(second.text(), "answer 1");
    assert!(
        did(&second).starts_with("wiregate; hit; ttl="),
        "{}",
        did(&second)
    );
    assert_eq!(second.header("x-own"), "1");
    assert_eq!(second.header("content-length"), "8");
    assert_eq!(origin.count(), 1);
    // Each response has its own id, and its own way.
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    assert_eq!(second.header("via"), "1.1 wiregate");
}

#[test]
fn rfc9111_5_1_age_and_date_come_from_the_upstream() {
    let origin = Origin::start();
    origin.says(
        "/a",
        "cache-control: max-age=3600 | age: 30 | date: Sun, 06 Nov 2050 08:49:37 GMT",
    );
    let gateway = origin.cached("{}");
    get(&gateway, "/a", &[]);
    let second = get(&gateway, "/a", &[]);
    let age: u64 = second.header("age").parse().unwrap();
    assert!((30..90).contains(&age), "{age}");
    assert_eq!(second.header("date"), "Sun, 06 Nov 2050 08:49:37 GMT");
    origin.says("/old", "cache-control: max-age=3600 | age: 7200");
    get(&gateway, "/old", &[]);
    assert!(!told(&get(&gateway, "/old", &[])).1);
}

#[test]
fn rfc9111_4_2_a_stale_response_without_validator_is_fetched_anew() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=0");
    let gateway = origin.cached("{}");
    assert_eq!(get(&gateway, "/a", &[]).text(), "answer 1");
    assert_eq!(get(&gateway, "/a", &[]).text(), "answer 2");
}

#[test]
fn rfc9111_5_2_1_requests_may_ask_for_more() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60 | age: 20");
    let gateway = origin.cached("{}");
    get(&gateway, "/a", &[]);
    for (wish, hit) in [
        ("cache-control: max-age=10", false),
        ("cache-control: max-age=55", true),
        ("cache-control: min-fresh=50", false),
        ("cache-control: min-fresh=10", true),
        ("cache-control: no-cache", false),
        ("pragma: no-cache", false),
        ("cache-control: only-if-cached", true),
    ] {
        assert_eq!(told(&get(&gateway, "/a", &[wish])).1, hit, "{wish}");
    }
    origin.says(
        "/stale",
        "cache-control: max-age=60 | age: 70 | etag: \"a\"",
    );
    get(&gateway, "/stale", &[]);
    assert!(told(&get(&gateway, "/stale", &["cache-control: max-stale=60"])).1);
    let refused = get(&gateway, "/none", &["cache-control: only-if-cached"]);
    assert_eq!(refused.status, 504);
    assert_eq!(refused.json()["type"], "urn:wiregate:not_cached");
}

#[test]
fn rfc9111_5_2_1_5_nothing_of_a_request_with_no_store_is_stored() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60");
    let gateway = origin.cached("{}");
    let first = get(&gateway, "/a", &["cache-control: no-store"]);
    assert_eq!(
        did(&first),
        "wiregate; fwd=uri-miss; detail=request-no-store"
    );
    assert_eq!(get(&gateway, "/a", &[]).text(), "answer 2");
}

#[test]
fn wishes_of_requests_can_be_ignored() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60");
    let gateway = origin.cached("{ obey_requests: false }");
    get(&gateway, "/a", &["cache-control: no-store"]);
    assert!(told(&get(&gateway, "/a", &["cache-control: no-cache"])).1);
}

#[test]
fn rfc9111_4_1_vary_tells_responses_apart() {
    let origin = Origin::start();
    origin.says(
        "/a",
        "cache-control: max-age=60 | vary: accept-encoding, x-kind",
    );
    let gateway = origin.cached("{}");
    let ask = |fields: &[&str]| get(&gateway, "/a", fields);
    assert_eq!(
        ask(&["accept-encoding: gzip, br", "x-kind: 1"]).text(),
        "answer 1"
    );
    assert_eq!(
        ask(&["accept-encoding: br,gzip", "x-kind: 1"]).text(),
        "answer 1"
    );
    let other = ask(&["accept-encoding: gzip, br", "x-kind: 2"]);
    assert_eq!(other.text(), "answer 2");
    assert_eq!(did(&other), "wiregate; fwd=vary-miss; stored");
    assert_eq!(
        ask(&["accept-encoding: gzip, br", "x-kind: 1"]).text(),
        "answer 1"
    );
    assert_eq!(
        ask(&["accept-encoding: gzip, br", "x-kind: 2"]).text(),
        "answer 2"
    );
    origin.says("/star", "cache-control: max-age=60 | vary: *");
    get(&gateway, "/star", &[]);
    assert!(!told(&get(&gateway, "/star", &[])).1);
}

#[test]
fn rfc9111_4_head_is_answered_from_what_get_has_stored() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60");
    let gateway = origin.cached("{}");
    get(&gateway, "/a", &[]);
    let head = send(&gateway, "HEAD", "/a");
    assert_eq!((head.status, head.header("content-length")), (200, "8"));
    assert!(did(&head).contains("hit"));
    assert_eq!(origin.count(), 1);
    // One that nothing answers goes on as it is, and is not stored.
    origin.says("/b", "cache-control: max-age=60");
    let missed = send(&gateway, "HEAD", "/b");
    assert_eq!(did(&missed), "wiregate; fwd=uri-miss");
    assert!(origin.last().starts_with("head /b"), "{}", origin.last());
    assert!(!told(&get(&gateway, "/b", &[])).1);
}

#[test]
fn rfc9110_14_parts_are_cut_out_of_what_is_stored() {
    let origin = Origin::start();
    origin.answers_with(
        "/a",
        200,
        "cache-control: max-age=60 | etag: \"a\"",
        "0123456789",
    );
    let gateway = origin.cached("{}");
    // The whole is fetched, whatever is asked for.
    let first = get(&gateway, "/a", &["range: bytes=2-4"]);
    assert_eq!((first.status, &*first.text()), (206, "234"));
    assert_eq!(first.header("content-range"), "bytes 2-4/10");
    assert!(!origin.last().contains("range:"), "{}", origin.last());
    for (range, status, body) in [
        ("range: bytes=0-1", 206, "01"),
        ("range: bytes=7-", 206, "789"),
        ("range: bytes=-2", 206, "89"),
        ("range: bytes=0-1,3-4", 200, "0123456789"),
        ("range: bytes=10-", 416, ""),
    ] {
        let answer = get(&gateway, "/a", &[range]);
        assert_eq!((answer.status, &*answer.text()), (status, body), "{range}");
    }
    let unlike = get(&gateway, "/a", &["range: bytes=0-1", "if-range: \"b\""]);
    assert_eq!(unlike.status, 200);
    assert_eq!(origin.count(), 1);
}

#[test]
fn rfc9111_4_3_2_a_client_that_has_it_gets_a_304() {
    let origin = Origin::start();
    origin.says(
        "/a",
        "cache-control: max-age=60 | etag: \"a\" | content-type: text/plain",
    );
    let gateway = origin.cached("{}");
    get(&gateway, "/a", &[]);
    let same = get(&gateway, "/a", &["if-none-match: W/\"a\""]);
    assert_eq!((same.status, same.body.len()), (304, 0));
    assert_eq!(same.header("etag"), "\"a\"");
    assert_eq!(same.header("cache-control"), "max-age=60");
    assert_eq!(get(&gateway, "/a", &["if-none-match: \"b\""]).status, 200);
    assert_eq!(origin.count(), 1);
    // What only the origin can judge is not judged here.
    get(&gateway, "/a", &["if-match: \"a\""]);
    assert_eq!(origin.count(), 2);
}

#[test]
fn rfc9112_an_old_client_and_http2_get_the_same() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60");
    let gateway = origin.cached("{}");
    get(&gateway, "/a", &[]);
    let old = curl(&["--http1.0", &gateway.url("/a")]);
    let new = curl(&["--http2-prior-knowledge", &gateway.url("/a")]);
    assert_eq!(told(&old), ("answer 1".to_owned(), true));
    assert_eq!(told(&new), ("answer 1".to_owned(), true));
    assert_eq!(new.version, "2");
}

#[test]
fn filters_act_on_each_response_and_never_on_what_is_stored() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60 | x-secret: 1");
    let filters = "{ headers: { response: { set: { x-for: \"${request.headers['x-me']}\" }, remove: x-secret } } }, { cache: {} }";
    let gateway = Gateway::start(&origin.with_filters(filters));
    for me in ["ann", "bob"] {
        let answer = get(&gateway, "/a", &[&format!("x-me: {me}")]);
        assert_eq!(answer.header("x-for"), me);
        assert_eq!(answer.header("x-secret"), "");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn filters_that_want_whole_bodies_get_them_from_the_store_too() {
    let origin = Origin::start();
    let fields = "cache-control: max-age=60 | content-type: application/json";
    origin.answers_with("/a", 200, fields, r#"{"n": 1}"#);
    for filters in [
        "{ cache: {} }, { json: { response: { set: { added: yes } } } }",
        "{ json: { response: { set: { added: yes } } } }, { cache: {} }",
        "{ cache: {} }, { template: { response: { text: 'made of {{ body }}' } } }",
    ] {
        let gateway = Gateway::start(&origin.with_filters(filters));
        let bodies: Vec<_> = (0..3).map(|_| get(&gateway, "/a", &[]).text()).collect();
        let made = ["added", "made of"]
            .iter()
            .any(|text| bodies[0].contains(text));
        assert!(made && bodies[0].contains('1'), "{filters} {bodies:?}");
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
        let part = get(&gateway, "/a", &["range: bytes=0-0"]);
        assert_eq!(
            (part.status, part.text()),
            (200, bodies[0].clone()),
            "{filters}"
        );
    }
}

#[test]
fn an_observed_cache_stores_and_serves_nothing() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60");
    let gateway = origin.cached("{ mode: observe }");
    for _ in 0..3 {
        assert_eq!(get(&gateway, "/a", &[]).header("cache-status"), "");
    }
    assert_eq!(origin.count(), 3);
}

#[test]
fn a_cache_that_is_only_observed_from_now_on_does_not_serve_what_is_stored() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60");
    let gateway = origin.cached("{}");
    let is_hit = || {
        get(&gateway, "/a", &[])
            .header("cache-status")
            .contains("hit")
    };
    let enforced = || gateway.reload(&origin.configuration("{}"));
    assert!(!is_hit());
    let failing = "{ key: 'string(1 / size(request.query.q))', mode: observe }";
    for options in ["{ mode: observe }", failing] {
        gateway.reload(&origin.configuration(options));
        for fields in [&[][..], &["cache-control: only-if-cached"]] {
            let answer = get(&gateway, "/a", fields);
            assert_eq!((answer.status, answer.header("cache-status")), (200, ""));
        }
    }
    assert_eq!(origin.count(), 5);
    gateway.counts("observed", "all", "cache", 2.0);
    enforced();
    assert!(is_hit(), "it was left alone");
    // What is written is dropped whatever route it takes.
    gateway.reload(&origin.configuration("{ mode: observe }"));
    assert_eq!(send(&gateway, "POST", "/a").status, 200);
    enforced();
    assert!(!is_hit());
}

#[test]
fn metrics_and_the_access_log_tell_what_came_of_requests() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60");
    let gateway = origin.cached("{}");
    for _ in 0..3 {
        get(&gateway, "/a", &[]);
    }
    send(&gateway, "POST", "/a");
    let counted = |result: &str| {
        gateway.metric(&format!(
            "wiregate_cache_requests_total{{result=\"{result}\",route=\"all\"}}"
        ))
    };
    super::super::harness::until("all are counted", || counted("pass") > 0.5);
    assert_eq!((counted("miss") as u32, counted("hit") as u32), (1, 2));
    let log = gateway.access_log(4);
    let told: Vec<_> = log
        .iter()
        .map(|line| line["cache"].as_str().unwrap())
        .collect();
    assert_eq!(told, ["miss", "hit", "hit", "pass"]);
    assert_eq!(log[0]["upstream"], "app");
    assert_eq!(log[0]["attempts"], 1);
    assert!(log[1]["upstream"].is_null() && log[1]["attempts"] == 0);
}
