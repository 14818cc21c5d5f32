//! The access log: its lines, its rotation, and readers that stall.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;

use super::super::harness::{Gateway, complete, curl, curl_with, echo, until, upstream};
use super::super::http2::wire;
use super::gateway;

#[test]
fn the_access_log_has_a_line_for_each_request_with_every_field() {
    let (gateway, origin) = gateway();
    let answer = curl_with(
        &[
            "-H",
            "host: Shop.Example:8080",
            "--data-binary",
            "@-",
            &gateway.url("/open/a?x=1&y=%20"),
        ],
        b"hello",
    );
    assert_eq!(answer.status, 200);
    let line = &gateway.access_log(1)[0];
    let time = line["time"].as_str().unwrap();
    assert_eq!(
        (time.len(), &time[10..11], &time[23..]),
        (24, "T", "Z"),
        "{time}"
    );
    assert_eq!(line["request_id"], answer.header("x-request-id"));
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0);
    assert!(line["upstream_ms"].as_f64().unwrap() > 0.0);
    let mut line = line.as_object().unwrap().clone();
    for name in ["time", "request_id", "duration_ms", "upstream_ms"] {
        line.remove(name);
    }
    let expected = serde_json::json!({
        "client": "127.0.0.1",
        "method": "POST",
        "target": "/open/a?x=1&y=%20",
        "host": "shop.example",
        "protocol": "HTTP/1.1",
        "route": "open",
        "upstream": "app",
        "endpoint": origin.addresses()[0].to_string(),
        "status": 200,
        "bytes_in": 5,
        "bytes_out": answer.body.len(),
        "attempts": 1,
    });
    assert_eq!(Value::Object(line), expected);

    curl(&["--http2-prior-knowledge", &gateway.url("/closed/a")]);
    let line = &gateway.access_log(2)[1];
    for (name, value) in [
        ("protocol", "HTTP/2"),
        ("refused_by", "ip"),
        ("error", "ip_denied"),
    ] {
        assert_eq!(line[name], value);
    }
    assert!(line.get("upstream_ms").is_none() && line.get("endpoint").is_none());
    curl(&[&gateway.url("/dead/a")]);
    let line = &gateway.access_log(3)[2];
    assert_eq!(
        (&line["status"], &line["error"]),
        (&502.into(), &"connection_refused".into())
    );
    assert_eq!(line["attempts"], 2);
    assert!(line["detail"].as_str().unwrap().len() > 10, "{line}");
    curl(&[&gateway.url("/nowhere")]);
    let line = &gateway.access_log(4)[3];
    assert_eq!(
        (&line["error"], line.get("route")),
        (&"no_route".into(), None)
    );
}

