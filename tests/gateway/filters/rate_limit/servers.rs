//! Other things than one open server.

use std::path::Path;

use super::passing;
use crate::harness::{Gateway, KEY_OF_ANN, KEY_OF_BOB, complete, until};
use crate::redis::{Redis, Server, on_each_server};

fn limited(store: &str, by: &str) -> Gateway {
    Gateway::start(&configuration(store, by))
}

fn configuration(store: &str, by: &str) -> String {
    format!(
        "routes: [{{ name: all, filters: [{{ rate_limit: {{ limit: 5/365d, by: {by}, \
         store: {{ redis: {{ {store}, deadline: 10s }} }} }} }}, respond: ok] }}]"
    )
}

on_each_server![
    a_password_is_a_reference,
    a_sentinel_knows_the_master_also_after_that_has_gone,
    keys_are_spread_over_a_cluster_and_each_is_counted_once,
    a_user_needs_no_more_than_the_commands_that_are_told,
];

/// A user who may call these commands, besides those that are always needed.
fn limit_user(redis: &Redis, more: &[&str]) {
    let password = format!(">{KEY_OF_ANN}");
    let may = ["acl", "setuser", "gate", "on", &password, "~wiregate:*"];
    let commands = ["+evalsha", "+eval", "+get", "+set", "+time", "+ping"];
    let said = redis.cli(&[&may[..], &commands, more].concat());
    assert_eq!(said.trim(), "OK");
}

fn a_user_needs_no_more_than_the_commands_that_are_told(server: Server) {
    let login = "username: gate, password: \"${env:KEY_OF_ANN}\"";
    let single = server.start();
    limit_user(&single, &["+select"]);
    let store = format!("at: \"{}/3\", {login}", single.url());
    assert_eq!(passing(&limited(&store, "route"), "/", 8), 5);

    let master = server.start();
    limit_user(&master, &["+role"]);
    let sentinel = Redis::sentinel_of(&master);
    let password = format!(">{KEY_OF_BOB}");
    let may = ["acl", "setuser", "default", "resetpass", &password];
    let said = sentinel.cli(&[&may[..], &["-@all", "+sentinel|masters", "+role"]].concat());
    assert_eq!(said.trim(), "OK");
    let store = format!(
        "at: \"{}\", kind: sentinel, master: limits, {login}, \
         sentinel_password: \"${{env:KEY_OF_BOB}}\"",
        sentinel.url()
    );
    assert_eq!(passing(&limited(&store, "route"), "/", 8), 5);

    let nodes = server.cluster();
    for node in &nodes {
        limit_user(node, &["+cluster|slots"]);
    }
    let store = format!("at: \"{}\", kind: cluster, {login}", nodes[0].url());
    let gateway = limited(&store, "request.path");
    for path in ["/1", "/2", "/3", "/4"] {
        assert_eq!(passing(&gateway, path, 8), 5, "{path}");
    }
}

fn a_password_is_a_reference(server: Server) {
    let redis = server.with(&["--requirepass", KEY_OF_ANN]);
    let at = format!("at: \"{}/3\"", redis.url());
    let gateway = limited(&format!("{at}, password: \"${{env:KEY_OF_ANN}}\""), "route");
    assert_eq!(passing(&gateway, "/", 8), 5);
    let without = limited(&at, "route");
    assert_eq!(without.ask("/", &[]).status, 503);
    let log = gateway.log() + &without.log();
    assert!(!log.contains(KEY_OF_ANN), "{log}");
}

#[test]
fn a_server_with_tls_must_be_the_one_that_it_says() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let redis = Redis::tls(&certificate, &key);
    let start = |trusted: &Path| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wiregate.yaml");
        let store = format!("at: \"rediss://localhost:{}\"", redis.port);
        let text = complete(folder.path(), &configuration(&store, "route"), "{}");
        std::fs::write(&file, text).unwrap();
        Gateway::start_as(folder, &file, |command| {
            command
                .env("SSL_CERT_FILE", trusted)
                .env_remove("SSL_CERT_DIR");
        })
    };
    assert_eq!(passing(&start(&certificate), "/", 8), 5);
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let untrusted = folder.path().join("other.pem");
    std::fs::write(&untrusted, other.cert.pem()).unwrap();
    assert_eq!(start(&untrusted).ask("/", &[]).status, 503);
}

fn a_sentinel_knows_the_master_also_after_that_has_gone(server: Server) {
    let mut master = server.start();
    let port = master.port.to_string();
    let replica = server.with(&["--replicaof", "127.0.0.1", &port]);
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

fn keys_are_spread_over_a_cluster_and_each_is_counted_once(server: Server) {
    let mut nodes = server.cluster();
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
