//! Endpoints that stop taking a body: no exchange waits for them for ever, whoever is waited for, and
//! they are what has failed.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::harness::{Gateway, curl_with};
use super::super::origin::{head, serve};
use super::http2::of_connections;
use super::idle;

const CLIENTS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];
/// More than the steps that an exchange may take, one after the other, and much less than for ever.
const MOST: Duration = Duration::from_secs(15);

/// Forwards to an endpoint that is given a second for each step.
fn start(endpoint: SocketAddr, protocol: &str, filters: &str) -> Gateway {
    Gateway::start(&format!(
        "workers: 1\nupstreams:\n  app: {{ endpoints: [\"{endpoint}\"], protocol: {protocol}, \
         timeouts: {{ first_byte: 1s, idle: 1s }}, retry: {{ attempts: 1 }} }}\n\
         routes: [{{ name: all, filters: [{filters}], upstream: app }}]\n"
    ))
}

/// Sends a body, and sees the exchange end in time, with nothing left of it and one attempt that failed.
fn ends(gateway: &Gateway, body: &[u8]) {
    for (number, client) in CLIENTS.into_iter().enumerate() {
        let start = Instant::now();
        let url = gateway.url("/");
        let json = "content-type: application/json";
        let arguments = [
            client,
            "-H",
            "expect:",
            "-H",
            json,
            "--data-binary",
            "@-",
            &url,
        ];
        let told = curl_with(&arguments, body);
        assert!([0, 200, 408, 502, 504].contains(&told.status), "{told:?}");
        let took = start.elapsed();
        assert!(took < MOST, "{client}: {took:?}");
        idle(gateway);
        let line = gateway.access_log(number + 1).pop().unwrap();
        assert!(line["error"].is_string(), "{client}: {line}");
    }
}

/// An endpoint over HTTP/2 that gives no room for more than the first 64 KiB of a body, and answers each
/// request with a head or not at all.
fn narrow(answers: bool) -> SocketAddr {
    let kept = Mutex::new(Vec::new());
    of_connections(move |_, _, body, mut respond| {
        let response = http::Response::builder().status(200).body(()).unwrap();
        let answer = answers.then(|| respond.send_response(response, false).unwrap());
        kept.lock().unwrap().push((body, respond, answer));
    })
}

#[test]
fn over_http_1_1() {
    // It reads the head, and nothing more as long as the connection lives.
    let endpoint = serve(|_, mut stream| {
        head(&mut stream);
        std::thread::park_timeout(MOST * 2);
    });
    ends(&start(endpoint, "http1", ""), &vec![b'x'; 16 << 20]);
}

#[test]
fn over_http_2() {
    let gateway = start(narrow(false), "h2c", "");
    ends(&gateway, &vec![b'x'; 1 << 20]);
    let failed = |word: &str| {
        let series = format!("wiregate_upstream_errors_total{{error=\"{word}\",upstream=\"app\"}}");
        gateway.metric(&series)
    };
    let all = failed("connection_write_timeout") + failed("http_response_timeout");
    assert!(all >= 2.0, "the endpoint has failed, not the client: {all}");
}

#[test]
fn over_http_2_where_it_has_answered() {
    ends(&start(narrow(true), "h2c", ""), &vec![b'x'; 1 << 20]);
}

#[test]
fn where_the_body_is_in_memory() {
    let text = format!("{{\"text\": \"{}\"}}", "x".repeat(300 * 1024));
    let body = Bytes::from(text);
    for protocol in ["http1", "h2c"] {
        let endpoint = match protocol {
            "h2c" => narrow(false),
            _ => serve(|_, mut stream| {
                head(&mut stream);
                std::thread::park_timeout(MOST * 2);
            }),
        };
        let filters = "{ json: { request: { set: { seen: true } } } }";
        ends(&start(endpoint, protocol, filters), &body);
    }
}