#[test]
fn no_line_is_lost_when_the_log_is_rotated_under_load() {
    let gateway = Gateway::start("routes: [{ name: all, filters: [respond: 204] }]\n");
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let rotated: Vec<_> = (1..=5)
        .map(|n| gateway.file(&format!("access.log.{n}")))
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut stream = BufReader::new(TcpStream::connect(gateway.address()).unwrap());
                while !stop.load(Ordering::Relaxed) {
                    let n = sent.fetch_add(1, Ordering::Relaxed);
                    let head = format!("GET /{n} HTTP/1.1\r\nhost: a\r\n\r\n");
                    stream.get_mut().write_all(head.as_bytes()).unwrap();
                    let mut line = String::new();
                    while line != "\r\n" {
                        line.clear();
                        assert_ne!(stream.read_line(&mut line).unwrap(), 0);
                    }
                }
            });
        }
        for to in &rotated {
            let before = sent.load(Ordering::Relaxed);
            until("there is traffic", || {
                sent.load(Ordering::Relaxed) > before + 100
            });
            std::fs::rename(gateway.file("access.log"), to).unwrap();
            gateway.signal("USR1");
            until("the log is opened anew", || {
                gateway.file("access.log").exists()
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    let mut seen = HashMap::new();
    let sent = sent.into_inner();
    until("every request has its line", || {
        seen.clear();
        for file in rotated.iter().chain([&gateway.file("access.log")]) {
            for line in std::fs::read_to_string(file).unwrap().lines() {
                let Ok(line) = serde_json::from_str::<Value>(line) else {
                    continue;
                };
                *seen
                    .entry(line["target"].as_str().unwrap().to_owned())
                    .or_insert(0) += 1;
            }
        }
        seen.len() as u64 >= sent
    });
    assert_eq!(seen.len() as u64, sent);
    assert!(seen.values().all(|times| *times == 1));
    assert_eq!(gateway.metric("wiregate_access_log_dropped_total"), 0.0);
    let last = std::fs::read_to_string(gateway.file("access.log")).unwrap();
    assert!(
        last.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
}

/// Starts a gateway whose access log is `stdout` or `off`, with a pipe for its standard output.
fn piped(access_log: &str) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let text = complete(
        folder.path(),
        "limits: { overload: off }\nroutes: [{ name: all, filters: [respond: 204] }]\n",
        "{}",
    );
    let line = text
        .lines()
        .find(|line| line.starts_with("access_log"))
        .unwrap();
    std::fs::write(
        &file,
        text.replace(line, &format!("access_log: {access_log}")),
    )
    .unwrap();
    Gateway::start_as(folder, &file, |command| {
        command.stdout(Stdio::piped());
    })
}

#[test]
fn the_access_log_goes_to_standard_output_or_nowhere() {
    let mut gateway = piped("stdout");
    for path in ["/one", "/two"] {
        assert_eq!(curl(&[&gateway.url(path)]).status, 204);
    }
    let mut lines = BufReader::new(gateway.stdout()).lines();
    for path in ["/one", "/two"] {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["target"], path);
    }
    gateway.signal("TERM");
    assert_eq!(lines.next().map(Result::unwrap), None);

    let mut gateway = piped("off");
    assert_eq!(curl(&[&gateway.url("/one")]).status, 204);
    gateway.signal("TERM");
    gateway.wait();
    let mut lines = BufReader::new(gateway.stdout()).lines();
    assert_eq!(lines.next().map(Result::unwrap), None);
}

#[test]
fn a_reader_that_stalls_costs_lines_and_no_request() {
    let mut gateway = piped("stdout");
    // Held and never read: the pipe is full after 64 KiB.
    let held = gateway.stdout();
    let dropped = || gateway.metric("wiregate_access_log_dropped_total");
    let mut answered = 0;
    while answered < 60_000 && dropped() == 0.0 {
        let url = gateway.url(&format!("/{}", "x".repeat(1000)));
        let arguments = ["-n", "4000", "-c", "4", "-m", "16", &url];
        let output = Command::new("h2load").args(arguments).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            said.contains("4000 succeeded, 0 failed, 0 errored, 0 timeout"),
            "{said}"
        );
        answered += 4000;
    }
    assert!(dropped() > 0.0, "after {answered} requests");
    assert_eq!(curl(&[&gateway.url("/")]).status, 204);
    drop(held);
}

#[test]
fn what_is_cut_off_is_logged_with_what_has_gone_to_its_client() {
    let origin = echo();
    let mut gateway = Gateway::start(&format!(
        "limits: {{ drain_deadline: 200ms }}\n{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    ));
    let mut one = TcpStream::connect(gateway.address()).unwrap();
    one.write_all(b"GET /?bytes=20000000 HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let mut first = [0; 12];
    one.read_exact(&mut first).unwrap();
    let mut other = wire::Client::open(gateway.address());
    let flags = wire::END_HEADERS | wire::END_STREAM;
    other.write(&wire::headers(1, flags, &wire::get("/?bytes=20000000")));
    other.next_of(wire::DATA).unwrap();
    gateway.signal("TERM");
    gateway.wait();
    for line in gateway.access_log(2) {
        assert_eq!(line["error"], "connection_terminated", "{line}");
        assert!(line["bytes_out"].as_u64().unwrap() > 0, "{line}");
    }
}
