//! `mode: observe` of filters that read whole bodies, or that know who is calling: whatever they would do, the exchange
//! is the one without them.

mod callers;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;

use serde_json::{Value, json};

use super::{Gateway, filtering, forwarding, reason};
use crate::harness::{Answer, PATIENCE, curl, curl_with, until};
use crate::origin;

const VERSIONS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];
const SMALL: &str = "buffered_body: 4KiB";
const LARGE: usize = 300_000;
/// Filters that want whole requests, and that would change them.
const WHOLE: [&str; 2] = ["json", "template"];

/// A gateway within these limits, with a route that has these filters, to an endpoint or an echo server.
fn within(limits: &str, filters: &str) -> (Gateway, crate::harness::Echo) {
    forwarding(&format!(
        "limits: {{ {limits} }}\nroutes: [{{ name: all, filters: [{filters}], upstream: app }}]"
    ))
}

fn wants(filter: &str, side: &str, mode: &str) -> String {
    match filter {
        "json" => format!("json: {{ {side}: {{ set: {{ a: 1 }}, types: '*/*' }}, mode: {mode} }}"),
        _ => format!("template: {{ {side}: {{ text: 'made of {{{{ body }}}}' }}, mode: {mode} }}"),
    }
}

fn before(endpoint: std::net::SocketAddr, limits: &str, filters: &str) -> Gateway {
    Gateway::start(&format!(
        "limits: {{ {limits} }}\nupstreams: {{ app: {{ endpoints: [\"{endpoint}\"] }} }}\n\
         routes: [{{ name: all, filters: [{filters}], upstream: app }}]\n"
    ))
}

fn post(gateway: &Gateway, arguments: &[&str], body: &[u8]) -> Answer {
    let url = gateway.url("/");
    let own = [
        "-H",
        "content-type: application/json",
        "--data-binary",
        "@-",
        &url,
    ];
    curl_with(&[&own[..], arguments].concat(), body)
}

/// Bytes that are told from each other by their places.
fn large() -> Vec<u8> {
    (b'a'..=b'z').cycle().take(LARGE).collect()
}

fn observed(gateway: &Gateway, line: usize) -> Value {
    gateway.access_log(line)[line - 1]["observed"].clone()
}

#[test]
fn a_request_that_is_too_large_to_be_looked_at_passes_as_it_is() {
    let (plain, _origin) = within(SMALL, "request_id");
    for filter in WHOLE {
        let (gateway, _origin) = within(SMALL, &wants(filter, "request", "observe"));
        let mut requests = 0;
        for version in VERSIONS {
            for how in [
                &[][..],
                &["-H", "transfer-encoding: chunked"],
                &["-H", "expect:"],
            ] {
                let arguments = [&[version], how].concat();
                let answer = post(&gateway, &arguments, &large());
                assert_eq!(answer.status, 200, "{filter} {arguments:?}");
                let (seen, without) = (answer.json(), post(&plain, &arguments, &large()).json());
                for field in ["body_bytes", "body_sha256"] {
                    assert_eq!(seen[field], without[field], "{filter} {arguments:?}");
                }
                for field in ["content-length", "transfer-encoding"] {
                    let (is, was) = (&seen["headers"][field], &without["headers"][field]);
                    assert_eq!(is, was, "{filter} {arguments:?} {field}");
                }
                requests += 1;
                let would = json!({ filter: "body_too_large" });
                assert_eq!(observed(&gateway, requests), would);
            }
        }
        gateway.counts("observed", "all", filter, 6.0);
    }
}

#[test]
fn a_request_that_was_looked_at_keeps_its_framing() {
    let (plain, _origin) = within(SMALL, "request_id");
    let (gateway, _origin) = within(SMALL, &wants("json", "request", "observe"));
    for version in VERSIONS {
        for how in [&[][..], &["-H", "transfer-encoding: chunked"]] {
            let arguments = [&[version], how].concat();
            let seen = post(&gateway, &arguments, b"{ }").json();
            let without = post(&plain, &arguments, b"{ }").json();
            assert_eq!(seen["body"], "{ }");
            for field in ["content-length", "transfer-encoding"] {
                let (is, was) = (&seen["headers"][field], &without["headers"][field]);
                assert_eq!(is, was, "{arguments:?} {field}");
            }
        }
    }
    assert_eq!(observed(&gateway, 4), Value::Null);
}

