//! Several upstreams for one route, in shares.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::super::harness::{Gateway, curl, echoes, wiregate};
use super::{problems, upstream};

fn config(addresses: &[SocketAddr], split: &str) -> String {
    format!(
        "upstreams:\n{}{}routes:\n  - {{ name: all, upstream: {split} }}\n",
        upstream("app", &addresses[..1], ""),
        upstream("canary", &addresses[1..], ""),
    )
}

fn served(gateway: &Gateway, arguments: &[&str], count: usize) -> HashMap<String, usize> {
    let mut served = HashMap::new();
    let url = gateway.url("/");
    for _ in 0..count {
        let answer = curl(&[arguments, &[url.as_str()]].concat());
        let by = answer.json()["served_by"].as_str().unwrap().to_owned();
        *served.entry(by).or_default() += 1;
    }
    served
}

#[test]
fn shares_requests_out_by_weight_key_and_header() {
    let origin = echoes(2);
    let [app, canary] = [0, 1].map(|n| origin.addresses()[n].to_string());
    let split = "{ split: { app: 70, canary: 30 }, by: 'request.headers[\"x-user\"]', \
                 by_header: { name: x-canary, values: { always: canary, never: app } } }";
    let gateway = Gateway::start(&config(origin.addresses(), split));

    // Without a key each request is drawn: 30 of 100 on average, with a deviation of 4.6.
    let drawn = served(&gateway, &[], 100);
    assert!((10..=55).contains(&drawn[&canary]), "{drawn:?}");
    // A key stays where it is, and keys are spread.
    let mut homes = HashMap::new();
    for user in 0..40 {
        let field = format!("x-user: user-{user}");
        let home = served(&gateway, &["-H", &field], 2);
        assert_eq!(home.len(), 1, "{user}: {home:?}");
        *homes.entry(home.into_keys().next().unwrap()).or_insert(0) += 1;
    }
    assert!((3..=24).contains(&homes[&canary]), "{homes:?}");
    // A header says it, whatever the key.
    for (value, home) in [("always", &canary), ("never", &app)] {
        let field = format!("x-canary: {value}");
        let home = HashMap::from([(home.clone(), 5)]);
        assert_eq!(
            served(&gateway, &["-H", &field, "-H", "x-user: 1"], 5),
            home
        );
    }
    assert_eq!(served(&gateway, &["-H", "x-canary: what"], 50).len(), 2);
}

#[test]
fn a_canary_without_weight_is_reached_by_header_only() {
    let origin = echoes(2);
    let split =
        "{ split: { canary: 0, app: 1 }, by_header: { name: x-canary, values: { yes: canary } } }";
    let gateway = Gateway::start(&config(origin.addresses(), split));
    let [app, canary] = [0, 1].map(|n| origin.addresses()[n].to_string());
    assert_eq!(served(&gateway, &[], 20), HashMap::from([(app, 20)]));
    assert_eq!(
        served(&gateway, &["-H", "x-canary: yes"], 3),
        HashMap::from([(canary, 3)])
    );
}

#[test]
fn explain_tells_all_upstreams_of_a_split() {
    let origin = echoes(2);
    let split = "{ split: { app: 90, canary: 10 } }";
    let gateway = Gateway::start(&config(origin.addresses(), split));
    let file = gateway.file("wiregate.yaml");
    let output = wiregate(&["explain", "--config", file.to_str().unwrap(), "GET", "/"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    for expected in [
        "upstream app",
        "upstream canary",
        &origin.addresses()[1].to_string(),
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn splits_that_make_no_sense_are_refused() {
    let addresses = [super::nobody(), super::nobody()];
    for (split, expected) in [
        ("{ split: {} }", "a split has no upstreams"),
        (
            "{ split: { app: 0, canary: 0 } }",
            "all weights of a split are 0",
        ),
        (
            "{ split: { app: 1, canery: 1 } }",
            "unknown upstream `canery`",
        ),
        (
            "{ split: { app: 1 }, by: 'clint.address' }",
            "unknown name `clint.address`",
        ),
        (
            "{ split: { app: 1 }, by_header: { name: x, values: { a: nowhere } } }",
            "unknown upstream `nowhere`",
        ),
        (
            "{ split: { app: 1 }, by_header: { name: x, values: {} } }",
            "names no values",
        ),
    ] {
        let said = problems(&config(&addresses, split));
        assert!(said.contains(expected), "{split}: {said}");
    }
    // Requests go there as well, though it has no share.
    let only = "{ split: { app: 1 }, by_header: { name: x, values: { a: canary } } }, timeouts: { idle: 61s }";
    let slow =
        config(&addresses, only).replace("canary: {", "canary: { timeouts: { first_byte: 2m },");
    let said = problems(&slow);
    assert!(
        said.contains("shorter than the `first_byte` of upstream `canary` (120s)"),
        "{said}"
    );
}
