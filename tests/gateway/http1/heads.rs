//! Hosts, targets and sizes of heads.

use std::io::Write;

use super::{Origin, ask, connect, gateway, read_answer, status};

#[test]
fn a_request_has_one_valid_host() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "");
    for (hosts, expected) in [
        ("", 400),
        ("host: a\r\nhost: a\r\n", 400),
        ("host: a b\r\n", 400),
        ("host: a/b\r\n", 400),
        ("host: a, b\r\n", 400),
        ("host: a,b\r\n", 400),
        ("host: u@a\r\n", 400),
        ("host: :80\r\n", 400),
        ("host: a:x\r\n", 400),
        ("host: a\r\n", 200),
        ("host: [::1]:80\r\n", 200),
    ] {
        let answer = ask(
            &gateway,
            format!("GET / HTTP/1.1\r\n{hosts}\r\n").as_bytes(),
        );
        assert_eq!(status(&answer), expected, "{hosts:?} {answer}");
        assert_eq!(
            origin.take().len(),
            usize::from(expected == 200),
            "{hosts:?}"
        );
        if expected == 400 {
            assert!(answer.contains("\r\ndate: "), "{answer}");
            assert!(
                answer.contains("urn:wiregate:http_request_error"),
                "{answer}"
            );
        }
    }
    let answer = ask(&gateway, b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(status(&answer), 200, "HTTP/1.0 has no Host: {answer}");
    let got = origin.take();
    let endpoint = origin.address.to_string();
    assert_eq!(got[0].as_ref().unwrap().fields("host"), [endpoint]);
}

#[test]
fn a_target_in_absolute_form_is_served() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "");
    for (line, host, first, authority) in [
        (
            "GET http://b.test/x?y HTTP/1.1",
            "host: a\r\n",
            "GET /x?y HTTP/1.1",
            "b.test",
        ),
        (
            "GET http://b.test:81 HTTP/1.1",
            "host: b.test:81\r\n",
            "GET / HTTP/1.1",
            "b.test:81",
        ),
        (
            "GET HTTPS://b.test?y HTTP/1.0",
            "",
            "GET /?y HTTP/1.1",
            "b.test",
        ),
        (
            "OPTIONS * HTTP/1.1",
            "host: a\r\n",
            "OPTIONS * HTTP/1.1",
            "a",
        ),
        (
            "OPTIONS http://b.test HTTP/1.1",
            "host: a\r\n",
            "OPTIONS * HTTP/1.1",
            "b.test",
        ),
    ] {
        let answer = ask(
            &gateway,
            format!("{line}\r\n{host}x-own: 1\r\n\r\n").as_bytes(),
        );
        assert_eq!(status(&answer), 200, "{line} {answer}");
        let got = origin.take();
        let got = got[0].as_ref().expect(line);
        assert_eq!(
            (got.first_line(), got.fields("host")),
            (first, vec![authority])
        );
        assert_eq!(got.fields("x-forwarded-host"), [authority]);
        assert_eq!(got.fields("x-own"), ["1"]);
    }
    for (line, expected) in [
        ("GET * HTTP/1.1", 400),
        ("GET a HTTP/1.1", 400),
        ("GET http://u@b.test/ HTTP/1.1", 400),
        ("GET http:/// HTTP/1.1", 400),
        ("GET ftp://b.test/ HTTP/1.1", 400),
        ("CONNECT a HTTP/1.1", 400),
        ("CONNECT b:443 HTTP/1.1", 400),
        ("CONNECT a:443 HTTP/1.1", 405),
    ] {
        let tunnelled = "GET /evil HTTP/1.1\r\nhost: a\r\n\r\n";
        let answer = ask(
            &gateway,
            format!("{line}\r\nhost: a\r\n\r\n{tunnelled}").as_bytes(),
        );
        assert_eq!(status(&answer), expected, "{line} {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{line} {answer}");
    }
    assert_eq!(origin.take(), []);
}

