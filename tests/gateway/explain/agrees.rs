//! A gateway and `explain` are asked the same, odd requests included.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::harness::{Gateway, curl, raw};
use super::explain;

const ROUTES: &str = r#"
limits: { head: 4KiB }
routes:
  - { name: any, filters: [respond: any] }
  - { name: api, match: { host: api.example.com }, filters: [respond: api] }
  - { name: below, match: { host: "*.example.com" }, filters: [respond: below] }
  - { name: six, match: { host: "[2001:db8::1]" }, filters: [respond: six] }
  - { name: shop, match: { path: /shop, methods: [PUT] }, filters: [{ cors: { origins: "https://a.example", methods: [PUT] } }, { respond: shop }] }
  - { name: shop-get, match: { path: /shop, methods: [GET] }, filters: [respond: got] }
  - { name: twice, match: { path: /h, headers: { x-a: "1, 2" } }, priority: 6, filters: [respond: twice] }
  - { name: second, match: { path: /h, headers: { x-a: "2" } }, priority: 5, filters: [respond: second] }
  - { name: first, match: { path: /h, headers: { x-a: "1" } }, priority: 4, filters: [respond: first] }
  - { name: told, match: { path: /h, headers: { x-forwarded-proto: https } }, priority: 3, filters: [respond: told] }
  - { name: under, match: { path: /h, headers: { x_b: "1" } }, priority: 2, filters: [respond: under] }
  - { name: hop, match: { path: /h, headers: { x-hop: "1" } }, priority: 1, filters: [respond: hop] }
  - { name: cafe, match: { path: /caf%C3%A9 }, filters: [respond: cafe] }
  - { name: space, match: { path: /a%20b }, filters: [respond: space] }
  - { name: asked, match: { path: /q, query: { a: "b c" } }, filters: [respond: asked] }
  - { name: crumbs, match: { path: /q, cookies: { a: "1", b: "2" } }, filters: [respond: crumbs] }
  - { name: secure, match: { path: /s, when: 'request.scheme == "https"' }, filters: [respond: secure] }
"#;

