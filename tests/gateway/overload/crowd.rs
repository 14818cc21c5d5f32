//! Connections that do nothing, and those that find no place because of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Gateway, PATIENCE, echo, until, upstream};
use crate::http2::wire::{Client, END_HEADERS, END_STREAM, get, headers};

const ROUTES: &str = "routes: [{ name: all, filters: [respond: ok] }]\n";

fn connect(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks, and says whether an answer came.
fn ask(stream: &mut TcpStream) -> bool {
    let asked = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut first = [0; 12];
    asked.is_ok() && stream.read_exact(&mut first).is_ok() && &first == b"HTTP/1.1 200"
}

/// Ways to hold a place without asking for anything: nothing, a part of a head, a request before,
/// HTTP/2 without streams.
const IDLE: [&[u8]; 4] = [
    b"",
    b"GET / HT",
    b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
];

/// Fills all places of a gateway with connections that do nothing, and asks on another one until it
/// is answered.
fn is_served_beside(first: &[u8], limits: &str, listener: &str, reason: &str) {
    let gateway = Gateway::start_with(&format!("{limits}{ROUTES}"), listener);
    let begun = Instant::now();
    let _idle: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = connect(&gateway);
            stream.write_all(first).unwrap();
            stream
        })
        .collect();
    until("all are there", || {
        gateway.metric("wiregate_connections{listener=\"public\"}") == 4.0
    });
    until("a place is free", || ask(&mut connect(&gateway)));
    // Without this it would have been a minute, or ten seconds for a head.
    let first = first.escape_ascii();
    assert!(begun.elapsed() >= Duration::from_secs(4), "{first}");
    let refused =
        format!("wiregate_connections_refused_total{{listener=\"public\",reason=\"{reason}\"}}");
    assert!(gateway.metric(&refused) >= 1.0, "{first}");
}

#[test]
fn connections_that_do_nothing_make_room_for_others() {
    let slow = "limits: { head_deadline: 5m, connections: 4 }\n";
    std::thread::scope(|scope| {
        for first in IDLE {
            scope.spawn(move || is_served_beside(first, slow, "{}", "limits_connections"));
        }
        let listener = "{ max_connections: 4 }";
        scope.spawn(move || is_served_beside(b"", "", listener, "max_connections"));
    });
}

#[test]
fn as_long_as_there_is_room_they_stay() {
    let gateway = Gateway::start(&format!("limits: {{ connections: 8 }}\n{ROUTES}"));
    let mut kept = connect(&gateway);
    assert!(ask(&mut kept));
    let since = Instant::now();
    until("six seconds are over", || {
        since.elapsed() > Duration::from_secs(6)
    });
    let mut rest = [0; 4096];
    let _ = kept.read(&mut rest); // of the first answer
    assert!(ask(&mut kept));
}

#[test]
fn a_client_that_takes_nothing_of_the_last_response_makes_room_as_well() {
    let origin = echo();
    let gateway = Gateway::start_with(
        &format!(
            "{}routes: [{{ name: all, upstream: app }}]\n",
            upstream(&origin)
        ),
        "{ max_connections: 1 }",
    );
    let begun = Instant::now();
    let mut client = Client::with_room(gateway.address(), 32 << 10);
    // Within the window that it has, and more than it reads.
    client.write(&headers(1, END_HEADERS | END_STREAM, &get("/?bytes=60000")));
    until("the exchange is over", || {
        gateway.metric("wiregate_requests_total{code=\"200\",method=\"GET\",route=\"all\"}") == 1.0
    });
    until("a place is free", || ask(&mut connect(&gateway)));
    assert!(begun.elapsed() >= Duration::from_secs(4));
}
