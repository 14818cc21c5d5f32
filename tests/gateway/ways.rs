//! A request without a body goes straight to its endpoint, one with a body by way of Pingora's proxy: what an
//! endpoint does has to mean the same on both ways.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::harness::{Gateway, curl, raw, until};
use super::origin::{head, serve};

/// What an endpoint says to each request. What has an end leaves the connection open.
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

/// These break off in the middle of a body.
const BROKEN: [&str; 4] = ["too short", "half a chunk", "no chunk", "no end of chunks"];
/// From this one on they say nothing that has an end; `to the end` says it as well.
const ENDLESS: &str = "nothing";

/// An endpoint, and how many connections it has taken.
struct Endpoint {
    address: SocketAddr,
    taken: Arc<AtomicUsize>,
}

impl Endpoint {
    /// One that says this to each request.
    fn says(saying: &'static str, has_end: bool) -> Self {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        let address = serve(move |_, mut stream| {
            count.fetch_add(1, Ordering::SeqCst);
            while let Some(head) = head(&mut stream) {
                if head.starts_with("PUT") {
                    stream.read_exact(&mut [0; 5]).unwrap();
                }
                if stream.write_all(saying.as_bytes()).is_err() || !has_end {
                    return;
                }
            }
        });
        Self { address, taken }
    }
}

/// The two ways: the method, and the body.
const WAYS: [(&str, &str); 2] = [("GET", ""), ("PUT", "hello")];

/// An endpoint for each saying and way, and a gateway with a route `/N/METHOD` to each.
fn set_up(options: &str) -> (Gateway, Vec<[Endpoint; 2]>) {
    let mut has_end = true;
    let (mut endpoints, mut upstreams, mut routes) = (Vec::new(), String::new(), String::new());
    for (number, (what, saying)) in SAYINGS.into_iter().enumerate() {
        has_end &= what != ENDLESS;
        let ends = has_end && !what.contains("to the end");
        let pair = WAYS.map(|_| Endpoint::says(saying, ends));
        for ((method, _), Endpoint { address, .. }) in WAYS.iter().zip(&pair) {
            let name = format!("{}{number}", method.to_lowercase());
            upstreams += &format!("  {name}: {{ endpoints: [\"{address}\"]{options} }}\n");
            routes += &format!(
                "  - {{ name: {name}, match: {{ path: /{number}/{method} }}, upstream: {name}, \
                 filters: [{{ headers: {{ response: {{ set: {{ x-b: 2 }} }} }} }}] }}\n"
            );
        }
        endpoints.push(pair);
    }
    let gateway = Gateway::start(&format!(
        "workers: 1\nupstreams:\n{upstreams}routes:\n{routes}"
    ));
    (gateway, endpoints)
}

/// A text without what differs from one response to the next.
fn settled(text: &str) -> String {
    let differs = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("x-request-id:") || line.starts_with("date:") || line.contains("urn:")
    };
    let lines = text.split_inclusive("\r\n");
    lines.filter(|line| !differs(line)).collect()
}

/// What comes of two requests, over one connection with HTTP/1, one after the other with HTTP/2.
fn ask(gateway: &Gateway, client: &str, number: usize, (method, body): (&str, &str)) -> String {
    let path = format!("/{number}/{method}");
    if client == "HTTP/2" {
        let one = || {
            let send: &[&str] = if body.is_empty() { &[] } else { &["-d", body] };
            let start = ["--http2-prior-knowledge", "-X", method];
            let answer = curl(&[&start[..], send, &[&gateway.url(&path)]].concat());
            let fields: BTreeMap<_, _> = answer.headers.iter().collect();
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"));
            let fields: String = fields.collect();
            settled(&format!("{}\r\n{fields}{}", answer.status, answer.text()))
        };
        return one() + &one();
    }
    let length = match body.len() {
        0 => String::new(),
        length => format!("content-length: {length}\r\n"),
    };
    let fields = |then| format!("host: a.test\r\nconnection: {then}\r\n{length}\r\n{body}");
    let request = |then| format!("{method} {path} {client}\r\n{}", fields(then));
    let both = request("keep-alive") + &request("close");
    settled(&raw(gateway.address(), both.as_bytes()))
}

/// What the access log says of the requests of each path, in their order.
fn logged(gateway: &Gateway) -> BTreeMap<String, Vec<Value>> {
    assert_eq!(curl(&[&gateway.url("/end")]).status, 404);
    let (mut lines, mut told) = (Vec::new(), BTreeMap::<String, Vec<Value>>::new());
    until("all is logged", || {
        lines = gateway.access_log(1);
        lines.iter().any(|line| line["target"] == "/end")
    });
    for mut line in lines {
        let path = line["target"].as_str().unwrap_or_default().to_owned();
        let words = ["status", "error", "attempts", "bytes_out", "protocol"];
        let line = words.map(|word| line[word].take());
        told.entry(path).or_default().push(line.to_vec().into());
    }
    told
}

#[test]
fn what_an_endpoint_says_means_the_same_with_and_without_a_request_body() {
    for options in ["", ", hedge: { after: 20s, at_most: 1% }"] {
        let (gateway, endpoints) = set_up(options);
        for (number, (what, _)) in SAYINGS.into_iter().enumerate() {
            for client in ["HTTP/1.1", "HTTP/1.0", "HTTP/2"] {
                let [straight, proxied] = WAYS.map(|way| ask(&gateway, client, number, way));
                // What curl tells of a stream that is reset depends on what it has read by then.
                if client != "HTTP/2" || !BROKEN.contains(&what) {
                    assert_eq!(straight, proxied, "{what}, {client}{options}");
                }
            }
            let [straight, proxied] =
                (endpoints[number].each_ref()).map(|end| end.taken.load(Ordering::SeqCst));
            assert_eq!(straight, proxied, "{what}{options}: connections");
        }
        let told = logged(&gateway);
        for (number, (what, _)) in SAYINGS.into_iter().enumerate() {
            let [straight, proxied] = WAYS.map(|(method, _)| &told[&format!("/{number}/{method}")]);
            assert_eq!(straight, proxied, "{what}{options}: the log");
        }
    }
}