/// Method, target and fields, as a client sends them. Without a `host` among them it is `x.example`.
const REQUESTS: &[(&str, &str, &[&str])] = &[
    // Tunnels.
    ("CONNECT", "x.example:443", &["host: x.example:443"]),
    ("CONNECT", "x.example:443", &["host: other.example:443"]),
    ("CONNECT", "x.example", &["host: x.example"]),
    ("CONNECT", "/", &[]),
    ("CONNECT", "[::1]:443", &["host: [::1]:443"]),
    // Targets.
    ("GET", "/a#b", &[]),
    ("GET", "/#", &[]),
    ("GET", "/a?b#c", &[]),
    ("GET", "/a b", &[]),
    ("GET", "/a%20b", &[]),
    ("GET", "/ ", &[]),
    ("GET", "/café", &[]),
    ("GET", "/caf%c3%a9", &[]),
    ("GET", "/caf%C3%A9?é", &[]),
    ("GET", "/caf%e9", &[]),
    ("GET", "/\u{1b}[2J", &[]),
    ("GET", "/\u{7f}", &[]),
    ("GET", "/\ta", &[]),
    ("GET", "/%0a", &[]),
    ("GET", "/%7f", &[]),
    ("GET", "/a\"b<c>{d}|e\\f^g`h", &[]),
    ("GET", "/q?a=b%20c", &[]),
    ("GET", "/q?a=b+c", &[]),
    ("GET", "/q?a=b%2", &[]),
    ("GET", "/q?", &[]),
    ("OPTIONS", "*", &[]),
    ("GET", "*", &[]),
    // Preflights.
    (
        "OPTIONS",
        "/shop",
        &[
            "origin: https://a.example",
            "access-control-request-method: PUT",
        ],
    ),
    (
        "OPTIONS",
        "/shop",
        &[
            "origin: https://b.example",
            "access-control-request-method: PUT",
        ],
    ),
    (
        "OPTIONS",
        "/shop",
        &[
            "origin: https://a.example",
            "access-control-request-method: GET",
        ],
    ),
    (
        "OPTIONS",
        "/shop",
        &[
            "origin: https://a.example",
            "access-control-request-method: P T",
        ],
    ),
    ("OPTIONS", "/shop", &["access-control-request-method: PUT"]),
    ("OPTIONS", "/shop", &["origin: https://a.example"]),
    ("OPTIONS", "/shop", &[]),
    ("PUT", "/shop", &["origin: https://a.example"]),
    // Methods.
    ("TRACE", "/", &[]),
    ("TRACE", "/", &["max-forwards: 0"]),
    ("TRACE", "/", &["max-forwards: 1"]),
    ("OPTIONS", "/", &["max-forwards: 0"]),
    ("OPTIONS", "/", &["max-forwards: some"]),
    ("get", "/shop", &[]),
    ("BREW", "/shop", &[]),
    // Fields.
    ("GET", "/h", &["x-a: 1", "x-a: 2"]),
    ("GET", "/h", &["x-a: 2", "x-a: 1"]),
    ("GET", "/h", &["x-a: 1, 2"]),
    ("GET", "/h", &["X-A:2"]),
    ("GET", "/h", &["x-a : 1"]),
    ("GET", "/h", &["x a: 1"]),
    ("GET", "/h", &["x-a: \u{1}"]),
    ("GET", "/h", &["x-a: é"]),
    ("GET", "/h", &["x-forwarded-proto: https"]),
    ("GET", "/h", &["x_b: 1"]),
    ("GET", "/h", &["x-hop: 1"]),
    ("GET", "/h", &["connection: close, x-hop", "x-hop: 1"]),
    ("GET", "/h", &["connection: close, host"]),
    ("GET", "/q", &["cookie: a=1", "cookie: b=2"]),
    ("GET", "/q", &["cookie: b=2; a=1"]),
    ("GET", "/", &["content-length: 1", "content-length: 1"]),
    (
        "GET",
        "/",
        &["content-length: 1", "transfer-encoding: chunked"],
    ),
    ("GET", "/", &["content-length: -1"]),
    ("GET", "/", &["transfer-encoding: gzip"]),
    (
        "POST",
        "/",
        &[
            "content-type: application/grpc",
            "te: trailers",
            "grpc-timeout: soon",
        ],
    ),
    ("GET", "/s", &[]),
    (
        "GET",
        "/",
        &[
            "via: 1.1 wiregate, 1.1 wiregate, 1.1 wiregate, 1.1 wiregate, 1.1 wiregate, \
                    1.1 wiregate, 1.1 wiregate, 1.1 wiregate, 1.1 wiregate",
        ],
    ),
    // Hosts.
    ("GET", "/", &["host: api.example.com:8443"]),
    ("GET", "/", &["host: API.example.com."]),
    ("GET", "/", &["host: a.example.com"]),
    ("GET", "/", &["host: [2001:db8::1]"]),
    ("GET", "/", &["host: [2001:DB8::1]:8080"]),
    ("GET", "/", &["host: [2001:db8:0::1]"]),
    ("GET", "/", &["host: 2001:db8::1"]),
    ("GET", "/", &["host:"]),
    ("GET", "/", &["host: a b"]),
    ("GET", "/", &["host: ann@api.example.com"]),
    ("GET", "/", &["host: api.example.com:port"]),
    (
        "GET",
        "/",
        &["host: api.example.com", "host: api.example.com"],
    ),
    ("GET", "/", &["Host: api.example.com", "hOsT: x.example"]),
];

/// What a request comes to: the route that takes it, or the status and the word of the gateway's own
/// answer.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Taken(String),
    Answered(u64, Option<String>),
}

fn explained(gateway: &Gateway, method: &str, target: &str, fields: &[String]) -> End {
    let fields = fields.iter().flat_map(|field| ["-H", field]);
    let arguments: Vec<&str> = ["--format", "json", method, target]
        .into_iter()
        .chain(fields)
        .collect();
    let output = explain(gateway, &arguments);
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{arguments:?}: {output:?}"));
    let code = output.status.code();
    match told["route"]["name"].as_str() {
        Some(name) => {
            assert_eq!(code, Some(0), "{arguments:?}");
            End::Taken(name.to_owned())
        }
        None => {
            assert_eq!(code, Some(1), "{arguments:?}");
            let refusal = &told["refusal"];
            let reason = refusal["reason"].as_str().map(str::to_owned);
            End::Answered(refusal["status"].as_u64().unwrap(), reason)
        }
    }
}

