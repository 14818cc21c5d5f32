//! A real origin: Debian's nginx, which keeps connections, frames bodies, validates, and reloads.

mod origin;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use super::harness::{Answer, Gateway, PATIENCE, curl, curl_with, until};
use origin::Nginx;

const VERSIONS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

/// A gateway with one worker, all of whose requests go to this nginx.
fn before(nginx: &Nginx, filters: &str) -> Gateway {
    Gateway::start(&format!(
        "workers: 1\nupstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n\
         routes: [{{ name: all, filters: [{filters}], upstream: app }}]\n",
        nginx.address()
    ))
}

/// Text that compresses, and of which each part is different.
fn text(lines: usize) -> String {
    (0..lines).fold(String::new(), |mut text, line| {
        writeln!(text, "line {line} of many").unwrap();
        text
    })
}

fn get(gateway: &Gateway, path: &str, arguments: &[&str]) -> Answer {
    curl(&[arguments, &[&gateway.url(path)]].concat())
}

#[test]
fn one_connection_to_nginx_serves_all_clients_after_each_other() {
    let nginx = Nginx::start("location / { return 200 \"$connection $connection_requests\"; }");
    let gateway = before(&nginx, "");
    let mut connections = HashSet::new();
    for request in 1..=20 {
        let version = VERSIONS[request % 2];
        let answer = get(&gateway, "/", &[version]).text();
        let (connection, requests) = answer.split_once(' ').unwrap();
        connections.insert(connection.to_owned());
        assert_eq!(requests, request.to_string());
    }
    assert_eq!(connections.len(), 1);
}

#[test]
fn a_connection_that_nginx_closes_after_so_many_requests_is_replaced() {
    let nginx = Nginx::start(
        "keepalive_requests 3; location / { return 200 \"$connection $connection_requests\"; }",
    );
    let gateway = before(&nginx, "");
    let mut connections = HashSet::new();
    for request in 0..9 {
        let answer = get(&gateway, "/", &[]);
        // That nginx closes its connection is no concern of the client's.
        assert_eq!(answer.header("connection"), "");
        let answer = answer.text();
        let (connection, requests) = answer.split_once(' ').unwrap();
        connections.insert(connection.to_owned());
        assert_eq!(requests, (request % 3 + 1).to_string());
    }
    assert_eq!(connections.len(), 3);
}

#[test]
fn responses_of_either_framing_arrive_whole() {
    // What includes others is sent in chunks.
    let nginx = Nginx::start("location ~ html$ { ssi on; }");
    nginx.put("part.txt", text(5000));
    nginx.put("empty.txt", "");
    nginx.put("whole.html", "<!--#include virtual=\"/part.txt\" -->end");
    let gateway = before(&nginx, "");
    for version in VERSIONS {
        let answer = get(&gateway, "/part.txt", &[version]);
        assert_eq!(
            answer.header("content-length"),
            text(5000).len().to_string()
        );
        assert_eq!(answer.text(), text(5000), "{version}");
        let answer = get(&gateway, "/whole.html", &[version]);
        let chunked = if version == VERSIONS[0] {
            "chunked"
        } else {
            ""
        };
        assert_eq!(answer.header("transfer-encoding"), chunked);
        assert_eq!(answer.header("content-length"), "");
        assert_eq!(answer.text(), text(5000) + "end", "{version}");
        let answer = get(&gateway, "/empty.txt", &[version]);
        assert_eq!((answer.header("content-length"), answer.status), ("0", 200));
        assert!(answer.body.is_empty());
    }
}

