//! Bodies in memory: whole, rewritten, up to ten mebibytes, over every pair of protocols.

use std::process::Command;

use wiregate::{Build, Bytes, Deserialize, Filter, Flow, Invalid, JsonSchema, Request};

use super::embedded::Embedded;
use super::harness::{Answer, curl, curl_with, echo, until};
use super::protocols::peers::speaking;

mod observed;
mod order;
mod whole;

/// Reads the whole body; as told, sends it on as it is, in capitals, or with a tail.
struct Shout(Options);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    upper: bool,
    #[serde(default)]
    tail: String,
}

impl Filter for Shout {
    const NAME: &'static str = "shout";
    type Config = Options;
    type State = ();

    fn build(options: Options, _: &mut Build<'_>) -> Result<Self, Invalid> {
        Ok(Self(options))
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        let body = req.body().await?;
        if self.0.upper || !self.0.tail.is_empty() {
            let mut body = body.to_vec();
            if self.0.upper {
                body.make_ascii_uppercase();
            }
            body.extend_from_slice(self.0.tail.as_bytes());
            req.set_body(Bytes::from(body));
        }
        Ok(())
    }
}

/// For a filter without options.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// For a filter of which a word is said.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct Word(String);

/// Sends this body as text.
fn post(arguments: &[&str], body: &[u8]) -> Answer {
    let mut all = vec!["--data-binary", "@-", "-H", "content-type: text/plain"];
    all.extend(arguments);
    curl_with(&all, body)
}

fn start(upstream: &str, filter: &str, limits: &str) -> Embedded {
    let text = format!(
        "limits: {limits}\nupstreams: {{ app: {upstream} }}\n\
         routes: [{{ name: all, filters: [{filter}], upstream: app }}]\n"
    );
    Embedded::start(wiregate::filters::all().add::<Shout>(), &text)
}

fn ten_mebibytes() -> Vec<u8> {
    let line = b"all work and no play makes jack a dull boy\n";
    line.iter().copied().cycle().take(10 << 20).collect()
}

fn sha256(bytes: &[u8]) -> String {
    use std::io::Write;
    let mut child = Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

/// What nghttp sees of the answer to this body.
fn nghttp(url: &str, body: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), body).unwrap();
    let output = Command::new("nghttp")
        .args(["-v", "-d", file.path().to_str().unwrap(), url])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const CLIENTS: [&[&str]; 4] = [
    &["--http1.1", "-H", "expect:"],
    &["--http1.1", "-H", "expect: 100-continue"],
    &[
        "--http1.1",
        "-H",
        "transfer-encoding: chunked",
        "-H",
        "expect:",
    ],
    &["--http2-prior-knowledge"],
];

#[test]
fn passes_ten_mebibytes_on_unchanged_and_rewritten_over_every_pair_of_protocols() {
    let origin = echo();
    let body = ten_mebibytes();
    let mut shouted = body.to_ascii_uppercase();
    shouted.extend_from_slice(b"THE END");
    for protocol in ["http1", "h2c"] {
        let upstreams = speaking(&origin, protocol);
        let plain = start(&upstreams, "shout", "{}");
        let loud = start(&upstreams, "shout: { upper: true, tail: THE END }", "{}");
        for client in CLIENTS {
            for (gateway, expected) in [(&plain, &body), (&loud, &shouted)] {
                let url = gateway.url("/upload");
                let answer = post(&[client, &[url.as_str()]].concat(), &body);
                assert_eq!(
                    answer.status,
                    200,
                    "{protocol} {client:?} {}",
                    answer.text()
                );
                let saw = answer.json();
                assert_eq!(saw["body_bytes"], expected.len(), "{protocol} {client:?}");
                assert_eq!(
                    saw["body_sha256"],
                    sha256(expected),
                    "{protocol} {client:?}"
                );
            }
        }
    }
}

#[test]
fn sends_the_same_body_again_to_another_endpoint() {
    let origin = echo();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    let body = ten_mebibytes();
    let shouted = sha256(&body.to_ascii_uppercase());
    for protocol in ["http1", "h2c"] {
        let upstreams = format!(
            "{{ endpoints: [\"{nobody}\", \"{}\"], protocol: {protocol}, retry: {{ attempts: 2 }} }}",
            origin.addresses()[0]
        );
        let gateway = start(&upstreams, "shout: { upper: true }", "{}");
        for client in CLIENTS {
            for _ in 0..2 {
                let url = gateway.url("/");
                let answer = post(&[client, &[url.as_str()]].concat(), &body);
                assert_eq!(answer.status, 200, "{client:?} {}", answer.text());
                assert_eq!(
                    answer.json()["body_sha256"],
                    shouted,
                    "{protocol} {client:?}"
                );
            }
        }
    }
}

/// The most memory that this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line.and_then(|line| line.trim().strip_suffix(" kB"));
    peak.expect("the system tells").trim().parse().unwrap()
}

