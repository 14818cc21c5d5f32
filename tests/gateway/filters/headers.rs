//! The family that changes requests and responses: headers, rewrite, redirect, respond, request_id.

use serde_json::{Value, json};

use super::{filtering, forwarding, reason, saw};
use crate::harness::Gateway;
use crate::origin::Seen;

#[test]
fn headers_edits_both_directions() {
    let (gateway, _origin) = filtering(
        r#"headers: {
            request: { remove: [cookie, x-internal-*], rename: { x-old: x-new },
                       set: { x-client: "${client.address}", x-q: "${request.query.q}" }, add: { x-many: [b, c] } },
            response: { remove: x-secret, rename: { x-tag: x-label },
                        set: { x-status: "${response.status}", x-from: "${response.headers['x-origin']}" },
                        add: { vary: [accept, origin] } } }"#,
    );
    let wishes = "/?q=1&header=x-secret:1&header=x-tag:t&header=x-origin:o&header=vary:cookie";
    let fields = [
        "-H",
        "cookie: a=b",
        "-H",
        "x-internal-a: 1",
        "-H",
        "x-old: o",
        "-H",
        "x-many: a",
        "-H",
        "x-client: forged",
    ];
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = gateway.ask(wishes, &[&[version][..], &fields].concat());
        for (field, value) in [
            ("cookie", Value::Null),
            ("x-internal-a", Value::Null),
            ("x-old", Value::Null),
            ("x-new", json!("o")),
            ("x-client", json!("127.0.0.1")),
            ("x-q", json!("1")),
            ("x-many", json!(["a", "b", "c"])),
        ] {
            assert_eq!(saw(&answer, field), value, "{field} {version}");
        }
        assert_eq!(answer.header("x-secret"), "");
        assert_eq!(answer.header("x-label"), "t");
        assert_eq!(answer.header("x-status"), "200");
        assert_eq!(answer.header("x-from"), "o");
        assert_eq!(answer.header("vary"), "cookie, accept, origin");
    }
}

#[test]
fn headers_lets_no_value_become_another_field() {
    let (gateway, _origin) = filtering(
        r#"headers: { request: { set: { x-q: "${request.query.q}" } }, response: { set: { x-q: "${request.query.q}" } } }"#,
    );
    for query in ["a%0d%0ax-evil:1", "a%0ax-evil:1", "a%00b"] {
        let answer = gateway.ask(&format!("/?q={query}"), &["-H", "x-q: mine"]);
        assert_eq!(saw(&answer, "x-q"), Value::Null, "{query}");
        assert_eq!(saw(&answer, "x-evil"), Value::Null, "{query}");
        assert_eq!(answer.header("x-q"), "", "{query}");
        assert_eq!(answer.header("x-evil"), "", "{query}");
    }
}

