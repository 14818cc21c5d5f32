//! Responses whose head waits for the body, because a filter wants the whole of it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wiregate::{
    Abort, Build, Bytes, Chunk, Filter, Flow, HeaderName, HeaderValue, Invalid, Reply, Request,
    Response, StatusCode,
};

use super::{Nothing, Word};
use crate::embedded::Embedded;
use crate::harness::{curl, curl_with, echo, raw, until};
use crate::origin;

const CLIENTS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

/// Waits for the whole body, and puts it in brackets with its word; refuses or panics as that says.
struct Wrap(String);

const SEEN: HeaderName = HeaderName::from_static("x-seen");

impl Filter for Wrap {
    const NAME: &'static str = "wrap";
    type Config = Word;
    type State = ();

    fn build(word: Word, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self(word.0))
    }

    async fn request(&self, _: &mut Request<'_>, (): &mut ()) -> Flow {
        Ok(())
    }

    fn response(&self, res: &mut Response<'_>, (): &mut ()) {
        res.whole_body();
    }

    async fn response_whole(
        &self,
        res: &mut Response<'_>,
        body: Bytes,
        (): &mut (),
    ) -> Result<Bytes, Reply> {
        tokio::task::yield_now().await;
        match &*self.0 {
            "refuse" => return Err(Reply::problem(StatusCode::BAD_GATEWAY, "wrapped_up")),
            "panic" => panic!("as the word says"),
            _ => {}
        }
        let length = body.len().to_string();
        res.headers_mut()
            .add(&SEEN, HeaderValue::from_str(&length).unwrap());
        Ok([self.0.as_bytes(), b"(", &body, b")"].concat().into())
    }
}

/// Says each byte of a response twice, in passing, and how long it was told the body is.
struct Stutter;

impl Filter for Stutter {
    const NAME: &'static str = "stutter";
    type Config = Nothing;
    type State = ();

    fn build(_: Nothing, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self)
    }

    async fn request(&self, _: &mut Request<'_>, (): &mut ()) -> Flow {
        Ok(())
    }

    fn response(&self, res: &mut Response<'_>, (): &mut ()) {
        res.rewrite_body();
    }

    fn response_body(&self, chunk: &mut Chunk, (): &mut ()) -> Result<(), Abort> {
        chunk.data = chunk.data.iter().flat_map(|byte| [*byte, *byte]).collect();
        Ok(())
    }
}

/// Makes a body of this many bytes of the one that it waits for.
struct Swell(usize);

impl Filter for Swell {
    const NAME: &'static str = "swell";
    type Config = Word;
    type State = ();

    fn build(bytes: Word, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self(bytes.0.parse().expect("a number")))
    }

    async fn request(&self, _: &mut Request<'_>, (): &mut ()) -> Flow {
        Ok(())
    }

    fn response(&self, res: &mut Response<'_>, (): &mut ()) {
        res.whole_body();
    }

    async fn response_whole(
        &self,
        _: &mut Response<'_>,
        _: Bytes,
        (): &mut (),
    ) -> Result<Bytes, Reply> {
        Ok(vec![b'x'; self.0].into())
    }
}

fn before(endpoint: SocketAddr, filters: &str, rest: &str) -> Embedded {
    within(
        "{ buffered_body: 4KiB, body_memory: 8KiB }",
        endpoint,
        filters,
        rest,
    )
}

fn within(limits: &str, endpoint: SocketAddr, filters: &str, rest: &str) -> Embedded {
    let text = format!(
        "workers: 1\nlimits: {limits}\n\
         upstreams: {{ app: {{ endpoints: [\"{endpoint}\"]{rest} }} }}\n\
         routes: [{{ name: all, filters: [{filters}], upstream: app }}]\n"
    );
    let registry = wiregate::filters::all().add::<Wrap>().add::<Stutter>();
    Embedded::start(registry.add::<Swell>(), &text)
}

#[test]
fn each_link_gets_the_body_as_those_behind_it_leave_it() {
    let origin = echo();
    let gateway = before(
        origin.addresses()[0],
        "{ wrap: a }, { stutter: {} }, { wrap: b }, { stutter: {} }",
        "",
    );
    for client in CLIENTS {
        let answer = curl(&[client, &gateway.url("/?stream=1&every=1ms")]);
        assert_eq!(
            answer.text(),
            "a(bb((cccchhhhuuuunnnnkkkk    1111\n\n\n\n)))"
        );
        assert_eq!(
            answer.header("content-length"),
            answer.body.len().to_string()
        );
        assert_eq!(answer.header("transfer-encoding"), "");
        assert_eq!(answer.header("x-seen"), "16, 38");
    }
}

