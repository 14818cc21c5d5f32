//! Endpoints and clients that misbehave: the right status, and nothing left behind.

mod again;
pub mod calm;
mod clients;
mod early;
pub mod http2;
mod takes_nothing;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::front::both_ways;
use super::harness::{Gateway, PATIENCE, curl, echo, raw, until};
use super::origin::{self, empty, head, serve};

const H2: &str = "--http2-prior-knowledge";

/// A gateway with the upstream `app` at this address, and one that works at `/well`.
fn gateway(address: SocketAddr, options: &str, well: SocketAddr) -> Gateway {
    Gateway::start(&format!(
        "workers: 1\nupstreams:\n  app: {{ endpoints: [\"{address}\"]{options} }}\n  \
         well: {{ endpoints: [\"{well}\"] }}\nroutes:\n  - {{ name: all, upstream: app }}\n  \
         - {{ name: well, match: {{ path: /well }}, upstream: well }}\n"
    ))
}

/// A server that answers each request with these bytes, and closes the connection then.
fn says(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> SocketAddr {
    serve(move |_, mut stream| {
        if head(&mut stream).is_some() {
            let _ = stream.write_all(bytes.as_ref());
        }
    })
}

fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

pub fn idle(gateway: &Gateway) {
    until("nothing is in flight", || {
        let metrics = gateway.admin("GET", "/metrics").text();
        let in_flight = (metrics.lines()).filter(|line| {
            line.starts_with("wiregate_requests_in_flight")
                || line.starts_with("wiregate_upstream_requests_in_flight")
                || line.starts_with("wiregate_upstream_requests_waiting")
        });
        in_flight
            .map(|line| line.rsplit(' ').next().unwrap())
            .all(|value| value == "0")
    });
}

#[test]
fn each_fault_has_its_status_and_one_word_everywhere() {
    let respond = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n12345");
    let faults: Vec<(&str, SocketAddr, u16, &str)> = vec![
        ("refuses", nobody(), 502, "connection_refused"),
        (
            "resets",
            serve(|_, mut stream| {
                head(&mut stream);
                origin::reset(stream);
            }),
            502,
            "connection_terminated",
        ),
        ("closes", says(""), 502, "connection_terminated"),
        (
            "never answers",
            serve(|_, mut stream| assert!(origin::drain(&mut stream) > 0)),
            504,
            "http_response_timeout",
        ),
        (
            "half a head",
            says("HTTP/1.1 200 OK\r\nx-a: "),
            502,
            "http_response_incomplete",
        ),
        (
            "no HTTP",
            says("220 smtp ready\r\n\r\n"),
            502,
            "http_protocol_error",
        ),
        (
            "negative length",
            says(respond("content-length: -5")),
            502,
            "http_protocol_error",
        ),
        (
            "two lengths",
            says(respond("content-length: 5\r\ncontent-length: 6")),
            502,
            "http_protocol_error",
        ),
        (
            "a coding that nobody has asked for",
            says(respond("transfer-encoding: gzip, chunked")),
            502,
            "http_protocol_error",
        ),
        (
            "a space in a name",
            says(respond("x y: 1")),
            502,
            "http_protocol_error",
        ),
        (
            "a NUL in a value",
            says(respond("x-a: 1\0")),
            502,
            "http_protocol_error",
        ),
        (
            "an upgrade nobody asked for",
            says("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
            502,
            "http_upgrade_failed",
        ),
        (
            "too many fields",
            says(respond(&["x-a: 1"; 300].join("\r\n"))),
            502,
            "http_response_header_section_size",
        ),
    ];
    let well = echo();
    for (what, address, status, word) in faults {
        let first_byte = if status == 504 { "300ms" } else { "20s" };
        let options = format!(", timeouts: {{ first_byte: {first_byte} }}");
        let gateway = gateway(address, &options, well.addresses()[0]);
        let warm = curl(&[&gateway.url("/well")]);
        assert_eq!(warm.status, 200);
        let descriptors = gateway.descriptors();
        let mut expected = 0.0;
        for client in [&[][..], &[H2], &["-d", "a body"]] {
            let url = gateway.url("/");
            let answer = curl(&[client, &[url.as_str()]].concat());
            let told = format!("{what} {client:?}: {answer:?}");
            assert_eq!(answer.status, status, "{told}");
            assert_eq!(
                answer.json()["type"],
                format!("urn:wiregate:{word}"),
                "{told}"
            );
            assert_eq!(
                answer.header("proxy-status"),
                format!("wiregate; error={word}")
            );
            assert!(!answer.text().contains(&address.to_string()), "{told}");
            expected += if word == "connection_refused" {
                2.0
            } else {
                1.0
            };
            assert_eq!(curl(&[&gateway.url("/well")]).status, 200, "{told}");
        }
        let labels = format!("wiregate_upstream_errors_total{{error=\"{word}\",upstream=\"app\"}}");
        assert_eq!(gateway.metric(&labels), expected, "{what}");
        let lines = gateway.access_log(7);
        let failed: Vec<_> = lines.iter().filter(|line| line["route"] == "all").collect();
        assert_eq!(failed.len(), 3);
        assert!(
            failed.iter().all(|line| line["error"] == word),
            "{what}: {failed:?}"
        );
        idle(&gateway);
        until("descriptors are back", || {
            gateway.descriptors() <= descriptors + 2
        });
    }
}

#[test]
fn a_body_that_breaks_off_or_makes_no_sense_is_never_taken_for_whole() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let bodies = [
        (
            "short",
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello".to_owned(),
        ),
        ("short chunks", format!("{chunked}5\r\nhello\r\n")),
        ("short chunk", format!("{chunked}64\r\nhello")),
        (
            "bad chunk",
            format!("{chunked}5\r\nhello\r\nzz\r\nworld\r\n0\r\n\r\n"),
        ),
        (
            "no size",
            format!("{chunked}5\r\nhello\r\n\r\n5\r\nworld\r\n0\r\n\r\n"),
        ),
        (
            "no size, and the end",
            format!("{chunked}5\r\nhello\r\n\r\n\r\n"),
        ),
        (
            "no size at once",
            format!("{chunked}\r\nhello\r\n0\r\n\r\n"),
        ),
        (
            "no size but an extension",
            format!("{chunked}5\r\nhello\r\n;x\r\n5\r\nworld\r\n0\r\n\r\n"),
        ),
    ];
    let well = echo();
    let each = bodies.map(|(what, bytes)| (what, both_ways(says(bytes))));
    let each = each
        .into_iter()
        .flat_map(|(what, ways)| ways.map(|way| (what, way)));
    for (what, (address, options, _front)) in each {
        let what = format!("{what}{options}");
        let gateway = gateway(address, &options, well.addresses()[0]);
        let answer = raw(gateway.address(), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert!(
            !answer.ends_with("0\r\n\r\n") && !answer.contains("content-length: 5\r\n"),
            "{what}: {answer}"
        );
        for client in ["--http1.1", H2] {
            // 18: a file that is shorter than was said; 92: a stream that was reset; 56: a
            // connection that was lost.
            let code = exit_code(&[client, &gateway.url("/")]);
            assert!([18, 56, 92].contains(&code), "{what} {client}: {code}");
        }
        idle(&gateway);
        assert_eq!(curl(&[&gateway.url("/well")]).status, 200);
    }
}

fn exit_code(arguments: &[&str]) -> i32 {
    let status = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "--max-time", "20"])
        .args(arguments)
        .status()
        .unwrap();
    status.code().unwrap()
}

