//! What the gateway does when upstreams are slow, failing or full.

mod breaker;
mod clients;
mod hedge;
mod outliers;
mod queue;
mod retries;
mod split;
mod timeouts;

use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use super::harness::{Answer, Gateway, curl, wiregate};

/// A configuration with these upstreams, and a route to `app` with these options.
fn config(upstreams: &str, route: &str) -> String {
    format!(
        "workers: 2\nupstreams:\n{upstreams}\nroutes:\n  - {{ name: all, upstream: app{route} }}\n"
    )
}

/// A line of `upstreams:`.
fn upstream(name: &str, endpoints: &[SocketAddr], options: &str) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|a| format!("\"{a}\"")).collect();
    let endpoints = endpoints.join(", ");
    format!("  {name}: {{ endpoints: [{endpoints}]{options} }}\n")
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Asks from another thread.
fn later(gateway: &Gateway, path: &str) -> JoinHandle<Answer> {
    let url = gateway.url(path);
    std::thread::spawn(move || curl(&[&url]))
}

/// What `check` says about a configuration.
fn problems(configuration: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let text = super::harness::complete(folder.path(), configuration, "{}");
    std::fs::write(&file, text).unwrap();
    let output = wiregate(&["check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78), "{configuration}");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}