/// What the access log tells of the last of so many requests.
fn logged(gateway: &Gateway, count: usize, said: &End) -> End {
    let line = gateway.access_log(count).pop().unwrap();
    let status = line["status"].as_u64().unwrap();
    let route = line["route"].as_str();
    // Where the gateway answers a request that has a route by itself, its line has the route, and mostly
    // an error.
    let by_itself = !line["error"].is_null() && line["refused_by"].is_null();
    match (route, said) {
        (Some(route), End::Taken(_)) if !by_itself => End::Taken(route.to_owned()),
        _ => End::Answered(status, line["error"].as_str().map(str::to_owned)),
    }
}

#[test]
fn the_gateway_does_what_it_says_of_odd_requests() {
    let gateway = Gateway::start(ROUTES);
    let mut ends = BTreeSet::new();
    let long = format!("x-long: {}", "x".repeat(5000));
    let path = format!("/{}", "x".repeat(5000));
    let many: Vec<_> = (0..100).map(|n| format!("x-{n}: 1")).collect();
    let mut requests: Vec<(&str, &str, Vec<String>)> = (REQUESTS.iter())
        .map(|(method, target, fields)| {
            let fields = fields.iter().map(|field| (*field).to_owned());
            (*method, *target, fields.collect())
        })
        .collect();
    requests.push(("GET", "/", vec![long]));
    requests.push(("GET", &path, Vec::new()));
    requests.push(("GET", "/", many));
    assert!(requests.len() > 70);
    for (number, (method, target, mut fields)) in requests.into_iter().enumerate() {
        let has = |name: &str, fields: &[String]| {
            let begins = |field: &String| field.to_lowercase().starts_with(&format!("{name}:"));
            fields.iter().any(begins)
        };
        if !has("host", &fields) {
            fields.insert(0, "host: x.example".to_owned());
        }
        if !has("connection", &fields) {
            fields.push("connection: close".to_owned());
        }
        let sent = format!(
            "{method} {target} HTTP/1.1\r\n{}\r\n\r\n",
            fields.join("\r\n")
        );
        raw(gateway.address(), sent.as_bytes());
        let said = explained(&gateway, method, target, &fields);
        let done = logged(&gateway, number + 1, &said);
        assert_eq!(said, done, "{}", sent.escape_debug());
        ends.insert(said);
    }
    let routes = |end: &&End| matches!(end, End::Taken(_));
    // All that can be won without TLS and a trusted proxy.
    let won: Vec<_> = ends.iter().filter(routes).collect();
    assert!(won.len() >= 12, "{won:?}");
    assert!(ends.len() - won.len() >= 6, "{ends:?}");
}

#[test]
fn it_is_the_same_over_http2() {
    let gateway = Gateway::start(ROUTES);
    let mut count = 0;
    for (method, target, authority) in [
        ("GET", "/", "api.example.com"),
        ("GET", "/", "API.example.com:8443"),
        ("GET", "/", "a.example.com"),
        ("GET", "/", "[2001:db8::1]"),
        ("GET", "/", "[2001:DB8::1]:80"),
        ("GET", "/caf%c3%a9", "x.example"),
        ("GET", "/a%20b", "x.example"),
        ("GET", "/../a", "x.example"),
        ("GET", "/q?a=b+c", "x.example"),
        ("DELETE", "/shop", "x.example"),
        ("TRACE", "/", "x.example"),
    ] {
        let host = format!("host: {authority}");
        let url = gateway.url(target);
        curl(&[
            "--http2-prior-knowledge",
            "--path-as-is",
            "-X",
            method,
            "-H",
            &host,
            &url,
        ]);
        count += 1;
        let url = format!("http://{authority}{target}");
        let said = explained(&gateway, method, &url, &[]);
        assert_eq!(said, logged(&gateway, count, &said), "{method} {url}");
    }
}
