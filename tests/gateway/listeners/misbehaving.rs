//! Clients that do not shake hands as they should, or say nothing after it.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::harness::{Gateway, PATIENCE, until};
use super::tls::{ONE, failed, folder, get, listener};
use super::{REQUEST, WHO, connect, is_closed, start_in};

#[test]
fn a_handshake_has_a_deadline_and_keeps_nobody_waiting() {
    let (folder, _) = folder(&[("a", &["a.example"])]);
    let tls = listener(&format!("{ONE}, handshake_timeout: 1s"));
    let gateway = start_in(folder, &tls, &format!("workers: 1\n{WHO}"));
    let start = Instant::now();
    let silent = connect(gateway.address());
    let mut half = connect(gateway.address());
    half.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        .unwrap();
    assert_eq!(get(&gateway, "a.example", &[]).status, 200);
    assert!(is_closed(&silent));
    assert!(start.elapsed() > Duration::from_millis(900));
    assert!(start.elapsed() < PATIENCE);
    let mut alert = Vec::new();
    half.read_to_end(&mut alert).unwrap();
    until("both are counted", || failed(&gateway, "timeout") == 2.0);
    until("their places are free", || {
        gateway.metric("wiregate_connections{listener=\"public\"}") == 0.0
    });
}

#[test]
fn plain_http_and_garbage_are_closed_and_nothing_else_suffers() {
    let (folder, _) = folder(&[("a", &["a.example"])]);
    let gateway = start_in(folder, &listener(ONE), &format!("workers: 1\n{WHO}"));
    let noise: Vec<u8> = (0..5000_u32).map(|n| (n * 7919 % 251) as u8).collect();
    for bytes in [
        REQUEST,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &noise,
        &[0; 100],
    ] {
        let mut stream = connect(gateway.address());
        let _ = stream.write_all(bytes); // it may be closed before the end
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer); // a reset is an end as well
        assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
        assert_eq!(get(&gateway, "a.example", &[]).status, 200);
    }
    assert_eq!(failed(&gateway, "not_tls"), 4.0);
    // So is a client that agrees on HTTP/2 and then says something else.
    let mut wrong = after_handshake(&gateway, "h2");
    wrong.0.stdin.as_mut().unwrap().write_all(REQUEST).unwrap();
    until("it is closed", || wrong.0.try_wait().unwrap().is_some());
}

#[test]
fn a_client_that_says_nothing_after_the_handshake_is_closed_when_it_has_idled() {
    let (folder, _) = folder(&[("a", &["a.example"])]);
    let rest = format!("limits: {{ idle: 500ms }}\n{WHO}");
    let gateway = start_in(folder, &listener(ONE), &rest);
    for protocol in ["h2", "http/1.1"] {
        let mut silent = after_handshake(&gateway, protocol);
        until("it is closed", || silent.0.try_wait().unwrap().is_some());
    }
}

/// A client whose standard input goes through TLS after the handshake; it ends when it is closed.
fn after_handshake(gateway: &Gateway, protocol: &str) -> Kill {
    let client = Command::new("openssl")
        .args(["s_client", "-quiet", "-alpn", protocol])
        .args(["-servername", "a.example"])
        .args(["-connect", &gateway.address().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Kill(client.unwrap())
}

/// Kills a process that a failed test leaves behind.
struct Kill(Child);

impl Drop for Kill {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
