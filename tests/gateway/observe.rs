//! What operators see: metrics, the access log, probes, the running configuration, request ids.

mod access_log;
mod admin;
mod exposition;
mod featured;
mod grafana;
mod lines;
mod metrics;
mod rules;
mod scraping;

use std::collections::HashSet;

use super::harness::{Answer, Gateway, curl, echo, raw, upstream};

const ROUTES: &str = "routes:\n  \
    - { name: open, match: { path: /open/** }, filters: [headers: { request: { remove: cookie } }], upstream: app }\n  \
    - { name: closed, match: { path: /closed/** }, filters: [ip: { deny: 127.0.0.0/8 }], upstream: app }\n  \
    - { name: small, match: { path: /small/** }, filters: [body_limit: 10], upstream: app }\n  \
    - { name: dead, match: { path: /dead/** }, upstream: dead }\n";

/// A gateway with a route of each kind, and an origin behind it.
fn gateway() -> (Gateway, wiregate::echo::Echo) {
    let origin = echo();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let app = upstream(&origin);
    let upstreams = app.trim_end().trim_end_matches('}').to_owned();
    let text = format!("{upstreams}, dead: {{ endpoints: [\"{nobody}\"] }} }}\n{ROUTES}");
    (Gateway::start(&text), origin)
}

/// Asks 64 times, over one connection and with these fields, as lines. The time in filters is measured
/// for one request of 32.
pub fn ask_often(gateway: &Gateway, path: &str, fields: &str) {
    let ask = |more: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n{fields}{more}\r\n");
    let all = ask("").repeat(63) + &ask("connection: close\r\n");
    let answers = raw(gateway.address(), all.as_bytes());
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 64, "{answers}");
}

#[test]
fn trace_context_is_passed_on_unchanged() {
    let (gateway, _origin) = gateway();
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let state = "tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let seen = curl(&[version, "-H", parent, "-H", state, &gateway.url("/open/a")]).json();
        for field in [parent, state] {
            let (name, value) = field.split_once(": ").unwrap();
            assert_eq!(seen["headers"][name], value);
        }
    }
}

#[test]
fn every_reply_has_the_id_that_the_log_and_the_problem_have() {
    let (gateway, _origin) = gateway();
    let url = |path: &str| gateway.url(path);
    let replies: Vec<(u16, Answer)> = vec![
        (200, curl(&[&url("/open/a")])),
        (503, curl(&[&url("/open/a?status=503")])),
        (200, curl(&["--http2-prior-knowledge", &url("/open/a")])),
        (200, curl(&["-I", &url("/open/a")])),
        (403, curl(&[&url("/closed/a")])),
        (404, curl(&[&url("/nowhere")])),
        (404, curl(&["--http2-prior-knowledge", &url("/nowhere")])),
        (502, curl(&[&url("/dead/a")])),
        (502, curl(&[&url("/open/a?fail=close")])),
        (413, curl(&["-d", "far too long", &url("/small/a")])),
        (400, curl(&["--path-as-is", &url("/open/%zz")])),
        (400, curl(&["--path-as-is", &url("/open/a%2Fb")])),
    ];
    let log = gateway.access_log(replies.len());
    let mut ids = HashSet::new();
    for (number, (status, reply)) in replies.iter().enumerate() {
        assert_eq!(reply.status, *status, "{number}: {}", reply.text());
        let id = reply.header("x-request-id");
        assert_eq!(id.len(), 36, "{status}: {id:?}");
        assert!(ids.insert(id), "{id} is there twice");
        assert_eq!(log[number]["request_id"], id);
        assert_eq!(log[number]["status"], *status);
        if reply.header("content-type") == "application/problem+json" {
            assert_eq!(reply.json()["instance"], format!("urn:request:{id}"));
            assert_eq!(reply.json()["status"], *status);
            let reason = log[number]["error"].as_str().unwrap();
            assert_eq!(reply.json()["type"], format!("urn:wiregate:{reason}"));
        } else {
            assert!([200, 503].contains(status), "{status}: {}", reply.text());
        }
    }
    // An id that the client sends is not the gateway's.
    let answer = curl(&["-H", "x-request-id: mine", &url("/open/a")]);
    assert_ne!(answer.header("x-request-id"), "mine");
    // What is no request has no id, but gets an answer.
    let answer = raw(gateway.address(), b"GET /a HTTP/1.1\r\nno colon\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