#[test]
fn a_space_or_control_byte_in_the_target_is_refused() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "");
    for byte in (0..=b' ').chain([0x7f]) {
        for place in ["/a?b", "?", "/"] {
            let mut request = format!("GET /x{place}").into_bytes();
            request.push(byte);
            request.extend(b"c HTTP/1.1\r\nhost: a\r\n\r\n");
            let answer = ask(&gateway, &request);
            assert_eq!(status(&answer), 400, "{byte:#x} {answer}");
        }
    }
    for target in ["/a#b", "/\u{e9}"] {
        let answer = ask(
            &gateway,
            format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes(),
        );
        assert_eq!(
            status(&answer),
            if target == "/a#b" { 400 } else { 200 },
            "{answer}"
        );
    }
    let got = origin.take();
    assert_eq!(got.len(), 1);
    assert_eq!(
        got[0].as_ref().unwrap().first_line(),
        "GET /%C3%A9 HTTP/1.1"
    );
}

#[test]
fn heads_have_a_size() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "limits: { head: 4KiB }\n");
    let long = |count: usize| "a".repeat(count);
    let fields = |count: usize| "x: 1\r\n".repeat(count);
    for (request, expected) in [
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", long(3900)),
            200,
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", long(4096)),
            431,
        ),
        (
            format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", long(4096)),
            414,
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", fields(99)),
            200,
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", fields(100)),
            431,
        ),
        ("GET / HTTP/2.0\r\nhost: a\r\n\r\n".into(), 505),
        ("GET / HTTP/3.0\r\nhost: a\r\n\r\n".into(), 505),
        ("GET /\r\n\r\n".into(), 400),
    ] {
        let answer = ask(&gateway, request.as_bytes());
        assert_eq!(status(&answer), expected, "{answer}");
        assert_eq!(
            origin.take().len(),
            usize::from(expected == 200),
            "{answer}"
        );
    }
    let counted = "wiregate_requests_total{code=\"431\",method=\"other\",route=\"-\"}";
    assert_eq!(gateway.metric(counted), 2.0);
    let logged = gateway.access_log(8);
    let large = logged.iter().find(|line| line["status"] == 414).unwrap();
    assert_eq!(large["error"], "head_too_large");
}

#[test]
fn rfc9110_9_3_2_a_refusal_of_a_head_request_has_no_content() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "limits: { head: 4KiB }\n");
    let long = "a".repeat(4096);
    for (request, expected) in [
        (" / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (" / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".into(), 400),
        (" / HTTP/1.1\nhost: a\n\n".into(), 400),
        (
            " / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n".into(),
            501,
        ),
        (" / HTTP/1.3\r\nhost: a\r\n\r\n".into(), 505),
        (format!(" /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), 414),
        (format!(" / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), 431),
    ] {
        for method in ["HEAD", "GET"] {
            let answer = ask(&gateway, format!("{method}{request}").as_bytes());
            assert_eq!(status(&answer), expected, "{answer}");
            let (head, content) = answer.split_once("\r\n\r\n").unwrap();
            let (_, length) = head.split_once("content-length: ").unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            let sent = if method == "HEAD" { 0 } else { length };
            assert!(length > 0 && content.len() == sent, "{method}: {answer}");
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin =
        Origin::telling(|request| format!("{} {}", request.first_line(), request.body.len()));
    let gateway = gateway(&origin, "");
    let mut all = Vec::new();
    for number in 0..50 {
        let request = match number % 3 {
            0 => format!("GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n"),
            1 => format!("POST /{number} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nGET /"),
            _ => format!(
                "\r\nPUT /{number} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n"
            ),
        };
        all.extend(request.into_bytes());
    }
    // At once, and in pieces that end anywhere.
    for piece in [all.len(), 7, 100] {
        let mut stream = connect(&gateway);
        let writing = stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut writing = writing;
                for piece in all.chunks(piece) {
                    writing.write_all(piece).unwrap();
                }
            });
            for number in 0..50 {
                let answer = read_answer(&mut stream);
                assert_eq!(status(&answer), 200);
                let (method, length) = [("GET", 0), ("POST", 5), ("PUT", 5)][number % 3];
                let expected = format!("{method} /{number} HTTP/1.1 {length}");
                assert!(answer.ends_with(&expected), "{answer}");
            }
        });
    }
    assert!(origin.take().iter().all(Result::is_ok));
}
