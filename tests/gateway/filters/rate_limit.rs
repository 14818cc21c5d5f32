//! `rate_limit` among several gateways, and while things go wrong.

mod observe;
mod outage;
mod servers;
mod shared;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::harness::{Gateway, PATIENCE};

/// The statuses of so many requests, which are sent at once on one connection.
fn statuses(address: SocketAddr, path: &str, requests: usize) -> Vec<u16> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let one = |close| format!("GET {path} HTTP/1.1\r\nhost: a\r\n{close}\r\n");
    let all = one("").repeat(requests - 1) + &one("connection: close\r\n");
    stream.write_all(all.as_bytes()).unwrap();
    let mut read = String::new();
    stream.read_to_string(&mut read).unwrap();
    let heads = read
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &read[at + 9..at + 12]);
    let statuses: Vec<u16> = heads.map(|status| status.parse().unwrap()).collect();
    assert_eq!(statuses.len(), requests, "{read}");
    statuses
}

/// How many of so many requests pass; the others must be refused.
fn passing(gateway: &Gateway, path: &str, requests: usize) -> usize {
    let statuses = statuses(gateway.address(), path, requests);
    let passed = statuses.iter().filter(|status| **status == 200).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!(passed + refused, requests, "{statuses:?}");
    passed
}
