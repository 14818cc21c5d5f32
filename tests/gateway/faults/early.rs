//! Endpoints that answer before they have been sent the whole request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use super::{H2, gateway, idle, nobody};
use crate::front::both_ways;
use crate::harness::{Gateway, PATIENCE, curl_with};
use crate::http2::wire::{self, Client};
use crate::origin::{self, empty, head, serve};

/// What would be a request of its own, and what would be the beginning of one.
const REST: [&str; 2] = [
    "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
    "GET /smuggled HTTP/1.1\r\nx: ",
];

/// The heads that came, with the connection that each came on.
type Seen = Arc<Mutex<Vec<(usize, String)>>>;

/// An endpoint that answers by the head alone, and takes what follows for the next request.
fn heedless() -> (Seen, SocketAddr) {
    let seen = Seen::default();
    let copy = seen.clone();
    let address = serve(move |number, mut stream| {
        while let Some(head) = head(&mut stream) {
            let status = if head.starts_with("POST") { 417 } else { 200 };
            copy.lock().unwrap().push((number, head));
            if stream.write_all(empty(status).as_bytes()).is_err() {
                return;
            }
        }
    });
    (seen, address)
}

/// Sends the head of a request, and the rest once there is an answer.
fn over_http1(gateway: &Gateway, expect: &str, rest: &str) {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = rest.len();
    let head = format!("POST /x HTTP/1.1\r\nhost: a\r\n{expect}content-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 417 "));
    assert!(String::from_utf8_lossy(&answer).contains("Connection: close"));
    let _ = stream.write_all(rest.as_bytes());
    assert_eq!(
        stream.read_to_end(&mut answer).unwrap(),
        0,
        "nothing follows"
    );
}

fn over_http2(gateway: &Gateway, rest: &str) {
    let mut client = Client::open(gateway.address());
    let length = wire::field("content-length", &rest.len().to_string());
    let block = [wire::post("/x"), length].concat();
    client.write(&wire::headers(1, wire::END_HEADERS, &block));
    let answer = client.next_of(wire::HEADERS).unwrap();
    client.write(&wire::frame(
        wire::DATA,
        wire::END_STREAM,
        1,
        rest.as_bytes(),
    ));
    if answer.flags & wire::END_STREAM == 0 {
        let end = client.next_of(wire::DATA).unwrap();
        assert!(end.flags & wire::END_STREAM != 0);
    }
    assert_eq!(client.ask(3, "/after"), 0x88, "the connection goes on");
}

#[test]
fn what_follows_an_early_answer_is_never_taken_for_another_request() {
    for rest in REST {
        for how in [
            "http1",
            "expect: 100-continue\r\n",
            "expect: y 100-continue\r\n",
            "http2",
        ] {
            each_way(rest, how);
        }
    }
}

fn each_way(rest: &str, how: &str) {
    for way in 0..2 {
        let (seen, address) = heedless();
        let (address, options, _front) = both_ways(address).into_iter().nth(way).unwrap();
        let gateway = gateway(address, &options, nobody());
        match how {
            "http2" => over_http2(&gateway, rest),
            "http1" => over_http1(&gateway, "", rest),
            expect => over_http1(&gateway, expect, rest),
        }
        idle(&gateway);
        let answer = super::ask(&gateway, "GET", "");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{how}: {answer}");
        let seen = seen.lock().unwrap().clone();
        let (posted, head) = &seen[0];
        assert!(head.starts_with("POST "), "{how}: {seen:?}");
        for (number, head) in &seen[1..] {
            assert!(
                number > posted && !head.contains("smuggled"),
                "{how}: {seen:?}"
            );
        }
        let lines = gateway.access_log(2);
        let early = lines.iter().find(|line| line["status"] == 417).unwrap();
        assert_eq!(early["error"], serde_json::Value::Null, "{how}: {early}");
    }
}

#[test]
fn an_answer_before_the_body_is_read_passes() {
    let early = serve(|_, mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 413 Too Much\r\ncontent-length: 2\r\n\r\nno");
        origin::drain(&mut stream);
    });
    let gateway = gateway(early, "", nobody());
    let body = vec![b'x'; 4 << 20];
    let url = gateway.url("/");
    for client in ["--http1.1", H2] {
        let answer = curl_with(&[client, "--data-binary", "@-", &url], &body);
        assert_eq!(
            (answer.status, answer.text()),
            (413, "no".to_owned()),
            "{client}"
        );
    }
    idle(&gateway);
}
