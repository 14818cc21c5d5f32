//! Clients that are slower than they may be.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Gateway, PATIENCE, curl, echo, upstream};

fn gateway(limits: &str) -> (Gateway, wiregate::echo::Echo) {
    let origin = echo();
    let routes = "routes: [{ name: all, upstream: app }, \
                  { name: whole, match: { path: /whole }, upstream: app, filters: [json: { request: { set: { a: 1 } } }] }]\n";
    let gateway = Gateway::start(&format!("{limits}{}{routes}", upstream(&origin)));
    (gateway, origin)
}

/// Sends a JSON body in pieces, a pause before each, until all is sent or the connection ends; returns
/// what was answered.
fn trickle(gateway: &Gateway, path: &str, piece: &[u8], pieces: usize, pause: Duration) -> String {
    trickle_of("application/json", gateway, path, piece, pieces, pause)
}

fn trickle_of(
    content_type: &str,
    gateway: &Gateway,
    path: &str,
    piece: &[u8],
    pieces: usize,
    pause: Duration,
) -> String {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = piece.len() * pieces;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
         content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let (mut sending, piece) = (stream.try_clone().unwrap(), piece.to_vec());
    let sender = thread::spawn(move || {
        for _ in 0..pieces {
            thread::park_timeout(pause);
            if sending.write_all(&piece).is_err() {
                return;
            }
        }
    });
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let _ = stream.shutdown(std::net::Shutdown::Both);
    sender.join().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_body_that_trickles_gets_a_408_and_one_that_keeps_the_rate_does_not() {
    let (gateway, _origin) = gateway("limits: { body_rate: 1KiB/s, body_grace: 2s }\n");
    for path in ["/", "/whole"] {
        let begun = Instant::now();
        // Ten bytes a second, for ever.
        let answer = trickle(&gateway, path, b" ", 400, Duration::from_millis(100));
        assert!(answer.starts_with("HTTP/1.1 408 "), "{path}: {answer}");
        assert!(
            answer.contains("urn:wiregate:body_timeout"),
            "{path}: {answer}"
        );
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(2), "{path}: {took:?}");
        assert!(took < Duration::from_secs(15), "{path}: {took:?}");
    }
    // Twenty times as fast as it has to be, and for longer than the grace.
    let fast = trickle(&gateway, "/", &[b' '; 2048], 30, Duration::from_millis(100));
    assert!(fast.starts_with("HTTP/1.1 200 "), "{fast}");
    let logged = gateway.access_log(3);
    let slow = logged.iter().filter(|line| line["error"] == "body_timeout");
    assert_eq!(slow.count(), 2);
}

#[test]
fn a_body_that_trickles_over_http1_is_no_call_that_may_be_silent() {
    let (gateway, _origin) = gateway("limits: { body_rate: 1KiB/s, body_grace: 1s }\n");
    for (content, told) in [
        ("application/grpc", "HTTP/1.1 408 "),
        // What gRPC-Web says of it.
        ("application/grpc-web+proto", "HTTP/1.1 200 "),
    ] {
        let pause = Duration::from_millis(100);
        let answer = trickle_of(content, &gateway, "/", b" ", 150, pause);
        assert!(answer.starts_with(told), "{content}: {answer}");
    }
    for line in gateway.access_log(2) {
        assert_eq!(line["error"], "body_timeout", "{line}");
    }
}

#[test]
fn a_slow_upload_over_http2_is_ended_as_well() {
    let (gateway, _origin) = gateway("limits: { body_rate: 100MB/s, body_grace: 1s }\n");
    // curl sends it at 10 kB/s, which is far below.
    let body = gateway.file("body");
    std::fs::write(&body, vec![b'x'; 100_000]).unwrap();
    let body = format!("@{}", body.display());
    let asked = [
        "--http2-prior-knowledge",
        "--limit-rate",
        "10K",
        "--data-binary",
        &body,
        &gateway.url("/"),
    ];
    // Some curls forget a reply that comes while they still send.
    let status = curl(&asked).status;
    assert!([408, 0].contains(&status), "{status}");
    let logged = &gateway.access_log(1)[0];
    let (status, error) = (&logged["status"], &logged["error"]);
    assert_eq!((status, error), (&408.into(), &"body_timeout".into()));
}

/// Reads an answer of a gigabyte, so much at a time; returns how much came.
fn read_slowly(gateway: &Gateway, piece: usize, pause: Duration) -> usize {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET /?bytes=1000000000 HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let (mut room, mut total) = (vec![0; piece], 0);
    loop {
        match stream.read(&mut room) {
            Ok(0) | Err(_) => return total,
            Ok(count) => total += count,
        }
        thread::park_timeout(pause);
    }
}

#[test]
fn a_reader_that_is_too_slow_is_cut_although_it_never_stops() {
    // The system takes some megabytes at once, and then as fast as the client: 3 MB/s or less.
    let (gateway, _origin) = gateway("limits: { response_rate: 20MB/s, client_write: 5s }\n");
    let begun = Instant::now();
    let total = read_slowly(&gateway, 64 * 1024, Duration::from_millis(20));
    assert!(total < 900_000_000, "{total}");
    assert!(begun.elapsed() < Duration::from_secs(60));
    let logged = gateway.access_log(1);
    assert_eq!(logged[0]["error"], "client_too_slow");
    assert_eq!(
        curl(&[&gateway.url("/?bytes=5000000")]).body.len(),
        5_000_000
    );
}
