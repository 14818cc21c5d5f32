//! `json` in a running gateway, before an echo server and before nginx.

mod codings;
mod cuts;
mod ranges;

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::{filtering, forwarding, reason};
use crate::harness::{Answer, Gateway, curl, curl_with, raw};
use crate::origin;

const VERSIONS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];
const JSON: [&str; 2] = ["-H", "content-type: application/json"];

fn post(gateway: &Gateway, arguments: &[&str], body: &[u8]) -> Answer {
    let url = gateway.url("/");
    curl_with(&[&JSON[..], &["-d", "@-", &url], arguments].concat(), body)
}

fn before(endpoint: SocketAddr, filters: &str) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{endpoint}\"] }} }}\n\
         routes: [{{ name: all, match: {{ path: \"/**\" }}, filters: [{filters}], upstream: app }}]\n"
    ))
}

#[test]
fn requests_are_changed_before_the_upstream_gets_them() {
    let (gateway, _origin) = filtering(
        "json: { request: { set: { id: '${request.id}' }, remove: admin, rename: { a: b } } }",
    );
    for version in VERSIONS {
        let body = r#"{"admin":true,"a":12345678901234567890,"z":0.10}"#;
        let answer = post(&gateway, &[version], body.as_bytes());
        let (seen, id) = (answer.json(), answer.header("x-request-id"));
        let expected = format!(r#"{{"b":12345678901234567890,"z":0.10,"id":"{id}"}}"#);
        assert_eq!(seen["body"], expected, "{version}");
        assert_eq!(
            seen["headers"]["content-length"],
            expected.len().to_string()
        );
        for chunked in [
            &["-H", "transfer-encoding: chunked"][..],
            &["-H", "expect: 100-continue"],
        ] {
            let answer = post(&gateway, &[&[version], chunked].concat(), b"{}");
            assert!(
                answer.json()["body"]
                    .as_str()
                    .unwrap()
                    .starts_with("{\"id\":")
            );
        }
        let refused = post(&gateway, &[version], b"{");
        assert_eq!((refused.status, &*reason(&refused)), (400, "invalid_json"));
        let empty = post(&gateway, &[version], b"");
        assert_eq!(empty.json()["body"], "");
    }
}

#[test]
fn a_media_type_with_any_bytes_in_it_is_one() {
    let (gateway, _origin) = filtering("json: { request: { remove: admin } }");
    let request = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
        content-type: application/json; x=\xe9\r\ncontent-length: 14\r\n\r\n{\"admin\":true}";
    let answer = raw(gateway.address(), request);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.contains("admin"), "{answer}");
}

#[test]
fn responses_are_changed_before_the_client_gets_them() {
    let (gateway, _origin) = forwarding(
        r#"
routes:
  - { name: path, match: { path: /path }, filters: [json: { response: { remove: [headers, served_by], set: { by.name: "${route}" } } }], upstream: app }
  - { name: jq, match: { path: /jq }, filters: [json: { response: { when: response.status == 200, jq: { program: "{p: .path, $q}", args: { q: "${request.query.q}" } } } }], upstream: app }
  - { name: own, match: { path: /own }, filters: [json: { response: { set: { a: 1 } } }, respond: { json: { b: 2 } }] }
  - { name: two, match: { path: /two }, filters: [compress: { min_size: 1 }, json: { response: { set: { second: true } } }, json: { response: { jq: "{first: true}" } }], upstream: app }
"#,
    );
    for version in VERSIONS {
        let answer = gateway.ask(
            "/path?header=etag:%22a%22&header=content-md5:x&header=accept-ranges:bytes",
            &[version],
        );
        let json = answer.json();
        assert_eq!(json["by"]["name"], "path");
        assert!(json.get("headers").is_none() && json.get("served_by").is_none());
        assert_eq!(
            answer.header("content-length"),
            answer.body.len().to_string()
        );
        for name in ["etag", "content-md5", "accept-ranges", "transfer-encoding"] {
            assert_eq!(answer.header(name), "", "{name}");
        }
        assert_eq!(
            gateway.ask("/jq?q=x%22", &[version]).text(),
            r#"{"p":"/jq","q":"x\""}"#
        );
        let other = gateway.ask("/jq?status=503", &[version]);
        assert_eq!(
            (other.status, other.json()["path"].as_str()),
            (503, Some("/jq"))
        );
        assert_eq!(gateway.ask("/own", &[version]).text(), "{\"b\":2,\"a\":1}");
        let two = gateway.ask("/two", &[version, "--compressed"]);
        assert_eq!(
            (two.header("content-encoding"), &*two.text()),
            ("zstd", r#"{"first":true,"second":true}"#)
        );
    }
}

#[test]
fn a_body_that_another_filter_made_is_taken_by_its_own_length() {
    let endpoint = origin::answers(|head| {
        let (status, body) = match head.split(' ').nth(1).unwrap_or_default() {
            "/large" => (
                200,
                format!("{{\"a\":1,\"secret\":\"{}\"}}", "x".repeat(5000)),
            ),
            _ => (404, String::new()),
        };
        format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    });
    let gateway = before(
        endpoint,
        "compress, json: { response: { remove: secret } }, \
         template: { response: { when: response.status == 404, json: '{\"secret\":1,\"a\":\"{% for _ in range(500) %}all{% endfor %}\"}' } }",
    );
    for version in VERSIONS {
        let asks = ["-H", "accept-encoding: gzip", "--compressed", version];
        let made = gateway.ask("/", &asks);
        assert_eq!(made.header("content-encoding"), "gzip");
        assert_eq!(made.text(), format!("{{\"a\":\"{}\"}}", "all".repeat(500)));
        // Whoever comes behind goes by what is left of a body, too.
        let left = gateway.ask("/large", &asks);
        assert_eq!(
            (left.header("content-encoding"), &*left.text()),
            ("", "{\"a\":1}")
        );
        assert_eq!(left.header("content-length"), "7");
    }
}

#[test]
fn a_whole_body_that_is_empty_goes_through_the_filters_that_claimed_it() {
    let endpoint = origin::answers(|_| {
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
            .to_owned()
    });
    let gateway = before(
        endpoint,
        "compress: { min_size: 0 }, json: { response: { remove: x } }",
    );
    for version in VERSIONS {
        let asks = ["-H", "accept-encoding: gzip", "--raw", version];
        let answer = gateway.ask("/", &asks);
        let is_gzip = answer.body.starts_with(b"\x1f\x8b");
        assert_eq!(is_gzip, answer.header("content-encoding") == "gzip");
        assert_eq!(
            answer.header("content-length"),
            answer.body.len().to_string()
        );
    }
}

#[test]
fn a_body_that_a_filter_gives_a_request_is_there_for_the_next_one() {
    let (gateway, _origin) = filtering(
        "template: { request: { json: '{\"q\":{{ request.query.q }},\"debug\":true}' } }, \
         json: { request: { remove: debug, set: { caller: '${route}' } } }",
    );
    for version in VERSIONS {
        let seen = gateway.ask("/search?q=1", &[version]).json();
        let expected = r#"{"q":"1","caller":"all"}"#;
        assert_eq!(seen["body"], expected, "{version}");
        assert_eq!(
            seen["headers"]["content-length"],
            expected.len().to_string()
        );
    }
    // Where none is made there is none.
    let (gateway, _origin) = filtering(
        "template: { request: { text: '' } }, json: { request: { types: '*/*', remove: debug } }",
    );
    for version in VERSIONS {
        let seen = gateway.ask("/", &[version]).json();
        assert_eq!(seen["body"], "", "{version}");
        assert!(seen["headers"]["content-length"].is_null(), "{version}");
    }
}

#[test]
fn what_cannot_be_changed_never_leaves_as_it_is() {
    let bomb = format!("[{}1]", " ".repeat(1 << 20));
    let coded = zstd(bomb.as_bytes());
    let endpoint = origin::serve(move |_, mut stream| {
        while let Some(head) = origin::head(&mut stream) {
            let path = head.split(' ').nth(1).unwrap_or_default();
            let (fields, body) = match path {
                "/bomb" => ("content-encoding: zstd\r\n", coded.as_slice()),
                "/unknown" => ("content-encoding: compress\r\n", &b"secret"[..]),
                "/broken" => ("content-encoding: gzip\r\n", &b"secret"[..]),
                "/text" => ("", &b"secret"[..]),
                "/deep" => ("", &[b'['; 100_000][..]),
                _ => ("content-range: bytes 0-5/9\r\n", &b"secret"[..]),
            };
            let status = if path == "/part" { 206 } else { 200 };
            let head = format!(
                "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\n{fields}content-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        }
    });
    let refusing = before(endpoint, "json: { response: { set: { a: 1 } } }");
    let passing = before(
        endpoint,
        "json: { response: { set: { a: 1 }, invalid: pass } }",
    );
    for version in VERSIONS {
        for path in ["/bomb", "/unknown", "/broken", "/text", "/deep", "/part"] {
            let refused = curl(&[version, &refusing.url(path)]);
            let expected = if path == "/bomb" {
                "response_too_large"
            } else {
                "invalid_json"
            };
            assert_eq!(
                (refused.status, &*reason(&refused)),
                (502, expected),
                "{path} {version}"
            );
            let passed = curl(&[version, &passing.url(path)]);
            assert_eq!(
                passed.status,
                match path {
                    "/bomb" => 502,
                    "/part" => 206,
                    _ => 200,
                },
                "{path}"
            );
        }
    }
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    let mut child = Command::new("zstd")
        .args(["-q", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let plain = plain.to_owned();
    let feeding = std::thread::spawn(move || stdin.write_all(&plain).unwrap());
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    output.stdout
}

#[test]
fn a_program_that_hangs_holds_up_nobody_else() {
    let (gateway, _origin) = forwarding(
        r#"
workers: 1
routes:
  - { name: hangs, match: { path: /hangs }, filters: [json: { response: { jq: { program: "def f: f; f", time: 9s } } }], upstream: app }
  - { name: rest, upstream: app }
"#,
    );
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| gateway.ask("/hangs", &[]));
        for _ in 0..5 {
            assert_eq!(gateway.ask("/", &[]).status, 200);
        }
        assert!(
            !hanging.is_finished(),
            "five requests take less than nine seconds"
        );
        let ended = hanging.join().unwrap();
        assert_eq!((ended.status, &*reason(&ended)), (500, "jq_exhausted"));
    });
}

#[test]
fn upgraded_connections_are_left_alone() {
    let endpoint = origin::answers(|_| {
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\ncontent-type: application/json\r\n\r\n{\"raw".to_owned()
    });
    let gateway = before(
        endpoint,
        "json: { request: { set: { a: 1 } }, response: { set: { a: 1 } } }",
    );
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    let answer = raw(gateway.address(), request);
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(answer.ends_with("{\"raw"), "{answer}");
}
