//! Responses on their way to an HTTP/1 client.

use std::io::{Read, Write};

use super::{Origin, ask, connect, gateway, read_answer, read_head, status};
use crate::harness::{Gateway, PATIENCE};

#[test]
fn what_was_for_the_hop_stops_here() {
    let origin = Origin::answering(|_, stream| {
        let answer = "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nconnection: content-length\r\n\
             X-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\n\
             X-End: 1\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = gateway(&origin, "");
    let mut stream = connect(&gateway);
    for _ in 0..2 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .unwrap();
        let answer = read_answer(&mut stream).to_lowercase();
        for gone in ["x-hop", "keep-alive", "connection", "upgrade"] {
            assert!(!answer.contains(gone), "{gone} {answer}");
        }
        for kept in ["x-end: 1\r\n", "content-length: 2\r\n"] {
            assert!(answer.contains(kept), "{kept} {answer}");
        }
        assert!(answer.ends_with("ok"), "{answer}");
    }
}

#[test]
fn a_head_and_what_there_is_of_a_body_do_not_wait_for_the_rest() {
    let (seen, waits) = std::sync::mpsc::channel();
    let waits = std::sync::Mutex::new(waits);
    let origin = Origin::answering(move |_, stream| {
        let waits = waits.lock().unwrap();
        for piece in ["HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n", "abc", "def"] {
            stream.write_all(piece.as_bytes()).unwrap();
            // The next piece is only sent when the client has this one.
            waits.recv_timeout(PATIENCE).unwrap();
        }
        true
    });
    let gateway = gateway(&origin, "");
    let mut stream = connect(&gateway);
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let head = read_head(&mut stream).to_lowercase();
    assert!(head.contains("content-length: 6"), "{head}");
    seen.send(()).unwrap();
    for piece in ["abc", "def"] {
        let mut read = [0; 3];
        stream.read_exact(&mut read).unwrap();
        assert_eq!(read, piece.as_bytes());
        seen.send(()).unwrap();
    }
}

#[test]
fn what_an_old_origin_says_leaves_in_the_version_of_this_hop() {
    let body = "x".repeat(2000);
    let origin = Origin::answering(move |_, stream| {
        let answer = format!(
            "HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2000\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = gateway(&origin, "all_routes: { filters: [compress] }\n");
    let mut stream = connect(&gateway);
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n")
        .unwrap();
    let head = read_head(&mut stream).to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
}

#[test]
fn a_response_with_two_framings_leaves_with_one() {
    let origin = Origin::answering(|_, stream| {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nt: u\r\n\r\n";
        stream.write_all(answer.as_bytes()).is_err() // no more requests here
    });
    let gateway = gateway(&origin, "");
    for (version, end) in [("1.1", "2\r\nok\r\n0\r\n\r\n"), ("1.0", "ok")] {
        let answer = ask(
            &gateway,
            format!("GET / HTTP/{version}\r\nhost: a\r\n\r\n").as_bytes(),
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(!head.to_lowercase().contains("content-length"), "{answer}");
        assert_eq!(body, end);
    }
}

#[test]
fn an_http_1_0_client_never_gets_chunks() {
    let origin = Origin::answering(|request, stream| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n";
        let text = "a text ".repeat(20);
        let answer = if request.first_line().contains("chunked") {
            format!("{head}transfer-encoding: chunked\r\n\r\n8c\r\n{text}\r\n0\r\n\r\n")
        } else if request.first_line().contains("open") {
            format!("HTTP/1.1 103 Early Hints\r\n\r\n{head}connection: close\r\n\r\n{text}")
        } else {
            format!("{head}content-length: 140\r\n\r\n{text}")
        };
        stream.write_all(answer.as_bytes()).is_ok() && !request.first_line().contains("open")
    });
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\nroutes:\n\
         \x20 - {{ name: plain, match: {{ path: /plain/** }}, upstream: app }}\n\
         \x20 - {{ name: small, match: {{ path: /small/** }}, filters: [compress: {{ min_size: 1B }}], upstream: app }}\n\
         \x20 - {{ name: own, match: {{ path: /own/** }}, filters: [respond: own] }}\n",
        origin.address
    ));
    for path in [
        "/plain/chunked",
        "/plain/open",
        "/plain/sized",
        "/small/chunked",
        "/small/open",
        "/small/sized",
        "/own/a",
        "/none",
    ] {
        for keep in ["", "connection: keep-alive\r\n"] {
            let request = format!("GET {path} HTTP/1.0\r\naccept-encoding: gzip\r\n{keep}\r\n");
            let answer = ask(&gateway, request.as_bytes());
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let head = head.to_lowercase();
            assert!(status(&answer) != 103, "{answer}");
            assert!(!head.contains("transfer-encoding"), "{path} {head}");
            assert!(!body.contains("8c\r\n"), "{path} {body}");
            let compressed = path.starts_with("/small");
            assert_eq!(
                head.contains("content-encoding: gzip"),
                compressed,
                "{path} {head}"
            );
            let sized = head.contains("content-length:");
            assert!(sized || head.contains("connection: close"), "{path} {head}");
            if path.starts_with("/plain") {
                assert_eq!(body, "a text ".repeat(20), "{path}");
            }
        }
    }
}

#[test]
fn an_http_1_0_client_may_keep_its_connection() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "");
    let mut stream = connect(&gateway);
    for _ in 0..3 {
        stream
            .write_all(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            .unwrap();
        let answer = read_answer(&mut stream);
        assert!(
            answer.to_lowercase().contains("connection: keep-alive"),
            "{answer}"
        );
    }
    let mut stream = connect(&gateway);
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .unwrap();
    assert!(
        read_head(&mut stream)
            .to_lowercase()
            .contains("connection: close")
    );
}
