//! Filters that read, rewrite, replace and limit one body, in every order.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use futures_util::FutureExt;
use wiregate::{
    Build, Bytes, Chunk, Filter, Flow, HeaderName, HeaderValue, Invalid, Reply, Request,
};

use super::{CLIENTS, Nothing, Word};
use crate::embedded::Embedded;
use crate::harness::{Answer, Echo, curl_with, echo, until, upstream};

/// Says each byte twice, in passing.
struct Stutter;

impl Filter for Stutter {
    const NAME: &'static str = "stutter";
    type Config = Nothing;
    type State = ();

    fn build(_: Nothing, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self)
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        req.stream_body();
        Ok(())
    }

    fn request_body(&self, chunk: &mut Chunk, (): &mut ()) -> Result<(), Reply> {
        assert!(!chunk.data.starts_with(b"panic"), "as the body says");
        chunk.data = chunk.data.iter().flat_map(|byte| [*byte, *byte]).collect();
        Ok(())
    }
}

/// Reads the whole body, and tells in a field of that name what it was.
struct Saw(HeaderName);

impl Filter for Saw {
    const NAME: &'static str = "saw";
    type Config = Word;
    type State = ();

    fn build(name: Word, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self(name.0.parse().unwrap()))
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        let body = req.body().await?;
        let told = HeaderValue::from_bytes(&body[..body.len().min(20)]).unwrap();
        req.headers_mut().set(&self.0, told);
        assert_eq!(req.body().await?, body, "read once more, it is the same");
        Ok(())
    }
}

/// Puts another body in the place of the client's, which it does not look at.
struct Put(Bytes);

impl Filter for Put {
    const NAME: &'static str = "put";
    type Config = Word;
    type State = ();

    fn build(body: Word, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self(body.0.into()))
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        req.set_body(self.0.clone());
        assert_eq!(req.body().await?, self.0);
        Ok(())
    }
}

/// Reads the body, and does not care whether it gets it; or gives up at once.
struct Careless(bool);

impl Filter for Careless {
    const NAME: &'static str = "careless";
    type Config = Word;
    type State = ();

    fn build(how: Word, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self(how.0 == "gives_up"))
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        match self.0 {
            true => drop(req.body().now_or_never()),
            false => drop(req.body().await),
        }
        let _ = req.body().await;
        Ok(())
    }
}

/// A gateway, and the origin behind it.
struct Started {
    gateway: Embedded,
    _origin: Echo,
}

fn start(filters: &str, limits: &str) -> Started {
    let origin = echo();
    let text = format!(
        "limits: {limits}\n{}routes: [{{ name: all, filters: [{filters}], upstream: app }}]\n",
        upstream(&origin),
    );
    let registry = wiregate::filters::all()
        .add::<Stutter>()
        .add::<Saw>()
        .add::<Put>()
        .add::<Careless>();
    Started {
        gateway: Embedded::start(registry, &text),
        _origin: origin,
    }
}

impl Started {
    fn post(&self, client: &[&str], body: &[u8]) -> Answer {
        let url = self.gateway.url("/");
        let all = [client, &["--data-binary", "@-", &url]].concat();
        curl_with(&all, body)
    }

