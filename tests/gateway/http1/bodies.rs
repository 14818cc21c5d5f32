//! Bodies: where they end, and what becomes of those that nobody reads.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::{Origin, ask, connect, gateway, read_answer, read_head, status};
use crate::harness::Gateway;

const EVIL: &str = "GET /evil HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn notable_mutations_have_one_outcome_each() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "");
    let post =
        |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n{body}");
    for (request, outcome) in [
        (post("content-length: 3", "abc"), Ok("abc")),
        (post("content-length:3", "abc"), Ok("abc")),
        (post("Content-Length: \t3 ", "abc"), Ok("abc")),
        (
            post("content-length: 3\r\ncontent-length: 3", "abc"),
            Err(400),
        ),
        (post("content-length: 3, 3", "abc"), Err(400)),
        (post("content-length: +3", "abc"), Err(400)),
        (post("content-length: 03", "abc"), Err(400)),
        (post("content-length : 3", "abc"), Err(400)),
        (post("content-length: 3\r\n 3", "abc"), Err(400)),
        (post("content_length: 3", "abc"), Err(400)),
        (post("content-length: 3\nx: y", "abc"), Err(400)),
        (post("x: y\0\r\ncontent-length: 3", "abc"), Err(400)),
        (
            post("transfer-encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"),
            Ok("abc"),
        ),
        (
            post("transfer-encoding: Chunked", "3\r\nabc\r\n0\r\n\r\n"),
            Ok("abc"),
        ),
        (
            post(
                "transfer-encoding: chunked",
                "003;x=\"y\"\r\nabc\r\n0;z\r\nt: u\r\n\r\n",
            ),
            Ok("abc"),
        ),
        (
            post(
                "transfer-encoding: chunked\r\ncontent-length: 3",
                "3\r\nabc\r\n0\r\n\r\n",
            ),
            Err(400),
        ),
        (
            post("transfer-encoding: xchunked", "3\r\nabc\r\n0\r\n\r\n"),
            Err(400),
        ),
        (
            post("transfer-encoding: gzip, chunked", "3\r\nabc\r\n0\r\n\r\n"),
            Err(501),
        ),
        (
            post(
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
                "0\r\n\r\n",
            ),
            Err(400),
        ),
        (
            post("transfer-encoding: chunked", "3 \r\nabc\r\n0\r\n\r\n"),
            Err(400),
        ),
        (
            post("transfer-encoding: chunked", "3\nabc\r\n0\r\n\r\n"),
            Err(400),
        ),
        (
            post("transfer-encoding: chunked", "3\r\nabcd\r\n0\r\n\r\n"),
            Err(400),
        ),
        (
            post("transfer-encoding: chunked", "0x3\r\nabc\r\n0\r\n\r\n"),
            Err(400),
        ),
        (
            post("transfer-encoding: chunked", "3;\n\r\nabc\r\n0\r\n\r\n"),
            Err(400),
        ),
        (
            post(
                "transfer-encoding: chunked",
                "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
            ),
            Err(400),
        ),
        (
            post(
                "connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 3",
                "abc",
            ),
            Ok("abc"),
        ),
        (
            post(
                "connection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAA",
                "",
            ),
            Ok(""),
        ),
        (
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            Err(400),
        ),
        (
            "POST / HTTP/1.0\r\ncontent-length: 3\r\n\r\nabc".into(),
            Ok("abc"),
        ),
    ] {
        let answer = ask(&gateway, request.as_bytes());
        let got: Vec<_> = origin.take().into_iter().filter(Result::is_ok).collect();
        match outcome {
            Ok(body) => {
                assert_eq!(status(&answer), 200, "{request:?} {answer}");
                let got = got[0].as_ref().unwrap();
                assert_eq!(got.body, body.as_bytes(), "{request:?}");
                assert!(got.fields("upgrade").is_empty(), "{request:?}");
            }
            Err(expected) => {
                assert_eq!(status(&answer), expected, "{request:?} {answer}");
                assert!(got.is_empty(), "{request:?} {got:?}");
            }
        }
    }
}