#[test]
fn a_crowd_of_bodies_takes_no_more_memory_than_is_set() {
    let origin = echo();
    let upstreams = format!("{{ endpoints: [\"{}\"] }}", origin.addresses()[0]);
    let limits = "{ buffered_body: 10MiB, body_memory: 40MiB, overload: off }";
    let gateway = start(&upstreams, "shout", limits);
    let file = gateway.file("body");
    std::fs::write(&file, vec![b'x'; 9 << 20]).unwrap();
    let url = gateway.url("/?delay=1s");
    let send = || {
        let arguments = ["-T", file.to_str().unwrap(), "-H", "expect:", &url];
        curl(&arguments).status
    };
    assert_eq!(send(), 200);
    let before = peak();
    // Three hundred and more MiB for forty: most have to come again.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..36).map(|_| scope.spawn(send)).collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    let count = |status| statuses.iter().filter(|it| **it == status).count();
    assert_eq!(count(200) + count(503), 36, "{statuses:?}");
    assert!(count(200) > 0 && count(503) > 0, "{statuses:?}");
    // The server behind the gateway is in its process, and holds each body that it gets as well; the
    // allocator keeps for a while what was freed.
    let grown = peak().saturating_sub(before) >> 10;
    assert!(grown < 160, "{grown} MiB");
}

#[test]
fn refuses_a_body_beyond_the_limit_and_takes_one_at_it() {
    let origin = echo();
    let upstreams = format!("{{ endpoints: [\"{}\"] }}", origin.addresses()[0]);
    let gateway = start(&upstreams, "shout", "{ buffered_body: 100KiB }");
    let limit = 100 << 10;
    for client in CLIENTS {
        let url = gateway.url("/");
        let arguments = [client, &[url.as_str()]].concat();
        assert_eq!(
            post(&arguments, &vec![b'x'; limit]).status,
            200,
            "{client:?}"
        );
        if client[0] == "--http2-prior-knowledge" {
            // curl 7.88 takes the RST_STREAM with NO_ERROR that follows the whole reply (RFC 9113,
            // 8.1) for a failure.
            let answer = nghttp(&url, &vec![b'x'; limit + 1]);
            assert!(answer.contains(":status: 413"), "{answer}");
            assert!(answer.contains("urn:wiregate:body_too_large"), "{answer}");
            continue;
        }
        let answer = post(&arguments, &vec![b'x'; limit + 1]);
        assert_eq!(answer.status, 413, "{client:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json()["type"], "urn:wiregate:body_too_large");
    }
}

#[test]
fn bounds_the_memory_of_all_bodies_together() {
    let origin = echo();
    let upstreams = format!("{{ endpoints: [\"{}\"] }}", origin.addresses()[0]);
    let limits = "{ buffered_body: 1MiB, body_memory: 1MiB }";
    let gateway = start(&upstreams, "shout", limits);
    let url = gateway.url("/?delay=3s");
    // One body that fills the memory waits for its answer while another comes.
    let (first, refused) = std::thread::scope(|scope| {
        let big = || post(&[&url], &vec![b'x'; 700 << 10]);
        let first = scope.spawn(big);
        until("it is all there", || {
            let metrics = gateway.admin("/metrics").text();
            metrics.contains("wiregate_upstream_requests_in_flight{upstream=\"app\"} 1\n")
        });
        let refused = big();
        (first.join().unwrap(), refused)
    });
    assert_eq!((first.status, refused.status), (200, 503));
    assert_eq!(refused.json()["type"], "urn:wiregate:body_memory_exhausted");
    assert_eq!(refused.header("retry-after"), "1");
    // What was taken has been given back.
    let answer = post(&[&gateway.url("/")], &vec![b'x'; 700 << 10]);
    assert_eq!(answer.status, 200);
}

#[test]
fn gives_a_body_to_a_request_that_had_none() {
    let origin = echo();
    let upstreams = format!("{{ endpoints: [\"{}\"] }}", origin.addresses()[0]);
    let gateway = start(&upstreams, "shout: { tail: made here }", "{}");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&[version, &gateway.url("/")]);
        assert_eq!(answer.json()["body"], "made here", "{version}");
        assert_eq!(answer.json()["headers"]["content-length"], "9", "{version}");
    }
}

#[test]
fn a_slow_endpoint_and_a_second_one_get_the_same_body() {
    let echo = super::harness::echoes(2);
    let both = echo.addresses();
    let slow = both[0].port();
    let upstreams = format!(
        "{{ endpoints: [\"{}\", \"{}\"], hedge: {{ after: 60ms, at_most: 50% }} }}",
        both[0], both[1]
    );
    let gateway = start(&upstreams, "shout: { upper: true }", "{}");
    let begun = std::time::Instant::now();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for _ in 0..2 {
            let url = gateway.url(&format!("/?delay=8s&at={slow}"));
            let answer = post(&[version, "-X", "PUT", &url], b"quiet");
            assert_eq!(answer.status, 200);
            assert_eq!(answer.json()["body"], "QUIET");
        }
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(8));
}
