//! How many connections there are to endpoints.

use std::process::Command;

use super::https_server::{Nginx, free};
use super::to;
use crate::harness::{Gateway, curl};

/// An origin that counts connections.
fn counting(origin: &str) -> String {
    format!(
        "server {{ listen {origin}; location / {{ return 200 ok; }}\n\
         location = /count {{ stub_status; }} }}\n"
    )
}

/// nginx in front of it, which keeps connections.
fn keeping(proxy: &str, origin: &str) -> String {
    format!(
        "upstream app {{ server {origin}; keepalive 512; }}\n\
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

const CLIENTS: u64 = 16;

/// How many connections the origin sees while so many clients ask somebody in front of it.
fn opened(origin: &str, url: &str) -> u64 {
    let before = accepted(origin);
    load(url, CLIENTS);
    accepted(origin) - before - 1 // the one that counts
}

#[test]
fn opens_no_more_connections_than_nginx_for_the_same_load() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (origin, proxy) = (free().to_string(), free().to_string());
    let _origin = Nginx::start(folder.path(), &counting(&origin), &origin);
    let _proxy = Nginx::start(other.path(), &keeping(&proxy, &origin), &proxy);
    let gateway = Gateway::start(&to(&format!("{{ endpoints: [\"{origin}\"] }}")));
    let ours = opened(&origin, &gateway.url("/"));
    let theirs = opened(&origin, &format!("http://{proxy}/"));
    println!("{CLIENTS} clients, 2000 requests: {ours} connections, nginx {theirs}");
    // Either may have fewer, where the requests of two clients never met.
    assert!(
        ours <= CLIENTS && theirs <= CLIENTS,
        "{ours}, nginx {theirs}"
    );
}

#[test]
fn uses_the_connections_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let origin = free().to_string();
    let _origin = Nginx::start(folder.path(), &counting(&origin), &origin);
    let upstream = to(&format!("{{ endpoints: [\"{origin}\"] }}"));
    let gateway = Gateway::start(&format!("workers: 1\n{upstream}"));
    let first = opened(&origin, &gateway.url("/"));
    // A reload that changes nothing about them keeps them.
    gateway.reload(&format!(
        "workers: 1\nlimits: {{ drain_deadline: 9s }}\n{upstream}"
    ));
    let second = opened(&origin, &gateway.url("/"));
    assert!(first + second <= CLIENTS, "{first} + {second}");
}

#[test]
fn keeps_no_more_idle_connections_than_it_may_and_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let origin = free().to_string();
    let _origin = Nginx::start(folder.path(), &counting(&origin), &origin);
    let open = || {
        let text = curl(&[&format!("http://{origin}/count")]).text();
        let active = text.lines().next().unwrap().rsplit(": ").next().unwrap();
        active.trim().parse::<u64>().unwrap() - 1 // the one that counts
    };
    let upstream = to(&format!("{{ endpoints: [\"{origin}\"], keep_idle: 4s }}"));
    let limits = "limits: { idle_upstream_connections: 3 }";
    let gateway = Gateway::start(&format!("workers: 1\n{limits}\n{upstream}"));
    load(&gateway.url("/"), CLIENTS);
    crate::harness::until("the others are closed", || open() <= 3);
    assert!(open() >= 1, "some are kept");
    crate::harness::until("all are closed in time", || open() == 0);
}
