//! WebSockets: how tunnels begin, how long they stand, and how they end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::peers::{gateway, read_bytes, read_head, send, server};
use crate::harness::{Gateway, PATIENCE, echo, until};

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
const ASK: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];

/// A text frame.
fn text(payload: &str) -> Vec<u8> {
    let mut frame = vec![0x81, u8::try_from(payload.len()).unwrap()];
    frame.extend(payload.as_bytes());
    frame
}

/// A frame of a client's, with a mask of zeros.
fn masked(frame: &[u8]) -> Vec<u8> {
    let mut masked = vec![frame[0], frame[1] | 0x80, 0, 0, 0, 0];
    masked.extend(&frame[2..]);
    masked
}

/// A gateway before a server whose tunnels are driven from here, and one open tunnel: the
/// client's end, and the server's.
fn tunnel(limits: &str) -> (Gateway, TcpStream, TcpStream) {
    let (tell, told): (Sender<TcpStream>, Receiver<TcpStream>) = channel();
    let address = server(move |mut stream| {
        read_head(&mut stream);
        stream.write_all(SWITCH.as_bytes()).unwrap();
        tell.send(stream).unwrap();
    });
    let upstream =
        format!("{{ endpoints: [\"{address}\"], timeouts: {{ first_byte: 1s, idle: 1s }} }}");
    let gateway = gateway(limits, &upstream);
    let mut client = send(gateway.address(), ASK);
    let head = read_head(&mut client);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (gateway, client, told.recv_timeout(PATIENCE).unwrap())
}

fn is_over(stream: &mut TcpStream) -> bool {
    stream.read(&mut [0]).map_or(true, |read| read == 0)
}

#[test]
fn frames_pass_both_ways_and_either_side_may_end_it() {
    for client_ends in [true, false] {
        let (gateway, mut client, mut server) = tunnel("{}");
        for n in 0..20 {
            let frame = text(&format!("message {n}"));
            server.write_all(&frame).unwrap();
            assert_eq!(read_bytes(&mut client, frame.len()), frame);
            let answer = masked(&frame);
            client.write_all(&answer).unwrap();
            assert_eq!(read_bytes(&mut server, answer.len()), answer);
        }
        let (one, other) = match client_ends {
            true => (client, &mut server),
            false => (server, &mut client),
        };
        drop(one);
        assert!(is_over(other));
        let in_flight = || gateway.metric("wiregate_requests_in_flight{route=\"all\"}");
        until("the tunnel is over", || in_flight() == 0.0);
        assert_eq!(gateway.access_log(1)[0]["status"], 101);
    }
}

