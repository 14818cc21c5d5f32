//! What is fresh is given before there is an exchange, as an exchange would give it.

mod alike;
mod around;
mod as_stored;

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use super::super::harness::until;
use super::*;

/// What a client got.
#[derive(Clone, Debug)]
struct Got {
    line: String,
    /// Names in lower case, in the order in which they came.
    fields: Vec<(String, String)>,
    body: String,
}

impl Got {
    /// Sends a request, and reads one response.
    fn ask(stream: &mut TcpStream, request: &str) -> Self {
        stream.write_all(request.as_bytes()).unwrap();
        let (mut bytes, mut byte) = (Vec::new(), [0]);
        while !bytes.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
        }
        let head = String::from_utf8(bytes).unwrap();
        let (line, rest) = head.split_once("\r\n").unwrap();
        let fields = rest.lines().filter_map(|field| field.split_once(": "));
        let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        let mut got = Self {
            line: line.to_owned(),
            fields: fields.collect(),
            body: String::new(),
        };
        let bodiless = request.starts_with("HEAD") || line.contains(" 304 ");
        let length = got.field("content-length").unwrap_or("0").parse().unwrap();
        let mut body = vec![0; if bodiless { 0 } else { length }];
        stream.read_exact(&mut body).unwrap();
        got.body = String::from_utf8(body).unwrap();
        got
    }

    fn at(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|(own, _)| own == name)
    }

    fn field(&self, name: &str) -> Option<&str> {
        Some(&self.fields[self.at(name)?].1)
    }

    fn is_hit(&self) -> bool {
        let told = self.field("cache-status").unwrap_or_default();
        told.contains("; hit")
    }

    /// Whether it was given at once: the length stands where it does in no exchange.
    fn was_at_once(&self) -> bool {
        self.at("age")
            .is_some_and(|age| self.at("content-length") == Some(age + 1))
    }

    /// What is the same whoever asks.
    fn same(&self) -> Self {
        let mut same = self.clone();
        if let Some(id) = self.field("x-request-id") {
            same.body = same.body.replace(id, "");
        }
        same.fields
            .retain(|(name, _)| name != "x-request-id" && name != "date");
        for (name, value) in &mut same.fields {
            if name == "age" || name == "cache-status" {
                value.retain(|byte| !byte.is_ascii_digit()); // it goes on meanwhile
            }
        }
        same.fields.sort();
        same
    }
}

impl PartialEq for Got {
    fn eq(&self, other: &Self) -> bool {
        (&self.line, &self.fields, &self.body) == (&other.line, &other.fields, &other.body)
    }
}

fn connect(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.address()).unwrap();
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    stream
}

/// Two routes to one origin: on one of them there is another filter in front of the cache, which lets everybody pass.
fn both_ways(origin: &Origin, options: &str) -> String {
    format!(
        "upstreams: {{ app: {{ endpoints: [\"{}\"], retry: {{ attempts: 1 }} }} }}\n\
         routes:\n\
         - {{ name: short, match: {{ host: s.example }}, filters: [cache: {options}], upstream: app }}\n\
         - {{ name: long, match: {{ host: l.example }}, upstream: app, \
              filters: [ip: {{ allow: 127.0.0.0/8 }}, cache: {options}] }}\n",
        origin.address
    )
}

/// Asks for the same both ways. `{s}` is the host's first letter.
fn ask_both(gateway: &Gateway, request: &str) -> (Got, Got) {
    let [short, long] = ["s", "l"].map(|host| {
        let request = request.replace("{s}", host);
        Got::ask(&mut connect(gateway), &request)
    });
    (short, long)
}

/// A GET with these lines behind its host, for what is stored.
fn with(lines: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: {{s}}.example\r\n{lines}\r\n")
}