#[test]
fn a_response_that_is_too_large_to_be_looked_at_passes_as_it_is() {
    for filter in WHOLE {
        let (gateway, _origin) = within(SMALL, &wants(filter, "response", "observe"));
        for (place, version) in VERSIONS.into_iter().enumerate() {
            let answer = curl(&[version, &gateway.url("/bytes/300000")]);
            assert_eq!((answer.status, answer.body.len()), (200, LARGE), "{filter}");
            assert_eq!(answer.header("content-length"), LARGE.to_string());
            let answer = curl(&[version, &gateway.url("/?stream=600&every=0ms")]);
            assert_eq!(answer.status, 200, "{filter}");
            assert!(answer.text().ends_with("chunk 600\n"), "{filter}");
            assert_eq!(answer.header("content-length"), "", "{filter}");
            let would = json!({ filter: "response_too_large" });
            for line in [1, 2] {
                assert_eq!(observed(&gateway, 2 * place + line), would);
            }
        }
        gateway.counts("observed", "all", filter, 4.0);
        let answer = curl(&["-I", &gateway.url("/bytes/10")]);
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (200, "10")
        );
    }
}

#[test]
fn a_response_is_looked_at_as_a_whole_while_it_passes() {
    let (gateway, _origin) = filtering(&wants("json", "response", "observe"));
    for version in VERSIONS {
        let answer = curl(&[version, &gateway.url("/?stream=3&every=1ms")]);
        assert_eq!(answer.text(), "chunk 1\nchunk 2\nchunk 3\n");
        assert_eq!(curl(&[version, &gateway.url("/")]).status, 200);
    }
    gateway.counts("observed", "all", "json", 2.0);
    let log = gateway.access_log(4);
    let said = [0, 1].map(|at| log[at]["observed"].clone());
    assert_eq!(said, [json!({ "json": "invalid_json" }), Value::Null]);
    assert_eq!(log[0]["error"], Value::Null);
}

#[test]
fn the_head_of_a_response_does_not_wait_for_whoever_looks_at_its_body() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let endpoint = origin::serve(move |_, mut stream| {
        origin::head(&mut stream);
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none";
        stream.write_all(head).unwrap();
        gone.lock().unwrap().recv().unwrap();
        stream.write_all(b"two").unwrap();
    });
    let gateway = before(endpoint, SMALL, &wants("json", "response", "observe"));
    let mut client = connected(&gateway);
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    assert!(
        origin::head(&mut client)
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    let mut half = [0; 3];
    client.read_exact(&mut half).unwrap();
    go.send(()).unwrap();
    client.read_exact(&mut half).unwrap();
    assert_eq!(&half, b"two");
    assert_eq!(observed(&gateway, 1), json!({ "json": "invalid_json" }));
}

