//! One exchange after another: the gateway's own replies, protocols, panics, connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use wiregate::{
    Abort, Build, Chunk, Deserialize, Filter, Flow, Invalid, JsonSchema, Reply, Request, Response,
};

use super::embedded::Embedded;
use super::harness::{Gateway, curl, echo, raw, upstream};

/// Panics in the hook that its option names.
struct Panics(String);

#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct Where(String);

impl Filter for Panics {
    const NAME: &'static str = "panics";
    type Config = Where;
    type State = ();

    fn build(config: Where, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self(config.0))
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        assert_ne!(self.0, "request");
        if self.0 == "request_body" {
            req.stream_body();
        }
        Ok(())
    }

    fn upstream(&self, _: &mut wiregate::Attempt<'_>, (): &mut ()) {
        assert_ne!(self.0, "upstream");
    }

    fn response(&self, res: &mut Response<'_>, (): &mut ()) {
        assert_ne!(self.0, "response");
        if self.0 == "response_body" {
            res.rewrite_body();
        }
    }

    fn request_body(&self, _: &mut Chunk, (): &mut ()) -> Result<(), Reply> {
        panic!("request_body");
    }

    fn response_body(&self, _: &mut Chunk, (): &mut ()) -> Result<(), Abort> {
        panic!("response_body");
    }
}

#[test]
fn a_panic_ends_one_request_and_nothing_else() {
    let origin = echo();
    for hook in [
        "request",
        "upstream",
        "response",
        "request_body",
        "response_body",
    ] {
        let route =
            format!("routes: [{{ name: all, filters: [panics: {hook}], upstream: app }}]\n");
        let registry = wiregate::filters::all().add::<Panics>();
        let gateway = Embedded::start(registry, &(upstream(&origin) + &route));
        let url = gateway.url("/");
        for _ in 0..3 {
            let answer = curl(&["-d", "body", &url]);
            if hook == "response_body" {
                assert_eq!(answer.body, b"", "{hook}");
                continue;
            }
            assert_eq!(answer.status, 500, "{hook}");
            assert_eq!(
                answer.json()["type"],
                "urn:wiregate:filter_panicked",
                "{hook}"
            );
        }
        let metrics = gateway.admin("/metrics").text();
        let count = metrics
            .lines()
            .find_map(|line| line.strip_prefix("wiregate_panics_total "));
        // A hook of the response panics again when the reply to the first panic passes it, and one of its
        // body with the empty one that is left after that.
        let count: u32 = count.unwrap().parse().unwrap();
        let most = match hook {
            "response" => 6,
            "response_body" => 9,
            _ => 3,
        };
        assert!((3..=most).contains(&count), "{hook}: {count}");
        gateway.stop();
    }
}

#[test]
fn a_reply_to_a_panic_over_a_response_can_be_read_by_pages() {
    let origin = echo();
    let text = format!(
        "{}routes:\n  - name: all\n    filters: [panics: response, cors: {{ origins: \"https://app.test\" }}]\n    upstream: app\n",
        upstream(&origin)
    );
    let gateway = Embedded::start(wiregate::filters::all().add::<Panics>(), &text);
    let answer = curl(&["-H", "origin: https://app.test", &gateway.url("/")]);
    assert_eq!(answer.status, 500);
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, "https://app.test");
}

#[test]
fn two_gateways_run_in_one_process() {
    let origin = echo();
    let text = upstream(&origin) + "routes: [{ name: all, upstream: app }]\n";
    let [one, two] = [(); 2].map(|()| Embedded::start(wiregate::filters::all(), &text));
    for gateway in [&one, &two] {
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    }
    one.stop();
    assert_eq!(curl(&[&two.url("/")]).status, 200);
}

fn denying() -> Gateway {
    Gateway::start(
        "upstreams: { app: { endpoints: [\"127.0.0.1:9\"] } }\n\
         routes: [{ name: all, filters: [ip: { allow: 10.0.0.0/8 }], upstream: app }]\n",
    )
}

#[test]
fn its_own_replies_are_problems_with_the_requests_id() {
    let gateway = denying();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&[version, &gateway.url("/")]);
        assert_eq!(answer.status, 403, "{version}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("cache-control"), "no-store");
        let problem = answer.json();
        assert_eq!(problem["type"], "urn:wiregate:ip_denied");
        assert_eq!(problem["title"], "Forbidden");
        assert_eq!(problem["status"], 403);
        let id = answer.header("x-request-id");
        assert_eq!(id.len(), 36);
        assert_eq!(problem["instance"], format!("urn:request:{id}"));
    }
}

#[test]
fn its_own_replies_keep_the_connection() {
    let gateway = denying();
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    for body in ["", "a small body that nobody reads"] {
        let length = body.len();
        let request =
            format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}");
        for _ in 0..3 {
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = vec![0; 4096];
            let read = stream.read(&mut answer).unwrap();
            let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
            assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
            assert!(!answer.to_lowercase().contains("connection:"), "{answer}");
        }
    }
}

#[test]
fn head_gets_the_length_and_no_body() {
    let gateway = denying();
    let request = b"HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = raw(gateway.address(), request).to_lowercase();
    assert!(answer.starts_with("http/1.1 403"), "{answer}");
    assert!(!answer.contains("content-length: 0\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn idle_connections_are_closed_in_time() {
    let origin = echo();
    let gateway = Gateway::start(&format!(
        "limits: {{ idle: 1s }}\n{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    ));
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap(); // ends only when the gateway closes
    assert!(all.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn an_http_1_0_client_gets_an_answer_without_chunks() {
    let origin = echo();
    let gateway = Gateway::start(&format!(
        "{}routes: [{{ name: all, upstream: app }}]\n",
        upstream(&origin)
    ));
    let request = b"GET /?stream=3&every=1ms HTTP/1.0\r\nhost: a\r\n\r\n";
    let answer = raw(gateway.address(), request).to_lowercase();
    assert!(answer.contains(" 200 "), "{answer}");
    assert!(!answer.contains("transfer-encoding"), "{answer}");
}

#[test]
fn requests_that_cannot_be_told_apart_are_refused() {
    let gateway = denying();
    for request in [
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n",
    ] {
        let answer = raw(gateway.address(), request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400"), "{request}{answer}");
    }
}