#[test]
fn a_refusal_takes_the_place_of_the_response() {
    let origin = echo();
    for (word, status, reason) in [
        ("refuse", 502, "wrapped_up"),
        ("panic", 500, "filter_panicked"),
    ] {
        let gateway = before(
            origin.addresses()[0],
            &format!("headers: {{ response: {{ set: {{ x-outer: yes }} }} }}, wrap: {word}"),
            "",
        );
        for client in CLIENTS {
            for _ in 0..2 {
                let answer = curl(&[client, &gateway.url("/?header=x-secret:1")]);
                assert_eq!(answer.status, status, "{word}");
                assert_eq!(answer.json()["type"], format!("urn:wiregate:{reason}"));
                assert_eq!(answer.header("x-outer"), "yes");
                assert_eq!(answer.header("x-secret"), "");
            }
        }
        until("the log tells", || gateway.access_log().contains(reason));
    }
}

#[test]
fn connections_go_on_on_both_sides() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let endpoint = origin::serve(move |_, mut stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        while origin::head(&mut stream).is_some() {
            let chunked =
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
            stream.write_all(chunked.as_bytes()).unwrap();
        }
    });
    for word in ["w", "refuse"] {
        connections.store(0, Ordering::Relaxed);
        let gateway = before(endpoint, &format!("wrap: {word}"), "");
        let address = gateway.address();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(crate::harness::PATIENCE))
            .unwrap();
        for _ in 0..3 {
            stream
                .write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nxyz")
                .unwrap();
            let mut came = Vec::new();
            let end = if word == "w" { "w(abc)" } else { "}\n" };
            while !String::from_utf8_lossy(&came).ends_with(end) {
                let mut piece = [0; 1024];
                let count = stream.read(&mut piece).unwrap();
                assert_ne!(count, 0, "{}", String::from_utf8_lossy(&came));
                came.extend_from_slice(&piece[..count]);
            }
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1, "{word}");
    }
}

#[test]
fn a_body_that_is_too_large_is_a_502_and_nothing_has_left() {
    let origin = echo();
    let gateway = before(origin.addresses()[0], "wrap: w", "");
    for client in CLIENTS {
        for path in ["/bytes/5000", "/?stream=600&every=0ms"] {
            let answer = curl(&[client, &gateway.url(path)]);
            assert_eq!(answer.status, 502, "{path}");
            // The reply is another body, which the link gets in its turn.
            let start = "w({\"type\":\"urn:wiregate:response_too_large\"";
            assert!(answer.text().starts_with(start), "{}", answer.text());
        }
        assert_eq!(
            curl(&[client, &gateway.url("/bytes/4096")]).body.len(),
            4099
        );
    }
}

#[test]
fn a_body_that_breaks_off_is_no_response() {
    let origin = echo();
    let gateway = before(origin.addresses()[0], "wrap: w", "");
    for client in CLIENTS {
        let answer = curl(&[client, &gateway.url("/?fail=midway")]);
        assert_eq!(answer.status, 502);
        assert!(answer.text().starts_with("w({\"type\":\"urn:wiregate:"));
    }
}

#[test]
fn what_has_no_body_is_not_waited_for() {
    let endpoint = origin::answers(|head| {
        let status = head.split(['/', ' ']).nth(2).unwrap_or("200");
        let length = if head.starts_with("HEAD") {
            "content-length: 3\r\n"
        } else {
            ""
        };
        format!("HTTP/1.1 {status} Said\r\n{length}etag: \"a\"\r\n\r\n")
    });
    let gateway = before(endpoint, "wrap: w", "");
    for client in CLIENTS {
        for status in ["204", "304"] {
            let answer = curl(&[client, &gateway.url(&format!("/{status}"))]);
            assert_eq!(
                (answer.status.to_string(), &*answer.text()),
                (status.to_owned(), "")
            );
            assert_eq!(answer.header("etag"), "\"a\"");
        }
        let answer = curl(&[client, "-I", &gateway.url("/200")]);
        assert_eq!((answer.status, answer.header("content-length")), (200, ""));
    }
}

