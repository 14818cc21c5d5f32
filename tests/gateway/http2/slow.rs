//! Clients that read slowly, while their connection is to end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::wire::*;
use crate::harness::{Gateway, echo, until, upstream};

/// More than the system's buffers hold, so that `h2` holds the last of it.
const BYTES: usize = 12 << 20;
/// How much a client may be sent ahead.
const AHEAD: u32 = 1 << 30;

/// A client with a receive buffer of this many bytes that has asked for a large body, and lets all of it come.
fn asked(address: SocketAddr, room: usize) -> Client {
    let mut client = Client::with_room(address, room);
    let ahead = AHEAD.to_be_bytes();
    client.write(&frame(SETTINGS, 0, 0, &[&[0, 4], &ahead[..]].concat()));
    client.write(&frame(WINDOW_UPDATE, 0, 0, &ahead));
    let path = format!("/?bytes={BYTES}");
    client.write(&headers(1, END_HEADERS | END_STREAM, &get(&path)));
    client
}

/// Reads frames, with a pause after each, while this says so; how much of the body came, and whether
/// its end did. Windows are opened again, as clients do.
fn read(client: &mut Client, pause: Duration, mut go_on: impl FnMut() -> bool) -> (usize, bool) {
    let mut bytes = 0;
    while go_on() {
        let Some(frame) = client.next() else {
            return (bytes, false);
        };
        if frame.kind == PING && frame.flags == 0 {
            client.write(&super::wire::frame(PING, 1, 0, &frame.payload));
        }
        if frame.kind != DATA {
            continue;
        }
        bytes += frame.payload.len();
        let more = u32::try_from(frame.payload.len().max(1)).unwrap();
        client.write(&super::wire::frame(
            WINDOW_UPDATE,
            0,
            0,
            &more.to_be_bytes(),
        ));
        if frame.flags & END_STREAM != 0 {
            return (bytes, true);
        }
        std::thread::park_timeout(pause);
    }
    (bytes, false)
}

#[test]
fn a_response_reaches_a_slow_client_whole_although_the_gateway_ends() {
    let origin = echo();
    let mut gateway = Gateway::start(&format!(
        "limits: {{ drain_deadline: 1m, http2: {{ window_updates: 100000/min }} }}\n{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    ));
    let mut client = asked(gateway.address(), 32 << 10);
    let in_flight =
        |gateway: &Gateway| gateway.metric("wiregate_requests_in_flight{route=\"all\"}");
    until("it is in flight", || in_flight(&gateway) == 1.0);
    let mut frames = 0_u32;
    let (first, ended) = read(&mut client, Duration::ZERO, || {
        frames += 1;
        !frames.is_multiple_of(16) || in_flight(&gateway) > 0.0
    });
    assert!(
        !ended && first < BYTES - (128 << 10),
        "{first} had come by then"
    );
    gateway.signal("TERM");
    // Long enough that nobody waits for a client that only has to leave.
    let start = Instant::now();
    let slow = (BYTES - first) / (16 << 10) / 2;
    let pause = Duration::from_millis(6000) / u32::try_from(slow.max(1)).unwrap();
    let (rest, ended) = read(&mut client, pause, || true);
    assert_eq!(
        (first + rest, ended),
        (BYTES, true),
        "after {:?}",
        start.elapsed()
    );
    assert!(
        start.elapsed() > Duration::from_secs(3),
        "it was not slow: {:?}",
        start.elapsed()
    );
    drop(client);
    assert!(gateway.wait().success());
}

#[test]
fn a_client_that_takes_nothing_of_the_last_response_is_let_go() {
    let origin = echo();
    let gateway = Gateway::start(&format!(
        "limits: {{ idle: 1s, client_write: 2s }}\n{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    ));
    let mut client = Client::with_room(gateway.address(), 32 << 10);
    // Within the window that it has, and more than it reads.
    client.write(&headers(1, END_HEADERS | END_STREAM, &get("/?bytes=60000")));
    let metric = |name: &str| gateway.metric(name);
    until("the exchange is over", || {
        metric("wiregate_requests_total{code=\"200\",method=\"GET\",route=\"all\"}") == 1.0
    });
    until("the connection is gone", || {
        metric("wiregate_connections{listener=\"public\"}") == 0.0
    });
}

#[test]
fn what_a_client_has_taken_quickly_is_no_credit_for_later() {
    /// So much waits at the client, at least, whenever it takes more.
    const WAITING: u64 = 128 << 10;
    let origin = echo();
    let gateway = Gateway::start(&format!(
        "limits: {{ idle: 1s, client_write: 4s }}\n{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    ));
    let metric = |name: &str| gateway.metric(name);
    let over =
        || metric("wiregate_requests_total{code=\"200\",method=\"GET\",route=\"all\"}") == 1.0;
    let mut client = asked(gateway.address(), 256 << 10);
    let mut frames = 0_u32;
    // However late the gateway is, the client is not ahead of it: it has more than it takes at the end.
    while !frames.is_multiple_of(4) || !over() {
        until("more has come", || client.waiting() >= WAITING);
        frames += u32::from(client.next().expect("a frame").kind == DATA);
    }
    // The exchange is over, and the rest in buffers. It is taken for longer than `idle`, far quicker than it
    // has to be, and then no more.
    for _ in 0..6 {
        let frame = client.next().expect("a frame");
        assert_eq!(frame.flags & END_STREAM, 0, "all has come");
        std::thread::park_timeout(Duration::from_millis(300));
    }
    until("the connection is gone", || {
        metric("wiregate_connections{listener=\"public\"}") == 0.0
    });
}
