//! `mode: observe`, of this filter and of others.

use serde_json::json;

use super::super::{filtering, forwarding, saw};
use crate::harness::wiregate;

#[test]
fn an_observed_limit_is_counted_and_logged_and_nobody_notices() {
    let (gateway, _origin) = filtering("rate_limit: { limit: 2/h, mode: observe }");
    for _ in 0..5 {
        let answer = gateway.ask("/", &[]);
        assert_eq!((answer.status, answer.header("ratelimit")), (200, ""));
    }
    gateway.counts("runs", "all", "rate_limit", 5.0);
    gateway.counts("observed", "all", "rate_limit", 3.0);
    gateway.counts("refusals", "all", "rate_limit", 0.0);
    let observed: Vec<_> = (gateway.access_log(5).iter())
        .map(|line| json!([line["observed"], line["refused_by"], line["error"]]))
        .collect();
    let would = json!({ "rate_limit": "rate_limited" });
    let passed = json!([null, null, null]);
    let refused = json!([would, null, null]);
    let expected = [&passed, &passed, &refused, &refused, &refused];
    assert_eq!(observed.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_decided_without_room_is_counted_refused_or_not() {
    let (gateway, _origin) =
        filtering("rate_limit: { limit: 1/h, by: 'request.headers[\"x-key\"]', keys: 1 }");
    for (key, status) in [("a", 200), ("b", 200), ("c", 429)] {
        let answer = gateway.ask("/", &["-H", &format!("x-key: {key}")]);
        assert_eq!(answer.status, status, "{key}");
    }
    gateway.counts("runs", "all", "rate_limit", 3.0);
    gateway.counts("refusals", "all", "rate_limit", 1.0);
    gateway.counts("degraded", "all", "rate_limit", 2.0);
}

const SEVERAL: &str = r#"
filters:
  keys: { api_key: { keys: [{ name: ann, key: "${env:KEY_OF_ANN}" }], mode: observe } }
routes:
  - name: all
    match: { methods: [GET, POST] }
    filters:
      - ip: { deny: 127.0.0.0/8, mode: observe }
      - cors: { origins: "https://a.test", mode: observe }
      - keys
      - body_limit: { limit: 10B, mode: observe }
      - headers: { request: { set: { x-a: b } }, mode: observe }
      - rewrite: { path: /other, mode: observe }
      - compress: { min_size: 1, mode: observe }
      - rate_limit: { limit: 1/h, by: consumer }
    upstream: app
"#;

#[test]
fn whatever_observed_filters_would_do_they_do_not() {
    let (gateway, _origin) = forwarding(SEVERAL);
    let origin = [
        "-H",
        "origin: https://a.test",
        "-H",
        "accept-encoding: gzip",
    ];
    let body = ["-d", "more than ten bytes"];
    let answer = gateway.ask("/here", &[&origin[..], &body].concat());
    assert_eq!(saw(&answer, "x-a"), serde_json::Value::Null);
    assert_eq!(answer.json()["path"], "/here");
    for field in ["content-encoding", "access-control-allow-origin", "vary"] {
        assert_eq!(answer.header(field), "", "{field}");
    }
    // Who is calling stays, for those behind that are enforced.
    for status in [200, 429] {
        let key = ["-H", "x-api-key: anns-key-0123456789"];
        assert_eq!(gateway.ask("/", &key).status, status);
    }
    let log = gateway.access_log(3);
    let observed = json!({
        "ip": log[0]["observed"]["ip"], "keys": "missing_api_key", "body_limit": "body_too_large",
    });
    assert_eq!(log[0]["observed"], observed);
    assert!(log[0]["observed"]["ip"].is_string());
    assert_eq!(
        (&log[1]["identity"], &log[2]["refused_by"]),
        (&"ann".into(), &"rate_limit".into())
    );
    gateway.counts("observed", "all", "keys", 1.0);
    gateway.counts("observed", "all", "ip", 3.0);
    // Nobody here answers preflights.
    let preflight = ["-X", "OPTIONS", "-H", "access-control-request-method: GET"];
    assert_eq!(
        gateway
            .ask("/", &[&origin[..2], &preflight].concat())
            .status,
        404
    );
}

#[test]
fn explain_tells_which_filters_are_only_observed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let text = "version: 1\nlisteners: { public: { bind: \"127.0.0.1:0\" } }\nroutes:\n\
                - name: all\n  filters:\n  - rate_limit: { limit: 1/h, mode: observe }\n  \
                - ip: { deny: 10.0.0.1, mode: enforce }\n  - respond: ok\n";
    std::fs::write(&file, text).unwrap();
    let explain = |more: &[&str]| {
        let mut command = wiregate(&["explain", "--config"]);
        let output = command
            .arg(&file)
            .args(more)
            .args(["GET", "/"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let said = explain(&[]);
    let line = said
        .lines()
        .find(|line| line.contains("rate_limit"))
        .expect(&said);
    assert!(line.contains("only observed"), "{said}");
    assert_eq!(said.matches("only observed").count(), 1, "{said}");
    let said: serde_json::Value = serde_json::from_str(&explain(&["--format", "json"])).unwrap();
    let modes = [0, 1, 2].map(|at| said["route"]["filters"][at]["mode"].as_str().unwrap());
    assert_eq!(modes, ["observe", "enforce", "enforce"]);
}

#[test]
fn what_always_answers_cannot_be_observed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let text = "version: 1\nlisteners: { public: { bind: \"127.0.0.1:0\" } }\nroutes:\n\
                - name: all\n  filters:\n  - respond: { status: 204, mode: observe }\n";
    std::fs::write(&file, text).unwrap();
    let output = wiregate(&["check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let said =
        String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("`respond` answers every request"), "{said}");
}