#[test]
fn replies_of_the_gateway_go_the_same_way() {
    let origin = echo();
    let gateway = before(origin.addresses()[0], "wrap: w, respond: hello", "");
    for client in CLIENTS {
        let answer = curl(&[client, &gateway.url("/")]);
        assert_eq!(answer.text(), "w(hello)");
        assert_eq!(answer.header("content-length"), "8");
    }
    let gateway = before(origin.addresses()[0], "wrap: refuse, respond: hello", "");
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(
        (answer.status, answer.json()["type"].as_str()),
        (502, Some("urn:wiregate:wrapped_up"))
    );
    let gateway = before(
        origin.addresses()[0],
        "wrap: w, ip: { deny: 127.0.0.1 }",
        "",
    );
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(answer.status, 403);
    assert!(answer.text().starts_with("w({"), "{}", answer.text());
}

#[test]
fn what_was_hedged_or_replayed_waits_as_well() {
    let origin = echo();
    let hedged = before(origin.addresses()[0], "wrap: w", ", hedge: { after: 5s }");
    for client in CLIENTS {
        let answer = curl(&[client, &hedged.url("/bytes/10")]);
        assert_eq!((answer.status, answer.body.len()), (200, 13));
        let answer = curl(&[client, &hedged.url("/bytes/5000")]);
        assert_eq!(answer.status, 502);
    }
    let replayed = before(
        origin.addresses()[0],
        "wrap: w, json: { request: { set: { a: 1 } } }",
        "",
    );
    for client in CLIENTS {
        let json = ["-H", "content-type: application/json", "-d", "@-"];
        let answer = curl_with(&[&[client, &*replayed.url("/")][..], &json].concat(), b"{}");
        assert!(
            answer.text().contains(r#""body":"{\"a\":1}""#),
            "{}",
            answer.text()
        );
        assert!(answer.text().starts_with("w({"));
    }
}

#[test]
fn an_old_client_gets_a_length() {
    let origin = echo();
    let gateway = before(origin.addresses()[0], "wrap: w", "");
    let address = gateway.address();
    let answer = raw(
        address,
        b"GET /?stream=1&every=1ms HTTP/1.0\r\nhost: a\r\n\r\n",
    )
    .to_ascii_lowercase();
    assert!(answer.contains("content-length: 11"), "{answer}");
    assert!(!answer.contains("transfer-encoding"), "{answer}");
    assert!(answer.ends_with("w(chunk 1\n)"), "{answer}");
}

#[test]
fn what_is_made_of_a_body_takes_memory_as_well() {
    let origin = echo();
    for rest in ["", ", respond: hello"] {
        let small = format!("swell: '6000'{rest}");
        let small = before(origin.addresses()[0], &small, "");
        let large = format!("stutter: {{}}, swell: '8300'{rest}");
        let large = before(origin.addresses()[0], &large, "");
        for client in CLIENTS {
            for _ in 0..3 {
                let answer = curl(&[client, &small.url("/bytes/10")]);
                assert_eq!((answer.status, answer.body.len()), (200, 6000), "{rest}");
            }
            let answer = curl(&[client, &large.url("/bytes/10")]);
            assert_eq!(answer.status, 503, "{rest}");
            let said = answer.text();
            assert!(
                said.contains("bbooddyy__mmeemmoorryy__eexxhhaauusstteedd"),
                "{said}"
            );
        }
    }
}

#[test]
fn memory_for_a_response_is_taken_until_the_client_has_it() {
    const LENGTH: usize = 16 << 20;
    const TAKEN: &str = "\nwiregate_body_memory_bytes 167772"; // what came is in no account
    let origin = echo();
    for rest in ["", ", respond: hello"] {
        let filters = format!("swell: '{LENGTH}'{rest}");
        let limits = "{ buffered_body: 4KiB, body_memory: 24MiB }";
        let gateway = within(limits, origin.addresses()[0], &filters, "");
        let mut slow = std::net::TcpStream::connect(gateway.address()).unwrap();
        slow.set_read_timeout(Some(crate::harness::PATIENCE))
            .unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .unwrap();
        until("the memory is taken", || {
            gateway.admin("/metrics").text().contains(TAKEN)
        });
        assert_eq!(curl(&[&gateway.url("/")]).status, 503, "{rest}");
        let mut came = Vec::new();
        slow.read_to_end(&mut came).unwrap();
        assert!(came.len() > LENGTH, "{rest}");
        until("the memory is free", || {
            gateway
                .admin("/metrics")
                .text()
                .contains("wiregate_body_memory_bytes 0\n")
        });
        assert_eq!(curl(&[&gateway.url("/")]).status, 200, "{rest}");
    }
}
