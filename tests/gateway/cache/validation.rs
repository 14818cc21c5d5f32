//! Validation, updates and invalidation (RFC 9111, 3.2, 4.3 and 4.4; RFC 5861).

use std::sync::atomic::{AtomicBool, Ordering};

use super::super::harness::until;
use super::*;

/// An origin that answers conditions with a 304 that has these fields, and all else with the others.
fn validating(fields: &'static str, news: &'static str) -> (Arc<Mutex<Vec<String>>>, String) {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let heads = seen.clone();
    let address = origin::answers(move |head| {
        heads.lock().unwrap().push(head.to_ascii_lowercase());
        let conditional = head.to_ascii_lowercase().contains("if-none-match");
        let (status, fields, body) = match conditional {
            true => ("304 Not Modified", news, ""),
            false => ("200 OK", fields, "content-length: 4\r\n\r\nbody"),
        };
        let fields = fields.replace(" | ", "\r\n");
        match conditional {
            true => format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n"),
            false => format!("HTTP/1.1 {status}\r\n{fields}\r\n{body}"),
        }
    });
    let configuration = format!(
        "upstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}\n\
         routes: [{{ name: all, filters: [cache: {{}}], upstream: app }}]\n"
    );
    (seen, configuration)
}

#[test]
fn rfc9111_3_2_a_304_updates_every_field_and_the_body_stays() {
    let (seen, configuration) = validating(
        "etag: \"a\" | cache-control: max-age=0 | x-kept: 1 | x-own: 1",
        "etag: \"a\" | cache-control: max-age=60 | x-own: 2 | content-length: 99",
    );
    let gateway = Gateway::start(&configuration);
    get(&gateway, "/a", &[]);
    let validated = get(&gateway, "/a", &[]);
    assert_eq!((validated.status, &*validated.text()), (200, "body"));
    assert_eq!(
        did(&validated),
        "wiregate; fwd=stale; fwd-status=304; stored"
    );
    let hit = get(&gateway, "/a", &[]);
    assert!(told(&hit).1);
    for answer in [validated, hit] {
        assert_eq!(answer.header("x-own"), "2");
        assert_eq!(answer.header("x-kept"), "1");
        assert_eq!(answer.header("cache-control"), "max-age=60");
        assert_eq!(answer.header("content-length"), "4");
    }
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[test]
fn rfc9111_4_3_1_the_stored_validator_takes_the_place_of_the_clients_condition() {
    let (seen, configuration) = validating("etag: \"a\" | cache-control: no-cache", "etag: \"a\"");
    let gateway = Gateway::start(&configuration);
    get(&gateway, "/a", &[]);
    let other = get(&gateway, "/a", &["if-none-match: \"x\""]);
    assert_eq!((other.status, &*other.text()), (200, "body"));
    assert!(seen.lock().unwrap()[1].contains("if-none-match: \"a\""));
    // The client that has it gets the 304, after the origin was asked.
    assert_eq!(get(&gateway, "/a", &["if-none-match: \"a\""]).status, 304);
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[test]
fn rfc9111_4_3_4_a_304_about_another_response_updates_nothing() {
    let (seen, configuration) = validating("etag: \"a\" | cache-control: no-cache", "etag: \"b\"");
    let gateway = Gateway::start(&configuration);
    get(&gateway, "/a", &[]);
    let anew = get(&gateway, "/a", &[]);
    assert_eq!(
        (anew.status, &*anew.text(), anew.header("etag")),
        (200, "body", "\"a\"")
    );
    let seen = seen.lock().unwrap();
    assert!(seen[1].contains("if-none-match") && !seen[2].contains("if-none-match"));
}

#[test]
fn a_304_that_sets_a_cookie_is_for_the_one_who_asked() {
    let (_, configuration) = validating(
        "etag: \"a\" | cache-control: no-cache",
        "etag: \"a\" | cache-control: max-age=60 | set-cookie: session=ann",
    );
    let gateway = Gateway::start(&configuration);
    get(&gateway, "/a", &[]);
    let own = get(&gateway, "/a", &[]);
    assert_eq!(
        (&*own.text(), own.header("set-cookie")),
        ("body", "session=ann")
    );
    assert_eq!(
        did(&own),
        "wiregate; fwd=stale; fwd-status=304; detail=set-cookie"
    );
    // Nobody is answered with that from the store.
    assert!(!told(&get(&gateway, "/a", &[])).1);
}

#[test]
fn a_304_without_tags_takes_none_away() {
    let (_, configuration) = validating(
        "etag: \"a\" | cache-control: max-age=0 | cache-tag: product-7, kind-1",
        "etag: \"a\" | cache-control: max-age=60",
    );
    let configuration = configuration.replace("cache: {}", "cache: { tags: cache-tag }");
    let gateway = Gateway::start(&configuration);
    let purged = |tag: &str| {
        let answer = gateway.admin("POST", &format!("/caches/purge?tag={tag}"));
        answer.json()["purged"].as_u64().unwrap()
    };
    for tag in ["product-7", "kind-1"] {
        get(&gateway, "/a", &[]);
        assert_eq!(
            did(&get(&gateway, "/a", &[])),
            "wiregate; fwd=stale; fwd-status=304; stored"
        );
        assert!(told(&get(&gateway, "/a", &[])).1);
        assert_eq!(purged(tag), 1, "{tag}");
    }
    // Those of a 304 take their place.
    let (_, configuration) = validating(
        "etag: \"a\" | cache-control: max-age=0 | cache-tag: old",
        "etag: \"a\" | cache-control: max-age=60 | cache-tag: new",
    );
    let configuration = configuration.replace("cache: {}", "cache: { tags: cache-tag }");
    let gateway = Gateway::start(&configuration);
    get(&gateway, "/a", &[]);
    assert_eq!(get(&gateway, "/a", &[]).header("cache-tag"), "");
    for (tag, count) in [("old", 0), ("new", 1)] {
        let answer = gateway.admin("POST", &format!("/caches/purge?tag={tag}"));
        assert_eq!(answer.json()["purged"], count, "{tag}");
    }
}

#[test]
fn rfc9110_6_6_1_a_304_without_a_date_is_of_the_moment_when_it_came() {
    let (seen, configuration) = validating(
        "etag: \"a\" | cache-control: max-age=60 | date: Sun, 06 Nov 1994 08:49:37 GMT",
        "etag: \"a\" | cache-control: max-age=60",
    );
    let gateway = Gateway::start(&configuration);
    get(&gateway, "/a", &[]);
    let validated = get(&gateway, "/a", &[]);
    assert!(did(&validated).contains("fwd=stale"));
    assert!(!validated.header("date").contains("1994"));
    assert!(told(&get(&gateway, "/a", &[])).1);
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[test]
fn rfc9111_5_1_what_was_validated_for_one_request_is_new_to_it() {
    let (_, configuration) = validating(
        "etag: \"a\" | cache-control: max-age=60 | age: 3600",
        "etag: \"a\" | cache-control: private, max-age=60",
    );
    let gateway = Gateway::start(&configuration);
    get(&gateway, "/a", &[]);
    let own = get(&gateway, "/a", &[]);
    assert!(did(&own).contains("detail=private"), "{}", did(&own));
    assert_eq!((&*own.text(), own.header("age")), ("body", ""));
}

/// Answers a HEAD request in this way, and has the cache ask for it although it has something fresh.
fn looked_at(origin: &Origin, gateway: &Gateway, fields: &str) {
    let head = format!(
        "HTTP/1.1 200 OK\r\n{}\r\n\r\n",
        fields.replace(" | ", "\r\n")
    );
    origin.answers.lock().unwrap().insert("/a".to_owned(), head);
    let url = gateway.url("/a");
    let answer = curl(&["-I", "-H", "cache-control: no-cache", &url]);
    assert_eq!(answer.status, 200);
}

#[test]
fn rfc9111_4_3_5_a_head_response_without_a_validator_keeps_no_body_fresh() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60 | age: 30");
    let gateway = origin.cached("{}");
    get(&gateway, "/a", &[]);
    looked_at(
        &origin,
        &gateway,
        "cache-control: max-age=60 | content-length: 8",
    );
    let hit = get(&gateway, "/a", &[]);
    assert!(told(&hit).1);
    let age: u64 = hit.header("age").parse().unwrap();
    assert!(age >= 30, "{age}");
}

#[test]
fn rfc9111_4_3_5_a_head_response_about_another_body_makes_stale() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60 | etag: \"a\"");
    let gateway = origin.cached("{}");
    get(&gateway, "/a", &[]);
    assert!(told(&get(&gateway, "/a", &[])).1);
    let news = "cache-control: max-age=60 | etag: \"b\" | content-length: 8";
    looked_at(&origin, &gateway, news);
    origin.says("/a", "cache-control: max-age=60 | etag: \"b\"");
    let fetched = get(&gateway, "/a", &[]);
    assert!(did(&fetched).contains("fwd=stale"), "{}", did(&fetched));
    assert_eq!(fetched.header("etag"), "\"b\"");
}