#[test]
fn whatever_a_request_has_it_gets_what_an_exchange_would_give() {
    let origin = Origin::start();
    let fields = "cache-control: max-age=600, stale-while-revalidate=60 | etag: \"e\" | x-own: 1 | age: 3 \
                  | x-request-id: theirs | date: Sun, 06 Nov 2050 08:49:37 GMT | set-cookie2: a \
                  | last-modified: Sun, 06 Nov 1994 08:49:37 GMT | cache-status: other; hit | server: o";
    origin.answers_with("/a", 200, fields, "the answer");
    origin.answers_with("/a?", 200, fields, "another");
    origin.answers_with("/%61", 200, fields, "another");
    origin.answers_with("/gone", 404, "cache-control: max-age=60", "gone");
    origin.answers_with("/empty", 204, "cache-control: max-age=60", "");
    let gateway = Gateway::start(&both_ways(&origin, "{}"));
    for path in ["/a", "/gone", "/empty"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {{s}}.example\r\n\r\n");
        ask_both(&gateway, &request);
    }
    let long_via = format!("Via: {}\r\n", ["1.1 wiregate"; 9].join(", "));
    for (request, at_once) in [
        (with(""), true),
        (
            with("User-Agent: a\r\nAccept: */*\r\nCookie: a=1\r\nAuthorization: Basic YTpi\r\n"),
            true,
        ),
        (
            with("Accept-Encoding: gzip, br\r\nReferer: http://a/\r\nX-Own: 1\r\nDNT: 1\r\n"),
            true,
        ),
        (with("Connection: keep-alive\r\n"), true),
        // The origin has seen another spelling.
        (with("").replace(".example", ".EXAMPLE.:80"), false),
        (with("").replace(".example", ".EXAMPLE.:80"), true),
        (with("").replace("/a", "http://{s}.example/a"), true),
        (with("").replace("/a", "/gone"), true),
        (with("").replace("/a", "/empty"), false),
        (with("").replace("/a", "/%61"), false),
        (with("").replace("/a", "/b/../a"), false),
        (with("").replace("/a", "/a?"), false),
        (with("").replace("GET", "HEAD"), false),
        (with("").replace("GET", "get"), false),
        (with("").replace("1.1", "1.0"), false),
        (with("Connection: close\r\n"), false),
        (with("Connection: keep-alive, x-own\r\nX-Own: 1\r\n"), false),
        (with("Connection: host\r\n"), false),
        (with("Content-Length: 0\r\n"), false),
        (with("Cache-Control: max-age=1000\r\n"), false),
        (with("Range: bytes=1-2\r\n"), false),
        (with("RANGE: bytes=100-\r\n"), false),
        (with("If-None-Match: \"e\"\r\n"), false),
        (with("If-None-Match: \"f\"\r\n"), false),
        (
            with("If-Modified-Since: Sun, 06 Nov 2050 08:49:37 GMT\r\n"),
            false,
        ),
        (with("If-Range: \"e\"\r\nRange: bytes=0-1\r\n"), false),
        (with("Expect: 100-continue\r\n"), false),
        (with("Expect: else\r\n"), false),
        (with("TE: trailers\r\n"), false),
        (with("Upgrade: h2c\r\nConnection: upgrade\r\n"), false),
        (with("grpc-timeout: never\r\n"), false),
        (with("Via: 1.1 a\r\n"), false),
        (with(&long_via), false),
        (with("Max-Forwards: 0\r\n"), false),
        (with("X-Forwarded-Host: evil.example\r\n"), false),
        (with("Forwarded: for=1.2.3.4\r\n"), false),
        (with("X-Real-IP: 1.2.3.4\r\n"), false),
        (with("a_b: 1\r\n"), false),
        (
            with("").replace("Host: {s}.example", "Host: nobody.example"),
            false,
        ),
        (with("").replace("{s}.example", "{s}.example, a"), false),
        (with("Host: {s}.example\r\n"), false),
    ] {
        let (short, long) = ask_both(&gateway, &request);
        assert_eq!(short.same(), long.same(), "{request}");
        assert!(!long.was_at_once(), "{request} {long:?}");
        assert_eq!(short.was_at_once(), at_once, "{request} {short:?}");
        let status = short.field("x-request-id").map(str::len);
        assert!(status == Some(36), "{request} {short:?}");
    }
    // Over one connection, one way after the other, and two that come together.
    let mut stream = connect(&gateway);
    let plain = with("").replace("{s}", "s");
    let special = with("If-None-Match: \"e\"\r\n").replace("{s}", "s");
    for (request, at_once) in [(&plain, true), (&special, false), (&plain, true)] {
        assert_eq!(Got::ask(&mut stream, request).was_at_once(), at_once);
    }
    let first = Got::ask(&mut stream, &format!("{plain}{plain}"));
    let second = Got::ask(&mut stream, "");
    assert_eq!(first.same(), second.same());
    assert!(first.was_at_once() && second.was_at_once());
    assert_ne!(first.field("x-request-id"), second.field("x-request-id"));
}

