//! Time-outs for each step: a route's over its upstream's over those of the file.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::super::harness::{Gateway, PATIENCE, curl, echo, raw};
use super::super::origin::{self, empty, head, serve};
use super::{config, problems, upstream};

const SLOW: &str = "urn:wiregate:http_response_timeout";

#[test]
fn a_route_rules_over_its_upstream_and_that_over_the_file() {
    let origin = echo();
    let address = origin.addresses();
    let gateway = Gateway::start(&format!(
        "timeouts: {{ first_byte: 200ms }}\nupstreams:\n{}{}routes:\n\
         - {{ name: file, match: {{ path: /file }}, upstream: plain }}\n\
         - {{ name: upstream, match: {{ path: /upstream }}, upstream: own }}\n\
         - {{ name: route, match: {{ path: /route }}, upstream: own, timeouts: {{ first_byte: 250ms }} }}\n\
         - {{ name: long, match: {{ path: /long }}, upstream: plain, timeouts: {{ first_byte: 20s }} }}\n",
        upstream("plain", address, ""),
        upstream("own", address, ", timeouts: { first_byte: 20s }"),
    ));
    for (path, status) in [
        ("/file", 504),
        ("/upstream", 200),
        ("/route", 504),
        ("/long", 200),
    ] {
        let start = Instant::now();
        let answer = curl(&[&gateway.url(&format!("{path}?delay=800ms"))]);
        assert_eq!(answer.status, status, "{path}");
        if status == 504 {
            assert_eq!(answer.json()["type"], SLOW);
            assert!(start.elapsed() >= Duration::from_millis(200));
        }
    }
}

/// What is said of an endpoint holds for both protocols that it may speak.
const PROTOCOLS: [&str; 2] = ["http1", "h2c"];

#[test]
fn the_first_byte_has_a_time_of_its_own() {
    let origin = echo();
    for protocol in PROTOCOLS {
        let options = format!(
            ", protocol: {protocol}, timeouts: {{ first_byte: 300ms, idle: 20s }}, retry: {{ attempts: 1 }}"
        );
        let gateway = Gateway::start(&config(&upstream("app", origin.addresses(), &options), ""));
        for client in ["--http1.1", "--http2-prior-knowledge"] {
            let answer = curl(&[client, &gateway.url("/?delay=5s")]);
            assert_eq!(
                (answer.status, &*answer.json()["type"].to_string()),
                (504, &*format!("\"{SLOW}\"")),
                "{protocol} {client}"
            );
            // A silence in the body is another thing.
            let answer = curl(&[client, &gateway.url("/?stream=3&every=700ms")]);
            assert_eq!(answer.status, 200, "{protocol} {client}");
            assert!(!answer.text().is_empty());
        }
    }
}

/// An upload of six bytes with a pause before each two of them; the answer.
fn upload_slowly(gateway: &Gateway, pause: Duration) -> String {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"POST /?delay=200ms HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 6\r\n\r\n")
        .unwrap();
    // The pauses are what is tested.
    for piece in [b"ab", b"cd", b"ef"] {
        std::thread::park_timeout(pause);
        stream.write_all(piece).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_first_byte_is_awaited_from_the_end_of_the_request_on() {
    let silent = serve(|_, mut stream| assert!(origin::drain(&mut stream) > 0));
    let options = ", timeouts: { first_byte: 500ms, idle: 20s }";
    let gateway = Gateway::start(&config(&upstream("app", &[silent], options), ""));
    let start = Instant::now();
    let answer = upload_slowly(&gateway, Duration::from_millis(300));
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(1350), "{took:?}");
}

