//! Clients and endpoints that do what they should not, and connections at their edges.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use super::harness::{Gateway, PATIENCE, curl, echo, raw, until, upstream};

fn route(upstream: &str) -> String {
    format!("upstreams: {{ app: {upstream} }}\nroutes: [{{ name: all, upstream: app }}]\n")
}

/// A server that hands each connection to this function, one after the other.
fn server(mut each: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            each(stream.unwrap());
        }
    });
    address
}

/// Reads up to the end of a head.
fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[test]
fn a_client_cannot_have_a_filters_field_taken_out() {
    let origin = echo();
    let gateway = Gateway::start(&format!(
        "{}routes: [{{ name: all, filters: [headers: {{ request: {{ set: {{ x-tenant: seven }} }} }}], \
         upstream: app }}]\n",
        upstream(&origin)
    ));
    let request =
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close, x-tenant, x-own\r\nx-own: 1\r\n\r\n";
    let answer = raw(gateway.address(), request.as_bytes());
    assert!(answer.contains(r#""x-tenant":"seven""#), "{answer}");
    assert!(!answer.contains("x-own"), "{answer}");
    for essential in ["host", "content-length", "transfer-encoding"] {
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: {essential}\r\n\r\n");
        let answer = raw(gateway.address(), request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.to_lowercase().contains("x-request-id"), "{answer}");
    }
    assert_eq!(
        gateway.metric("wiregate_upstream_requests_total{code=\"0\",upstream=\"app\"}"),
        0.0
    );
}

#[test]
fn nothing_is_written_into_a_tunnel_that_breaks() {
    let (seen, wait) = channel();
    let address = server(move |mut stream| {
        read_head(&mut stream);
        let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello";
        stream.write_all(switch.as_bytes()).unwrap();
        wait.recv_timeout(PATIENCE).unwrap(); // the tunnel stands before it breaks
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    });
    let gateway = Gateway::start(&route(&format!("{{ endpoints: [\"{address}\"] }}")));
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 101"));
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).unwrap();
    seen.send(()).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest); // broken off or ended, as the system has it
    assert_eq!((&hello[..], &rest[..]), (&b"hello"[..], &b""[..]));
    assert_eq!(gateway.access_log(1)[0]["status"], 101);
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    let origin = echo();
    let gateway = Gateway::start(&format!(
        "limits: {{ client_write: 1s }}\n{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    ));
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream
        .write_all(b"GET /?bytes=1000000000 HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let in_flight = || gateway.metric("wiregate_requests_in_flight{route=\"all\"}");
    let upstream = || gateway.metric("wiregate_upstream_requests_in_flight{upstream=\"app\"}");
    until("it is under way", || {
        in_flight() == 1.0 && upstream() == 1.0
    });
    until("it is let go", || in_flight() == 0.0 && upstream() == 0.0);
    drop(stream);
}

#[test]
fn a_stale_connection_is_no_endless_number_of_attempts() {
    // Answers the first request of each connection, and closes it at the second.
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    let all_there = Arc::new(Barrier::new(8));
    let address = server(move |mut stream| {
        let (counted, all_there) = (counted.clone(), all_there.clone());
        std::thread::spawn(move || {
            if read_head(&mut stream).starts_with("GET /warm") {
                all_there.wait(); // so that no connection is used twice
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            if read_head(&mut stream).starts_with("PUT /") {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
    });
    let config = format!("{{ endpoints: [\"{address}\"], retry: {{ attempts: 1 }} }}");
    let gateway = Gateway::start(&format!("workers: 1\n{}", route(&config)));
    // Several idle connections, all of which will close at their next request.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(curl(&[&gateway.url("/warm")]).status, 200));
        }
    });
    let answer = curl(&["-X", "PUT", &gateway.url("/")]);
    assert_eq!(
        answer.status, 200,
        "the last attempt gets a fresh connection"
    );
    assert!(
        seen.load(Ordering::SeqCst) <= 3,
        "two stale connections, and the attempt itself"
    );
}

#[test]
fn a_silent_connection_does_not_hold_up_the_end() {
    let origin = echo();
    let mut gateway = Gateway::start(&format!(
        "limits: {{ drain_deadline: 1m }}\n{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    ));
    let silent = TcpStream::connect(gateway.address()).unwrap();
    let open = || gateway.metric("wiregate_connections{listener=\"public\"}") == 1.0;
    until("it is accepted", open);
    let start = Instant::now();
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    assert!(start.elapsed() < Duration::from_secs(15));
    drop(silent);
}

#[test]
fn what_is_no_request_gets_a_reply_like_all_others() {
    let origin = echo();
    let gateway = Gateway::start(&format!(
        "{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    ));
    let good = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    for (requests, wrong) in [
        ("", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
        ("", "what?\r\n\r\n"),
        (good, "GET / HTTP/1.1\r\nno field\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        if !requests.is_empty() {
            stream.write_all(requests.as_bytes()).unwrap();
            assert!(read_head(&mut stream).starts_with("HTTP/1.1 200"));
            // The echo server's answer ends with a brace and is read with what follows.
        }
        stream.write_all(wrong.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let answer = answer[answer.find("HTTP/1.1 400").expect("a 400")..].to_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("content-type: application/problem+json"),
            "{answer}"
        );
        assert!(!head.contains("Pingora"), "{answer}");
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["type"], "urn:wiregate:http_request_error");
        let id = head
            .lines()
            .find_map(|line| line.strip_prefix("x-request-id: "))
            .unwrap();
        assert_eq!(problem["instance"], format!("urn:request:{id}"));
        let logged = || {
            let log = std::fs::read_to_string(gateway.file("access.log")).unwrap_or_default();
            log.lines()
                .any(|line| line.contains(id) && line.contains("\"status\":400"))
        };
        until("it is logged", logged);
    }
    let counted = "wiregate_requests_total{code=\"400\",method=\"other\",route=\"-\"}";
    assert_eq!(gateway.metric(counted), 3.0);
    // The one good request has a duration; these have none, rather than one of nothing.
    let timed = "wiregate_request_duration_seconds_count";
    assert_eq!(gateway.metric(&format!("{timed}{{route=\"-\"}}")), 0.0);
    assert_eq!(gateway.metric(&format!("{timed}{{route=\"all\"}}")), 1.0);
}

#[test]
fn connect_gets_a_reply_like_all_others() {
    let origin = echo();
    let gateway = Gateway::start(&format!(
        "{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    ));
    let answer = raw(
        gateway.address(),
        b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(
        answer.contains("urn:wiregate:http_request_denied"),
        "{answer}"
    );
    assert!(answer.to_lowercase().contains("x-request-id"), "{answer}");
}

#[test]
fn an_http_1_0_client_is_not_promised_a_connection_that_ends() {
    let origin = echo();
    let gateway = Gateway::start(&format!(
        "{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    ));
    let request = b"GET /?stream=2&every=1ms HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n";
    let answer = raw(gateway.address(), request).to_lowercase();
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(!answer.contains("transfer-encoding"), "{answer}");
}
