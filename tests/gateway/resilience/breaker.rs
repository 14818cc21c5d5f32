//! Circuit breakers: an upstream that fails is left alone for a while.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use super::super::harness::{Gateway, PATIENCE, curl, until};
use super::super::origin::{Seen, drain, empty, head, reset, serve};
use super::{config, upstream};

const OPEN: &str = "wiregate_upstream_circuit_open{upstream=\"app\"}";

#[test]
fn opens_probes_and_closes_again() {
    let status = Arc::new(AtomicU16::new(500));
    let said = status.clone();
    let (seen, address) = Seen::by(move |_| empty(said.load(Ordering::SeqCst)));
    let options = ", breaker: { errors: 50%, of_at_least: 4, open_for: 6s }";
    let app = config(&upstream("app", &[address], options), "");
    let gateway = Gateway::start(&app);
    for _ in 0..4 {
        assert_eq!(curl(&[&gateway.url("/")]).status, 500);
    }
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["type"], "urn:wiregate:circuit_open");
    let after: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=6).contains(&after), "{after}");
    assert_eq!(
        answer.header("proxy-status"),
        "wiregate; error=destination_unavailable; details=\"circuit_open\""
    );
    assert_eq!(seen.count(), 4, "the endpoint is left alone");
    assert_eq!(gateway.metric(OPEN), 1.0);
    // A reload forgets nothing.
    gateway.reload(&format!("{app}# again\n"));
    assert_eq!(curl(&[&gateway.url("/")]).status, 503);
    assert_eq!(gateway.metric(OPEN), 1.0);

    // A probe that fails opens it again.
    until("a probe has passed", || {
        curl(&[&gateway.url("/")]).status == 500
    });
    assert_eq!(seen.count(), 5);
    assert_eq!(curl(&[&gateway.url("/")]).status, 503);

    status.store(200, Ordering::SeqCst);
    until("the circuit is closed", || {
        curl(&[&gateway.url("/")]).status == 200
    });
    assert_eq!(gateway.metric(OPEN), 0.0);
    let turns = |turn: &str| {
        let name = "wiregate_upstream_circuit_turns_total";
        gateway.metric(&format!("{name}{{turn=\"{turn}\",upstream=\"app\"}}"))
    };
    assert_eq!((turns("opened"), turns("closed")), (2.0, 1.0));
    for _ in 0..10 {
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    }
}

#[test]
fn what_was_shown_of_a_breaker_goes_with_it() {
    let (_, failing) = Seen::by(|_| empty(500));
    let options = ", breaker: { errors: 50%, of_at_least: 2, open_for: 1h }";
    let gateway = Gateway::start(&config(&upstream("app", &[failing], options), ""));
    until("it is open", || curl(&[&gateway.url("/")]).status == 503);
    assert_eq!(gateway.metric(OPEN), 1.0);
    gateway.reload(&config(&upstream("app", &[failing], ""), ""));
    assert_eq!(curl(&[&gateway.url("/")]).status, 500);
    let metrics = gateway.admin("GET", "/metrics").text();
    assert!(!metrics.contains(OPEN), "an alert would not end: {metrics}");
}

#[test]
fn the_fallback_takes_over_while_it_is_open() {
    let (_, failing) = Seen::by(|_| empty(500));
    let (spare, at_spare) = Seen::by(|_| empty(200));
    let options = ", breaker: { errors: 50%, of_at_least: 2, open_for: 1h }, fallback: spare";
    let upstreams = upstream("app", &[failing], options) + &upstream("spare", &[at_spare], "");
    let gateway = Gateway::start(&config(&upstreams, ""));
    let statuses: Vec<u16> = (0..6).map(|_| curl(&[&gateway.url("/")]).status).collect();
    assert_eq!(statuses, [500, 500, 200, 200, 200, 200]);
    assert_eq!(spare.count(), 4);
}

