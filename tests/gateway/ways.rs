//! A request without a body goes straight to its endpoint, one with a body by way of Pingora's proxy: what an
//! endpoint does has to mean the same on both ways.

use std::io::{Read, Write};

use super::harness::{Gateway, raw};
use super::origin::{head, serve};

/// What an endpoint says to each request, before it closes the connection.
const SAYINGS: [(&str, &str); 24] = [
    (
        "a length",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12345",
    ),
    ("no content", "HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n"),
    (
        "nothing new",
        "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n",
    ),
    (
        "chunks",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "trailers",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n",
    ),
    ("to the end", "HTTP/1.1 200 OK\r\n\r\nall of it"),
    ("to the end, as of old", "HTTP/1.0 200 OK\r\n\r\nall of it"),
    (
        "nothing to the end",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
    ),
    (
        "early hints",
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ),
    (
        "processing, and a failure",
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\nno",
    ),
    (
        "what is for one hop",
        "HTTP/1.1 200 OK\r\nconnection: x-mine\r\nx-mine: 1\r\nkeep-alive: timeout=5\r\ncontent-length: 0\r\n\r\n",
    ),
    (
        "a redirect",
        "HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n",
    ),
    ("nothing", ""),
    ("half a head", "HTTP/1.1 200 OK\r\nx-a: "),
    ("no HTTP", "220 smtp ready\r\n\r\n"),
    (
        "a negative length",
        "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n12345",
    ),
    (
        "two lengths",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n12345",
    ),
    (
        "another coding",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n12345",
    ),
    (
        "an upgrade that nobody wants",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ),
    (
        "too short",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n12345",
    ),
    (
        "too long",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n12345",
    ),
    (
        "half a chunk",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n12345",
    ),
    (
        "no chunk",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\nxyz\r\n",
    ),
    (
        "no end of chunks",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n",
    ),
];

/// The response without what differs from one to the next.
fn settled(answer: &str) -> String {
    let differs = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("x-request-id:") || line.starts_with("date:") || line.contains("urn:")
    };
    let lines = answer.split_inclusive("\r\n").filter(|line| !differs(line));
    lines.collect()
}

#[test]
fn what_an_endpoint_says_means_the_same_with_and_without_a_request_body() {
    for options in ["", ", hedge: { after: 20s, at_most: 1% }"] {
        for (what, saying) in SAYINGS {
            let endpoint = serve(move |_, mut stream| {
                if let Some(head) = head(&mut stream) {
                    if head.starts_with("PUT") {
                        stream.read_exact(&mut [0; 5]).unwrap();
                    }
                    let _ = stream.write_all(saying.as_bytes());
                }
            });
            let gateway = Gateway::start(&format!(
                "workers: 1\nupstreams:\n  app: {{ endpoints: [\"{endpoint}\"]{options} }}\nroutes:\n  \
                 - {{ name: all, upstream: app, filters: [{{ headers: {{ response: {{ set: {{ x-b: 2 }} }} }} }}] }}\n"
            ));
            let end = "host: a.test\r\nconnection: close\r\n";
            let get = format!("GET /a HTTP/1.1\r\n{end}\r\n");
            let put = format!("PUT /a HTTP/1.1\r\n{end}content-length: 5\r\n\r\nhello");
            let [straight, proxied] =
                [get, put].map(|request| settled(&raw(gateway.address(), request.as_bytes())));
            assert_eq!(straight, proxied, "{what}{options}");
            assert!(straight.starts_with("HTTP/1.1 "), "{what}: {straight}");
            let lines = gateway.access_log(2);
            for word in [
                "status",
                "error",
                "attempts",
                "bytes_sent",
                "upstream",
                "endpoint",
            ] {
                assert_eq!(
                    lines[0].get(word),
                    lines[1].get(word),
                    "{what}{options}: {word}"
                );
            }
        }
    }
}