#[test]
fn rewrite_changes_what_the_upstream_sees() {
    let (gateway, _origin) = forwarding(
        r#"
routes:
  - { name: strip, match: { path: /orders/** }, filters: [rewrite: { strip_prefix: /orders, add_prefix: /v1 }], upstream: app }
  - { name: regex, match: { path: /users/** }, filters: [rewrite: { regex: { pattern: "^/users/([0-9]+)/(?<what>.+)$", to: "/$what/of/$1" } }], upstream: app }
  - { name: path, match: { path: "/i/{id}" }, filters: [rewrite: { path: "/items/${params.id}" }], upstream: app }
  - { name: query, match: { path: /q }, filters: [rewrite: { query: { remove: debug, rename: { q: query }, set: { tenant: "${request.headers['x-t']}" }, add: { n: ["1", "2"] } } }], upstream: app }
  - { name: host, match: { path: /h }, filters: [rewrite: { host: "${request.headers['x-t']}.internal.test", method: PUT }], upstream: app }
"#,
    );
    let t = ["-H", "x-t: a&b=c"];
    for (asked, path, query) in [
        ("/orders/7?x=1", "/v1/7", "x=1"),
        ("/orders", "/v1/", ""),
        ("/users/12/books/new", "/books/new/of/12", ""),
        ("/users/x/books", "/users/x/books", ""),
        ("/i/a%20b%3Fc?x", "/items/a%20b%3Fc", "x"),
        (
            "/q?debug=1&q=z&a=%20&tenant=forged",
            "/q",
            "query=z&a=%20&tenant=a%26b%3Dc&n=1&n=2",
        ),
    ] {
        let answer = gateway.ask(asked, &t);
        assert_eq!(answer.status, 200, "{asked}: {}", answer.text());
        let seen = answer.json();
        assert_eq!(seen["path"], path, "{asked}");
        assert_eq!(seen["query"].as_str().unwrap_or(""), query, "{asked}");
    }
    // Over HTTP/2 the host that is asked for stands in the target.
    let http2 = "--http2-prior-knowledge";
    for client in [
        &[][..],
        &[http2],
        &["-d", "a body"],
        &[http2, "-d", "a body"],
    ] {
        let answer = gateway.ask("/h", &[&["-H", "x-t: eu"], client].concat());
        let seen = answer.json();
        assert_eq!(
            (&seen["authority"], &seen["method"]),
            (&json!("eu.internal.test"), &json!("PUT")),
            "{client:?}"
        );
        assert!(
            saw(&answer, "x-forwarded-host")
                .as_str()
                .unwrap()
                .starts_with("127.0.0.1")
        );
    }
    let answer = gateway.ask("/h", &["-H", "x-t: eu/evil"]);
    assert_eq!((answer.status, &*reason(&answer)), (400, "invalid_rewrite"));
}

#[test]
fn redirect_sends_the_client_elsewhere() {
    let gateway = Gateway::start(
        r#"
routes:
  - { name: host, match: { path: /a/** }, filters: [redirect: "https://www.test${request.path}"] }
  - { name: https, match: { path: /s/** }, filters: [redirect: { https: true, status: 308 }] }
  - { name: query, match: { path: /q }, filters: [redirect: { to: "/v2?a=1", keep_query: true, status: 302 }] }
  - { name: open, match: { path: /open }, filters: [redirect: "/${request.query.to}"] }
"#,
    );
    for (asked, status, location) in [
        ("/a/b%20c?x=1", 307, "https://www.test/a/b%20c"),
        ("/s/t?x=1", 308, "https://shop.test/s/t?x=1"),
        ("/q?b=2", 302, "/v2?a=1&b=2"),
        ("/open?to=/evil.test", 307, "/%2Fevil.test"),
    ] {
        let answer = gateway.ask(asked, &["-H", "host: shop.test:8080"]);
        assert_eq!(
            (answer.status, answer.header("location")),
            (status, location),
            "{asked}"
        );
        assert_eq!(answer.header("content-length"), "0", "{asked}");
    }
}

#[test]
fn respond_answers_without_an_upstream() {
    let gateway = Gateway::start(
        r#"
routes:
  - { name: status, match: { path: /status }, filters: [respond: 204] }
  - { name: text, match: { path: /text }, filters: [respond: "hello ${request.query.name}"] }
  - { name: json, match: { path: /json }, filters: [respond: { status: 503, headers: { retry-after: 120 }, json: { path: "${request.path}", name: "${request.query.name}", n: 1 } }] }
  - { name: html, match: { path: /html }, filters: [respond: { body: "<b>${request.query.name}</b>", content_type: text/html }] }
"#,
    );
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = gateway.ask("/status", &[version]);
        assert_eq!(
            (
                answer.status,
                &*answer.body,
                answer.header("content-length")
            ),
            (204, &b""[..], "")
        );
        let answer = gateway.ask("/text?name=a%20%3Cb%3E", &[version]);
        assert_eq!(answer.text(), "hello a <b>");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.header("content-length"), "11");
        let answer = gateway.ask("/json?name=%22,%22x%22:%22", &[version]);
        assert_eq!((answer.status, answer.header("retry-after")), (503, "120"));
        assert_eq!(
            answer.json(),
            json!({ "path": "/json", "name": "\",\"x\":\"", "n": 1 })
        );
        let answer = gateway.ask("/html?name=%3Cscript%3E", &[version]);
        assert_eq!(answer.text(), "<b>&lt;script&gt;</b>");
        let answer = gateway.ask("/text?name=x", &[version, "--head"]);
        assert_eq!(answer.header("content-length"), "7");
    }
}

#[test]
fn request_id_goes_to_the_upstream_the_client_and_the_log() {
    let (gateway, _origin) = forwarding(
        r#"
routes:
  - { name: fresh, match: { path: /fresh }, filters: [request_id: {}], upstream: app }
  - { name: trusted, match: { path: /trusted }, filters: [request_id: { header: x-correlation-id, trust: 127.0.0.0/8 }], upstream: app }
  - { name: distrusted, match: { path: /distrusted }, filters: [request_id: { trust: 10.0.0.0/8 }], upstream: app }
"#,
    );
    let mut ids = Vec::new();
    for (path, field, taken) in [
        ("/fresh", "x-request-id", false),
        ("/trusted", "x-correlation-id", true),
        ("/distrusted", "x-request-id", false),
    ] {
        let answer = gateway.ask(path, &["-H", &format!("{field}: mine-1")]);
        let id = answer.header("x-request-id").to_owned();
        assert_eq!(saw(&answer, field), *id, "{path}");
        assert_eq!(id == "mine-1", taken, "{path}");
        assert!(taken || id.len() == 36, "{path}: {id}");
        ids.push(id);
    }
    let logged: Vec<_> = (gateway.access_log(3).iter())
        .map(|line| line["request_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(logged, ids);
    let forged = gateway.ask("/trusted", &["-H", "x-correlation-id: a b"]);
    assert_ne!(saw(&forged, "x-correlation-id"), "a b");
}

/// What an endpoint calls a request is no name for it here, and no filter takes it for one.
#[test]
fn filters_see_the_gateways_id_in_a_response_and_not_the_endpoints() {
    let (_seen, address) = Seen::by(|_| {
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-request-id: theirs\r\n\r\n".to_owned()
    });
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ app: {{ endpoints: ["{address}"] }} }}
routes:
  - name: copied
    match: {{ path: /copied }}
    filters: [headers: {{ response: {{ set: {{ x-trace: '${{response.headers["x-request-id"]}}' }} }} }}]
    upstream: app
  - name: renamed
    match: {{ path: /renamed }}
    filters: [headers: {{ response: {{ rename: {{ x-request-id: x-trace }} }} }}]
    upstream: app
  - name: added
    match: {{ path: /added }}
    filters:
      - headers: {{ response: {{ add: {{ x-request-id: another }} }} }}
      - headers: {{ response: {{ set: {{ x-trace: '${{response.headers["x-request-id"]}}' }} }} }}
    upstream: app
"#
    ));
    for path in ["/copied", "/renamed", "/added"] {
        let answer = gateway.ask(path, &[]);
        let id = answer.header("x-request-id");
        assert_eq!(id.len(), 36, "{path}: {answer:?}");
        assert_eq!(answer.header("x-trace"), id, "{path}");
    }
}

#[test]
fn fields_with_an_underscore_are_dropped_unless_they_are_wanted() {
    for (setting, kept) in [("", false), ("underscores_in_fields: keep\n", true)] {
        // Whoever gives a request such a field may go by it.
        let gives = if kept {
            ""
        } else {
            "headers: { request: { set: { x_own: given } } }, "
        };
        let (gateway, _origin) = forwarding(&format!(
            "{setting}routes:\n  - {{ name: all, upstream: app }}\n  - name: asks\n    \
             match: {{ path: /asks }}\n    filters: [{gives}respond: '${{request.headers.x_own}}']\n"
        ));
        let said = gateway.ask("/asks", &["-H", "x_own: sent"]).text();
        assert_eq!(said, if kept { "sent" } else { "given" });
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let fields = ["-H", "X_Request_Id: forged", "-H", "x-own: 1"];
            let answer = gateway.ask("/", &[&[version][..], &fields].concat());
            let expected = if kept {
                "forged".into()
            } else {
                serde_json::Value::Null
            };
            assert_eq!(
                saw(&answer, "x_request_id"),
                expected,
                "{version} {setting}"
            );
            assert_eq!(saw(&answer, "x-own"), "1", "{version} {setting}");
        }
    }
}

#[test]
fn cookies_that_came_one_by_one_over_http2_are_one_field() {
    let (gateway, _origin) =
        filtering("headers: { request: { set: { x-cookies: \"${request.headers.cookie}\" } } }");
    let cookies = [
        "-H",
        "cookie: a=1",
        "-H",
        "cookie: b=2",
        "-H",
        "cookie: c=3",
    ];
    let answer = gateway.ask("/", &[&["--http2-prior-knowledge"][..], &cookies].concat());
    assert_eq!(saw(&answer, "cookie"), "a=1; b=2; c=3");
    assert_eq!(saw(&answer, "x-cookies"), "a=1; b=2; c=3");
}