#[test]
fn a_tunnel_outlives_the_read_timeout_and_ends_when_it_is_silent() {
    let (_gateway, mut client, mut server) = tunnel("{ websocket_idle: 3s }");
    let start = Instant::now();
    // Two seconds of silence, twice: more than the endpoint's time-out for reads, and together
    // more than the idle time. There is nothing to wait for but time itself.
    for _ in 0..2 {
        std::thread::sleep(Duration::from_secs(2));
        server.write_all(&text("still here")).unwrap();
        assert_eq!(read_bytes(&mut client, 12), text("still here"));
    }
    let before = Instant::now();
    assert_eq!(read_bytes(&mut client, 4), GOING_AWAY);
    assert!(
        before.elapsed() > Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    client.write_all(&masked(&GOING_AWAY)).unwrap();
    assert!(is_over(&mut client));
    assert_eq!(read_bytes(&mut server, 8), masked(&GOING_AWAY));
    assert!(is_over(&mut server));
}

#[test]
fn says_goodbye_between_two_frames_when_the_time_to_finish_is_over() {
    let (mut gateway, mut client, mut server) = tunnel("{ drain_deadline: 2s }");
    let frame = text("a frame in two halves");
    let (first, second) = frame.split_at(7);
    server.write_all(first).unwrap();
    assert_eq!(read_bytes(&mut client, first.len()), first);
    let start = Instant::now();
    gateway.signal("TERM");
    // Until then it goes on.
    client.write_all(&masked(&text("hi"))).unwrap();
    assert_eq!(read_bytes(&mut server, 8), masked(&text("hi")));
    until("the time to finish is over", || {
        gateway.log().contains("the drain deadline is over")
    });
    assert!(start.elapsed() > Duration::from_secs(2));
    // Its second half comes with the next frame, which is not passed on any more.
    server
        .write_all(&[second, &text("one more")].concat())
        .unwrap();
    let expected = [second, &GOING_AWAY].concat();
    assert_eq!(read_bytes(&mut client, expected.len()), expected);
    client.write_all(&masked(&GOING_AWAY)).unwrap();
    assert!(is_over(&mut client));
    assert_eq!(
        read_bytes(&mut server, 8),
        masked(&GOING_AWAY),
        "the server learns it as well"
    );
    assert!(gateway.wait().success());
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_client_that_does_not_answer_a_close_frame_is_not_waited_for() {
    let (mut gateway, mut client, _server) = tunnel("{ drain_deadline: 1s }");
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(read_bytes(&mut client, 4), GOING_AWAY);
    assert!(gateway.wait().success());
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[test]
fn an_endpoint_may_switch_protocols_at_once() {
    // It does not even wait for the request: the answer is there before the request is
    // (cloudflare/pingora#946).
    let address = server(move |mut stream| {
        let hello = [SWITCH.as_bytes(), &text("hello")].concat();
        stream.write_all(&hello).unwrap();
        read_head(&mut stream);
        let frame = read_bytes(&mut stream, 9);
        assert_eq!(frame, masked(&text("yes")));
        stream.write_all(&text("good")).unwrap();
        assert!(is_over(&mut stream));
    });
    let gateway = gateway("{}", &format!("{{ endpoints: [\"{address}\"] }}"));
    for n in 0..40 {
        let mut client = send(gateway.address(), ASK);
        let head = read_head(&mut client);
        assert!(head.starts_with("HTTP/1.1 101 "), "tunnel {n}: {head}");
        assert_eq!(read_bytes(&mut client, 7), text("hello"), "tunnel {n}");
        client.write_all(&masked(&text("yes"))).unwrap();
        assert_eq!(read_bytes(&mut client, 6), text("good"), "tunnel {n}");
    }
}

#[test]
fn an_unasked_101_is_a_502() {
    let address = server(move |mut stream| {
        read_head(&mut stream);
        stream.write_all(SWITCH.as_bytes()).unwrap();
        let _ = stream.read(&mut [0]);
    });
    let gateway = gateway("{}", &format!("{{ endpoints: [\"{address}\"] }}"));
    let other = ASK.replace("upgrade: websocket", "upgrade: other");
    let old = "GET / HTTP/1.0\r\nhost: a\r\n\r\n";
    for request in ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", &other, old] {
        let head = read_head(&mut send(gateway.address(), request));
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    }
    let answer = crate::harness::curl(&["--http2-prior-knowledge", &gateway.url("/")]);
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["type"], "urn:wiregate:http_upgrade_failed");
}

#[test]
fn a_refused_upgrade_is_an_answer_like_others() {
    let origin = echo();
    let upstream = format!("{{ endpoints: [\"{}\"] }}", origin.addresses()[0]);
    let gateway = gateway("{}", &upstream);
    let mut client = send(gateway.address(), &ASK.replace("/chat", "/?status=403"));
    for _ in 0..3 {
        let head = read_head(&mut client).to_lowercase();
        assert!(head.starts_with("http/1.1 403 "), "{head}");
        assert!(!head.contains("connection: close"), "{head}");
        let (_, length) = head.split_once("content-length: ").unwrap();
        let length = length.split("\r\n").next().unwrap().parse().unwrap();
        read_bytes(&mut client, length);
        client
            .write_all(ASK.replace("/chat", "/?status=403").as_bytes())
            .unwrap();
    }
}

#[test]
fn an_endpoint_that_does_not_answer_an_upgrade_is_a_504() {
    let address = server(move |mut stream| {
        read_head(&mut stream);
        let _ = stream.read(&mut [0]);
    });
    let upstream =
        format!("{{ endpoints: [\"{address}\"], timeouts: {{ first_byte: 1s, idle: 1s }} }}");
    let gateway = gateway("{}", &upstream);
    let head = read_head(&mut send(gateway.address(), ASK));
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
}

#[test]
fn an_upgrade_that_is_not_meant_for_this_hop_is_none() {
    let (tell, told): (Sender<String>, Receiver<String>) = channel();
    let address = server(move |mut stream| {
        tell.send(read_head(&mut stream)).unwrap();
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let gateway = gateway("{}", &format!("{{ endpoints: [\"{address}\"] }}"));
    for request in [
        ASK.replace("connection: upgrade\r\n", ""),
        ASK.replace("connection: upgrade", "connection: close"),
        ASK.replace("GET", "HEAD"),
        ASK.replace("GET", "DELETE"),
    ] {
        let mut client = send(gateway.address(), &request);
        let answer = read_head(&mut client);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{request}: {answer}");
        let asked = told.recv_timeout(PATIENCE).unwrap().to_lowercase();
        assert!(!asked.contains("upgrade"), "{request}: {asked}");
    }
}

#[test]
fn rfc9110_15_5_22_a_client_that_must_upgrade_is_told_so() {
    let address = server(move |mut stream| {
        while !read_head(&mut stream).is_empty() {
            let answer = "HTTP/1.1 426 Upgrade Required\r\nupgrade: websocket\r\n\
                          connection: upgrade\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let gateway = gateway("{}", &format!("{{ endpoints: [\"{address}\"] }}"));
    let plain = "GET /chat HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut client = send(gateway.address(), plain);
    for again in [ASK, plain] {
        let head = read_head(&mut client).to_lowercase();
        assert!(head.starts_with("http/1.1 426 "), "{head}");
        for there in ["connection: upgrade\r\n", "upgrade: websocket\r\n"] {
            assert!(head.contains(there), "{head}");
        }
        client.write_all(again.as_bytes()).unwrap();
    }
    // HTTP/2 has no such field (RFC 9113, 8.2.2).
    let url = gateway.url("/chat");
    let answer = crate::harness::curl(&["--http2-prior-knowledge", &url]);
    assert_eq!(answer.status, 426);
    for gone in ["connection", "upgrade"] {
        assert_eq!(answer.header(gone), "", "{gone}");
    }
}

#[test]
fn a_switch_says_what_a_switch_says() {
    for (version, status) in [("1.1", 101), ("1.0", 502)] {
        let address = server(move |mut stream| {
            read_head(&mut stream);
            let answer = format!(
                "HTTP/{version} 101 Switching Protocols\r\nupgrade: websocket\r\n\
                 connection: x-own\r\nx-own: 1\r\nkeep-alive: 5\r\ncontent-length: 5\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).unwrap();
            is_over(&mut stream);
        });
        let gateway = gateway("{}", &format!("{{ endpoints: [\"{address}\"] }}"));
        let mut client = send(gateway.address(), ASK);
        let head = read_head(&mut client).to_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        if status == 101 {
            for there in ["connection: upgrade\r\n", "upgrade: websocket\r\n"] {
                assert!(head.contains(there), "{head}");
            }
            for gone in ["x-own", "keep-alive", "content-length"] {
                assert!(!head.contains(gone), "{head}");
            }
        }
    }
}
