//! The echo server over real sockets, with curl, nghttp and bare TCP as its clients.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Echo;

fn echo() -> (Echo, SocketAddr) {
    let echo = Echo::start(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let address = echo.addresses()[0];
    (echo, address)
}

fn curl(arguments: &[&str]) -> Output {
    Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20"])
        .args(arguments)
        .output()
        .unwrap()
}

fn body(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn get(arguments: &[&str]) -> Value {
    serde_json::from_str(&body(&curl(arguments))).unwrap()
}

/// Sends a request of HTTP/1.1 as it stands and reads until the connection ends.
fn raw(address: SocketAddr, target: &str) -> (Vec<u8>, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer).err();
    (answer, end.map(|error| error.kind()))
}

#[test]
fn answers_with_the_request_it_saw() {
    let (_echo, address) = echo();
    let seen = get(&[
        "--data-binary",
        "hello",
        "-H",
        "X-A: 1",
        "-H",
        "X-A: 2",
        "-H",
        "Host: example.com",
        &format!("http://{address}/a%20b/c?x=1&y"),
    ]);
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["path"], "/a%20b/c");
    assert_eq!(seen["query"], "x=1&y");
    assert_eq!(seen["version"], "HTTP/1.1");
    assert_eq!(seen["authority"], "example.com");
    assert_eq!(seen["headers"]["x-a"], json!(["1", "2"]));
    assert_eq!(seen["headers"]["content-length"], "5");
    assert_eq!(seen["body_bytes"], 5);
    assert_eq!(seen["body"], "hello");
    assert_eq!(
        seen["body_sha256"],
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    );
    assert_eq!(seen["served_by"], address.to_string());
}

#[test]
fn speaks_http2_without_tls() {
    let (_echo, address) = echo();
    let seen = get(&[
        "--http2-prior-knowledge",
        "-d",
        "a=1",
        &format!("http://{address}/x"),
    ]);
    assert_eq!(seen["version"], "HTTP/2.0");
    assert_eq!(seen["authority"], address.to_string());
    assert_eq!(seen["body"], "a=1");
}

#[test]
fn counts_and_hashes_a_body_too_long_to_show() {
    let (_echo, address) = echo();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let send = |path: &std::path::Path| {
        let data = format!("@{}", path.display());
        get(&["--data-binary", &data, &format!("http://{address}/")])
    };

    file.write_all(&vec![b'a'; 64 << 10]).unwrap();
    let seen = send(file.path());
    assert_eq!(seen["body"].as_str().unwrap().len(), 64 << 10);

    file.write_all(&vec![b'a'; (3 << 20) - (64 << 10)]).unwrap();
    let seen = send(file.path());
    assert_eq!(seen["body_bytes"], 3 << 20);
    assert_eq!(seen.get("body"), None);
    let sum = Command::new("sha256sum").arg(file.path()).output().unwrap();
    let expected = &body(&sum)[..64];
    assert_eq!(seen["body_sha256"], expected);
}

#[test]
fn a_body_that_is_not_text_is_not_shown() {
    let (_echo, address) = echo();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[0xff, 0xfe]).unwrap();
    let data = format!("@{}", file.path().display());
    let seen = get(&["--data-binary", &data, &format!("http://{address}/")]);
    assert_eq!(seen["body_bytes"], 2);
    assert_eq!(seen.get("body"), None);
}

#[test]
fn gives_the_status_and_headers_asked_for() {
    let (_echo, address) = echo();
    let (answer, end) = raw(
        address,
        "/status/503?header=x-a:%201&header=set-cookie:c=d&header=set-cookie:e=f",
    );
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(end, None);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nx-a: 1\r\n"), "{answer}");
    assert!(answer.contains("\r\nset-cookie: c=d\r\n"), "{answer}");
    assert!(answer.contains("\r\nset-cookie: e=f\r\n"), "{answer}");
}

#[test]
fn a_status_without_a_body_has_none() {
    let (_echo, address) = echo();
    let (answer, _) = raw(address, "/status/204?header=x-a:1");
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(!answer.contains("content-length"), "{answer}");
}

#[test]
fn waits_before_the_head() {
    let (_echo, address) = echo();
    let start = Instant::now();
    get(&[&format!("http://{address}/?delay=120ms")]);
    assert!(start.elapsed() >= Duration::from_millis(120));
}

#[test]
fn sends_bytes_with_their_length() {
    let (_echo, address) = echo();
    let length = (1 << 20) + 17;
    let (answer, end) = raw(address, &format!("/bytes/{length}"));
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let text = String::from_utf8_lossy(&answer[..head]).into_owned();
    assert_eq!(end, None);
    assert!(
        text.contains(&format!("\r\ncontent-length: {length}\r\n")),
        "{text}"
    );
    assert_eq!(answer.len() - head, length);
}

#[test]
fn streams_chunks_of_unannounced_length_at_intervals() {
    let (_echo, address) = echo();
    let start = Instant::now();
    let output = curl(&[
        "--include",
        &format!("http://{address}/?stream=4&every=30ms"),
    ]);
    let answer = body(&output);
    assert!(
        answer.contains("\r\ntransfer-encoding: chunked\r\n"),
        "{answer}"
    );
    assert!(
        answer.ends_with("\r\n\r\nchunk 1\nchunk 2\nchunk 3\nchunk 4\n"),
        "{answer}"
    );
    assert!(start.elapsed() >= Duration::from_millis(90));
}

