//! `compress` in a running gateway.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{curl_with, filtering, forwarding};
use crate::harness::{Gateway, PATIENCE};

const VERSIONS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

#[test]
fn each_coding_makes_a_body_smaller_that_clients_can_read() {
    let (gateway, _origin) = filtering("compress");
    let body = "all work and no play ".repeat(1000);
    let url = gateway.url("/?header=etag:%22v1%22");
    for version in VERSIONS {
        for coding in ["gzip", "br", "zstd"] {
            let field = format!("accept-encoding: {coding}");
            let arguments = [version, "-H", &field, "-d", "@-", &url];
            let coded = curl_with(&arguments, body.as_bytes());
            assert_eq!(coded.status, 200, "{coding} {version}");
            assert_eq!(coded.header("content-encoding"), coding, "{version}");
            assert_eq!(coded.header("vary"), "accept-encoding");
            assert_eq!(coded.header("content-length"), "", "{coding} {version}");
            assert_eq!(coded.header("etag"), "W/\"v1\"");
            assert!(
                coded.body.len() < body.len() / 10,
                "{coding}: {}",
                coded.body.len()
            );
            let decoded = curl_with(
                &[&arguments[..], &["--compressed"]].concat(),
                body.as_bytes(),
            );
            assert_eq!(decoded.json()["body"], body, "{coding} {version}");
        }
        let plain = curl_with(&[version, "-d", "@-", &url], body.as_bytes());
        assert_eq!(plain.header("content-encoding"), "", "{version}");
        assert_eq!(plain.header("vary"), "accept-encoding", "{version}");
        assert_eq!(plain.header("content-length"), plain.body.len().to_string());
        let best = [
            "-H",
            "accept-encoding: gzip, br;q=0.1, zstd;q=0",
            "-d",
            "@-",
            version,
            &url,
        ];
        assert_eq!(
            curl_with(&best, body.as_bytes()).header("content-encoding"),
            "gzip"
        );
    }
}

#[test]
fn short_and_unsuitable_bodies_pass_as_they_are() {
    let (gateway, _origin) = forwarding(
        r#"
routes:
  - { name: short, match: { path: /short }, filters: [compress: {}, respond: short] }
  - { name: long, match: { path: /long }, filters: [compress: { min_size: 8 }, respond: "a reply that is long enough"] }
  - { name: refused, match: { path: /refused }, filters: [compress: {}, ip: { deny: 127.0.0.1 }], upstream: app }
  - { name: rest, filters: [compress: {}], upstream: app }
"#,
    );
    let gzip = ["--compressed", "-H", "accept-encoding: gzip"];
    for version in VERSIONS {
        let ask = |path: &str| gateway.ask(path, &[&gzip[..], &[version]].concat());
        let answer = ask("/short");
        assert_eq!(
            (answer.header("content-encoding"), &*answer.text()),
            ("", "short")
        );
        assert_eq!(answer.header("content-length"), "5");
        let answer = ask("/long");
        assert_eq!(answer.header("content-encoding"), "gzip");
        assert_eq!(answer.text(), "a reply that is long enough");
        let answer = ask("/refused");
        assert_eq!(
            (answer.status, answer.header("content-encoding")),
            (403, "")
        );
        assert_eq!(answer.json()["status"], 403);
        let answer = ask("/?bytes=100000");
        assert_eq!(answer.header("content-encoding"), "", "no text");
        assert_eq!(answer.body.len(), 100_000);
        let answer = ask("/?stream=5&header=cache-control:no-transform");
        assert_eq!(answer.header("content-encoding"), "");
        assert_eq!(ask("/status/204").header("content-encoding"), "");
    }
}

#[test]
fn a_stream_of_unknown_length_comes_through_whole() {
    let (gateway, _origin) = filtering("compress");
    let expected: String = (1..=2000).map(|n| format!("chunk {n}\n")).collect();
    for version in VERSIONS {
        for coding in ["gzip", "br", "zstd"] {
            let field = format!("accept-encoding: {coding}");
            let answer = gateway.ask("/?stream=2000", &[version, "--compressed", "-H", &field]);
            assert_eq!(answer.header("content-encoding"), coding, "{version}");
            assert!(
                answer.text() == expected,
                "{coding} {version}: {} bytes",
                answer.body.len()
            );
        }
    }
}