#[test]
fn a_silence_in_a_response_ends_it_and_a_client_that_takes_its_time_does_not() {
    let origin = echo();
    for protocol in PROTOCOLS {
        let options = format!(", protocol: {protocol}, timeouts: {{ first_byte: 1s, idle: 1s }}");
        let gateway = Gateway::start(&config(&upstream("app", origin.addresses(), &options), ""));
        for client in ["--http1.1", "--http2-prior-knowledge"] {
            let start = Instant::now();
            let answer = curl(&[client, &gateway.url("/?stream=2&every=20s")]);
            assert_eq!(answer.status, 200);
            assert!(
                start.elapsed() < Duration::from_secs(15),
                "{protocol} {client}"
            );
            // More than all buffers hold, at a rate that has the gateway wait for its client.
            let (bytes, rate) = (24 * 1024 * 1024, "6M");
            let target = gateway.url(&format!("/?bytes={bytes}"));
            let answer = curl(&[client, "--limit-rate", rate, &target]);
            assert_eq!(answer.body.len(), bytes, "{protocol} {client}");
        }
        let lines = gateway.access_log(4);
        let cut = lines
            .iter()
            .filter(|line| line["error"] == "connection_read_timeout");
        assert_eq!(cut.count(), 2, "{lines:?}");
    }
}

#[test]
fn the_total_holds_for_all_attempts_and_waits() {
    let silent = serve(|_, mut stream| assert!(origin::drain(&mut stream) > 0));
    let options =
        ", timeouts: { first_byte: 400ms, total: 600ms }, retry: { attempts: 5, on: [timeout] }";
    let gateway = Gateway::start(&config(&upstream("app", &[silent], options), ""));
    let start = Instant::now();
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(answer.status, 504);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(550), "{took:?}");
    assert!(
        took < Duration::from_millis(1900),
        "five attempts would take 2s: {took:?}"
    );
}

#[test]
fn a_slow_endpoint_leaves_others_alone() {
    let mixed = serve(|_, mut stream| {
        while let Some(head) = head(&mut stream) {
            if head.starts_with("GET /slow") {
                origin::drain(&mut stream);
                return;
            }
            let _ = stream.write_all(empty(200).as_bytes());
        }
    });
    let options = ", timeouts: { first_byte: 300ms, idle: 10s }";
    let gateway = Gateway::start(&config(&upstream("app", &[mixed], options), ""));
    let slow: Vec<_> = (0..5).map(|_| super::later(&gateway, "/slow")).collect();
    for _ in 0..10 {
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    }
    for slow in slow {
        assert_eq!(slow.join().unwrap().status, 504);
    }
    let answer = raw(
        gateway.address(),
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200"));
}

#[test]
fn times_that_contradict_each_other_are_refused() {
    let upstreams =
        |times: &str| upstream("app", &[super::nobody()], &format!(", timeouts: {times}"));
    let said = problems(&config(&upstreams("{ first_byte: 30s, idle: 10s }"), ""));
    assert!(
        said.contains("`idle` (10s) is shorter than `first_byte` (30s)"),
        "{said}"
    );
    // What holds with it may be written elsewhere, or nowhere.
    let alone = config(&upstreams("{ idle: 10s }"), "");
    let file = |times: &str| format!("timeouts: {times}\n{}", config(&upstreams("{}"), ""));
    for (configuration, first_byte, place) in [
        (alone.clone(), "1m", 7),
        (
            format!("timeouts: {{ first_byte: 30s }}\n{alone}"),
            "30s",
            8,
        ),
        (file("{ idle: 10s }"), "1m", 5),
    ] {
        let said = problems(&configuration);
        let expected = format!(
            "`idle` (10s) is shorter than the `first_byte` that holds with it ({first_byte})"
        );
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains(&format!(".yaml:{place}:")), "{said}");
    }
    let said = problems(&file("{ first_byte: 30s, idle: 10s }"));
    assert!(said.contains("shorter than `first_byte` (30s)"), "{said}");
    let hedge = upstream("app", &[super::nobody()], ", hedge: { after: 5s }");
    let said = problems(&format!(
        "timeouts: {{ first_byte: 5s }}\n{}",
        config(&hedge, "")
    ));
    assert!(said.contains("nothing would be hedged"), "{said}");
    let said = problems(&config(
        &upstreams("{ first_byte: 30s }"),
        ", timeouts: { idle: 10s }",
    ));
    assert!(
        said.contains("shorter than the `first_byte` of upstream `app`"),
        "{said}"
    );
    let said =
        problems("routes: [{ name: all, filters: [{ respond: 204 }], timeouts: { idle: 1s } }]\n");
    assert!(said.contains("the route has no upstream"), "{said}");
    let said = problems(&config(&upstreams("{ read: 30s }"), ""));
    assert!(said.contains("unknown"), "{said}");
}
