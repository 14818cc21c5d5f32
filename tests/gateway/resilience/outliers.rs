//! What counts against an endpoint, and what does not.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::super::harness::{Gateway, PATIENCE, curl, until};
use super::super::origin::{empty, head, serve};
use super::{config, upstream};

const EJECTED: &str =
    "wiregate_endpoint_ejections_total{reason=\"consecutive_errors\",upstream=\"app\"}";
const OPEN: &str = "wiregate_upstream_circuit_open{upstream=\"app\"}";

const HALF: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";

/// Two servers that break off their answers, but for those whose number leaves this rest when it
/// is divided by three. Of two endpoints one may be taken out.
fn breaking(whole: usize) -> [SocketAddr; 2] {
    [(); 2].map(|()| {
        let count = AtomicUsize::new(0);
        serve(move |_, mut stream| {
            while head(&mut stream).is_some() {
                if count.fetch_add(1, Ordering::SeqCst) % 3 != whole {
                    let _ = stream.write_all(HALF);
                    return;
                }
                let _ = stream.write_all(empty(200).as_bytes());
            }
        })
    })
}

#[test]
fn an_endpoint_that_breaks_in_the_middle_of_bodies_is_taken_out() {
    let options = ", outliers: { consecutive_errors: 3, eject_for: 5m }";
    let gateway = Gateway::start(&config(&upstream("app", &breaking(3), options), ""));
    for _ in 0..2 {
        assert_eq!(curl(&[&gateway.url("/")]).text(), "half");
    }
    assert_eq!(gateway.metric(EJECTED), 0.0);
    for _ in 0..4 {
        assert_eq!(curl(&[&gateway.url("/")]).text(), "half");
    }
    until("one is out", || gateway.metric(EJECTED) == 1.0);
}

#[test]
fn a_whole_answer_ends_the_row() {
    let options = ", outliers: { consecutive_errors: 3, eject_for: 5m }";
    let gateway = Gateway::start(&config(&upstream("app", &breaking(2), options), ""));
    for _ in 0..18 {
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    }
    assert_eq!(gateway.metric(EJECTED), 0.0);
}

#[test]
fn an_idle_connection_that_is_closed_as_a_request_leaves_counts_for_nothing() {
    // Each connection takes one request, and is closed in the face of the next one.
    let once = serve(|_, mut stream| {
        if head(&mut stream).is_some() {
            let _ = stream.write_all(empty(200).as_bytes());
            let _ = stream.read(&mut [0]);
            super::super::origin::reset(stream);
        }
    });
    let options = ", breaker: { errors: 1%, of_at_least: 1, open_for: 1h }";
    let one = config(&upstream("app", &[once], options), "").replace("workers: 2", "workers: 1");
    let gateway = Gateway::start(&one);
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    let answer = curl(&["-d", "x", &gateway.url("/")]);
    assert_eq!(answer.status, 502, "a POST is not sent again");
    assert_eq!(answer.json()["type"], "urn:wiregate:connection_terminated");
    assert_eq!(curl(&["-d", "x", &gateway.url("/")]).status, 200);
    assert_eq!(gateway.metric(OPEN), 0.0);
}

#[test]
fn a_late_answer_to_an_upgrade_counts_against_the_endpoint() {
    let silent = serve(|_, mut stream| assert!(super::super::origin::drain(&mut stream) > 0));
    let options = ", timeouts: { first_byte: 300ms, idle: 20s }, \
                   breaker: { errors: 1%, of_at_least: 1, open_for: 1h }";
    let gateway = Gateway::start(&config(&upstream("app", &[silent], options), ""));
    let ask = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    let start = Instant::now();
    let mut client = std::net::TcpStream::connect(gateway.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(ask).unwrap();
    let answer = head(&mut client).unwrap();
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(answer.contains("error=http_response_timeout"), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(gateway.metric(OPEN), 1.0);
    let errors = "wiregate_upstream_errors_total{error=\"http_response_timeout\",upstream=\"app\"}";
    assert_eq!(gateway.metric(errors), 1.0);
}

/// A server over TLS that chooses no protocol (ALPN), and its certificate.
fn without_alpn() -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(["app.internal".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ));
    let server = server.with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth();
    let server = server
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let server = Arc::new(server);
    let address = serve(move |_, mut stream| {
        let mut tls = rustls::ServerConnection::new(server.clone()).unwrap();
        while let Ok((1.., _)) = tls.complete_io(&mut stream) {}
    });
    (address, made.cert.pem())
}

#[test]
fn an_endpoint_that_does_not_choose_http2_counts_as_failed() {
    let (address, pem) = without_alpn();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, pem).unwrap();
    let options = format!(
        ", protocol: h2, tls: {{ server_name: app.internal, ca: {} }}, \
         breaker: {{ errors: 1%, of_at_least: 1, open_for: 1h }}",
        ca.display()
    );
    let gateway = Gateway::start(&config(&upstream("app", &[address], &options), ""));
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["type"], "urn:wiregate:tls_protocol_error");
    assert_eq!(gateway.metric(OPEN), 1.0);
    let errors = "wiregate_upstream_errors_total{error=\"tls_protocol_error\",upstream=\"app\"}";
    assert_eq!(gateway.metric(errors), 1.0);
}