fn connected(gateway: &Gateway) -> TcpStream {
    let client = TcpStream::connect(gateway.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

#[test]
fn without_memory_bodies_pass_as_they_are() {
    let (gateway, _origin) = forwarding(&format!(
        "limits: {{ buffered_body: 64KiB, body_memory: 64KiB }}\nroutes:\n\
         - {{ name: held, match: {{ path: /held }}, filters: [{}], upstream: app }}\n\
         - {{ name: all, filters: [{}, {}], upstream: app }}\n",
        wants("json", "request", "enforce"),
        wants("json", "request", "observe"),
        wants("template", "response", "observe"),
    ));
    let mut holder = connected(&gateway);
    let head = "POST /held HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n";
    holder.write_all(head.as_bytes()).unwrap();
    until("the memory is taken", || {
        gateway.metric("wiregate_body_memory_bytes") > 65_000.0
    });
    for version in VERSIONS {
        let chunked = [version, "-H", "transfer-encoding: chunked"];
        let answer = post(&gateway, &chunked, &large()[..60_000]);
        assert_eq!(
            (answer.status, &answer.json()["body_bytes"]),
            (200, &60_000.into())
        );
    }
    let would = json!({ "json": "body_memory_exhausted", "template": "body_memory_exhausted" });
    assert_eq!(
        [1, 2].map(|line| observed(&gateway, line)),
        [would.clone(), would]
    );
    drop(holder);
    until("the memory is free", || {
        gateway.metric("wiregate_body_memory_bytes") < 0.1
    });
}

/// Sends a half of a body in chunks, and what comes after it once the endpoint has that half.
fn in_halves(rest: &'static [u8], limits: &str, filters: &str) -> (String, Gateway) {
    let (tell, told) = mpsc::channel::<String>();
    let endpoint = origin::serve(move |_, mut stream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        origin::head(&mut stream);
        let mut body = Vec::new();
        let mut byte = [0];
        while !body.ends_with(b"0\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => body.push(byte[0]),
                _ => break,
            }
            if body.ends_with(b"half") {
                tell.send(String::new()).unwrap();
            }
        }
        let _ = stream.write_all(origin::empty(200).as_bytes());
        let came = String::from_utf8(body).unwrap();
        tell.send(format!("all: {came}")).unwrap();
    });
    let gateway = before(endpoint, limits, filters);
    let mut client = connected(&gateway);
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    client.write_all(head.as_bytes()).unwrap();
    if !rest.is_empty() {
        told.recv_timeout(PATIENCE).unwrap();
        client.write_all(rest).unwrap();
        let head = origin::head(&mut client).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    drop(client);
    let said = std::iter::from_fn(|| told.recv_timeout(PATIENCE).ok());
    let mut came = said.filter_map(|said| Some(said.strip_prefix("all: ")?.to_owned()));
    (came.next().unwrap(), gateway)
}

#[test]
fn a_slow_client_is_waited_for_as_without_it() {
    let limits = "body_deadline: 100ms";
    let json = wants("json", "request", "observe");
    let (came, gateway) = in_halves(b"4\r\nrest\r\n0\r\n\r\n", limits, &json);
    assert_eq!(came, "4\r\nhalf\r\n4\r\nrest\r\n0\r\n\r\n");
    assert_eq!(observed(&gateway, 1), json!({ "json": "body_timeout" }));
    // Two of them wait no longer than one.
    let two = format!("{json}, {}", wants("template", "request", "observe"));
    let (came, gateway) = in_halves(b"4\r\nrest\r\n0\r\n\r\n", limits, &two);
    assert_eq!(came, "4\r\nhalf\r\n4\r\nrest\r\n0\r\n\r\n");
    let would = json!({ "json": "body_timeout", "template": "body_timeout" });
    assert_eq!(observed(&gateway, 1), would);
}

#[test]
fn a_body_that_breaks_off_never_looks_whole() {
    let json = wants("json", "request", "observe");
    let (came, gateway) = in_halves(b"", SMALL, &json);
    assert!(!came.contains("0\r\n\r\n"), "{came}");
    let log = gateway.access_log(1);
    assert_eq!(log[0]["observed"], json!({ "json": "http_request_error" }));
    assert_eq!(log[0]["refused_by"], Value::Null);
}

#[test]
fn who_enforces_behind_it_refuses_as_ever() {
    let watched = wants("json", "request", "observe");
    let enforced = wants("template", "request", "enforce");
    for (filters, by, why) in [
        (
            format!("{watched}, {enforced}"),
            "template",
            "body_too_large",
        ),
        (
            format!("{enforced}, {watched}"),
            "template",
            "body_too_large",
        ),
        (
            format!("{watched}, body_limit: 200KiB"),
            "body_limit",
            "body_too_large",
        ),
        (
            format!("body_limit: 2KiB, {watched}"),
            "body_limit",
            "body_too_large",
        ),
    ] {
        let (gateway, _origin) = within(SMALL, &filters);
        for version in VERSIONS {
            let chunked = [version, "-H", "transfer-encoding: chunked"];
            let answer = post(&gateway, &chunked, &large());
            assert_eq!((answer.status, &*reason(&answer)), (413, why), "{filters}");
        }
        assert_eq!(gateway.access_log(2)[1]["refused_by"], by, "{filters}");
    }
    let filters = format!(
        "{}, {}",
        wants("template", "response", "enforce"),
        wants("json", "response", "observe")
    );
    let (gateway, _origin) = within(SMALL, &filters);
    let answer = curl(&[&gateway.url("/bytes/300000")]);
    assert_eq!(answer.status, 502);
}

#[test]
fn what_was_read_goes_to_the_next_endpoint_as_well() {
    let origin = crate::harness::echo();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let gateway = Gateway::start(&format!(
        "limits: {{ {SMALL} }}\nupstreams: {{ app: {{ endpoints: [\"{closed}\", \"{}\"], retry: {{ attempts: 2 }} }} }}\n\
         routes: [{{ name: all, filters: [{}], upstream: app }}]\n",
        origin.addresses()[0],
        wants("json", "request", "observe"),
    ));
    for version in VERSIONS {
        for _ in 0..4 {
            let chunked = [version, "-X", "PUT", "-H", "transfer-encoding: chunked"];
            let answer = post(&gateway, &chunked, &large());
            assert_eq!(
                (answer.status, &answer.json()["body_bytes"]),
                (200, &LARGE.into())
            );
        }
    }
}
