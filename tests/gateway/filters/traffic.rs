//! `rate_limit` in a running gateway.

use super::{filtering, forwarding, reason};
use crate::harness::Answer;

fn left(answer: &Answer) -> (u16, u32) {
    let field = answer.header("ratelimit").to_owned();
    let rest = field.split_once(";r=").expect(&field).1;
    let left = rest.split(';').next().unwrap().parse().unwrap();
    (answer.status, left)
}

#[test]
fn rate_limit_refuses_with_the_fields_that_say_when_to_come_back() {
    let (gateway, _origin) = filtering("rate_limit: { limit: 2/h, headers: both }");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = gateway.ask("/", &[version]);
        assert_eq!(answer.status, 200);
        let policy = "\"rate_limit\";q=2;w=3600";
        assert_eq!(answer.header("ratelimit-policy"), policy);
        assert_eq!(answer.header("x-ratelimit-limit"), "2");
    }
    let answer = gateway.ask("/", &[]);
    assert_eq!(
        (left(&answer), &*reason(&answer)),
        ((429, 0), "rate_limited")
    );
    let wait: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1700..=1800).contains(&wait), "{wait}");
    assert_eq!(answer.header("x-ratelimit-remaining"), "0");
    assert_eq!(answer.json()["violated-policies"][0], "rate_limit");
    gateway.counts("runs", "all", "rate_limit", 3.0);
    gateway.counts("refusals", "all", "rate_limit", 1.0);
    let line = gateway.access_log(3).pop().unwrap();
    assert_eq!(
        (&line["refused_by"], &line["error"]),
        (&"rate_limit".into(), &"rate_limited".into())
    );
}

#[test]
fn rate_limit_counts_each_key_for_itself() {
    let (gateway, _origin) =
        filtering(r#"rate_limit: { limit: 1/h, by: "request.headers['x-tenant']" }"#);
    for tenant in ["x-tenant: a", "x-tenant: b"] {
        assert_eq!(
            left(&gateway.ask("/", &["-H", tenant])),
            (200, 0),
            "{tenant}"
        );
        assert_eq!(
            left(&gateway.ask("/", &["-H", tenant])),
            (429, 0),
            "{tenant}"
        );
    }
    assert_eq!(gateway.ask("/", &["-H", "x-tenant: c"]).status, 200);
}

const SHARED: &str = r#"
filters: { quota: { rate_limit: 3/h } }
routes:
  - { name: a, match: { path: /a }, filters: [quota], upstream: app }
  - { name: b, match: { path: /b }, filters: [quota], upstream: app }
  - { name: c, match: { path: /c }, filters: [rate_limit: 3/h], upstream: app }
"#;

#[test]
fn a_named_rate_limit_is_one_limit_on_all_its_routes() {
    let (gateway, _origin) = forwarding(SHARED);
    assert_eq!(left(&gateway.ask("/a", &[])), (200, 2));
    assert_eq!(left(&gateway.ask("/b", &[])), (200, 1));
    assert_eq!(left(&gateway.ask("/c", &[])), (200, 2));
    assert_eq!(left(&gateway.ask("/a", &[])), (200, 0));
    let answer = gateway.ask("/b", &[]);
    assert_eq!(left(&answer), (429, 0));
    assert!(answer.header("ratelimit").starts_with("\"quota\""));
    gateway.counts("refusals", "b", "quota", 1.0);
    gateway.counts("runs", "a", "quota", 2.0);
    let line = gateway.access_log(5).pop().unwrap();
    assert_eq!(
        (&line["route"], &line["refused_by"]),
        (&"b".into(), &"quota".into())
    );
}

#[test]
fn counts_outlive_a_reload() {
    let (gateway, origin) = forwarding(SHARED);
    assert_eq!(left(&gateway.ask("/a", &[])), (200, 2));
    let other = SHARED.replace("path: /b", "path: /other");
    gateway.reload(&format!("{}{other}", crate::harness::upstream(&origin)));
    assert_eq!(left(&gateway.ask("/other", &[])), (200, 1));
    assert_eq!(gateway.ask("/b", &[]).status, 404);
}