#[test]
fn a_body_that_stalls_is_cut_after_the_idle_time() {
    let stalls = serve(|_, mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello");
        origin::drain(&mut stream);
    });
    let options = ", timeouts: { first_byte: 300ms, idle: 400ms }";
    let gateway = gateway(stalls, options, nobody());
    for client in ["--http1.1", H2] {
        let code = exit_code(&[client, &gateway.url("/")]);
        // 52: what had come was not worth a packet yet.
        assert!([18, 52, 56, 92].contains(&code), "{client}: {code}");
    }
    let lines = gateway.access_log(2);
    for line in lines {
        assert_eq!(line["error"], "connection_read_timeout", "{line}");
    }
    idle(&gateway);
}

#[test]
fn a_second_response_is_never_given_to_another_request() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let two = serve(move |_, mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        while head(&mut stream).is_some() {
            let one = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none";
            let evil = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
            let _ = stream.write_all(format!("{one}{evil}").as_bytes());
        }
    });
    for (address, options, _front) in both_ways(two) {
        let gateway = gateway(address, &options, nobody());
        let before = connections.load(Ordering::SeqCst);
        for _ in 0..10 {
            let answer = curl(&[&gateway.url("/")]);
            assert_eq!((answer.status, answer.text()), (200, "one".to_owned()));
        }
        let made = connections.load(Ordering::SeqCst) - before;
        assert_eq!(made, 10, "{options}");
    }
}

#[test]
fn a_head_without_end_is_cut_off_with_little_memory() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let endless = serve(move |_, mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        let field = format!("x-long: {}", "y".repeat(64 * 1024));
        while count.load(Ordering::SeqCst) < 1 << 30 && stream.write_all(field.as_bytes()).is_ok() {
            count.fetch_add(field.len(), Ordering::SeqCst);
        }
    });
    let gateway = gateway(endless, "", nobody());
    let before = gateway.status("VmHWM");
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(answer.status, 502);
    assert_eq!(
        answer.json()["type"],
        "urn:wiregate:http_response_header_section_size"
    );
    let grown = gateway.status("VmHWM") - before;
    assert!(grown < 32 * 1024, "{grown} kB");
    assert!(written.load(Ordering::SeqCst) < 32 << 20);
    let line = &gateway.access_log(1)[0];
    assert!(line["detail"].as_str().unwrap().len() < 1000, "{line}");
}

/// The race between a request and the end of an idle connection: the endpoint closes as soon as
/// it has read the second head.
fn closes_at_the_second(with_reset: bool) -> SocketAddr {
    serve(move |_, mut stream| {
        if head(&mut stream).is_none() {
            return;
        }
        let _ = stream.write_all(empty(200).as_bytes());
        if head(&mut stream).is_some() && with_reset {
            origin::reset(stream);
        }
    })
}

#[test]
fn the_end_of_an_idle_connection_never_reaches_an_idempotent_request() {
    for with_reset in [false, true] {
        for (address, options, _front) in both_ways(closes_at_the_second(with_reset)) {
            let gateway = gateway(address, &options, nobody());
            for round in 0..100 {
                let method = ["GET", "PUT", "DELETE", "HEAD"][round % 4];
                let answer = ask(&gateway, method, if method == "PUT" { "body" } else { "" });
                assert!(
                    answer.starts_with("HTTP/1.1 200"),
                    "{method} {round}: {answer}"
                );
            }
            // What may not be repeated is not: every other one runs into it.
            let mut statuses = Vec::new();
            for _ in 0..4 {
                let answer = ask(&gateway, "POST", "body");
                if answer.starts_with("HTTP/1.1 502") {
                    assert!(
                        answer.contains("urn:wiregate:connection_terminated"),
                        "{answer}"
                    );
                }
                statuses.push(answer[9..12].to_owned());
            }
            assert!(statuses.contains(&"502".to_owned()), "{statuses:?}");
            idle(&gateway);
        }
    }
}

fn ask(gateway: &Gateway, method: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "{method} / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}
