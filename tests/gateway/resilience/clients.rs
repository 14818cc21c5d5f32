//! What clients do to an exchange is not charged to its endpoint.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::super::harness::{Gateway, PATIENCE, curl, echo};
use super::super::origin::{drain, head, serve};
use super::{config, upstream};

const OPEN: &str = "wiregate_upstream_circuit_open{upstream=\"app\"}";
/// One failure opens the circuit.
const FRAIL: &str = "breaker: { errors: 1%, of_at_least: 1, open_for: 1h }, \
                     retry: { attempts: 3, on: [timeout, reset], unsafe_methods: true }";

/// A connection with the start of an upload of ten bytes on it.
fn upload(gateway: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(gateway).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 10\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn an_upload_that_stalls_is_the_clients() {
    for protocol in ["http1", "h2c"] {
        stalls(protocol);
    }
}

fn stalls(protocol: &str) {
    let origin = echo();
    let options =
        format!(", protocol: {protocol}, timeouts: {{ first_byte: 300ms, idle: 300ms }}, {FRAIL}");
    let gateway = Gateway::start(&config(&upstream("app", origin.addresses(), &options), ""));
    for sent in ["", "ab"] {
        let mut stream = upload(gateway.address());
        stream.write_all(sent.as_bytes()).unwrap();
        let answer = rest(stream);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("urn:wiregate:body_timeout"), "{answer}");
    }
    let (status, answer) = upload_over_http2(gateway.address(), 1, Duration::ZERO, false);
    assert_eq!(status, 408, "{answer}");
    assert!(answer.contains("urn:wiregate:body_timeout"), "{answer}");

    assert_eq!(gateway.metric(OPEN), 0.0);
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    for line in &gateway.access_log(4)[..3] {
        assert_eq!(
            (&line["attempts"], &line["status"]),
            (&1.into(), &408.into()),
            "{line}"
        );
    }
    // An endpoint that has all of the body and is silent is one that fails.
    assert_ne!(
        curl(&["-d", "whole", &gateway.url("/?delay=5s")]).status,
        200
    );
    assert_eq!(gateway.metric(OPEN), 1.0);
}

#[test]
fn the_time_of_a_slow_upload_is_not_the_endpoints() {
    let origin = echo();
    let gateway = Gateway::start(&config(&upstream("app", origin.addresses(), ""), ""));
    let mut stream = upload(gateway.address());
    // The pauses are what is tested.
    for piece in [b"abcde", b"fghij"] {
        std::thread::park_timeout(Duration::from_millis(700));
        stream.write_all(piece).unwrap();
    }
    let answer = rest(stream);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let line = &gateway.access_log(1)[0];
    let millis = |key: &str| line[key].as_f64().unwrap();
    assert!(millis("duration_ms") >= 1300.0, "{line}");
    assert!(millis("upstream_ms") < 600.0, "{line}");
}

/// The answer to an upload over HTTP/2 in so many pieces, with a pause before each, that ends or
/// never does.
fn upload_over_http2(
    gateway: SocketAddr,
    pieces: u32,
    pause: Duration,
    ends: bool,
) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(gateway).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::post("http://a/").body(()).unwrap();
        let (answer, mut body) = client.send_request(request, false).unwrap();
        for _ in 0..pieces {
            tokio::time::sleep(pause).await;
            body.send_data("ab".into(), false).unwrap();
        }
        if ends {
            body.send_data(bytes::Bytes::new(), true).unwrap();
        }
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let answer = answer.unwrap().unwrap();
        let (status, mut body, mut text) = (answer.status(), answer.into_body(), Vec::new());
        while let Some(Ok(piece)) = body.data().await {
            text.extend_from_slice(&piece);
        }
        (status.as_u16(), String::from_utf8_lossy(&text).into_owned())
    })
}

#[test]
fn an_upload_may_take_longer_than_each_of_its_pauses() {
    let origin = echo();
    // The time of a pause is what is tested: three of them are longer than a silence may be.
    let pause = Duration::from_millis(900);
    for protocol in ["http1", "h2c"] {
        let options = format!(
            ", protocol: {protocol}, timeouts: {{ first_byte: 2500ms, idle: 2500ms }}, {FRAIL}"
        );
        let gateway = Gateway::start(&config(&upstream("app", origin.addresses(), &options), ""));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (status, text) = upload_over_http2(gateway.address(), 4, pause, true);
                assert_eq!(status, 200, "{protocol}: {text}");
                assert!(text.contains("\"body_bytes\":8"), "{protocol}: {text}");
            });
            let mut stream = upload(gateway.address());
            for piece in ["ab", "cd", "ef", "ghij"] {
                std::thread::park_timeout(pause);
                stream.write_all(piece.as_bytes()).unwrap();
            }
            let answer = rest(stream);
            assert!(answer.starts_with("HTTP/1.1 200"), "{protocol}: {answer}");
        });
        assert_eq!(gateway.metric(OPEN), 0.0, "{protocol}");
    }
}

