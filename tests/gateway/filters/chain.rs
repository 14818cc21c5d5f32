//! Several filters on one route: their order, what they tell of each other, and who is counted.

use serde_json::json;
use wiregate::gateway::{Failure, Gateway as Embedded};
use wiregate::{Build, Deserialize, Filter, Flow, Invalid, JsonSchema, Request};

use super::{curl_with, forwarding, reason, saw};

const ALL: &str = r#"
filters:
  keys: { api_key: { keys: [{ name: ann, key: "${env:KEY_OF_ANN}" }, { name: bob, key: "${env:KEY_OF_BOB}" }] } }
  per_user: { rate_limit: { limit: 2/h, by: consumer } }
all_routes:
  filters:
    - request_id
    - headers: { response: { set: { x-outer: "${response.status}" } } }
routes:
  - name: orders
    match: { path: /orders/** }
    filters:
      - compress: { min_size: 10 }
      - cors: { origins: "*" }
      - body_limit: 1KiB
      - keys
      - per_user
      - headers: { request: { set: { x-user: "${identity.name}" } }, response: { set: { x-inner: "${response.status}" } } }
      - rewrite: { strip_prefix: /orders }
    upstream: app
  - { name: other, filters: [keys], upstream: app }
"#;

#[test]
fn a_chain_runs_in_order_and_climbs_back_from_where_it_ends() {
    let (gateway, _origin) = forwarding(ALL);
    let ann = [
        "-H",
        "x-api-key: anns-key-0123456789",
        "-H",
        "origin: https://a.test",
    ];
    let gzip = ["--compressed", "-H", "accept-encoding: gzip"];
    let answer = gateway.ask("/orders/1", &[&ann[..], &gzip].concat());
    assert_eq!(saw(&answer, "x-user"), "ann");
    assert_eq!(saw(&answer, "x-request-id"), answer.header("x-request-id"));
    assert_eq!(answer.json()["path"], "/1");
    for (field, value) in [
        ("x-outer", "200"),
        ("x-inner", "200"),
        ("content-encoding", "gzip"),
        ("access-control-allow-origin", "*"),
        ("ratelimit-policy", "\"per_user\";q=2;w=3600"),
    ] {
        assert_eq!(answer.header(field), value, "{field}");
    }
    // A refusal is seen by those before it, and by nobody behind it.
    let answer = gateway.ask("/orders/1", &gzip);
    assert_eq!((answer.status, &*reason(&answer)), (401, "missing_api_key"));
    for (field, value) in [
        ("x-outer", "401"),
        ("x-inner", ""),
        ("content-encoding", "gzip"),
        ("access-control-allow-origin", "*"),
        ("ratelimit-policy", ""),
    ] {
        assert_eq!(answer.header(field), value, "{field}");
    }
    let url = gateway.url("/orders/1");
    let answer = curl_with(&["-d", "@-", &url], &[b'x'; 2048]);
    assert_eq!((answer.status, &*reason(&answer)), (413, "body_too_large"));
    assert_eq!(gateway.ask("/orders/1", &ann).status, 200);
    assert_eq!(gateway.ask("/orders/1", &ann).status, 429);
    let bob = ["-H", "x-api-key: bobs-key-0123456789"];
    assert_eq!(gateway.ask("/orders/1", &bob).status, 200);
    let other = gateway.ask("/other", &[]);
    assert_eq!((other.status, other.header("x-outer")), (401, "401"));

    let ended: Vec<_> = (gateway.access_log(7).iter())
        .map(|line| {
            json!([
                line["route"],
                line["refused_by"],
                line["identity"],
                line["status"]
            ])
        })
        .collect();
    let none = serde_json::Value::Null;
    assert_eq!(
        ended,
        [
            json!(["orders", none, "ann", 200]),
            json!(["orders", "keys", none, 401]),
            json!(["orders", "body_limit", none, 413]),
            json!(["orders", none, "ann", 200]),
            json!(["orders", "per_user", "ann", 429]),
            json!(["orders", none, "bob", 200]),
            json!(["other", "keys", none, 401]),
        ]
    );
    for (filter, runs, refusals) in [
        ("request_id", 6.0, 0.0),
        ("headers", 6.0, 0.0),
        ("body_limit", 6.0, 1.0),
        ("keys", 5.0, 1.0),
        ("per_user", 4.0, 1.0),
        ("headers#2", 3.0, 0.0),
        ("rewrite", 3.0, 0.0),
    ] {
        gateway.counts("runs", "orders", filter, runs);
        gateway.counts("refusals", "orders", filter, refusals);
    }
    gateway.counts("refusals", "other", "keys", 1.0);
}

#[test]
fn an_answer_is_no_refusal() {
    let (gateway, _origin) = forwarding(
        "routes: [{ name: here, match: { path: /here }, filters: [respond: { status: 404, body: none }] }, \
         { name: there, match: { path: /there }, filters: [redirect: /here] }]",
    );
    assert_eq!(gateway.ask("/here", &[]).status, 404);
    assert_eq!(gateway.ask("/there", &[]).status, 307);
    for (route, filter) in [("here", "respond"), ("there", "redirect")] {
        gateway.counts("answers", route, filter, 1.0);
        gateway.counts("refusals", route, filter, 0.0);
    }
    for line in gateway.access_log(2) {
        assert_eq!(line["refused_by"], serde_json::Value::Null, "{line}");
    }
}

/// A filter of somebody else's that was not tried with this option.
struct Brittle;

#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct Divisor(u32);

impl Filter for Brittle {
    const NAME: &'static str = "brittle";
    type Config = Divisor;
    type State = ();

    fn build(config: Divisor, _: &mut Build<'_>) -> Result<Self, Invalid> {
        assert!(config.0 != 0, "no division by zero");
        Ok(Self)
    }

    async fn request(&self, _: &mut Request<'_>, (): &mut ()) -> Flow {
        Ok(())
    }
}

#[test]
fn a_filter_that_panics_while_it_is_built_is_a_problem_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let text = "version: 1\nlisteners: { public: { bind: \"127.0.0.1:0\" } }\nroutes:\n  \
                - name: all\n    filters:\n    - brittle: 0\n    - respond: { stats: 1 }\n";
    std::fs::write(&file, text).unwrap();
    let registry = wiregate::filters::all().add::<Brittle>();
    let Err(Failure::Refused(refused)) = Embedded::start(registry, file) else {
        panic!("a filter that cannot be built was taken");
    };
    let problems: Vec<_> = (refused.problems.iter())
        .map(|problem| (problem.place.line, problem.message.as_str()))
        .collect();
    assert_eq!(
        problems[0],
        (6, "the filter `brittle` panicked: no division by zero")
    );
    assert_eq!(
        (problems.len(), problems[1].0),
        (2, 7),
        "the others are told as well"
    );
}
