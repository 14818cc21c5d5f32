//! Connections that do nothing, and those that find no place because of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Gateway, PATIENCE, until};

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

#[test]
fn connections_that_do_nothing_make_room_for_others() {
    for (limits, listener) in [
        ("limits: { connections: 4 }\n", "{}"),
        ("", "{ max_connections: 4 }"),
    ] {
        let gateway = Gateway::start_with(&format!("{limits}{ROUTES}"), listener);
        let begun = Instant::now();
        let mut idle: Vec<_> = IDLE
            .into_iter()
            .map(|first| {
                let mut stream = connect(&gateway);
                stream.write_all(first).unwrap();
                stream
            })
            .collect();
        until("a place is free", || ask(&mut connect(&gateway)));
        // Without this it would have been a minute.
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{limits}{listener}"
        );
        for stream in &mut idle {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        }
        let reason = match limits {
            "" => "max_connections",
            _ => "limits_connections",
        };
        let refused = format!(
            "wiregate_connections_refused_total{{listener=\"public\",reason=\"{reason}\"}}"
        );
        assert!(gateway.metric(&refused) >= 1.0, "{limits}{listener}");
    }
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