#[test]
fn a_body_left_unread_never_becomes_the_next_request() {
    let origin = Origin::start();
    let gateway = Gateway::start(&format!(
        "workers: 1\nupstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n\
         routes:\n  - {{ name: no, match: {{ path: /no }}, filters: [ip: {{ allow: 10.0.0.0/8 }}], upstream: app }}\n\
         \x20 - {{ name: all, upstream: app }}\n",
        origin.address
    ));
    let body = EVIL.repeat(3000);
    let sized = format!("content-length: {}", body.len());
    for (fields, body) in [
        ("content-length: 33".into(), EVIL.to_owned()),
        (sized.clone(), body.clone()),
        (format!("expect: 100-continue\r\n{sized}"), body),
        (
            "transfer-encoding: chunked".into(),
            format!("21\r\n{EVIL}\r\n0\r\n\r\n"),
        ),
    ] {
        let answer = ask(
            &gateway,
            format!("POST /no HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n{body}").as_bytes(),
        );
        assert_eq!(status(&answer), 403, "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(
            answer.ends_with("}\n"),
            "the whole reply can be read: {answer}"
        );
    }
    // The start of one that is never sent.
    let answer = ask(
        &gateway,
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\nabc",
    );
    assert_eq!(answer, "", "nobody is there to answer to");
    let got = origin.take();
    assert!(!got.iter().any(Result::is_ok), "{got:?}");
    assert!(!format!("{got:?}").contains("evil"), "{got:?}");
}

#[test]
fn a_refusal_costs_no_connection_where_its_body_is_small() {
    let origin = Origin::start();
    let filters = "all_routes: { filters: [respond: { status: 403, body: no }] }\n";
    let gateway = gateway(&origin, filters);
    let chunks = |count: usize| format!("400\r\n{}\r\n", "x".repeat(1024)).repeat(count);
    let sized = "content-length: 5\r\n\r\nhello".to_owned();
    for (rest, goes_on) in [
        (sized, true),
        (
            "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into(),
            true,
        ),
        (
            format!("transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunks(60)),
            true,
        ),
        (
            format!("transfer-encoding: chunked\r\n\r\n{}", chunks(70)),
            false,
        ),
        ("transfer-encoding: chunked\r\n\r\nx\r\n".into(), false),
    ] {
        let mut stream = connect(&gateway);
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{rest}");
        stream.write_all(request.as_bytes()).unwrap();
        let answer = read_answer(&mut stream).to_lowercase();
        assert_eq!(status(&answer.to_uppercase()), 403, "{answer}");
        assert_eq!(!answer.contains("connection: close"), goes_on, "{answer}");
        if goes_on {
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                .unwrap();
            assert!(read_answer(&mut stream).ends_with("no"));
        }
    }
    assert!(origin.take().is_empty());
}

#[test]
fn a_client_that_half_closes_still_gets_its_answer() {
    let (send, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::answering(move |request, stream| {
        wait.lock().unwrap().recv().unwrap();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            request.body.len()
        );
        stream.write_all(answer.as_bytes()).is_ok() && stream.write_all(&request.body).is_ok()
    });
    let gateway = gateway(&origin, "");
    for request in [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        let mut stream = connect(&gateway);
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let in_flight = || gateway.metric("wiregate_requests_in_flight{route=\"all\"}") == 1.0;
        crate::harness::until("it is in flight", in_flight);
        send.send(()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(status(&answer), 200, "{request:?} {answer}");
        assert_eq!(
            answer.ends_with("abc"),
            request.starts_with("POST"),
            "{answer}"
        );
    }
}

#[test]
fn a_tunnel_carries_bytes_as_they_are() {
    let origin = Origin::answering(|request, stream| {
        if request.fields("upgrade").is_empty() {
            return stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno")
                .is_ok();
        }
        let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello";
        stream.write_all(switch.as_bytes()).unwrap();
        let mut read = [0; 64];
        while let Ok(count @ 1..) = stream.read(&mut read) {
            stream.write_all(&read[..count]).unwrap(); // until the other side has had enough
        }
        false
    });
    let gateway = gateway(&origin, "");
    let upgrade = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    for early in ["", EVIL] {
        let mut stream = connect(&gateway);
        stream
            .write_all(format!("{upgrade}{early}").as_bytes())
            .unwrap();
        assert_eq!(status(&read_head(&mut stream)), 101);
        let odd = "\n\r\0GET / HTTP/9\n\n5\r\n";
        stream.write_all(odd.as_bytes()).unwrap();
        let mut back = vec![0; 5 + early.len() + odd.len()];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, format!("hello{early}{odd}").as_bytes());
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    }
    // An upgrade that is declined leaves an ordinary connection.
    let mut stream = connect(&gateway);
    let ask = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n";
    for _ in 0..2 {
        stream.write_all(ask.as_bytes()).unwrap();
        assert!(read_answer(&mut stream).ends_with("no"));
    }
}