/// An origin whose answers break in their body this way: the connection is cut, a chunk breaks the
/// rules, or nothing comes any more. As long as it is not told to be whole.
fn breaking(how: &'static str, whole: &Arc<AtomicBool>) -> SocketAddr {
    let whole = whole.clone();
    serve(move |_, mut stream| {
        while head(&mut stream).is_some() {
            let framing = match how {
                "chunk" => "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense\r\n",
                _ => "content-length: 9\r\n\r\nabc",
            };
            let broken = format!("HTTP/1.1 200 OK\r\n{framing}");
            if whole.load(Ordering::SeqCst) {
                let _ = stream.write_all(empty(200).as_bytes());
                continue;
            }
            let _ = stream.write_all(broken.as_bytes());
            if how == "silence" {
                drain(&mut stream);
            }
            return;
        }
    })
}

#[test]
fn an_answer_that_breaks_in_its_body_counts_as_a_failure() {
    for how in ["cut", "chunk", "silence"] {
        let whole = Arc::default();
        let options = ", breaker: { errors: 60%, of_at_least: 4, open_for: 2s }, \
                       timeouts: { first_byte: 300ms, idle: 300ms }";
        let app = upstream("app", &[breaking(how, &whole)], options);
        let gateway = Gateway::start(&config(&app, ""));
        let ask = || curl(&[&gateway.url("/")]).status;
        for _ in 0..4 {
            assert_eq!(gateway.metric(OPEN), 0.0, "{how}");
            // The head is good: curl says so, whatever comes after it.
            assert_eq!(ask(), 200, "{how}");
        }
        until("the circuit is open", || gateway.metric(OPEN) == 1.0);
        assert_eq!(ask(), 503, "{how}");
        // A probe that breaks as well opens it again, at once.
        until("a probe has passed", || ask() == 200);
        until("the circuit is open again", || gateway.metric(OPEN) == 1.0);
        assert_eq!(ask(), 503, "{how}");
        whole.store(true, Ordering::SeqCst);
        until("the circuit is closed", || ask() == 200);
        for _ in 0..5 {
            assert_eq!(ask(), 200, "{how}");
        }
        assert_eq!(gateway.metric(OPEN), 0.0, "{how}");
    }
}

#[test]
fn a_client_that_leaves_in_the_body_is_no_failure() {
    let endless = serve(|_, mut stream| {
        while head(&mut stream).is_some() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc");
            drain(&mut stream);
        }
    });
    let options = ", breaker: { errors: 1%, of_at_least: 1, open_for: 1h }";
    let gateway = Gateway::start(&config(&upstream("app", &[endless], options), ""));
    let mut client = TcpStream::connect(gateway.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    head(&mut client).expect("the head has come");
    reset(client);
    let left = "wiregate_upstream_requests_in_flight{upstream=\"app\"}";
    until("the endpoint is let go", || gateway.metric(left) == 0.0);
    assert_eq!(gateway.metric(OPEN), 0.0);
}

#[test]
fn a_clients_own_deadline_is_no_failure_of_the_endpoint() {
    // It takes connections, and never shakes hands.
    let silent = serve(|_, mut stream| {
        drain(&mut stream);
    });
    let app = |tls: &str| {
        let options = format!(
            ", protocol: h2, tls: {{ server_name: a }}, timeouts: {{ connect: 5s, tls: {tls} }}, \
             breaker: {{ errors: 1%, of_at_least: 1, open_for: 1h }}"
        );
        Gateway::start(&config(&upstream("app", &[silent], &options), ""))
    };
    let call = |gateway: &Gateway, timeout: &str| {
        let (url, timeout) = (gateway.url("/a.B/C"), format!("grpc-timeout: {timeout}"));
        let fields = ["-H", "content-type: application/grpc", "-H", &timeout];
        let version = ["--http2-prior-knowledge", "-X", "POST"];
        let answer = curl(&[&version[..], &fields, &[&url]].concat());
        answer.header("grpc-status").to_owned()
    };
    let gateway = app("5s");
    assert_eq!([call(&gateway, "80m"), call(&gateway, "80m")], ["4", "4"]);
    assert_eq!(gateway.metric(OPEN), 0.0);
    assert_eq!(gateway.access_log(2)[0]["attempts"], 1);
    // The configuration's time is the endpoint's.
    let gateway = app("50ms");
    call(&gateway, "9S");
    assert_eq!(gateway.metric(OPEN), 1.0);
}
