//! Bodies that flow: events at once, large ones with back-pressure, and their ends in the right
//! place.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::peers::{gateway, read_bytes, read_head, read_to, server, speaking};
use crate::harness::{Gateway, PATIENCE, curl, echo, until};
use crate::http2::wire::{self, Client};

#[test]
fn each_event_passes_before_the_next_is_made() {
    let (confirm, confirmed) = channel::<()>();
    let confirmed = Arc::new(Mutex::new(confirmed));
    let address = server(move |mut stream| {
        let confirmed = confirmed.lock().unwrap();
        read_head(&mut stream);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        for n in 0..5 {
            let event = format!("data: {n}\n\n");
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            stream.write_all(chunk.as_bytes()).unwrap();
            // The next one is only made when the client has this one.
            confirmed.recv_timeout(PATIENCE).unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    let gateway = gateway("{}", &format!("{{ endpoints: [\"{address}\"] }}"));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let mut curl = Command::new("curl")
            .args(["-sSN", "--max-time", "60", version, &gateway.url("/")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(curl.stdout.take().unwrap()).lines();
        for n in 0..5 {
            assert_eq!(
                lines.next().unwrap().unwrap(),
                format!("data: {n}"),
                "{version}"
            );
            assert_eq!(lines.next().unwrap().unwrap(), "");
            confirm.send(()).unwrap();
        }
        assert!(curl.wait().unwrap().success());
    }
}

#[test]
fn an_empty_last_piece_does_not_end_a_body_twice() {
    // A second end would stand before the next request on the same connection
    // (cloudflare/pingora#935).
    let (tell, told) = channel();
    let address = server(move |mut stream| {
        loop {
            let head = read_head(&mut stream);
            if head.is_empty() {
                return;
            }
            let mut body = String::new();
            if head.to_lowercase().contains("transfer-encoding: chunked") {
                body = read_to(&mut stream, "0\r\n\r\n");
            }
            tell.send((stream.peer_addr().unwrap(), head, body))
                .unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let gateway = Gateway::start(&format!(
        "workers: 1\nupstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}\n\
         routes: [{{ name: all, upstream: app }}]\n"
    ));
    let mut client = Client::open(gateway.address());
    let mut connections = Vec::new();
    for stream in [1, 5, 9] {
        client.write(&wire::headers(
            stream,
            wire::END_HEADERS,
            &wire::post("/upload"),
        ));
        client.write(&wire::frame(wire::DATA, 0, stream, b"abc"));
        // Read before the end comes, so that the end is a piece of its own.
        until("the body is under way", || {
            gateway.metric("wiregate_requests_in_flight{route=\"all\"}") == 1.0
        });
        client.write(&wire::frame(wire::DATA, wire::END_STREAM, stream, b""));
        assert_eq!(client.next_of(wire::HEADERS).unwrap().payload[0], 0x88);
        assert_eq!(client.ask(stream + 2, "/next"), 0x88);
        let (one, head, body) = told.recv_timeout(PATIENCE).unwrap();
        assert!(head.starts_with("POST /upload HTTP/1.1\r\n"), "{head}");
        assert_eq!(body, "3\r\nabc\r\n0\r\n\r\n");
        let (two, head, _) = told.recv_timeout(PATIENCE).unwrap();
        assert!(head.starts_with("GET /next HTTP/1.1\r\n"), "{head}");
        connections.extend([one, two]);
    }
    connections.dedup();
    assert_eq!(connections.len(), 1, "all over one connection");
}

const LARGE: u64 = 128 << 20;
/// What the process may grow by at most, in KiB, while such bodies pass.
const GROWTH: u64 = 32 << 10;

#[test]
fn large_downloads_to_slow_clients_take_little_memory() {
    let origin = echo();
    for protocol in ["http1", "h2c"] {
        let gateway = gateway("{}", &speaking(&origin, protocol));
        let url = gateway.url(&format!("/?bytes={LARGE}"));
        curl(&[&gateway.url("/?bytes=1000000")]);
        let before = gateway.status("VmHWM");
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let arguments = ["-sS", "--limit-rate", "60M", version, &url];
            let mut curl = Command::new("curl")
                .args(arguments)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut body = curl.stdout.take().unwrap();
            let received = std::io::copy(&mut body, &mut std::io::sink()).unwrap();
            assert_eq!(received, LARGE, "{version} {protocol}");
            assert!(curl.wait().unwrap().success());
        }
        let grown = gateway.status("VmHWM").saturating_sub(before);
        assert!(grown < GROWTH, "{protocol}: {grown} KiB");
    }
}

/// Sends a body of this size over both protocols, and looks at what the process has grown by.
fn uploads_take_little(gateway: &Gateway, size: u64) {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(size).unwrap();
    let file = file.path().to_str().unwrap();
    let before = gateway.status("VmHWM");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&[version, "-H", "expect:", "-T", file, &gateway.url("/")]);
        assert_eq!(answer.text(), "ok", "{version}");
    }
    let grown = gateway.status("VmHWM").saturating_sub(before);
    assert!(grown < GROWTH, "{grown} KiB");
}

#[test]
fn large_uploads_to_a_slow_endpoint_take_little_memory() {
    let address = server(move |mut stream| {
        while read_head(&mut stream).starts_with("PUT ") {
            let (mut left, mut room) = (LARGE, vec![0; 256 << 10]);
            while left > 0 {
                let most = usize::try_from(left).unwrap().min(room.len());
                let read = stream.read(&mut room[..most]).unwrap();
                assert!(read > 0, "{left} bytes are missing");
                left -= read as u64;
                std::thread::sleep(Duration::from_millis(2)); // this makes it slow
            }
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let gateway = gateway("{}", &format!("{{ endpoints: [\"{address}\"] }}"));
    uploads_take_little(&gateway, LARGE);
}

#[test]
fn large_uploads_over_http_2_all_the_way_take_little_memory() {
    let address = super::http2_server(|request, mut respond| async move {
        let (mut body, mut read) = (request.into_body(), 0);
        while let Some(Ok(piece)) = body.data().await {
            read += piece.len();
            body.flow_control().release_capacity(piece.len()).unwrap();
            if read > 1 << 20 {
                read = 0;
                tokio::time::sleep(Duration::from_millis(20)).await; // this makes it slow
            }
        }
        let mut answer = respond
            .send_response(http::Response::new(()), false)
            .unwrap();
        answer.send_data("ok".into(), true).unwrap();
    });
    let gateway = gateway(
        "{}",
        &format!("{{ endpoints: [\"{address}\"], protocol: h2c }}"),
    );
    uploads_take_little(&gateway, LARGE / 4);
}

#[test]
fn streams_that_nobody_reads_take_bounded_memory() {
    let origin = echo();
    let upstream = format!("{{ endpoints: [\"{}\"] }}", origin.addresses()[0]);
    let gateway = gateway("{}", &upstream);
    curl(&[&gateway.url("/?bytes=1000000")]);
    let before = gateway.status("VmHWM");
    let mut client = Client::open(gateway.address());
    for n in 0..50 {
        let block = wire::get("/?bytes=50000000");
        client.write(&wire::headers(
            2 * n + 1,
            wire::END_HEADERS | wire::END_STREAM,
            &block,
        ));
    }
    let in_flight = || gateway.metric("wiregate_upstream_requests_in_flight{upstream=\"app\"}");
    until("all are under way", || in_flight() == 50.0);
    let (mut last, mut same) = (0, 0);
    until("nothing moves any more", || {
        let now = gateway.status("VmRSS");
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same > 100
    });
    let grown = gateway.status("VmHWM").saturating_sub(before);
    assert!(grown < 50 * 1024, "{grown} KiB for 50 streams");
    drop(client);
    until("all is let go", || in_flight() == 0.0);
}

#[test]
fn an_upload_is_answered_while_it_goes_on() {
    // Back-pressure must not hold up what comes the other way.
    let address = server(move |mut stream| {
        read_head(&mut stream);
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly";
        stream.write_all(answer.as_bytes()).unwrap();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let gateway = gateway("{}", &format!("{{ endpoints: [\"{address}\"] }}"));
    let mut client = TcpStream::connect(gateway.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nfirst")
        .unwrap();
    assert!(read_head(&mut client).starts_with("HTTP/1.1 200 "));
    assert_eq!(read_bytes(&mut client, 5), b"early");
}

#[test]
fn an_answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    let origin = echo();
    for protocol in ["http1", "h2c"] {
        let gateway = gateway("{}", &speaking(&origin, protocol));
        let mut client = Client::open(gateway.address());
        let block = wire::get("/?stream=10&fail=midway");
        let flags = wire::END_HEADERS | wire::END_STREAM;
        client.write(&wire::headers(1, flags, &block));
        let end = std::iter::from_fn(|| client.next()).find(|frame| {
            assert!(frame.kind > wire::HEADERS || frame.flags & wire::END_STREAM == 0);
            frame.kind == wire::RST_STREAM
        });
        assert_eq!(end.unwrap().stream, 1, "{protocol}");
        assert_eq!(client.ask(3, "/"), 0x88, "others go on");
    }
}