#[test]
fn an_endpoint_over_http_2_is_awaited_from_the_end_of_the_upload_on() {
    let (origin, pause) = (echo(), Duration::from_millis(400));
    let options = format!(
        ", protocol: h2c, timeouts: {{ first_byte: 1s, idle: 1s }}, retry: {{ attempts: 1 }}, {}",
        FRAIL.split_once(", retry").unwrap().0
    );
    let gateway = Gateway::start(&config(&upstream("app", origin.addresses(), &options), ""));
    let start = Instant::now();
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head =
        "POST /?delay=20s HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..4 {
        std::thread::park_timeout(pause);
        stream.write_all(b"a").unwrap();
    }
    let answer = rest(stream);
    let took = start.elapsed();
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(
        answer.contains("urn:wiregate:http_response_timeout"),
        "{answer}"
    );
    assert!(took > pause * 4 + Duration::from_millis(900), "{took:?}");
    assert_eq!(gateway.metric(OPEN), 1.0, "it is the endpoint's");
}

#[test]
fn the_total_bounds_an_upload_that_trickles() {
    let origin = echo();
    let options = format!(", timeouts: {{ total: 1s }}, {FRAIL}");
    let gateway = Gateway::start(&config(&upstream("app", origin.addresses(), &options), ""));
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let start = Instant::now();
    let mut trickle = stream.try_clone().unwrap();
    let client = std::thread::spawn(move || {
        while start.elapsed() < PATIENCE && trickle.write_all(b"x").is_ok() {
            std::thread::park_timeout(Duration::from_millis(100));
        }
    });
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    let took = start.elapsed();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 504");
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(stream);
    client.join().unwrap();
    assert_eq!(gateway.metric(OPEN), 0.0);
}

/// Long enough that twice the time could not be taken for it on a busy machine.
const TOTAL: Duration = Duration::from_secs(4);
const LATE: Duration = Duration::from_secs(3);

fn is_the_total(took: Duration) -> bool {
    // What came late would give another four seconds.
    TOTAL.mul_f32(0.9) < took && took < TOTAL + LATE.mul_f32(0.6)
}

#[test]
fn the_total_bounds_an_upload_that_stops_late() {
    let asks = ["http1", "h2c"].map(|protocol| {
        std::thread::spawn(move || {
            let origin = echo();
            let options = format!(", protocol: {protocol}, timeouts: {{ total: 4s }}, {FRAIL}");
            let gateway =
                Gateway::start(&config(&upstream("app", origin.addresses(), &options), ""));
            let start = Instant::now();
            let mut stream = upload(gateway.address());
            std::thread::park_timeout(LATE);
            stream.write_all(b"ab").unwrap();
            let answer = rest(stream);
            let took = start.elapsed();
            assert!(answer.starts_with("HTTP/1.1 504"), "{protocol}: {answer}");
            assert!(answer.contains("urn:wiregate:http_response_timeout"));
            assert!(is_the_total(took), "{protocol}: {took:?}");
            assert_eq!(gateway.metric(OPEN), 0.0, "it is the client's");
        })
    });
    asks.into_iter().for_each(|ask| ask.join().unwrap());
}

#[test]
fn the_total_bounds_a_response_that_stops_late() {
    let late = serve(|_, mut stream| {
        head(&mut stream);
        std::thread::park_timeout(LATE);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc");
        drain(&mut stream);
    });
    let app = upstream("app", &[late], ", timeouts: { total: 4s }");
    let gateway = Gateway::start(&config(&app, ""));
    let asks = ["--http1.1", "--http2-prior-knowledge"].map(|version| {
        let url = gateway.url("/");
        std::thread::spawn(move || {
            let start = Instant::now();
            let answer = curl(&[version, &url]);
            let took = start.elapsed();
            assert_eq!((answer.status, &*answer.body), (200, &b"abc"[..]));
            assert!(is_the_total(took), "{version}: {took:?}");
        })
    });
    asks.into_iter().for_each(|ask| ask.join().unwrap());
}

#[test]
fn an_endpoint_that_is_silent_for_the_total_has_failed() {
    let silent = serve(|_, mut stream| assert!(drain(&mut stream) > 0));
    let options = format!(", timeouts: {{ total: 500ms }}, {FRAIL}");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let gateway = Gateway::start(&config(&upstream("app", &[silent], &options), ""));
        assert_eq!(curl(&[version, &gateway.url("/")]).status, 504);
        assert_eq!(gateway.metric(OPEN), 1.0, "{version}");
    }
}
