//! Where the responses of endpoints end, and how the gateway's end with them.

use std::io::{Read, Write};

use super::{Origin, ask, at, connect, gateway};
use crate::front::both_ways;
use crate::harness::{Gateway, curl};

#[test]
fn rfc9112_6_3_a_response_with_a_length_and_chunks_is_an_error() {
    let origin = Origin::answering(|request, stream| {
        let fields = match request.first_line().contains("length-first") {
            true => "content-length: 2\r\ntransfer-encoding: chunked",
            false => "Transfer-Encoding: Chunked\r\nx: y\r\nContent-Length: 5",
        };
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        stream.write_all(answer.as_bytes()).is_ok()
    });
    for (address, way, _front) in both_ways(origin.address) {
        for (options, filters) in [
            ("", "[]"),
            ("", "[cache: 60s]"),
            (", hedge: { after: 20s }", "[]"),
        ] {
            let gateway = Gateway::start(&format!(
                "workers: 1\nupstreams: {{ app: {{ endpoints: [\"{address}\"]{way}, retry: {{ on: [reset, 502] }}{options} }} }}\n\
                 routes: [{{ name: all, filters: {filters}, upstream: app }}]\n",
            ));
            for path in ["length-first", "chunks-first"] {
                for body in [&[][..], &["-d", "a body"]] {
                    let url = gateway.url(&format!("/{path}"));
                    let answer = curl(&[body, &[url.as_str()]].concat());
                    assert_eq!(answer.status, 502, "{way} {options} {filters} {path}");
                    assert_eq!(answer.json()["type"], "urn:wiregate:http_protocol_error");
                }
            }
            // It was asked once for each, over a connection of its own.
            assert_eq!(origin.take().len(), 4, "{way} {options} {filters}");
            assert_eq!(origin.take_raw().len(), 4, "{way} {options} {filters}");
        }
    }
}

#[test]
fn rfc9112_9_6_no_request_follows_a_response_that_closes_in_whichever_field() {
    let origin = Origin::answering(|request, stream| {
        let fields = match request.first_line() {
            line if line.contains("second") => "connection: x-a\r\nconnection: close",
            line if line.contains("third") => {
                "connection: keep-alive\r\nconnection: x-a\r\nconnection: x-b, Close"
            }
            _ => "connection: x-a\r\nconnection: keep-alive",
        };
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\ncontent-length: 2\r\n\r\nok");
        stream.write_all(answer.as_bytes()).is_ok()
    });
    for (address, way, _front) in both_ways(origin.address) {
        let gateway = at(address, &way, "");
        for (path, connections) in [("second", 2), ("third", 2), ("none", 1)] {
            let ask = || curl(&[&gateway.url(&format!("/{path}"))]).status;
            assert_eq!((ask(), ask()), (200, 200), "{path}");
            let raw = origin.take_raw();
            let asked = raw.values().filter(|raw| !raw.is_empty()).count();
            assert_eq!(asked, connections, "{way} {path}: {raw:?}");
        }
    }
}

#[test]
fn rfc9112_8_a_response_that_only_the_end_would_end_breaks_off_with_a_reset() {
    let origin = Origin::answering(|_, stream| {
        let head =
            "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n";
        let _ = stream.write_all(format!("{head}64\r\nhalf of it").as_bytes());
        false
    });
    for filters in ["", "all_routes: { filters: [cache: {}] }\n"] {
        let gateway = gateway(&origin, filters);
        for more in ["", "connection: keep-alive\r\n"] {
            let mut stream = connect(&gateway);
            let request = format!("GET / HTTP/1.0\r\nhost: a\r\n{more}\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let end = stream
                .read_to_end(&mut Vec::new())
                .map_err(|error| error.kind());
            assert_eq!(
                end,
                Err(std::io::ErrorKind::ConnectionReset),
                "{filters} {more}"
            );
        }
        // A client that knows chunks sees that the last one is missing.
        let answer = ask(&gateway, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert!(!answer.contains("\r\n0\r\n"), "{filters}: {answer}");
    }
}
