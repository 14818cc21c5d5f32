//! Other things than one open server.

use super::passing;
use crate::harness::{Gateway, KEY_OF_ANN, until};
use crate::redis::Redis;

fn limited(store: &str, by: &str) -> Gateway {
    Gateway::start(&format!(
        "routes: [{{ name: all, filters: [{{ rate_limit: {{ limit: 5/365d, by: {by}, \
         store: {{ redis: {{ {store}, deadline: 10s }} }} }} }}, respond: ok] }}]"
    ))
}

#[test]
fn a_password_is_a_reference() {
    let redis = Redis::with(&["--requirepass", KEY_OF_ANN]);
    let at = format!("at: \"{}/3\"", redis.url());
    let gateway = limited(&format!("{at}, password: \"${{env:KEY_OF_ANN}}\""), "route");
    assert_eq!(passing(&gateway, "/", 8), 5);
    let without = limited(&at, "route");
    assert_eq!(without.ask("/", &[]).status, 503);
    let log = gateway.log() + &without.log();
    assert!(!log.contains(KEY_OF_ANN), "{log}");
}

#[test]
fn a_sentinel_knows_the_master_also_after_that_has_gone() {
    let mut master = Redis::start();
    let port = master.port.to_string();
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &port]);
    let sentinel = Redis::sentinel_of(&master);
    until("the sentinel knows the replica", || {
        let replicas = sentinel.cli(&["sentinel", "replicas", "limits"]);
        replicas.contains(&replica.port.to_string()) && !replicas.contains("err")
    });
    let store = format!("at: \"{}\", kind: sentinel, master: limits", sentinel.url());
    let gateway = limited(&store, "route");
    assert_eq!(passing(&gateway, "/", 2), 2);
    until("the replica has it", || {
        replica.cli(&["dbsize"]).trim() == "1"
    });
    master.kill();
    until("the replica is the master", || {
        replica.cli(&["role"]).starts_with("master") && gateway.ask("/", &[]).status != 503
    });
    // One of the five may have gone to wait for the others.
    let passed = passing(&gateway, "/", 8);
    assert!((1..=2).contains(&passed), "{passed}");
}

#[test]
fn keys_are_spread_over_a_cluster_and_each_is_counted_once() {
    let mut nodes = Redis::cluster();
    let [a, b, _] = &nodes;
    let store = format!("at: [\"{}\", \"{}\"], kind: cluster", a.url(), b.url());
    let gateway = limited(&store, "request.path");
    let paths: Vec<_> = (0..12).map(|number| format!("/{number}")).collect();
    for path in &paths {
        assert_eq!(passing(&gateway, path, 8), 5, "{path}");
    }
    let kept = |node: &Redis| node.cli(&["dbsize"]).trim().parse::<usize>().unwrap();
    assert_eq!(nodes.iter().map(kept).sum::<usize>(), paths.len());
    assert!(nodes.iter().filter(|node| kept(node) > 0).count() > 1);
    // Where a node is gone, only its own keys cannot be counted.
    let lost = kept(&nodes[2]);
    nodes[2].kill();
    let statuses = || paths.iter().map(|path| gateway.ask(path, &[]).status);
    until("the others are served", || {
        let lacking = statuses().filter(|status| *status == 503).count();
        lacking == lost && statuses().filter(|status| *status == 429).count() == 12 - lost
    });
}