/// When each event of a stream came.
fn arrivals(gateway: &Gateway, version: &str, coding: &str) -> Vec<Instant> {
    let field = format!("accept-encoding: {coding}");
    let url = gateway.url("/?sse=4&every=300ms");
    let mut child = Command::new("curl")
        .args([
            "-sSN",
            "--max-time",
            "30",
            "--compressed",
            version,
            "-H",
            &field,
            &url,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let events = lines
        .map_while(Result::ok)
        .filter(|line| line.starts_with("data: "));
    let arrivals = events.map(|_| Instant::now()).collect();
    assert!(child.wait().unwrap().success());
    arrivals
}

#[test]
fn events_are_not_held_back() {
    let (gateway, _origin) = filtering("compress");
    for version in VERSIONS {
        for coding in ["gzip", "br", "zstd"] {
            let came = arrivals(&gateway, version, coding);
            assert_eq!(came.len(), 4, "{coding} {version}");
            // They are sent over 900 ms. Held back, they would come together.
            let apart = came[3] - came[0];
            assert!(
                apart > Duration::from_millis(500),
                "{coding} {version}: {apart:?}"
            );
        }
    }
}

/// A client of a response that is being compressed with br, and takes its time.
fn slowly_coded(gateway: &Gateway, path: &str) -> BufReader<TcpStream> {
    let slow = TcpStream::connect(gateway.address()).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET {path}?stream=3&every=1500ms HTTP/1.1\r\nhost: a\r\naccept-encoding: br\r\nconnection: close\r\n\r\n"
    );
    (&slow).write_all(request.as_bytes()).unwrap();
    let mut slow = BufReader::new(slow);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(slow.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let head = head.to_ascii_lowercase();
    assert!(head.contains("content-encoding: br"), "{head}");
    slow
}

#[test]
fn what_the_client_has_already_takes_no_memory() {
    let modified = "Mon, 01 Jan 2024 00:00:00 GMT";
    let compress = "compress: { codings: br, memory: 4MiB }";
    let (gateway, _origin) = forwarding(&format!(
        "routes:\n\
         - {{ name: all, filters: [{compress}, cache: {{}}], upstream: app }}\n\
         - {{ name: own, match: {{ path: /own }}, filters: [headers: {{ response: {{ set: {{ etag: '\"own\"' }} }} }}, {compress}, cache: {{}}], upstream: app }}\n"
    ));
    let fields = "header=cache-control:max-age=600&header=etag:%22a%22&header=last-modified:Mon,%2001%20Jan%202024%2000:00:00%20GMT";
    let ask = |path: &str, more: &[&str]| {
        let coded = ["-H", "accept-encoding: br"];
        let path = format!("{path}?stream=200&{fields}");
        gateway.ask(&path, &[&coded, more].concat())
    };
    for path in ["/", "/own"] {
        assert_eq!(ask(path, &[]).header("content-encoding"), "br", "{path}");
    }
    let degraded = "wiregate_filter_degraded_total{filter=\"compress\",route=\"all\"}";

    let mut slow = slowly_coded(&gateway, "/slow");
    let since = format!("if-modified-since: {modified}");
    for condition in [
        "if-none-match: W/\"a\"",
        "if-none-match: \"b\", \"a\"",
        &since,
    ] {
        for version in VERSIONS {
            let same = ask("/", &["-H", condition, version]);
            let found = (same.status, same.header("etag"));
            assert_eq!(found, (304, "W/\"a\""), "{condition} {version}");
        }
    }
    let head = ask("/", &["-I"]);
    let found = (head.header("content-encoding"), head.header("etag"));
    assert_eq!(found, ("br", "W/\"a\""));
    assert_eq!(gateway.metric(degraded), 0.0, "nothing was to be encoded");
    // Who has another one gets this one, as it is.
    let other = ask("/", &["-H", "if-none-match: \"b\""]);
    let found = (other.status, other.header("content-encoding"));
    assert_eq!(found, (200, ""));
    assert_eq!(gateway.metric(degraded), 1.0);

    slow.read_to_end(&mut Vec::new()).unwrap();
    let other = ["-H", "if-none-match: \"b\""];
    crate::harness::until("its memory is free again", || {
        ask("/", &other).header("content-encoding") == "br"
    });
    // A filter in front may say that the client has something else after all.
    let other = ask("/own", &["-H", "if-none-match: \"a\"", "--compressed"]);
    let found = (
        other.status,
        other.header("etag"),
        other.header("content-encoding"),
    );
    assert_eq!(found, (200, "\"own\"", "br"));
    assert!(other.text().starts_with("chunk 1\n"), "{}", other.text());
}

#[test]
fn what_there_is_no_memory_for_passes_as_it_is_and_is_counted() {
    // One response takes 3 MiB of it, as long as it is under way.
    let (gateway, _origin) = filtering("{ compress: { codings: br, memory: 4MiB } }");
    let ask = || gateway.ask("/?stream=200", &["-H", "accept-encoding: br"]);
    let mut slow = slowly_coded(&gateway, "/");
    let plain = ask();
    assert_eq!((plain.status, plain.header("content-encoding")), (200, ""));
    assert_eq!(plain.header("vary"), "accept-encoding");
    assert!(plain.text().starts_with("chunk 1\n"));
    let degraded = "wiregate_filter_degraded_total{filter=\"compress\",route=\"all\"}";
    assert_eq!(gateway.metric(degraded), 1.0);

    slow.read_to_end(&mut Vec::new()).unwrap();
    crate::harness::until("its memory is free again", || {
        ask().header("content-encoding") == "br"
    });
}
