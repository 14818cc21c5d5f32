//! What is under way when another process takes over: it goes on, until it ends or its time is over.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use tonic::Code;

use super::super::harness::{Gateway, echo, until, upstream};
use super::super::http2::wire::{self, Client as Http2};
use super::super::protocols::grpc::{
    board,
    board::{Codec, note},
    runtime,
};
use super::super::protocols::peers::{read_bytes, read_head, read_to, send, server};
use super::{ROUTE, upgrade};

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
pub const ASK: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";

/// A WebSocket server that sends back what it gets.
pub fn mirror() -> std::net::SocketAddr {
    server(|mut stream| {
        read_head(&mut stream);
        stream.write_all(SWITCH.as_bytes()).unwrap();
        let mut piece = [0; 512];
        while let Ok(length @ 1..) = stream.read(&mut piece) {
            if stream.write_all(&piece[..length]).is_err() {
                return;
            }
        }
    })
}

fn websockets(limits: &str) -> Gateway {
    let at = mirror();
    let upstreams = format!("upstreams: {{ app: {{ endpoints: [\"{at}\"] }} }}\n");
    Gateway::start(&format!("limits: {limits}\n{upstreams}{ROUTE}"))
}

#[test]
fn a_websocket_goes_on_and_the_old_process_ends_with_it() {
    let mut gateway = websockets("{ drain_deadline: 1m }");
    let mut client = send(gateway.address(), ASK);
    assert!(read_head(&mut client).starts_with("HTTP/1.1 101 "));
    let _new = upgrade(&gateway, &[]).unwrap();
    for _ in 0..100 {
        client.write_all(b"\x81\x82\0\0\0\0hi").unwrap();
        assert_eq!(read_bytes(&mut client, 8), b"\x81\x82\0\0\0\0hi");
    }
    let mut other = send(gateway.address(), ASK);
    assert!(
        read_head(&mut other).starts_with("HTTP/1.1 101 "),
        "from the new one"
    );
    drop(client);
    let start = Instant::now();
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "not after a fixed time"
    );
}

#[test]
fn a_websocket_whose_time_is_over_is_closed_as_it_should_be() {
    let mut gateway = websockets("{ drain_deadline: 1s }");
    let mut client = send(gateway.address(), ASK);
    assert!(read_head(&mut client).starts_with("HTTP/1.1 101 "));
    let _new = upgrade(&gateway, &[]).unwrap();
    assert_eq!(read_bytes(&mut client, 4), [0x88, 2, 0x03, 0xe9]);
    client.write_all(b"\x88\x82\0\0\0\0\x03\xe9").unwrap();
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_call_goes_on_and_gets_a_status_when_its_time_is_over() {
    let runtime = runtime();
    let (mut gateway, channel) = board(&runtime, "{ drain_deadline: 3s }");
    let _new = runtime.block_on(async {
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        let (say, mut said) = tokio::sync::mpsc::channel(1);
        let notes = futures_util::stream::poll_fn(move |cx| said.poll_recv(cx));
        let path = http::uri::PathAndQuery::from_static("/test.Board/Both");
        let talk = client.streaming(tonic::Request::new(notes), path, Codec::default());
        let mut talk = talk.await.unwrap().into_inner();
        say.send(note("before")).await.unwrap();
        assert_eq!(talk.message().await.unwrap().unwrap().text, "re: before");
        let new = upgrade(&gateway, &[]).unwrap();
        for n in 0..20 {
            say.send(note(n.to_string())).await.unwrap();
            let answer = talk.message().await.unwrap().unwrap();
            assert_eq!(answer.text, format!("re: {n}"));
        }
        let status = talk.message().await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert_eq!(status.message(), "the gateway ends");
        new
    });
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn http2_connections_get_a_goaway_and_their_streams_finish() {
    let origin = echo();
    let mut gateway = Gateway::start(&(upstream(&origin) + ROUTE));
    let mut client = Http2::open(gateway.address());
    let request = wire::headers(
        1,
        wire::END_HEADERS | wire::END_STREAM,
        &wire::get("/?delay=5s"),
    );
    client.write(&request);
    let in_flight = || gateway.metric("wiregate_requests_in_flight{route=\"all\"}");
    until("it is under way", || in_flight() == 1.0);
    let _new = upgrade(&gateway, &[]).unwrap();
    assert_eq!(client.goaway(), Some(wire::NO_ERROR));
    let answer = client.next_of(wire::HEADERS).expect("an answer");
    assert_eq!((answer.stream, answer.payload[0]), (1, 0x88));
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn downloads_go_on_to_their_end_and_are_cut_in_order_when_their_time_is_over() {
    for (deadline, whole) in [("1m", true), ("1s", false)] {
        let origin = echo();
        let limits = format!("limits: {{ drain_deadline: {deadline} }}\n");
        let mut gateway = Gateway::start(&(upstream(&origin) + ROUTE + &limits));
        let ask = "GET /?stream=30&every=100ms HTTP/1.1\r\nhost: a\r\n\r\n";
        let mut client = send(gateway.address(), ask);
        assert!(read_head(&mut client).starts_with("HTTP/1.1 200 "));
        let _new = upgrade(&gateway, &[]).unwrap();
        // The last chunk says whether the body is whole: it must not where it is not.
        let rest = read_to(&mut client, "\r\n0\r\n\r\n");
        assert_eq!(rest.ends_with("\r\n0\r\n\r\n"), whole, "{deadline}: {rest}");
        if !whole {
            assert_eq!(
                client.read(&mut [0]).unwrap(),
                0,
                "an end in order, and no reset"
            );
        }
        drop(client);
        assert_eq!(gateway.wait().code(), Some(0));
    }
}
