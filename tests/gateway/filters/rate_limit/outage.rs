//! What holds while the store is gone, hangs, is slow or full, and when it is back.

use std::time::{Duration, Instant};

use super::super::reason;
use super::{passing, statuses};
use crate::harness::{Gateway, until};
use crate::redis::{Redis, Server, on_each_server};

/// Three routes whose limit is kept in this store, each with its own way to do without.
fn gateway(redis: &Redis, deadline: &str) -> Gateway {
    let mut routes = String::from("routes:\n");
    for (name, otherwise) in [
        ("deny", "deny"),
        ("allow", "allow"),
        ("local", "{ local: { gateways: 3 } }"),
    ] {
        routes += &format!(
            "- {{ name: {name}, match: {{ path: /{name} }}, filters: [{{ rate_limit: {{ limit: 12/365d, \
             store: {{ redis: {{ at: \"{}\", deadline: {deadline} }} }}, on_store_error: {otherwise} }} }}, \
             respond: ok] }}\n",
            redis.url()
        );
    }
    Gateway::start(&routes)
}

/// The policies hold; of those that count for themselves so many are left.
fn does_without(gateway: &Gateway, left: usize) {
    let answer = gateway.ask("/deny", &[]);
    assert_eq!(
        (answer.status, &*reason(&answer)),
        (503, "store_unreachable")
    );
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.header("ratelimit"), "");
    assert_eq!(statuses(gateway.address(), "/allow", 20), [200; 20]);
    assert_eq!(passing(gateway, "/local", 20), left);
    for (route, least) in [("allow", 20.0), ("local", 20.0), ("deny", 0.0)] {
        let labels = format!("{{filter=\"rate_limit\",route=\"{route}\"}}");
        let metric = format!("wiregate_filter_degraded_total{labels}");
        until("that is counted", || gateway.metric(&metric) >= least);
    }
}

fn comes_back(gateway: &Gateway) {
    until("the store is used again", || {
        gateway.ask("/deny", &[]).status != 503
    });
    until("that is told", || gateway.log().contains("redis is back"));
}

on_each_server![
    a_store_that_was_killed_is_done_without_and_used_when_it_is_back,
    a_gateway_starts_without_its_store,
    a_store_that_hangs_costs_a_few_requests_their_deadline_and_then_nobody,
    a_store_that_is_slow_is_waited_for_as_long_as_the_deadline,
    a_store_that_is_full_admits_nobody_unless_that_is_written,
];

fn a_store_that_was_killed_is_done_without_and_used_when_it_is_back(server: Server) {
    let mut redis = server.start();
    let gateway = gateway(&redis, "10s");
    for path in ["/deny", "/allow", "/local"] {
        assert_eq!(passing(&gateway, path, 2), 2);
    }
    redis.kill();
    let start = Instant::now();
    does_without(&gateway, 4);
    // Nobody waits for what is known to be gone.
    assert!(start.elapsed() < Duration::from_secs(5));
    gateway.tells("redis is unreachable");
    redis.again();
    comes_back(&gateway);
    // It was empty when it came back.
    assert_eq!(passing(&gateway, "/allow", 20), 12);
    assert_eq!(passing(&gateway, "/local", 20), 12);
    let line = gateway.access_log(80);
    let refused = line
        .iter()
        .find(|line| line["error"] == "store_unreachable")
        .unwrap();
    assert_eq!(refused["refused_by"], "rate_limit");
    let mut passed = line
        .iter()
        .filter(|line| line["route"] == "allow" && line["status"] == 200);
    assert!(passed.any(|line| line["degraded"]["rate_limit"] == "store_unreachable"));
}

fn a_gateway_starts_without_its_store(server: Server) {
    let mut redis = server.start();
    redis.kill();
    let gateway = gateway(&redis, "10s");
    does_without(&gateway, 4);
    redis.again();
    comes_back(&gateway);
}

fn a_store_that_hangs_costs_a_few_requests_their_deadline_and_then_nobody(server: Server) {
    let redis = server.start();
    let gateway = gateway(&redis, "300ms");
    assert_eq!(passing(&gateway, "/allow", 2), 2);
    redis.signal("STOP");
    for _ in 0..4 {
        assert_eq!(gateway.ask("/deny", &[]).status, 503);
    }
    // Twenty requests in less than one deadline each.
    let start = Instant::now();
    until("the store is given up", || {
        gateway.log().contains("redis is unreachable")
    });
    assert_eq!(statuses(gateway.address(), "/allow", 20), [200; 20]);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    does_without(&gateway, 4);
    redis.signal("CONT");
    comes_back(&gateway);
    // What it was asked before it hung still counts.
    let passed = passing(&gateway, "/allow", 20);
    assert!((1..=10).contains(&passed), "{passed}");
}

fn a_store_that_is_slow_is_waited_for_as_long_as_the_deadline(server: Server) {
    let redis = server.start();
    let patient = gateway(&redis, "10s");
    let hasty = gateway(&redis, "20ms");
    assert_eq!(passing(&patient, "/deny", 1), 1);
    until("the hasty one is connected", || {
        hasty.ask("/deny", &[]).status == 200
    });
    std::thread::scope(|scope| {
        let sleep = scope.spawn(|| redis.cli(&["debug", "sleep", "1"]));
        until("it sleeps", || hasty.ask("/deny", &[]).status == 503);
        assert_eq!(patient.ask("/deny", &[]).status, 200);
        assert_eq!(sleep.join().unwrap().trim(), "OK");
    });
    until("the hasty one is served", || {
        hasty.ask("/deny", &[]).status != 503
    });
}

fn a_store_that_is_full_admits_nobody_unless_that_is_written(server: Server) {
    let redis = server.start();
    let gateway = gateway(&redis, "10s");
    assert_eq!(passing(&gateway, "/deny", 2), 2);
    redis.cli(&["config", "set", "maxmemory", "1"]);
    does_without(&gateway, 4);
    redis.cli(&["config", "set", "maxmemory", "0"]);
    // Nothing of what was refused has been counted, and nothing forgotten.
    assert_eq!(passing(&gateway, "/deny", 20), 10);
    redis.cli(&["config", "set", "maxmemory", "1"]);
    // A refusal needs no room.
    assert_eq!(gateway.ask("/deny", &[]).status, 429);
}