#[test]
fn sends_events() {
    let (_echo, address) = echo();
    let answer = body(&curl(&["--include", &format!("http://{address}/sse/2")]));
    assert!(
        answer.contains("\r\ncontent-type: text/event-stream\r\n"),
        "{answer}"
    );
    let events = "id: 1\nevent: tick\ndata: 1\n\nid: 2\nevent: tick\ndata: 2\n\n";
    assert!(answer.ends_with(events), "{answer}");
}

#[test]
fn closes_without_an_answer() {
    let (_echo, address) = echo();
    assert_eq!(raw(address, "/?fail=close"), (Vec::new(), None));
}

#[test]
fn resets_the_connection() {
    let (_echo, address) = echo();
    let (answer, end) = raw(address, "/fail/reset");
    assert_eq!(answer, b"");
    assert_eq!(end, Some(ErrorKind::ConnectionReset));
}

#[test]
fn breaks_off_in_the_middle_of_the_body() {
    let (_echo, address) = echo();
    let (answer, _) = raw(address, "/bytes/1000?fail=midway");
    let answer = String::from_utf8(answer).unwrap();
    let (head, sent) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: 1000"), "{head}");
    assert_eq!(sent.len(), 500);

    let (answer, _) = raw(address, "/?stream=4&fail=midway");
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("chunk 2\n"), "{answer}");
    assert!(!answer.contains("chunk 3\n"), "{answer}");
    assert!(!answer.contains("\r\n0\r\n"), "{answer}");

    let echoed = curl(&[&format!("http://{address}/?fail=midway")]);
    let (partial_file, shown) = (Some(18), String::from_utf8(echoed.stdout).unwrap());
    assert_eq!(echoed.status.code(), partial_file);
    assert!(shown.starts_with("{\"method\":\"GET\""), "{shown}");
}

#[test]
fn a_failure_over_http2_ends_the_stream_and_not_the_connection() {
    let (_echo, address) = echo();
    for failure in ["close", "reset", "midway"] {
        // Both requests travel on one connection, as streams 1 and 3.
        let output = Command::new("nghttp")
            .args(["--verbose", "--no-dep", "--timeout=20"])
            .arg(format!("http://{address}/?fail={failure}"))
            .arg(format!("http://{address}/"))
            .output()
            .unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        let reset = "recv RST_STREAM frame <length=4, flags=0x00, stream_id=1>";
        assert!(shown.contains(reset), "{failure}: {shown}");
        assert!(shown.contains("INTERNAL_ERROR"), "{failure}: {shown}");
        let answered = "(stream_id=3) :status: 200";
        assert!(shown.contains(answered), "{failure}: {shown}");
    }
}

#[test]
fn says_what_was_wrong_with_a_wish() {
    let (_echo, address) = echo();
    let (answer, _) = raw(address, "/?delay=2h");
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.ends_with("delay: expected 0ms to 60s, found \"2h\"\n"),
        "{answer}"
    );
}

#[test]
fn health_is_what_was_last_put() {
    let (_echo, address) = echo();
    let url = format!("http://{address}/health");
    let put = |status| {
        let code = ["--write-out", "%{http_code}", "--output", "/dev/null"];
        body(&curl(
            &[&code[..], &["-X", "PUT", &format!("{url}?status={status}")]].concat(),
        ))
    };
    let health = || body(&curl(&["--write-out", "%{http_code}", &url]));
    assert_eq!(health(), "ok\n200");
    assert_eq!(put("503"), "200");
    assert_eq!(health(), "failing\n503");
    assert_eq!(put("nonsense"), "400");
    assert_eq!(health(), "failing\n503");
    assert_eq!(put("200"), "200");
    assert_eq!(health(), "ok\n200");
}

#[test]
fn counts_per_address() {
    let any = "127.0.0.1:0".parse().unwrap();
    let echo = Echo::start(&[any, any]).unwrap();
    let [first, second] = echo.addresses() else {
        panic!("expected two addresses, found {:?}", echo.addresses());
    };
    assert_ne!(first, second);
    let url = format!("http://{first}/");
    get(&[&url, "--next", "--silent", "--output", "/dev/null", &url]);
    body(&curl(&[&format!("http://{first}/health")]));
    let stats = |address| get(&[&format!("http://{address}/__stats")]);
    assert_eq!(
        stats(first),
        json!({ "served_by": first.to_string(), "connections": 3, "requests": 2 })
    );
    assert_eq!(
        stats(second),
        json!({ "served_by": second.to_string(), "connections": 1, "requests": 0 })
    );
}

#[test]
fn one_of_two_addresses_can_be_asked_to_fail() {
    let any = "127.0.0.1:0".parse().unwrap();
    let echo = Echo::start(&[any, any]).unwrap();
    let failing = echo.addresses()[1];
    let codes = echo.addresses().iter().map(|address| {
        let url = format!("http://{address}/?status=503&at={}", failing.port());
        body(&curl(&[
            "--write-out",
            "%{http_code}",
            "--output",
            "/dev/null",
            &url,
        ]))
    });
    assert_eq!(codes.collect::<Vec<_>>(), ["200", "503"]);
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Echo::start(&[address]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let start = format!("cannot bind {address}: ");
    assert!(error.to_string().starts_with(&start), "{error}");
}

#[test]
fn dropping_it_closes_its_sockets() {
    let (echo, address) = echo();
    let mut idle = TcpStream::connect(address).unwrap();
    drop(echo);
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    idle.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let ended = idle.read(&mut [0; 1]);
    let gone = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
    assert!(ended.as_ref().map_or_else(gone, |n| *n == 0), "{ended:?}");
}