#[test]
fn what_depends_on_the_request_is_looked_at_as_in_an_exchange() {
    let origin = Origin::start();
    // Not longer for a number of two digits than for one of one.
    let says = |target: &str, vary: &str| {
        let fields = format!("cache-control: max-age=600 | vary: {vary}");
        origin.answers_with(target, 200, &fields, "{n}-{n}");
    };
    says("/a", "accept-language, accept-encoding, cookie");
    says("/b", "accept-encoding");
    let gateway = Gateway::start(&both_ways(&origin, "{}"));
    let ask = |request: &str| ask_both(&gateway, request);
    let of_b = |lines: &str| with(lines).replace("/a", "/b");
    let variants = [
        (with(""), true),
        (with("Accept-Language: de\r\n"), true),
        (with("accept-language: en\r\n"), true),
        // A secret is kept as a digest, which takes a closer look.
        (with("Cookie: a=1\r\n"), false),
        // Behind it there is one that another form of it could be for.
        (of_b("Accept-Encoding: gzip, br\r\n"), false),
        (of_b("Accept-Encoding: gzip\r\n"), true),
    ];
    let first = variants.each_ref().map(|(request, _)| ask(request));
    let before = origin.count();
    assert_eq!(before, 2 * variants.len());
    for ((request, at_once), (first_short, first_long)) in variants.iter().zip(&first) {
        let (short, long) = ask(request);
        assert!(short.is_hit() && long.is_hit(), "{request} {short:?}");
        assert_eq!(short.was_at_once(), *at_once, "{request} {short:?}");
        assert_eq!(
            (&short.body, &long.body),
            (&first_short.body, &first_long.body)
        );
    }
    let (other, _) = ask(&of_b("Accept-Encoding: br, gzip\r\n"));
    assert_eq!(other.body, first[4].0.body);
    assert_eq!(origin.count(), before);
    for lines in [
        "Accept-Language: fr\r\n",
        "Accept-Language: de\r\nAccept-Language: de\r\n",
        "Accept-Language: DE\r\n",
        "Cookie: a=2\r\n",
        "Accept-Encoding: gzip\r\n",
    ] {
        let before = origin.count();
        ask(&with(lines));
        assert_eq!(origin.count(), before + 2, "{lines}");
    }
}

#[test]
fn what_is_not_fresh_or_was_purged_is_not_given() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=600");
    origin.says(
        "/stale",
        "cache-control: max-age=5, stale-while-revalidate=600 | age: 100",
    );
    origin.says("/checked", "cache-control: no-cache | etag: \"a\"");
    let gateway = Gateway::start(&both_ways(&origin, "{}"));
    let ask = |path: &str| {
        let request = with("").replace("/a", path).replace("{s}", "s");
        Got::ask(&mut connect(&gateway), &request)
    };
    for path in ["/stale", "/checked"] {
        ask(path);
        assert!(!ask(path).was_at_once(), "{path}");
    }
    for mode in ["", "&soft"] {
        ask("/a");
        assert!(ask("/a").was_at_once());
        let purge = format!("/caches/purge?url=http://s.example/a{mode}");
        assert_eq!(gateway.admin("POST", &purge).status, 200);
        assert!(!ask("/a").is_hit(), "{mode}");
    }
}

#[test]
fn it_is_counted_and_logged_like_an_exchange() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=600");
    let gateway = Gateway::start(&both_ways(&origin, "{}"));
    for _ in 0..3 {
        ask_both(
            &gateway,
            &with("User-Agent: me\r\n").replace("/a", "/a?x=1"),
        );
        ask_both(&gateway, &with("User-Agent: me\r\n"));
    }
    let lines = gateway.access_log(12);
    let of = |route: &str| {
        let own = lines.iter().filter(|line| line["route"] == route);
        let own = own.map(|line| {
            let mut line = line.as_object().unwrap().clone();
            for (name, plausible) in [
                (
                    "time",
                    line["time"].as_str().is_some_and(|time| time.len() == 24),
                ),
                (
                    "request_id",
                    line["request_id"].as_str().is_some_and(|id| id.len() == 36),
                ),
                (
                    "duration_ms",
                    line["duration_ms"].as_f64().is_some_and(|took| took > 0.0),
                ),
            ] {
                assert!(plausible, "{name}: {line:?}");
                line.remove(name);
            }
            for name in ["upstream_ms", "route", "host"] {
                line.remove(name);
            }
            serde_json::Value::from(line).to_string()
        });
        // Each worker writes its own.
        let mut all: Vec<_> = own.collect();
        all.sort();
        all
    };
    assert_eq!(of("short"), of("long"));
    let is_hit = |line: &&String| line.contains("\"hit\"") && line.contains("\"bytes_out\":8");
    assert_eq!(of("short").iter().filter(is_hit).count(), 2);
    for series in [
        "wiregate_requests_total{code=\"200\",method=\"GET\",route=\"ROUTE\"}",
        "wiregate_cache_requests_total{result=\"hit\",route=\"ROUTE\"}",
        "wiregate_response_body_bytes_total{route=\"ROUTE\"}",
        "wiregate_request_duration_seconds_count{route=\"ROUTE\"}",
        "wiregate_requests_in_flight{route=\"ROUTE\"}",
        "wiregate_filter_runs_total{filter=\"cache\",route=\"ROUTE\"}",
    ] {
        let [short, long] =
            ["short", "long"].map(|route| gateway.metric(&series.replace("ROUTE", route)));
        assert!(
            short == long && (short > 0.0) != series.contains("in_flight"),
            "{series}"
        );
    }
}
