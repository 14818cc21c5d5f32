//! Endpoints that choose between HTTP/2 and HTTP/1.1.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::super::faults::{calm, http2};
use super::super::front::{Front, HTTP1, HTTP2};
use super::super::harness::{Answer, Gateway, PATIENCE, curl, echo, until};
use super::super::origin::{empty, head, serve};
use super::{problem, to};

/// Arguments for requests that go by different ways: without a body, and with one.
const WAYS: [&[&str]; 2] = [&[], &["-d", "a body"]];

fn gateway(front: &Front, options: &str) -> Gateway {
    Gateway::start(&format!("workers: 1\n{}", to(&front.upstream(options))))
}

fn ask(gateway: &Gateway, way: &[&str]) -> Answer {
    let url = gateway.url("/");
    curl(&[way, &[url.as_str()]].concat())
}

/// What an echo server says that it was spoken to in.
fn spoken(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["version"].as_str().unwrap().to_owned()
}

fn attempts(gateway: &Gateway) -> f64 {
    let all = gateway.admin("GET", "/metrics").text();
    let lines = all
        .lines()
        .filter(|line| line.starts_with("wiregate_upstream_requests_total{"));
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

#[test]
fn one_connection_serves_request_after_request() {
    let echo = echo();
    for (chosen, version) in [(HTTP1, "HTTP/1.1"), (HTTP2, "HTTP/2.0")] {
        for options in ["", ", hedge: { after: 20s }"] {
            let front = Front::before(echo.addresses()[0], &[chosen]);
            let gateway = gateway(&front, options);
            for _ in 0..10 {
                assert_eq!(spoken(&ask(&gateway, &[])), version);
            }
            // A stream goes its own way once it is known that there will be one.
            let made = front.take_chosen().len();
            let most = if chosen == HTTP2 && options.is_empty() {
                2
            } else {
                1
            };
            assert!(made <= most, "{version} {options}: {made}");
            for _ in 0..5 {
                assert_eq!(spoken(&ask(&gateway, WAYS[1])), version);
                assert_eq!(spoken(&ask(&gateway, WAYS[0])), version);
            }
            let more = front.take_chosen().len();
            assert!(
                more <= usize::from(chosen == HTTP2),
                "{version} {options}: {more}"
            );
        }
    }
}

#[test]
fn the_first_request_may_have_a_body_and_is_one_attempt() {
    let echo = echo();
    for (chosen, version, connections) in [(HTTP1, "HTTP/1.1", 2), (HTTP2, "HTTP/2.0", 1)] {
        let front = Front::before(echo.addresses()[0], &[chosen]);
        let gateway = gateway(&front, ", retry: { attempts: 1 }");
        let answer = ask(&gateway, WAYS[1]);
        assert_eq!(spoken(&answer), version);
        assert_eq!(answer.json()["body"], "a body");
        // What was not expected cannot be taken over.
        assert_eq!(front.take_chosen().len(), connections);
        assert_eq!(attempts(&gateway), 1.0);
        assert_eq!(gateway.access_log(1)[0]["attempts"], 1);
    }
}

#[test]
fn a_change_of_mind_fails_no_request() {
    let echo = echo();
    for way in WAYS {
        let front = Front::before(echo.addresses()[0], &[HTTP1]);
        // Each connection ends with its response, so that each request finds out anew.
        let gateway = gateway(&front, ", retry: { attempts: 1 }, keep_idle: 1ms");
        let mut expected = 0.0;
        for round in 0..12 {
            let (chosen, version) = match round / 3 % 2 {
                0 => (HTTP1, "HTTP/1.1"),
                _ => (HTTP2, "HTTP/2.0"),
            };
            front.speaks(&[chosen]);
            until("nothing is kept", || front.open() == 0);
            assert_eq!(spoken(&ask(&gateway, way)), version, "{round} {way:?}");
            let made = front.take_chosen();
            let most = if round % 3 == 0 { 2 } else { 1 };
            assert!(made.len() <= most, "{round} {way:?}: {made:?}");
            assert_eq!(made.last().unwrap().as_bytes(), chosen);
            expected += 1.0;
            assert_eq!(attempts(&gateway), expected, "{round} {way:?}");
        }
    }
}

#[test]
fn one_address_that_chooses_now_this_and_now_that_fails_no_request() {
    let echo = echo();
    let front = Front::before(echo.addresses()[0], &[HTTP1]);
    let gateway = gateway(&front, ", retry: { attempts: 1 }, keep_idle: 1ms");
    let until = Instant::now() + Duration::from_secs(3);
    let url = gateway.url("/");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // As servers of two versions behind one address.
            while Instant::now() < until {
                front.speaks(&[[HTTP1, HTTP2][fastrand::usize(..2)]]);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        for number in 0..4 {
            let url = &url;
            scope.spawn(move || {
                while Instant::now() < until {
                    let answer = curl(&[WAYS[number % 2], &[url.as_str()]].concat());
                    spoken(&answer);
                }
            });
        }
    });
    let chosen = front.take_chosen();
    for protocol in ["http/1.1", "h2"] {
        assert!(chosen.iter().any(|one| one == protocol), "{chosen:?}");
    }
    assert_eq!(
        gateway.metric("wiregate_upstream_requests_total{code=\"0\",upstream=\"app\"}"),
        0.0
    );
}