#[test]
fn rfc9111_4_3_5_a_head_response_freshens_what_is_stored() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=0 | etag: \"a\"");
    let gateway = origin.cached("{}");
    get(&gateway, "/a", &[]);
    origin.answers_with("/a", 204, "cache-control: max-age=60 | etag: \"a\"", "");
    origin.answers.lock().unwrap().insert(
        "/a".to_owned(),
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\netag: \"a\"\r\ncontent-length: 8\r\n\r\n"
            .to_owned(),
    );
    assert_eq!(send(&gateway, "HEAD", "/a").status, 200);
    assert_eq!(
        told(&get(&gateway, "/a", &[])),
        ("answer 1".to_owned(), true)
    );
}

#[test]
fn rfc9111_4_4_methods_that_change_a_resource_invalidate_it() {
    let origin = Origin::start();
    let gateway = origin.cached("{}");
    for path in ["/a?b=c", "/target", "/other"] {
        origin.says(path, "cache-control: max-age=60");
    }
    let store = || {
        for path in ["/a?b=c", "/target", "/other"] {
            get(&gateway, path, &[]);
            assert!(told(&get(&gateway, path, &[])).1, "{path}");
        }
    };
    for method in ["POST", "PUT", "DELETE", "M-SEARCH"] {
        store();
        // A failure changes nothing.
        origin.answers_with("/a?b=c", 500, "", "no");
        send(&gateway, method, "/a?b=c");
        assert!(told(&get(&gateway, "/a?b=c", &[])).1, "{method}");
        // Success does, also to what the response names at the same origin.
        origin.answers_with("/a?b=c", 201, "location: target", "yes");
        send(&gateway, method, "/a?b=c");
        origin.says("/a?b=c", "cache-control: max-age=60");
        assert!(!told(&get(&gateway, "/a?b=c", &[])).1, "{method}");
        assert!(!told(&get(&gateway, "/target", &[])).1, "{method}");
        assert!(told(&get(&gateway, "/other", &[])).1, "{method}");
    }
    store();
    let elsewhere = "content-location: http://elsewhere.example/target";
    origin.answers_with("/a?b=c", 200, elsewhere, "yes");
    send(&gateway, "POST", "/a?b=c");
    assert!(told(&get(&gateway, "/target", &[])).1);
}

