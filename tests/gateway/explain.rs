//! `wiregate explain`: what it says, and that a gateway does the same.

mod agrees;

use std::fmt::Write as _;
use std::process::Output;

use serde_json::Value;

use super::harness::{Gateway, curl, wiregate};

/// A configuration with the names of its routes as their answers. A route that asks for more than
/// another of the same host and path stands behind it, so that the file's order does not help.
const TABLE: &str = r#"
encoded_slash: keep
routes:
  - { name: any, filters: [respond: any] }
  - { name: prefix, match: { path: /a/** }, filters: [respond: prefix] }
  - { name: param, match: { path: "/a/{id}" }, filters: [respond: param] }
  - { name: star, match: { path: /a/*/c }, filters: [respond: star] }
  - { name: exact, match: { path: /a/b }, filters: [respond: exact] }
  - { name: deep, match: { path: "/a/{x}/c/**" }, filters: [respond: deep] }
  - { name: regex, match: { path: "~ ^/v(?<major>[0-9]+)/.*$" }, filters: [respond: regex] }
  - { name: host, match: { host: api.example.com }, filters: [respond: host] }
  - { name: below, match: { host: "*.example.com", path: [/a/b, /w/**] }, filters: [respond: below] }
  - { name: nearer, match: { host: "*.eu.example.com", path: /w/** }, filters: [respond: nearer] }
  - { name: post, match: { path: /m, methods: [POST, PUT] }, filters: [respond: post] }
  - { name: every, match: { path: /m }, filters: [respond: every] }
  - { name: header, match: { path: /h, headers: { x-env: { prefix: te } } }, filters: [respond: header] }
  - { name: headers, match: { path: /h, headers: { x-env: test, x-b: { present: true } } }, filters: [respond: headers] }
  - { name: query, match: { path: /h, query: { v: { regex: "[0-9]+" } } }, filters: [respond: query] }
  - { name: cookie, match: { path: /h, cookies: { beta: "1" } }, filters: [respond: cookie] }
  - { name: client, match: { path: /c, client: 127.0.0.0/8 }, filters: [respond: client] }
  - { name: elsewhere, match: { path: /c, client: 10.0.0.1 }, filters: [respond: elsewhere] }
  - { name: even, match: { path: /n, when: "int(request.headers['x-n']) % 2 == 0" }, filters: [respond: even] }
  - { name: low, match: { path: "/p/{a}", headers: { x-l: "1" } }, filters: [respond: low] }
  - { name: high, match: { path: "/p/{b}", headers: { x-h: "1" } }, priority: 1, filters: [respond: high] }
"#;

/// Method, target, host and further fields.
const REQUESTS: [(&str, &str, &str, &[&str]); 49] = [
    ("GET", "/", "x.example", &[]),
    ("GET", "/a", "x.example", &[]),
    ("GET", "/a/", "x.example", &[]),
    ("GET", "/a/b", "x.example", &[]),
    ("GET", "/a/b/", "x.example", &[]),
    ("GET", "/a/x", "x.example", &[]),
    ("GET", "/a/x/c", "x.example", &[]),
    ("GET", "/a/x/c/d", "x.example", &[]),
    ("GET", "/a/x/d", "x.example", &[]),
    ("GET", "/ab", "x.example", &[]),
    ("GET", "/A/b", "x.example", &[]),
    ("GET", "/a//b", "x.example", &[]),
    ("GET", "/a/./b", "x.example", &[]),
    ("GET", "/a/x/../b", "x.example", &[]),
    ("GET", "/a/%2e%2E/a/b", "x.example", &[]),
    ("GET", "/%61/%62", "x.example", &[]),
    ("GET", "/a/x%2fc", "x.example", &[]),
    ("GET", "/a/x%5cc", "x.example", &[]),
    ("GET", "/../a", "x.example", &[]),
    ("GET", "/a/%00", "x.example", &[]),
    ("GET", "/a/%zz", "x.example", &[]),
    ("GET", "/a/b?x=/a/c", "x.example", &[]),
    ("GET", "/v2/x", "x.example", &[]),
    ("GET", "/vx/x", "x.example", &[]),
    ("GET", "/a/b", "api.example.com", &[]),
    ("GET", "/a/b", "API.Example.com:81", &[]),
    ("GET", "/a/b", "api.example.com.", &[]),
    ("GET", "/a/b", "shop.example.com", &[]),
    ("GET", "/a/b", "example.com", &[]),
    ("GET", "/w/1", "a.b.example.com", &[]),
    ("GET", "/w/1", "a.eu.example.com", &[]),
    ("GET", "/w/1", "eu.example.com", &[]),
    ("GET", "/z", "a.eu.example.com", &[]),
    ("GET", "/m", "x.example", &[]),
    ("POST", "/m", "x.example", &[]),
    ("DELETE", "/m", "x.example", &[]),
    ("GET", "/h", "x.example", &[]),
    ("GET", "/h", "x.example", &["x-env: tent"]),
    ("GET", "/h", "x.example", &["x-env: test", "x-b: 0"]),
    ("GET", "/h", "x.example", &["x-env: tesT", "x-b: 0"]),
    ("GET", "/h?v=12", "x.example", &[]),
    ("GET", "/h?v=1a", "x.example", &["cookie: a=2; beta=1"]),
    (
        "GET",
        "/h?v=1",
        "x.example",
        &["x-env: te", "cookie: beta=1"],
    ),
    ("GET", "/c", "x.example", &[]),
    ("GET", "/n", "x.example", &["x-n: 2"]),
    ("GET", "/n", "x.example", &["x-n: 3"]),
    ("GET", "/n", "x.example", &["x-n: two"]),
    ("GET", "/p/1", "x.example", &["x-l: 1"]),
    ("GET", "/p/1", "x.example", &["x-l: 1", "x-h: 1"]),
];

fn explain(gateway: &Gateway, arguments: &[&str]) -> Output {
    let config = gateway.file("wiregate.yaml");
    let arguments = [
        &["explain", "--config", config.to_str().unwrap()],
        arguments,
    ]
    .concat();
    wiregate(&arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_gateway_does_what_it_says() {
    let gateway = Gateway::start(TABLE);
    let mut winners = std::collections::BTreeSet::new();
    for (method, target, host, fields) in REQUESTS {
        let host = format!("host: {host}");
        let mut asked: Vec<_> = fields.iter().flat_map(|field| ["-H", field]).collect();
        asked.extend(["-H", &host]);
        let url = gateway.url(target);
        let answer = curl(&[&["-X", method, "--path-as-is", &url][..], &asked].concat());
        let output = explain(
            &gateway,
            &[&["--format", "json", method, target][..], &asked].concat(),
        );
        let what = format!("{method} {target} {asked:?}");
        let explained: Value = serde_json::from_slice(&output.stdout).expect(&what);
        if let Some(name) = explained["route"]["name"].as_str() {
            assert_eq!((answer.status, answer.text().trim()), (200, name), "{what}");
            assert_eq!(output.status.code(), Some(0), "{what}");
            winners.insert(name.to_owned());
        } else {
            let refusal = &explained["refusal"];
            assert_eq!(refusal["status"], answer.status, "{what}");
            let reason = format!("urn:wiregate:{}", refusal["reason"].as_str().unwrap());
            assert_eq!(answer.json()["type"], *reason, "{what}");
            assert_eq!(output.status.code(), Some(1), "{what}");
            winners.insert(reason);
        }
    }
    // All but the one for another client, and both refusals that this table can give.
    let routes = TABLE.matches("name: ").count() - 1;
    assert_eq!(winners.len(), routes + 2, "{winners:?}");
}

const SHOP: &str = r#"
upstreams:
  orders:
    endpoints: ["127.0.0.1:9001", { address: "127.0.0.1:9002", weight: 2 }]
filters:
  partners: { ip: { allow: 10.0.0.0/8 } }
all_routes:
  filters: [request_id: {}]
routes:
  - name: orders
    match: { host: api.example.com, path: "/orders/{id}", methods: GET }
    filters:
      - partners
      - headers: { request: { set: { x-a: b } } }
      - headers: { request: { set: { x-b: c } } }
    upstream: orders
  - name: all-orders
    match: { host: api.example.com, path: /orders/** }
    upstream: orders
  - name: cancelled
    match: { host: api.example.com, path: "/orders/{id}", methods: DELETE }
    filters: [respond: 204]
  - name: beta
    match:
      host: api.example.com
      path: "/orders/{id}"
      methods: GET
      headers: { x-beta: "1" }
    upstream: orders
"#;

#[test]
fn says_who_wins_and_why_and_what_would_run() {
    let gateway = Gateway::start(SHOP);
    let file = gateway.file("wiregate.yaml").display().to_string();
    let line = |text: &str| {
        let config = std::fs::read_to_string(&file).unwrap();
        let at = config.lines().position(|line| line.contains(text)).unwrap();
        format!("{file}:{}", at + 1)
    };
    let url = "http://API.example.com:8080/x/..//orders/a%20b?q=1";
    let output = explain(&gateway, &["GET", url, "--client", "10.0.0.9"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = said(&output);
    let mut expected = String::new();
    let mut row = |cells: &[&str]| writeln!(expected, "{}", cells.join(" ")).unwrap();
    row(&["GET /x/..//orders/a%20b?q=1 for api.example.com from 10.0.0.9"]);
    row(&["its path is taken as /orders/a%20b"]);
    row(&[]);
    row(&["taken by route orders", &line("name: orders")]);
    row(&["host api.example.com"]);
    row(&["path /orders/{id}"]);
    row(&["{id} a b"]);
    row(&[]);
    row(&["filters, in the order in which they see the request"]);
    row(&["1 request_id", &line("request_id")]);
    row(&["2 partners (ip)", &line("- partners")]);
    row(&["3 headers", &line("x-a")]);
    row(&["4 headers#2 (headers)", &line("x-b")]);
    row(&[]);
    row(&["upstream orders"]);
    row(&["127.0.0.1:9001"]);
    row(&["127.0.0.1:9002 weight 2"]);
    row(&[]);
    row(&["routes that come close"]);
    let absent = "header x-beta is absent, expected `1`";
    row(&["beta", absent, &line("name: beta")]);
    let method = "method GET is not in [DELETE]";
    row(&["cancelled", method, &line("name: cancelled")]);
    let prefix =
        "less specific: path prefix `/orders/**` against path with parameters `/orders/{id}`";
    row(&["all-orders", prefix, &line("name: all-orders")]);
    let squeezed: String = (text.lines())
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n")
        .collect();
    assert_eq!(squeezed, expected, "{text}");
}

#[test]
fn says_the_same_as_data() {
    let gateway = Gateway::start(SHOP);
    let url = "https://api.example.com/orders/7";
    let output = explain(&gateway, &["DELETE", url, "--format", "json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["request"]["path"], "/orders/7");
    assert_eq!(told["request"]["client"], "127.0.0.1");
    let route = &told["route"];
    assert_eq!(route["name"], "cancelled");
    assert_eq!(route["params"], serde_json::json!({ "id": "7" }));
    assert_eq!(route["upstream"], Value::Null);
    let filters = route["filters"].as_array().unwrap();
    let words: Vec<_> = filters.iter().map(|filter| &filter["filter"]).collect();
    assert_eq!(words, ["request_id", "respond"]);
    assert_eq!(filters[1]["answers"], true);
    let misses = told["near_misses"].as_array().unwrap();
    let names: Vec<_> = misses.iter().map(|miss| &miss["name"]).collect();
    assert_eq!(names, ["beta", "orders", "all-orders"]);
    assert_eq!(told["refusal"], Value::Null);
    let text = said(&explain(&gateway, &["DELETE", url]));
    assert!(text.contains("no upstream: respond answers"), "{text}");
}

#[test]
fn a_request_that_would_be_refused_is_a_no() {
    let gateway = Gateway::start(SHOP);
    for (url, answer) in [
        (
            "/orders/7",
            "answered with 404 (no_route)  no route takes this request",
        ),
        (
            "/a/%00",
            "answered with 400 (invalid_path)  expected a path without control characters",
        ),
        (
            "http://api.example.com/../x",
            "answered with 400 (invalid_path)  expected a path that stays",
        ),
    ] {
        let output = explain(&gateway, &["GET", url]);
        assert_eq!(output.status.code(), Some(1), "{url}");
        assert!(said(&output).contains(answer), "{}", said(&output));
        assert_eq!(output.stderr, b"", "{url}");
    }
    let close = said(&explain(&gateway, &["GET", "/orders/7"]));
    assert!(
        close.contains("host `` is not `api.example.com`"),
        "{close}"
    );
}

#[test]
fn mistakes_are_told_apart_from_a_no() {
    let gateway = Gateway::start(SHOP);
    for wrong in [
        &["GET", "/", "-H", "no colon"][..],
        &["G T", "/"],
        &["GET"],
        &["GET", "/", "--client", "me"],
        &["GET", "/a\nb"],
    ] {
        let output = explain(&gateway, wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert_eq!(said(&output), "");
    }
    let output = explain(&gateway, &["GET", "api.example.com/x"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.starts_with("wiregate: expected `http://host/path`"),
        "{error}"
    );
    std::fs::write(gateway.file("wiregate.yaml"), "version: 2\n").unwrap();
    let output = explain(&gateway, &["GET", "/"]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(said(&output), "");
}
