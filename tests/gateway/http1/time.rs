//! Clients that take their time.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::{Origin, connect, gateway, read_answer, status};
use crate::harness::until;

#[test]
fn a_head_has_one_deadline() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "limits: { head_deadline: 1s, idle: 1m }\n");
    let whole = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    // `P` could become HTTP/2's preface; the last follows a request on the same connection.
    for (first, start) in [
        ("", "G"),
        ("", "P"),
        ("", "PRI * HT"),
        ("", "GET / HTTP/1.1\r\n"),
        (whole, "G"),
    ] {
        let mut stream = connect(&gateway);
        if !first.is_empty() {
            stream.write_all(first.as_bytes()).unwrap();
            assert_eq!(status(&read_answer(&mut stream)), 200);
        }
        let begun = Instant::now();
        stream.write_all(start.as_bytes()).unwrap();
        let mut answer = String::new();
        stream
            .set_read_timeout(Some(Duration::from_secs(15)))
            .unwrap();
        let mut trickled = stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            // One byte now and then does not help.
            scope.spawn(move || {
                while trickled.write_all(b"x").is_ok() && begun.elapsed() < Duration::from_secs(3) {
                    std::thread::park_timeout(Duration::from_millis(200));
                    if start != "G" {
                        return;
                    }
                }
            });
            let _ = stream.read_to_string(&mut answer);
        });
        let took = begun.elapsed();
        assert_eq!(status(&answer), 408, "{start} {answer}");
        assert!(answer.contains("urn:wiregate:head_timeout"), "{answer}");
        assert!(took > Duration::from_millis(900), "{start} {took:?}");
        assert!(took < Duration::from_secs(12), "{start} {took:?}");
    }
    let logged = gateway.access_log(6);
    let late = logged.iter().filter(|line| line["error"] == "head_timeout");
    assert_eq!(late.count(), 5);
}

#[test]
fn silence_ends_without_a_word() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "limits: { idle: 1s }\n");
    for before in ["", "\r\n\r\n"] {
        let mut stream = connect(&gateway);
        stream.write_all(before.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.is_empty(), "{}", answer.escape_ascii());
    }
    until("nothing is open", || {
        gateway.metric("wiregate_connections{listener=\"public\"}") == 0.0
    });
}

#[test]
fn a_slow_client_gets_its_answer_within_the_deadline() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "limits: { head_deadline: 1m }\n");
    let mut stream = connect(&gateway);
    for byte in b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc" {
        stream.write_all(&[*byte]).unwrap();
        std::thread::yield_now();
    }
    assert_eq!(status(&read_answer(&mut stream)), 200);
    let got = origin.take();
    assert_eq!(got[0].as_ref().unwrap().body, b"abc");
}
