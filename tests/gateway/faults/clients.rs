//! Clients that leave in the middle.

use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::super::harness::{Gateway, PATIENCE, curl, echo, until};
use super::super::origin::{self, head, serve};
use super::{H2, gateway, idle, nobody};

#[test]
fn a_client_that_leaves_takes_its_attempt_along() {
    let open = Arc::new(AtomicUsize::new(0));
    let count = open.clone();
    let slow = serve(move |_, mut stream| {
        let Some(head) = head(&mut stream) else {
            return;
        };
        count.fetch_add(1, Ordering::SeqCst);
        if head.starts_with("GET /body") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello");
        }
        origin::drain(&mut stream);
        count.fetch_sub(1, Ordering::SeqCst);
    });
    let well = echo();
    let gateway = gateway(slow, "", well.addresses()[0]);
    assert_eq!(curl(&[&gateway.url("/well")]).status, 200);
    let descriptors = gateway.descriptors();
    for path in ["/head", "/body"] {
        for leave in [leave_http1, leave_http2] {
            leave(&gateway, path, &|| {
                until("all are there", || open.load(Ordering::SeqCst) == 4);
                assert_eq!(curl(&[&gateway.url("/well")]).status, 200);
            });
            until("the attempts have ended", || {
                open.load(Ordering::SeqCst) == 0
            });
            idle(&gateway);
        }
    }
    until("descriptors are back", || {
        gateway.descriptors() <= descriptors + 2
    });
    let lines = gateway.access_log(21);
    let gone: Vec<_> = lines.iter().filter(|line| line["route"] == "all").collect();
    assert_eq!(gone.len(), 16);
    assert!(
        gone.iter().all(|line| line["error"] == "client_gone"),
        "{gone:?}"
    );
}

/// Four clients ask, and reset their connections.
fn leave_http1(gateway: &Gateway, path: &str, once_there: &dyn Fn()) {
    let ask = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let mut client = TcpStream::connect(gateway.address()).unwrap();
            client.write_all(ask.as_bytes()).unwrap();
            client
        })
        .collect();
    once_there();
    for client in clients {
        let socket = socket2::SockRef::from(&client);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Four clients ask, and are killed.
fn leave_http2(gateway: &Gateway, path: &str, once_there: &dyn Fn()) {
    let mut clients: Vec<_> = (0..4)
        .map(|_| {
            Command::new("curl")
                .args(["-s", "-o", "/dev/null", H2, &gateway.url(path)])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    once_there();
    for client in &mut clients {
        client.kill().unwrap();
        client.wait().unwrap();
    }
}

/// How curl leaves over HTTP/1.1: both ways close the connection in order, as if it had only ended its side.
#[test]
fn a_client_that_closes_its_connection_in_order_takes_its_attempt_along() {
    let (counts, silent) = origin::silent();
    let open = || origin::open(&counts);
    let gateway = gateway(silent, ", timeouts: { first_byte: 10m }", nobody());
    for (patience, body) in [("600", ""), ("600", "abc"), ("1", ""), ("1", "abc")] {
        let mut client = Command::new("curl");
        client.args(["-s", "--http1.1", "--max-time", patience, &gateway.url("/")]);
        if !body.is_empty() {
            client.args(["--data-binary", body]);
        }
        let mut client = client.stdout(Stdio::null()).spawn().unwrap();
        until("it is there", || open() == 1);
        if patience == "600" {
            client.kill().unwrap();
        }
        client.wait().unwrap();
        let left = Instant::now();
        until("the attempt has ended", || open() == 0);
        assert!(left.elapsed() < Duration::from_secs(5), "{patience} {body}");
        idle(&gateway);
    }
    for line in gateway.access_log(4) {
        assert_eq!(line["error"], "client_gone", "{line}");
        assert_eq!(line["status"], 499, "{line}");
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_body_takes_its_attempt_along() {
    let open = Arc::new(AtomicUsize::new(0));
    let count = open.clone();
    let reads = serve(move |_, mut stream| {
        head(&mut stream);
        count.fetch_add(1, Ordering::SeqCst);
        origin::drain(&mut stream);
        count.fetch_sub(1, Ordering::SeqCst);
    });
    let gateway = gateway(reads, "", nobody());
    let mut client = TcpStream::connect(gateway.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhello")
        .unwrap();
    until("the request is there", || open.load(Ordering::SeqCst) == 1);
    drop(client);
    until("the attempt has ended", || open.load(Ordering::SeqCst) == 0);
    idle(&gateway);
}