    /// What comes back while the client is not at the end of its body.
    fn post_without_end(&self, pieces: usize) -> String {
        let mut stream = TcpStream::connect(self.gateway.address()).unwrap();
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap();
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        for _ in 0..pieces {
            let piece = format!("400\r\n{}\r\n", "x".repeat(0x400));
            stream.write_all(piece.as_bytes()).unwrap();
        }
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains("instance") {
            let mut some = [0; 4096];
            let count = stream.read(&mut some).unwrap();
            assert_ne!(count, 0, "{}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&some[..count]);
        }
        String::from_utf8(read).unwrap()
    }

    /// Who refused the only request, as the access log has it.
    fn refused_by(&self) -> String {
        let mut line = serde_json::Value::Null;
        until("the request is logged", || {
            line = serde_json::from_str(&self.gateway.access_log()).unwrap_or_default();
            !line.is_null()
        });
        line["refused_by"].as_str().unwrap_or("nobody").to_owned()
    }
}

#[test]
fn each_filter_sees_what_those_before_it_make_of_the_body() {
    for (filters, first, second, sent) in [
        ("saw: x-one, saw: x-two", "abc", "abc", "abc"),
        ("stutter: {}, saw: x-one", "aabbcc", "", "aabbcc"),
        ("saw: x-one, stutter: {}", "abc", "", "aabbcc"),
        (
            "saw: x-one, stutter: {}, saw: x-two",
            "abc",
            "aabbcc",
            "aabbcc",
        ),
        (
            "stutter: {}, saw: x-one, stutter: {}, saw: x-two",
            "aabbcc",
            "aaaabbbbcccc",
            "aaaabbbbcccc",
        ),
        ("stutter: { mode: observe }, saw: x-one", "abc", "", "abc"),
        ("saw: x-one, stutter: { mode: observe }", "abc", "", "abc"),
        (
            "stutter: {}, stutter: { mode: observe }, saw: x-one",
            "aabbcc",
            "",
            "aabbcc",
        ),
        ("put: de, stutter: {}, saw: x-two", "", "ddee", "ddee"),
        ("stutter: {}, put: de, saw: x-two", "", "de", "de"),
        ("saw: x-one, stutter: {}, put: de", "abc", "", "de"),
    ] {
        let gateway = start(filters, "{}");
        for client in CLIENTS {
            let answer = gateway.post(client, b"abc");
            assert_eq!(answer.status, 200, "{filters} {}", answer.text());
            let saw = answer.json();
            let field = |name: &str| saw["headers"][name].as_str().unwrap_or("").to_owned();
            assert_eq!(
                (&*field("x-one"), &*field("x-two"), saw["body"].as_str()),
                (first, second, Some(sent)),
                "{filters} {client:?}"
            );
            assert_eq!(field("content-length"), sent.len().to_string(), "{filters}");
        }
    }
}

#[test]
fn a_limit_holds_for_a_body_that_a_filter_behind_it_reads_or_replaces() {
    for filters in [
        "body_limit: 1KiB, saw: x-one",
        "body_limit: 1KiB, put: tiny",
        "body_limit: 1KiB, careless: does_not_mind",
        "stutter: {}, body_limit: 3KiB, saw: x-one",
        "saw: x-one, body_limit: 1KiB, put: tiny",
        "saw: x-one, body_limit: 1KiB",
        "stutter: {}, body_limit: 3KiB",
    ] {
        // Where a filter before the limit reads the whole body, the limit waits for its end.
        let gateway = start(filters, "{}");
        let answer = match filters.starts_with("saw") {
            true => gateway.post(CLIENTS[2], &[b'x'; 2048]).text(),
            false => gateway.post_without_end(2),
        };
        assert!(
            answer.contains("urn:wiregate:body_too_large"),
            "{filters}: {answer}"
        );
        assert_eq!(gateway.refused_by(), "body_limit", "{filters}");
    }
}

#[test]
fn a_limit_counts_the_body_that_reaches_it() {
    for (filters, length, status) in [
        ("body_limit: 1KiB, stutter: {}", 1024, 200),
        ("body_limit: 1KiB, stutter: {}, saw: x-one", 1024, 200),
        ("body_limit: 4B, put: much more than that", 4, 200),
        ("body_limit: 4B, put: tiny", 5, 413),
        ("put: much more than that, body_limit: 4B", 4, 413),
        ("put: tiny, body_limit: 4B", 5, 200),
        ("saw: x-one, stutter: {}, body_limit: 1KiB", 513, 413),
        ("saw: x-one, stutter: {}, body_limit: 1KiB", 512, 200),
    ] {
        let gateway = start(filters, "{}");
        for client in [CLIENTS[0], CLIENTS[2]] {
            let answer = gateway.post(client, &vec![b'x'; length]);
            assert_eq!(answer.status, status, "{filters} {client:?}");
        }
    }
}

#[test]
fn what_filters_make_of_a_body_is_bounded() {
    for (filters, limits, length, reason) in [
        (
            "stutter: {}, saw: x-one",
            "{ buffered_body: 1KiB }",
            513,
            "body_too_large",
        ),
        (
            "stutter: {}, saw: x-one",
            "{ buffered_body: 100KiB, body_memory: 100KiB }",
            60_000,
            "body_too_large",
        ),
        (
            "saw: x-one, stutter: {}, saw: x-two",
            "{ buffered_body: 100KiB, body_memory: 100KiB }",
            60_000,
            "body_memory_exhausted",
        ),
        (
            "put: tiny",
            "{ buffered_body: 1B, body_memory: 1B }",
            0,
            "body_memory_exhausted",
        ),
    ] {
        let gateway = start(filters, limits);
        let answer = gateway.post(CLIENTS[2], &vec![b'x'; length]);
        let reason = format!("urn:wiregate:{reason}");
        assert_eq!(answer.json()["type"], reason, "{filters} {limits}");
    }
}

#[test]
fn a_body_that_a_filter_began_to_read_and_gave_up_is_not_sent_on() {
    let gateway = start("careless: gives_up", "{}");
    let answer = gateway.post_without_end(0);
    assert!(answer.contains("urn:wiregate:body_given_up"), "{answer}");
    assert_eq!(gateway.refused_by(), "careless");
}

#[test]
fn a_panic_while_a_filter_behind_reads_the_body_ends_one_request() {
    for filters in [
        "stutter: {}, saw: x-one",
        "stutter: {}, careless: does_not_mind",
    ] {
        let gateway = start(filters, "{}");
        let answer = gateway.post(CLIENTS[0], b"panic");
        assert_eq!(answer.status, 500, "{filters}");
        assert_eq!(answer.json()["type"], "urn:wiregate:filter_panicked");
        assert_eq!(gateway.refused_by(), "stutter", "{filters}");
        assert_eq!(gateway.post(CLIENTS[0], b"calm").status, 200, "{filters}");
    }
}
