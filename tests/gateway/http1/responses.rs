//! Responses on their way to an HTTP/1 client.

use std::io::{Read, Write};

use super::{Origin, ask, connect, gateway, read_answer, read_head, status};
use crate::harness::{Gateway, PATIENCE, curl, raw};

#[test]
fn what_was_for_the_hop_stops_here() {
    let origin = Origin::answering(|_, stream| {
        let answer = "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nconnection: content-length\r\n\
             X-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\n\
             TE: trailers\r\nTrailer: X-Sum\r\n\
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
        for gone in [
            "x-hop",
            "keep-alive",
            "connection",
            "upgrade",
            "\r\nte:",
            "trailer",
        ] {
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
fn a_length_that_is_said_twice_leaves_once_to_each_client_and_from_the_cache() {
    let origin = Origin::answering(|request, stream| {
        let fields = match request.first_line() {
            line if line.contains("twice") => "content-length: 2\r\ncontent-length: 2",
            line if line.contains("list") => "content-length: 2, 2",
            _ => "content-length: 02",
        };
        let answer = format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n{fields}\r\n\r\nok");
        stream.write_all(answer.as_bytes()).is_ok()
    });
    for filters in ["", "all_routes: { filters: [cache: {}] }\n"] {
        let gateway = gateway(&origin, filters);
        for path in ["twice", "list", "zero"] {
            for _ in 0..2 {
                let mut stream = connect(&gateway);
                let request = format!("GET /{path} HTTP/1.1\r\nhost: a\r\n\r\n");
                stream.write_all(request.as_bytes()).unwrap();
                let answer = read_answer(&mut stream).to_lowercase();
                let told = format!("{path} {filters}: {answer}");
                assert_eq!(answer.matches("content-length").count(), 1, "{told}");
                assert!(answer.contains("content-length: 2\r\n"), "{told}");
                let http2 = curl(&["--http2-prior-knowledge", &gateway.url(&format!("/{path}"))]);
                assert_eq!(
                    (http2.status, http2.text()),
                    (200, "ok".to_owned()),
                    "{told}"
                );
            }
        }
    }
}

#[test]
fn a_broken_response_is_not_stored_and_a_hedged_one_is_cut_as_well() {
    let origin = Origin::answering(|_, stream| {
        let answer = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n\
                      5\r\nhello\r\n\r\n5\r\nworld\r\n0\r\n\r\n";
        stream.write_all(answer.as_bytes()).is_ok()
    });
    for (options, filters) in [("", "[cache: {}]"), (", hedge: { after: 20s }", "[]")] {
        let gateway = Gateway::start(&format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"]{options} }} }}\n\
             routes: [{{ name: all, filters: {filters}, upstream: app }}]\n",
            origin.address
        ));
        for _ in 0..2 {
            let answer = raw(gateway.address(), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            assert!(!answer.ends_with("0\r\n\r\n"), "{filters}: {answer}");
            assert!(!answer.contains("hit"), "{filters}: {answer}");
        }
        assert_eq!(origin.take().len(), 2, "{filters}");
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

#[test]
fn an_http_1_0_client_never_gets_chunks_of_an_endpoint_that_speaks_http_2() {
    let echo = crate::harness::echo();
    let (http2, http1) = (echo.addresses()[0], echo.addresses()[0]);
    let gateway = Gateway::start(&format!(
        "upstreams:\n  plain: {{ endpoints: [\"{http2}\"], protocol: h2c }}\n\
         \x20 hedged: {{ endpoints: [\"{http2}\"], protocol: h2c, hedge: {{ after: 10s }} }}\n\
         \x20 hedged1: {{ endpoints: [\"{http1}\"], hedge: {{ after: 10s }} }}\nroutes:\n\
         \x20 - {{ name: plain, match: {{ path: /plain }}, upstream: plain }}\n\
         \x20 - {{ name: small, match: {{ path: /small }}, filters: [compress: {{ min_size: 1B }}], upstream: plain }}\n\
         \x20 - {{ name: hedged, match: {{ path: /hedged }}, upstream: hedged }}\n\
         \x20 - {{ name: hedged1, match: {{ path: /hedged1 }}, upstream: hedged1 }}\n"
    ));
    for path in [
        "/plain?stream=3&every=1ms",
        "/plain?status=404",
        "/small?stream=3&every=1ms",
        "/hedged?stream=3&every=1ms",
        "/hedged1?stream=3&every=1ms",
    ] {
        let request = format!("GET {path} HTTP/1.0\r\naccept-encoding: gzip\r\n\r\n");
        let answer = ask(&gateway, request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!([200, 404].contains(&status(&answer)), "{answer}");
        assert!(
            !head.to_lowercase().contains("transfer-encoding"),
            "{path} {head}"
        );
        assert!(
            !body.contains("\r\n") && !body.is_empty(),
            "{path} {body:?}"
        );
    }
}

#[test]
fn a_response_without_content_says_nothing_of_its_framing() {
    let origin = Origin::answering(|request, stream| {
        let field = match request.first_line().contains("chunked") {
            true => "transfer-encoding: chunked\r\n\r\n0\r\n",
            false => "content-length: 0\r\n",
        };
        let answer = format!("HTTP/1.1 204 No Content\r\nx-own: 1\r\n{field}\r\n");
        stream.write_all(answer.as_bytes()).is_err() // what follows is not to be read
    });
    let gateway = gateway(&origin, "");
    for path in ["/chunked", "/sized"] {
        let mut stream = connect(&gateway);
        for _ in 0..2 {
            let ask = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
            stream.write_all(ask.as_bytes()).unwrap();
            let head = read_head(&mut stream).to_lowercase();
            assert!(head.starts_with("http/1.1 204"), "{head}");
            assert!(head.contains("x-own: 1"), "{head}");
            for field in ["transfer-encoding", "content-length"] {
                assert!(!head.contains(field), "{path}: {head}");
            }
        }
    }
}

#[test]
fn an_interim_response_says_nothing_of_the_hop_and_comes_a_few_times() {
    let origin = Origin::answering(|request, stream| {
        let count = if request.first_line().contains("many") {
            17
        } else {
            16
        };
        let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\
                    Keep-Alive: timeout=5\r\n\r\n";
        let answer = format!(
            "{}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            hint.repeat(count)
        );
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = gateway(&origin, "");
    let answer = ask(&gateway, b"GET /few HTTP/1.1\r\nhost: a\r\n\r\n").to_lowercase();
    assert_eq!(answer.matches("http/1.1 103 ").count(), 16, "{answer}");
    assert!(answer.contains("http/1.1 200 ok"), "{answer}");
    let hint = &answer[..answer.find("\r\n\r\n").unwrap()];
    assert!(
        hint.contains("link: </a>") && hint.contains("via: 1.1 wiregate"),
        "{hint}"
    );
    for gone in ["x-hop", "connection", "keep-alive"] {
        assert!(!hint.contains(gone), "{gone} {hint}");
    }
    let answer = ask(&gateway, b"GET /many HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(!answer.contains("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains("urn:wiregate:http_protocol_error"),
        "{answer}"
    );
}
