//! Each fault again and again: nothing is left behind, and others are served meanwhile.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::calm::leaves_nothing;
use super::{gateway, nobody, says};
use crate::harness::{Gateway, PATIENCE, echo};
use crate::http2::wire::{self, Client};
use crate::origin::{self, drain, head, serve};

/// How often something happens that takes its time.
const FEW: usize = 3;

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gets {
    Status(u16),
    /// The beginning of a response.
    Cut,
}

/// A server that reads a head, answers with these bytes, and waits for the gateway to leave.
fn stalls_after(bytes: &'static str) -> SocketAddr {
    serve(move |_, mut stream| {
        if head(&mut stream).is_some() {
            let _ = stream.write_all(bytes.as_bytes());
            drain(&mut stream);
        }
    })
}

/// What it is called, where it is, what a client gets, and how often it happens.
type Fault = (&'static str, SocketAddr, Gets, usize);

fn faults() -> Vec<Fault> {
    let bad = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n12345";
    let two = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\noneHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello";
    let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n";
    let early = "HTTP/1.1 413 Too Much\r\ncontent-length: 2\r\n\r\nno";
    let resets = serve(|_, mut stream| {
        head(&mut stream);
        origin::reset(stream);
    });
    let endless = serve(|_, mut stream| {
        head(&mut stream);
        let field = format!("x-long: {}", "y".repeat(64 * 1024));
        let mut all = 0;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while all < 1 << 30 && stream.write_all(field.as_bytes()).is_ok() {
            all += field.len();
        }
    });
    use Gets::{Cut, Status};
    vec![
        ("refuses", nobody(), Status(502), 24),
        ("resets", resets, Status(502), 24),
        (
            "accepts and never answers",
            stalls_after(""),
            Status(504),
            FEW,
        ),
        (
            "stalls in the middle of a body",
            stalls_after(short),
            Cut,
            FEW,
        ),
        ("two lengths", says(bad), Status(502), 24),
        ("a broken chunk", says(chunk), Cut, 24),
        ("two responses", stalls_after(two), Status(200), 24),
        ("a head without end", endless, Status(502), 2),
        ("closes before its answer", says(""), Status(502), 24),
        ("closes in the middle of its answer", says(short), Cut, 24),
        (
            "answers before the body is read",
            stalls_after(early),
            Status(413),
            16,
        ),
    ]
}

/// Uploads something, and reads what comes.
fn over_http1(gateway: &Gateway, expected: Gets, what: &str) {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = "x".repeat(32 * 1024);
    let length = body.len();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let whole = match expected {
        Gets::Status(status) => answer.starts_with(&format!("HTTP/1.1 {status} ")),
        // What had come need not have been worth a packet.
        Gets::Cut => !answer.ends_with("0\r\n\r\n") && !answer.contains("urn:"),
    };
    assert!(whole, "{what}: {expected:?}, got {answer:.500}");
}

/// The same on streams of one connection; how each of them ends.
fn over_http2(client: &mut Client, stream: u32, expected: Gets, what: &str) {
    client.write(&wire::headers(stream, wire::END_HEADERS, &wire::post("/")));
    client.write(&wire::frame(
        wire::DATA,
        wire::END_STREAM,
        stream,
        &[b'x'; 1024],
    ));
    let mut begun = false;
    loop {
        let frame = client.next();
        let frame = frame.unwrap_or_else(|| panic!("{what}: the connection has ended"));
        let ends = frame.flags & wire::END_STREAM != 0;
        match frame.kind {
            _ if frame.stream != stream => {}
            wire::RST_STREAM => {
                assert!(expected == Gets::Cut || begun, "{what}: {expected:?}");
                return;
            }
            wire::HEADERS | wire::DATA if ends => {
                assert_ne!(expected, Gets::Cut, "{what}");
                return;
            }
            _ => begun |= frame.kind == wire::HEADERS,
        }
    }
}

#[test]
fn an_endpoints_fault_leaves_nothing_behind_and_disturbs_nobody() {
    let well = echo();
    let well = well.addresses()[0];
    // Each has a gateway of its own: a few need not wait for each other.
    for some in faults().chunks(3) {
        std::thread::scope(|scope| {
            for fault in some {
                scope.spawn(move || again(fault, well));
            }
        });
    }
}

fn again((what, address, expected, rounds): &Fault, well: SocketAddr) {
    let patience = match *rounds {
        FEW => "1s",
        _ => "20s", // it is not waited for
    };
    let options = format!(", timeouts: {{ first_byte: {patience}, idle: {patience} }}");
    let gateway = gateway(*address, &options, well);
    let (mut client, mut stream) = (Client::open(gateway.address()), 1);
    leaves_nothing(&gateway, what, *rounds, || {
        over_http1(&gateway, *expected, what);
        over_http2(&mut client, stream, *expected, what);
        stream += 2;
    });
}

#[test]
fn all_endpoints_down_leaves_nothing_behind_and_disturbs_nobody() {
    let well = echo();
    let options = ", health: { http: /health, start: unhealthy, every: 50ms }";
    let gateway = gateway(nobody(), options, well.addresses()[0]);
    leaves_nothing(&gateway, "all are down", 50, || {
        over_http1(&gateway, Gets::Status(503), "all are down");
    });
}

#[test]
fn clients_that_send_a_byte_now_and_then_leave_nothing_behind_and_disturb_nobody() {
    let well = echo();
    let origin = well.addresses()[0];
    let gateway = Gateway::start(&format!(
        "workers: 1\nlimits: {{ head_deadline: 1s, body_grace: 1s, body_rate: 1KiB/s }}\n\
         upstreams: {{ app: {{ endpoints: [\"{origin}\"] }} }}\n\
         routes: [{{ name: all, upstream: app }}]\n"
    ));
    let starts = [
        "GET / HT",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 900\r\n\r\n",
    ];
    leaves_nothing(&gateway, "slow clients", 3, || {
        let clients = (0..20).map(|number| {
            let mut stream = TcpStream::connect(gateway.address()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(starts[number % 2].as_bytes()).unwrap();
            stream
        });
        let mut clients: Vec<_> = clients.collect();
        // It stops when none is left, or much later than that.
        for _ in 0..100 {
            std::thread::park_timeout(Duration::from_millis(100));
            let sent = clients
                .iter_mut()
                .filter_map(|client| client.write_all(b"x").err());
            if sent.count() == clients.len() {
                break;
            }
        }
        for mut client in clients {
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer); // it may have been reset meanwhile
            let answer = String::from_utf8_lossy(&answer);
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
                "{answer}"
            );
        }
    });
    let late = "wiregate_requests_total{code=\"408\",method=\"POST\",route=\"all\"}";
    assert_eq!(gateway.metric(late), 40.0);
}