/// Requests that change something often have a route of their own.
#[test]
fn rfc9111_4_4_a_method_invalidates_what_other_routes_have_stored() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=60");
    let gateway = Gateway::start(&format!(
        "caches: {{ one: {{}}, two: {{}}, idle: {{}} }}\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\nroutes:\n\
         - {{ name: read, match: {{ path: /**, methods: [GET] }}, filters: [cache: {{ store: one }}], upstream: app }}\n\
         - {{ name: other, match: {{ host: other.example, path: /** }}, filters: [cache: {{ store: two }}], upstream: app }}\n\
         - {{ name: write, match: {{ path: /** }}, upstream: app }}\n",
        origin.address
    ));
    for (status, is_stored) in [(500, true), (404, true), (200, false), (303, false)] {
        origin.says("/a", "cache-control: max-age=60");
        get(&gateway, "/a", &[]);
        assert!(told(&get(&gateway, "/a", &[])).1, "{status}");
        origin.answers_with("/a", status, "", "done");
        send(&gateway, "POST", "/a");
        origin.says("/a", "cache-control: max-age=60");
        assert_eq!(told(&get(&gateway, "/a", &[])).1, is_stored, "{status}");
    }
}

#[test]
fn rfc5861_3_a_stale_response_is_used_while_it_is_validated_once() {
    let origin = Origin::start();
    origin.says(
        "/a",
        "cache-control: max-age=60, stale-while-revalidate=60 | age: 61",
    );
    let gateway = origin.cached("{}");
    get(&gateway, "/a", &[]);
    origin.says("/a", "cache-control: max-age=60");
    let stale = get(&gateway, "/a", &[]);
    assert_eq!(stale.text(), "answer 1");
    assert!(did(&stale).contains("hit; ttl=-"), "{}", did(&stale));
    until("it is validated", || origin.count() == 2);
    until("the new one is there", || {
        get(&gateway, "/a", &[]).text() == "answer 2"
    });
    assert_eq!(origin.count(), 2);
    // No filter has run for the request that nobody made: one line for each that somebody did.
    let runs = gateway.metric("wiregate_filter_runs_total{filter=\"cache\",route=\"all\"}");
    let requests =
        gateway.metric("wiregate_requests_total{code=\"200\",method=\"GET\",route=\"all\"}");
    assert!((runs - requests).abs() < 0.1, "{runs} {requests}");
}

