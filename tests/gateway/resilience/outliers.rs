//! What counts against an endpoint, and what does not.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::harness::{Gateway, curl, until};
use super::super::origin::{empty, head, serve};
use super::{config, upstream};

const EJECTED: &str =
    "wiregate_endpoint_ejections_total{reason=\"consecutive_errors\",upstream=\"app\"}";
const OPEN: &str = "wiregate_upstream_circuit_open{upstream=\"app\"}";

#[test]
fn an_endpoint_that_breaks_in_the_middle_of_bodies_is_taken_out() {
    let broken = serve(|_, mut stream| {
        if head(&mut stream).is_some() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
        }
    });
    let options = ", outliers: { consecutive_errors: 3, eject_for: 1h }";
    let gateway = Gateway::start(&config(&upstream("app", &[broken], options), ""));
    for _ in 0..2 {
        assert_eq!(curl(&[&gateway.url("/")]).text(), "half");
    }
    assert_eq!(gateway.metric(EJECTED), 0.0);
    assert_eq!(curl(&[&gateway.url("/")]).text(), "half");
    until("it is out", || gateway.metric(EJECTED) == 1.0);
    assert_eq!(curl(&[&gateway.url("/")]).status, 503);
}

#[test]
fn a_whole_answer_ends_the_row() {
    let count = Arc::new(AtomicUsize::new(0));
    let mixed = serve(move |_, mut stream| {
        while head(&mut stream).is_some() {
            if count.fetch_add(1, Ordering::SeqCst) % 3 == 2 {
                let _ = stream.write_all(empty(200).as_bytes());
                continue;
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
            return;
        }
    });
    let options = ", outliers: { consecutive_errors: 3, eject_for: 1h }";
    let gateway = Gateway::start(&config(&upstream("app", &[mixed], options), ""));
    for _ in 0..9 {
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
    let options = ", breaker: { errors: 1%, of_at_least: 1, open_for: 1h }, \
                   outliers: { consecutive_errors: 1, eject_for: 1h }";
    let one = config(&upstream("app", &[once], options), "").replace("workers: 2", "workers: 1");
    let gateway = Gateway::start(&one);
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    let answer = curl(&["-d", "x", &gateway.url("/")]);
    assert_eq!(answer.status, 502, "a POST is not sent again");
    assert_eq!(answer.json()["type"], "urn:wiregate:connection_terminated");
    assert_eq!(curl(&["-d", "x", &gateway.url("/")]).status, 200);
    assert_eq!((gateway.metric(OPEN), gateway.metric(EJECTED)), (0.0, 0.0));
}
