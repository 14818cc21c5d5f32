//! Very many connections: what each of them costs, and what the others notice.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Origin, connect, gateway, read_answer, status};
use crate::harness::{Gateway, until};

/// Lets this process, and those that it starts, open very many files.
fn allow_many_files() {
    let own = std::process::id().to_string();
    let limit = Command::new("prlimit")
        .args(["--pid", &own, "--nofile=16000:16000"])
        .status();
    assert!(limit.unwrap().success(), "no 16000 files may be open here");
}

fn open(gateway: &Gateway) -> f64 {
    gateway.metric("wiregate_connections{listener=\"public\"}")
}

/// What each of these connections costs, in bytes, once they are all there.
fn cost(gateway: &Gateway, count: u32, mut each: impl FnMut() -> TcpStream) -> u64 {
    let before = gateway.status("VmRSS");
    let held: Vec<TcpStream> = (0..count).map(|_| each()).collect();
    until("all are there", || open(gateway) == f64::from(count));
    let after = gateway.status("VmRSS");
    drop(held);
    until("all are gone", || open(gateway) == 0.0);
    after.saturating_sub(before) * 1024 / u64::from(count)
}

/// The cost of a connection that has sent this, and got an answer or not, in a gateway of its own.
fn cost_after(sent: &str, answered: bool) -> u64 {
    let origin = Origin::start();
    let limits = "limits: { head_deadline: 5m, idle: 5m }\n";
    let gateway = gateway(&origin, limits);
    let each = || {
        let mut stream = connect(&gateway);
        stream.write_all(sent.as_bytes()).unwrap();
        if answered {
            assert_eq!(status(&read_answer(&mut stream)), 200);
        }
        stream
    };
    cost(&gateway, 20, each); // what all share is there
    cost(&gateway, 2000, each)
}

#[test]
fn a_connection_that_waits_holds_little() {
    allow_many_files();
    let whole = "GET / HTTP/1.1\r\nhost: a\r\nuser-agent: a test of what is held\r\n\r\n";
    let (idle, half) = (cost_after(whole, true), cost_after(&whole[..50], false));
    eprintln!("an idle connection: {idle} bytes, a half-sent head: {half} bytes");
    assert!(idle < 16_000, "{idle} bytes for an idle connection");
    assert!(half < 12_000, "{half} bytes for a half-sent head");
}

#[test]
fn ten_thousand_idle_connections_disturb_nobody() {
    allow_many_files();
    let origin = Origin::start();
    let gateway = gateway(&origin, "limits: { idle: 5m }\n");
    let descriptors = gateway.descriptors();
    let idle: Vec<TcpStream> = (0..10_000).map(|_| connect(&gateway)).collect();
    until("all are there", || open(&gateway) == 10_000.0);
    let mut stream = connect(&gateway);
    for _ in 0..50 {
        let start = Instant::now();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .unwrap();
        assert_eq!(status(&read_answer(&mut stream)), 200);
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
    }
    drop((idle, stream));
    until("all are gone", || open(&gateway) == 0.0);
    // The connection to the origin may stay.
    until("nothing is leaked", || {
        gateway.descriptors() <= descriptors + 2
    });
}

#[test]
fn idle_connections_end_with_the_gateway() {
    let origin = Origin::start();
    let mut gateway = gateway(&origin, "limits: { drain_deadline: 1m, idle: 5m }\n");
    let mut kept = connect(&gateway);
    kept.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    assert_eq!(status(&read_answer(&mut kept)), 200);
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(kept.read(&mut [0]).unwrap(), 0, "it is closed");
    assert!(gateway.wait().success());
    assert!(start.elapsed() < Duration::from_secs(15));
}