#[test]
fn rfc5861_4_a_stale_response_stands_in_for_errors() {
    let failing = Arc::new(AtomicBool::new(false));
    let fails = failing.clone();
    let address = origin::serve(move |_, mut stream| {
        while let Some(head) = origin::head(&mut stream) {
            let answer = match (fails.load(Ordering::Relaxed), head.contains("/closes")) {
                (true, true) => return,
                (true, false) => origin::empty(503),
                (false, _) => {
                    let terms = match head.contains("/strict") {
                        true => "max-age=0, stale-if-error=60, must-revalidate",
                        false => "max-age=0, stale-if-error=60",
                    };
                    format!(
                        "HTTP/1.1 200 OK\r\ncache-control: {terms}\r\netag: \"a\"\r\ncontent-length: 4\r\n\r\nbody"
                    )
                }
            };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{address}\"], retry: {{ attempts: 1 }} }} }}\n\
         routes: [{{ name: all, filters: [cache: {{}}], upstream: app }}]\n"
    ));
    for path in ["/says", "/closes", "/strict"] {
        assert_eq!(get(&gateway, path, &[]).status, 200);
    }
    failing.store(true, Ordering::Relaxed);
    // The upstream was asked, and what it said can be seen (RFC 9211, 2.2 and 2.3).
    for (path, did_so) in [
        ("/says", "wiregate; fwd=stale; fwd-status=503"),
        ("/closes", "wiregate; fwd=stale"),
    ] {
        let answer = get(&gateway, path, &[]);
        assert_eq!((answer.status, &*answer.text()), (200, "body"), "{path}");
        assert_eq!(did(&answer), did_so);
        assert!(answer.header("age").parse::<u64>().is_ok(), "{path}");
    }
    assert_eq!(get(&gateway, "/strict", &[]).status, 503);
    assert_eq!(get(&gateway, "/none", &[]).status, 503);
}

#[test]
fn head_gets_what_is_stale_and_validates_nothing_for_others() {
    let origin = Origin::start();
    let stale = "max-age=60, stale-while-revalidate=60 | age: 61 | etag: \"a\"";
    origin.says("/a", &format!("cache-control: {stale}"));
    let gateway = origin.cached("{}");
    get(&gateway, "/a", &[]);
    for _ in 0..5 {
        let answer = send(&gateway, "HEAD", "/a");
        assert!(did(&answer).contains("hit; ttl=-"), "{}", did(&answer));
    }
    origin.says("/a", "cache-control: max-age=60 | etag: \"b\"");
    assert_eq!(get(&gateway, "/a", &[]).text(), "answer 1");
    // Nothing keeps GET from it, and nothing else has been asked.
    until("the new one is there", || {
        get(&gateway, "/a", &[]).text() == "answer 2"
    });
    let last = origin.last();
    assert!(last.starts_with("get ") && last.contains("if-none-match"));
    assert_eq!(origin.count(), 2);
}
