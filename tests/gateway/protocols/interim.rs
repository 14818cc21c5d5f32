//! Interim responses (RFC 9110, 15.2) and trailers (RFC 9110, 6.5).

use std::io::Write;
use std::process::Command;

use super::peers::{gateway, read_head, send, server};
use crate::harness::{Gateway, echo};
use crate::http2::wire::{self, Client};

/// A gateway before a server that sends two interim responses before its answer, and waits with
/// it until it is asked for.
fn hinting() -> Gateway {
    let address = server(move |mut stream| {
        while !read_head(&mut stream).is_empty() {
            let answer = "HTTP/1.1 100 Continue\r\n\r\n\
                          HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n\
                          HTTP/1.1 103 Early Hints\r\nlink: </b.css>; rel=preload\r\n\r\n\
                          HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    gateway("{}", &format!("{{ endpoints: [\"{address}\"] }}"))
}

#[test]
fn interim_responses_reach_http_1_1_clients_in_order() {
    let gateway = hinting();
    let request = "GET / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\r\n";
    let mut client = send(gateway.address(), request);
    let heads: Vec<_> = (0..4).map(|_| read_head(&mut client)).collect();
    assert!(heads[0].starts_with("HTTP/1.1 100 "), "{heads:?}");
    assert!(
        heads[1].starts_with("HTTP/1.1 103 ") && heads[1].contains("a.css"),
        "{heads:?}"
    );
    assert!(
        heads[2].starts_with("HTTP/1.1 103 ") && heads[2].contains("b.css"),
        "{heads:?}"
    );
    assert!(heads[3].starts_with("HTTP/1.1 200 "), "{heads:?}");
}

#[test]
fn interim_responses_reach_http_2_clients_in_order() {
    let gateway = hinting();
    let output = Command::new("nghttp")
        .args(["-v", &gateway.url("/")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let places = [
        ":status: 103",
        "</a.css>",
        "</b.css>",
        ":status: 200",
        "done",
    ]
    .map(|word| {
        said.find(word)
            .unwrap_or_else(|| panic!("no {word} in {said}"))
    });
    assert!(places.is_sorted(), "{said}");
}

#[test]
fn interim_responses_do_not_reach_http_1_0_clients() {
    let gateway = hinting();
    let head = read_head(&mut send(
        gateway.address(),
        "GET / HTTP/1.0\r\nhost: a\r\n\r\n",
    ));
    assert!(head.contains(" 200 OK"), "{head}");
}

#[test]
fn trailers_pass_between_http_2_and_are_left_out_elsewhere() {
    let address = super::http2_server(|_, mut respond| async move {
        let mut body = respond
            .send_response(http::Response::new(()), false)
            .unwrap();
        body.send_data("the body".into(), false).unwrap();
        let trailers = [("x-checksum".parse().unwrap(), "abc".parse().unwrap())];
        body.send_trailers(trailers.into_iter().collect()).unwrap();
    });
    let gateway = gateway(
        "{}",
        &format!("{{ endpoints: [\"{address}\"], protocol: h2c }}"),
    );
    let output = Command::new("nghttp")
        .args(["-v", &gateway.url("/")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let (body, trailer) = (said.find("the body"), said.find("x-checksum: abc"));
    assert!(body.is_some() && body < trailer, "{said}");
    // An HTTP/1.1 client gets the whole body, and no trailers.
    let request = "GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close, te\r\n\r\n";
    let mut client = send(gateway.address(), request);
    let head = read_head(&mut client).to_lowercase();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut client, &mut rest).unwrap();
    assert_eq!(rest, "8\r\nthe body\r\n0\r\n\r\n");
}

/// Gateways that send requests on over HTTP/1.1 and HTTP/2, and one with a filter that reads the body.
fn expecting() -> Vec<(&'static str, Gateway)> {
    let upstreams = [
        ("http1", "[]"),
        ("h2c", "[]"),
        ("http1", "[json: { request: { set: { seen: yes } } }]"),
    ];
    let start = |(protocol, filters)| {
        let origin = echo();
        let gateway = Gateway::start(&format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: {protocol} }} }}\n\
             routes: [{{ name: all, filters: {filters}, upstream: app }}]\n",
            origin.addresses()[0]
        ));
        std::mem::forget(origin); // it lives as long as the test
        (filters, gateway)
    };
    upstreams.into_iter().map(start).collect()
}

const EXPECT: &str = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\
                      content-type: application/json\r\ncontent-length: 2\r\n\r\n";

#[test]
fn a_client_that_waits_to_be_told_is_told_whoever_takes_the_body() {
    for (filters, gateway) in expecting() {
        let mut client = send(gateway.address(), EXPECT);
        let told = read_head(&mut client);
        assert!(told.starts_with("HTTP/1.1 100 "), "{filters}: {told}");
        client.write_all(b"{}").unwrap();
        let head = read_head(&mut client);
        assert!(head.starts_with("HTTP/1.1 200 "), "{filters}: {head}");

        let mut client = Client::open(gateway.address());
        let fields = [
            wire::post("/"),
            wire::field("expect", "100-continue"),
            wire::field("content-type", "application/json"),
            wire::field("content-length", "2"),
        ];
        client.write(&wire::headers(1, wire::END_HEADERS, &fields.concat()));
        let told = client.next_of(wire::HEADERS).unwrap();
        let status = String::from_utf8_lossy(&told.payload).into_owned();
        assert!(
            told.flags & wire::END_STREAM == 0 && told.payload[0] != 0x88,
            "{status:?}"
        );
        client.write(&wire::frame(wire::DATA, wire::END_STREAM, 1, b"{}"));
        assert_eq!(
            client.next_of(wire::HEADERS).unwrap().payload[0],
            0x88,
            "{filters}"
        );
    }
}
