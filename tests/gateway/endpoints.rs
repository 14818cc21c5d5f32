//! Where endpoints come from, and how connections to them are made: names, files, sockets, TLS.

mod authorities;
mod dns_server;
mod failures;
mod files;
pub mod https_server;
mod names;
mod negotiated;
mod pools;
mod sockets;
mod tls;

use std::collections::BTreeMap;

use super::harness::{Answer, Gateway, curl};

/// A configuration with one upstream and a route to it.
fn to(upstream: &str) -> String {
    format!("upstreams: {{ app: {upstream} }}\nroutes: [{{ name: all, upstream: app }}]\n")
}

fn get(gateway: &Gateway) -> Answer {
    curl(&[&gateway.url("/")])
}

/// Which endpoints answer so many requests, and how many each.
fn served_by(gateway: &Gateway, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let answer = get(gateway);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let by = answer.json()["served_by"].as_str().unwrap().to_owned();
        *counts.entry(by).or_default() += 1;
    }
    counts
}

/// The word in the problem that a reply tells.
fn problem(answer: &Answer) -> String {
    let word = answer.json()["type"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    format!(
        "{} {}",
        answer.status,
        word.trim_start_matches("urn:wiregate:")
    )
}