#[test]
fn rfc9113_7_http2_is_not_offered_again_to_an_endpoint_that_wants_http1() {
    let (echo, refuses) = (
        echo(),
        http2::of_connections(|_, _, _, mut respond| {
            respond.send_reset(h2::Reason::HTTP_1_1_REQUIRED);
        }),
    );
    for way in WAYS {
        let front = Front::before_two(echo.addresses()[0], refuses, &[HTTP2, HTTP1]);
        let gateway = gateway(
            &front,
            ", keep_idle: 1ms, retry: { on: [connect_error, reset], unsafe_methods: true }",
        );
        for _ in 0..3 {
            assert_eq!(spoken(&ask(&gateway, way)), "HTTP/1.1", "{way:?}");
            until("nothing is kept", || front.open() == 0);
        }
        let chosen = front.take_chosen();
        let http2 = chosen.iter().filter(|one| *one == "h2").count();
        assert_eq!((http2, chosen.len()), (1, 4), "{way:?}: {chosen:?}");
    }
}

#[test]
fn what_comes_unasked_over_a_connection_that_rests_ends_it() {
    let (answers, answered) = channel();
    let origin = serve(move |_, mut stream| {
        while head(&mut stream).is_some() {
            let _ = stream.write_all(empty(200).as_bytes());
            let _ = answers.send(stream.try_clone().unwrap());
        }
    });
    let front = Front::before(origin, &[HTTP1]);
    let gateway = gateway(&front, "");
    for round in 1..=3 {
        let answer = ask(&gateway, &[]);
        assert_eq!((answer.status, answer.text()), (200, String::new()));
        // What is logged is over: its connection rests.
        gateway.access_log(round);
        assert!(front.open() > 0);
        let mut later = answered.recv_timeout(PATIENCE).unwrap();
        let _ = later.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
        drop(later);
        until("it is closed", || front.open() == 0);
    }
    gateway.tells("has sent what nobody awaits");
}

#[test]
fn no_more_rest_than_may_and_no_longer() {
    let echo = echo();
    let front = Front::before(echo.addresses()[0], &[HTTP1]);
    let upstream = to(&front.upstream(", keep_idle: 2s"));
    let limits = "limits: { idle_upstream_connections: 3 }";
    let gateway = Gateway::start(&format!("workers: 1\n{limits}\n{upstream}"));
    let url = gateway.url("/?delay=300ms");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let url = &url;
            scope.spawn(move || spoken(&curl(&[WAYS[number % 2], &[url.as_str()]].concat())));
        }
    });
    until("the others are closed", || front.open() <= 3);
    assert_eq!(front.open(), 3);
    until("all are closed in time", || front.open() == 0);
}

#[test]
fn no_more_requests_are_under_way_than_may() {
    let echo = echo();
    let front = Front::before(echo.addresses()[0], &[HTTP1]);
    let gateway = gateway(&front, ", in_flight: { most: 2 }");
    let url = gateway.url("/?delay=500ms");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let all = (0..6).map(|number| {
            let url = &url;
            scope.spawn(move || curl(&[WAYS[number % 2], &[url.as_str()]].concat()).status)
        });
        let all: Vec<_> = all.collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let served = statuses.iter().filter(|status| **status == 200).count();
    assert!((2..6).contains(&served), "{statuses:?}");
    assert!(front.open() <= 2);
    calm::leaves_nothing(&gateway, "a change of mind", 3, || {
        front.speaks(&[[HTTP1, HTTP2][fastrand::usize(..2)]]);
        ask(&gateway, &[]);
    });
}

#[test]
fn a_websocket_goes_over_http1_whatever_is_chosen_elsewhere() {
    let origin = serve(|_, mut stream| {
        if head(&mut stream).is_some_and(|head| head.contains("upgrade")) {
            let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            stream.write_all(switch.as_bytes()).unwrap();
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
        }
    });
    let echo = echo();
    for speaks in [&[HTTP1][..], &[HTTP2, HTTP1]] {
        let front = Front::before_two(origin, echo.addresses()[0], speaks);
        let gateway = gateway(&front, "");
        for _ in 0..2 {
            let mut stream = TcpStream::connect(gateway.address()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let asks =
                "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            stream.write_all(asks.as_bytes()).unwrap();
            let head = head(&mut stream).unwrap();
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            stream.write_all(b"\x81\x03abc").unwrap();
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"\x81\x03abc");
            drop(stream);
            assert_eq!(front.take_chosen(), ["http/1.1"]);
            if speaks.len() == 2 {
                assert_eq!(spoken(&ask(&gateway, WAYS[1])), "HTTP/2.0");
                front.take_chosen();
            }
        }
    }
}

#[test]
fn what_a_health_check_finds_out_spares_the_first_request_a_connection() {
    let echo = echo();
    for (chosen, version) in [(HTTP1, "HTTP/1.1"), (HTTP2, "HTTP/2.0")] {
        let front = Front::before(echo.addresses()[0], &[chosen]);
        let gateway = gateway(&front, ", health: { http: /health, every: 50ms }");
        let passed = "wiregate_upstream_health_checks_total{result=\"passed\",upstream=\"app\"}";
        until("it was checked", || gateway.metric(passed) >= 1.0);
        front.take_chosen();
        assert_eq!(spoken(&ask(&gateway, WAYS[1])), version);
        assert_eq!(front.take_chosen().len(), 1, "{version}");
    }
}

#[test]
fn health_is_checked_over_what_is_chosen() {
    let echo = echo();
    let address = echo.addresses()[0];
    for chosen in [HTTP1, HTTP2] {
        let front = Front::before(address, &[chosen]);
        let gateway = gateway(
            &front,
            ", health: { http: /health, every: 50ms, unhealthy_after: 1 }",
        );
        spoken(&ask(&gateway, &[]));
        super::super::peers::set_health(address, 503);
        until("it is unhealthy", || {
            let answer = ask(&gateway, &[]);
            answer.status == 503 && problem(&answer) == "503 destination_unavailable"
        });
        super::super::peers::set_health(address, 200);
        until("it is healthy again", || ask(&gateway, &[]).status == 200);
    }
}