#[test]
fn requests_of_either_framing_arrive_whole() {
    let nginx = Nginx::start("location / { dav_methods PUT; client_max_body_size 0; }");
    let gateway = before(&nginx, "");
    let body = text(50_000);
    for (position, (version, framing)) in [
        (VERSIONS[0], "content-type: text/plain"),
        (VERSIONS[0], "transfer-encoding: chunked"),
        (VERSIONS[1], "content-type: text/plain"),
        // Over HTTP/2, curl then says no length.
        (VERSIONS[1], "content-length:"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("upload-{position}");
        let url = gateway.url(&format!("/{name}"));
        let arguments = [version, "-X", "PUT", "-H", framing, "--data-binary", "@-"];
        let answer = curl_with(&[&arguments[..], &[&url]].concat(), body.as_bytes());
        assert_eq!(answer.status, 201, "{version} {framing}: {}", answer.text());
        let arrived = std::fs::read(nginx.file(&name)).unwrap();
        assert_eq!(arrived.len(), body.len(), "{version} {framing}");
        assert!(arrived == body.as_bytes(), "{version} {framing}");
    }
}

#[test]
fn heads_and_not_modified_have_no_body_and_keep_the_connection() {
    let nginx = Nginx::start("etag on;");
    nginx.put("page.txt", "0123456789");
    let gateway = before(&nginx, "");
    for version in VERSIONS {
        let whole = get(&gateway, "/page.txt", &[version]);
        let (etag, modified) = (whole.header("etag"), whole.header("last-modified"));
        assert!(etag.starts_with('"'), "{etag}");
        let head = get(&gateway, "/page.txt", &[version, "--head"]);
        for field in ["etag", "last-modified", "content-length", "content-type"] {
            assert_eq!(head.header(field), whole.header(field), "{field}");
        }
        let same = format!("if-none-match: {etag}");
        let since = format!("if-modified-since: {modified}");
        for condition in [&same, &since] {
            let answer = get(&gateway, "/page.txt", &[version, "-H", condition]);
            assert_eq!((answer.status, &*answer.body), (304, &b""[..]));
            assert_eq!(answer.header("etag"), etag);
        }
        let other = ["-H", "if-none-match: \"other\"", version];
        assert_eq!(get(&gateway, "/page.txt", &other).text(), "0123456789");
        let failed = ["-H", "if-match: \"other\"", version];
        assert_eq!(get(&gateway, "/page.txt", &failed).status, 412);
    }
    let etag = get(&gateway, "/page.txt", &[]).header("etag").to_owned();
    let mut client = Client::new(&gateway);
    for _ in 0..3 {
        assert!(client.ask("HEAD", "").starts_with("HTTP/1.1 200 OK\r\n"));
        let head = client.ask("GET", &format!("if-none-match: {etag}\r\n"));
        assert!(head.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{head}");
    }
}

/// A client that expects no body, on one connection: what came of one would begin the next head.
struct Client(TcpStream);

impl Client {
    fn new(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn ask(&mut self, method: &str, fields: &str) -> String {
        let request = format!("{method} /page.txt HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        self.0.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }
}

#[test]
fn ranges_are_those_that_were_asked_for() {
    let nginx = Nginx::start("");
    let body = text(1000);
    nginx.put("page.txt", &body);
    let gateway = before(&nginx, "");
    for version in VERSIONS {
        for (range, from, to) in [
            ("0-99", 0, 100),
            ("500-", 500, body.len()),
            ("-7", body.len() - 7, body.len()),
        ] {
            let answer = get(&gateway, "/page.txt", &[version, "-r", range]);
            assert_eq!(answer.status, 206, "{range}");
            let place = format!("bytes {from}-{}/{}", to - 1, body.len());
            assert_eq!(answer.header("content-range"), place);
            assert_eq!(answer.text(), body[from..to], "{range}");
        }
        let several = get(&gateway, "/page.txt", &[version, "-r", "0-3,10-13"]);
        assert_eq!(several.status, 206);
        let kind = several.header("content-type");
        assert!(
            kind.starts_with("multipart/byteranges; boundary="),
            "{kind}"
        );
        let parts = several.text();
        assert!(parts.contains(&format!("\r\n\r\n{}\r\n", &body[..4])));
        assert!(parts.contains(&format!("\r\n\r\n{}\r\n", &body[10..14])));
        let beyond = get(&gateway, "/page.txt", &[version, "-r", "1000000-"]);
        assert_eq!(beyond.status, 416);
        let place = format!("bytes */{}", body.len());
        assert_eq!(beyond.header("content-range"), place);
        let outdated = ["-r", "0-3", "-H", "if-range: \"other\"", version];
        let answer = get(&gateway, "/page.txt", &outdated);
        assert_eq!((answer.status, answer.text()), (200, body.clone()));
    }
}

#[test]
fn what_nginx_has_compressed_passes_as_it_is() {
    let nginx = Nginx::start(
        "gzip on; gzip_proxied any; gzip_min_length 10; gzip_types text/plain; gzip_vary on;",
    );
    nginx.put("page.txt", text(5000));
    let gzip = ["-H", "accept-encoding: gzip"];
    // A gateway that would compress as well leaves alone what is compressed.
    for filters in ["", "compress: {}"] {
        let gateway = before(&nginx, filters);
        for version in VERSIONS {
            let arguments = [&[version, "--compressed"][..], &gzip].concat();
            let answer = get(&gateway, "/page.txt", &arguments);
            assert_eq!(answer.header("content-encoding"), "gzip");
            assert!(
                answer
                    .header("vary")
                    .eq_ignore_ascii_case("accept-encoding")
            );
            assert!(answer.header("etag").starts_with("W/"));
            assert_eq!(answer.text(), text(5000), "{version}");
            let raw = get(&gateway, "/page.txt", &[&[version][..], &gzip].concat());
            assert!(raw.body.starts_with(&[0x1F, 0x8B]));
            assert!(raw.body.len() < text(5000).len() / 2);
        }
        let plain = get(&gateway, "/page.txt", &["-H", "accept-encoding: identity"]);
        assert_eq!(plain.header("content-encoding"), "");
        assert_eq!(plain.text(), text(5000));
    }
}

#[test]
fn a_large_file_streams_through() {
    const SIZE: usize = 96 << 20;
    let nginx = Nginx::start("");
    // No two megabytes are alike.
    let content: Vec<u8> = (0_u32..).flat_map(u32::to_le_bytes).take(SIZE).collect();
    nginx.put("large", &content);
    let gateway = before(&nginx, "");
    assert_eq!(get(&gateway, "/large", &["-r", "0-9"]).status, 206);
    let before = gateway.status("VmHWM");
    for version in VERSIONS {
        let answer = get(&gateway, "/large", &[version]);
        assert_eq!((answer.status, answer.body.len()), (200, SIZE), "{version}");
        assert!(answer.body == content, "{version}");
    }
    let grown = gateway.status("VmHWM") - before;
    assert!(grown < 24 << 10, "{grown} kB more than before");
}

#[test]
fn what_says_how_long_to_keep_a_page_passes() {
    let nginx = Nginx::start(
        "location /hour { alias files/page.txt; expires 1h; }
         location /never { alias files/page.txt; expires -1; }
         location /ever { alias files/page.txt; expires max; }",
    );
    nginx.put("page.txt", "page");
    let gateway = before(&nginx, "");
    for version in VERSIONS {
        for (path, control) in [
            ("/hour", "max-age=3600"),
            ("/never", "no-cache"),
            ("/ever", "max-age=315360000"),
        ] {
            let answer = get(&gateway, path, &[version]);
            assert_eq!(answer.header("cache-control"), control, "{path}");
            assert!(answer.header("expires").ends_with(" GMT"), "{path}");
            assert_eq!(answer.text(), "page");
        }
    }
}

/// Asks over and over, on 16 connections and no faster than this on each, as long as `meanwhile`
/// takes; how many answers came. Panics where one of them was not a 200.
fn load(gateway: &Gateway, rate: &str, meanwhile: impl FnOnce()) -> u64 {
    let url = gateway.url("/");
    let (stop, mut answers) = (AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| {
            let mut answers = 0;
            while !stop.load(Ordering::Relaxed) {
                let arguments = ["--h1", "-n", "800", "-c", "16", "--rps", rate, &url];
                let output = Command::new("h2load").args(arguments).output().unwrap();
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let well = "800 succeeded, 0 failed, 0 errored, 0 timeout";
                assert!(said.contains(well), "{said}\n{}", gateway.log());
                assert!(said.contains("status codes: 800 2xx, "), "{said}");
                answers += 800;
            }
            answers
        });
        meanwhile();
        stop.store(true, Ordering::Relaxed);
        answers = loading.join().unwrap();
    });
    answers
}

#[test]
fn no_request_fails_while_nginx_reloads() {
    let nginx = Nginx::start("location / { return 200 \"$pid\"; }");
    let gateway = before(&nginx, "");
    let worker = || {
        let answer = get(&gateway, "/", &[]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    };
    let answers = load(&gateway, "200", || {
        for _ in 0..8 {
            let old = worker();
            nginx.reload();
            until("another worker of nginx answers", || worker() != old);
        }
    });
    assert!(answers >= 800);
    let metric = "wiregate_requests_total{code=\"200\",method=\"GET\",route=\"all\"}";
    assert!(gateway.metric(metric) > f64::from(u32::try_from(answers).unwrap()));
}

#[test]
fn no_request_fails_where_nginx_closes_idle_connections_all_the_time() {
    // Each connection is idle for about as long as nginx keeps it: many are closed as a request
    // leaves.
    let nginx = Nginx::start("keepalive_timeout 20ms; location / { return 200 \"$connection\"; }");
    let gateway = before(&nginx, "");
    let mut connections = HashSet::new();
    load(&gateway, "50", || {
        for _ in 0..40 {
            let answer = get(&gateway, "/", &[]);
            assert_eq!(answer.status, 200, "{}", answer.text());
            connections.insert(answer.text());
        }
    });
    assert!(connections.len() > 4, "{connections:?} were not closed");
    let lines = gateway.access_log(840);
    let mut again = lines.iter().filter(|line| line["attempts"] != 1);
    assert!(again.next().is_some(), "no connection was closed too late");
}

#[test]
fn answers_502_while_nginx_is_stopped_and_recovers() {
    let mut nginx = Nginx::start("location / { return 200 \"here\"; }");
    let gateway = before(&nginx, "");
    assert_eq!(get(&gateway, "/", &[]).text(), "here");
    nginx.stop();
    for version in VERSIONS {
        let answer = get(&gateway, "/", &[version]);
        assert_eq!(answer.status, 502);
        assert_eq!(answer.json()["type"], "urn:wiregate:connection_refused");
    }
    nginx.start_again();
    assert_eq!(get(&gateway, "/", &[]).text(), "here");
}
