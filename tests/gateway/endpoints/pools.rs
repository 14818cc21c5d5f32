//! How many connections there are to endpoints.

use std::process::Command;

use super::https_server::{Nginx, free};
use super::to;
use crate::harness::{Gateway, curl};

/// An origin that counts connections, and nginx in front of it with kept connections.
fn servers(origin: &str, proxy: &str) -> String {
    format!(
        "server {{ listen {origin}; location / {{ return 200 ok; }}\n\
         location = /count {{ stub_status; }} }}\n\
         upstream app {{ server {origin}; keepalive 512; }}\n\
         server {{ listen {proxy}; location / {{ proxy_http_version 1.1; \
         proxy_set_header connection \"\"; proxy_pass http://app; }} }}\n"
    )
}

/// How many connections the origin has accepted so far.
fn accepted(origin: &str) -> u64 {
    let text = curl(&[&format!("http://{origin}/count")]).text();
    let counts = text.lines().nth(2).unwrap().split_whitespace();
    counts.map(|n| n.parse::<u64>().unwrap()).next().unwrap()
}

fn load(url: &str, clients: u64) {
    let clients = clients.to_string();
    let arguments = ["--h1", "-n", "2000", "-c", &clients, "-t", "1", url];
    let outcome = Command::new("h2load").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert!(said.contains("2000 succeeded, 0 failed"), "{said}");
}

#[test]
fn opens_no_more_connections_than_nginx_for_the_same_load() {
    let folder = tempfile::tempdir().unwrap();
    let (origin, proxy) = (free().to_string(), free().to_string());
    let _nginx = Nginx::start(folder.path(), &servers(&origin, &proxy), &origin);
    let gateway = Gateway::start(&to(&format!("{{ endpoints: [\"{origin}\"] }}")));
    let clients = 16;
    let opened = |url: &str| {
        let before = accepted(&origin);
        load(url, clients);
        accepted(&origin) - before - 1 // the one that counts
    };
    let (ours, theirs) = (
        opened(&gateway.url("/")),
        opened(&format!("http://{proxy}/")),
    );
    println!("{clients} clients, 2000 requests: {ours} connections, nginx {theirs}");
    assert!(ours <= clients, "{ours}");
    // Once more: all that there are, are used again.
    let again = opened(&gateway.url("/"));
    assert!(ours + again <= clients, "{ours} + {again}");
}
