//! The traffic of a soak: clients of each kind, which tell of each failure.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::super::super::peers::Client;
use super::super::super::protocols::grpc::{
    board::{Codec, note},
    unary,
};
use super::super::super::protocols::peers::{read_head, send};
use super::super::streams::ASK;

/// How much earlier than that it may seem to end: both sides look at their own clocks.
pub const SLACK: Duration = Duration::from_millis(300);

/// How calls fail that no gateway has seen: they never left the client, or they came after the last
/// one that its GOAWAY names (RFC 9113, 6.8). Other clients than this one send them anew themselves.
const UNSENT: [&str; 2] = [
    "hyper::Error(Canceled, \"connection closed\")",
    "kind: GoAway(b\"\", NO_ERROR, Remote)",
];

fn is_unsent(status: &tonic::Status) -> bool {
    let text = status.to_string();
    UNSENT.iter().any(|unsent| text.contains(unsent))
}

/// What the clients of a soak share.
pub struct Soak {
    pub plain: SocketAddr,
    pub secure: SocketAddr,
    pub deadline: Duration,
    pub over: AtomicBool,
    /// What went wrong.
    pub wrong: Mutex<Vec<String>>,
    /// When upgrades came about.
    pub upgrades: Mutex<Vec<Instant>>,
    pub done: [AtomicU64; KINDS.len()],
}

pub const KINDS: [&str; 11] = [
    "kept",
    "fresh",
    "tls",
    "upload",
    "download",
    "websocket",
    "sse",
    "grpc",
    "grpc stream",
    "http2 upload",
    "http2 download",
];

impl Soak {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    fn failed(&self, kind: usize, why: &str) {
        self.wrong
            .lock()
            .unwrap()
            .push(format!("{}: {why}", KINDS[kind]));
    }

    fn done(&self, kind: usize) {
        self.done[kind].fetch_add(1, Ordering::Relaxed);
    }

    /// A stream that was opened then has ended now.
    fn ended(&self, kind: usize, opened: Instant) {
        let upgrades = self.upgrades.lock().unwrap().clone();
        let first = upgrades.into_iter().find(|upgrade| *upgrade > opened);
        let early = first.is_none_or(|first| first + self.deadline > Instant::now() + SLACK);
        if early && self.goes_on() {
            self.failed(kind, "a stream has ended before its time");
        }
    }

    /// Does this again and again, in a thread of its own.
    fn again<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        kind: usize,
        mut work: impl FnMut() -> Result<(), String> + Send + 's,
    ) {
        scope.spawn(move || {
            while self.goes_on() {
                match work() {
                    Ok(()) => self.done(kind),
                    Err(why) => self.failed(kind, &why),
                }
                std::thread::sleep(Duration::from_millis(5)); // the pace of the load
            }
        });
    }
}

/// curl, which fails where it did not get all of a 200.
fn got(arguments: &[&str], expected: u64) -> Result<(), String> {
    let output = Command::new("curl")
        .args(["-sSk", "--max-time", "120", "-o", "/dev/null"])
        .args(["-w", "%{http_code} %{size_download}"])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (status, size) = said.split_once(' ').unwrap_or_default();
    let size: u64 = size.parse().unwrap_or(0);
    let right = output.status.success() && status == "200" && size >= expected;
    right
        .then_some(())
        .ok_or_else(|| format!("{said} {}", String::from_utf8_lossy(&output.stderr)))
}

/// Requests that are whole in themselves.
pub fn requests<'s>(soak: &'s Soak, scope: &'s Scope<'s, '_>, download: u64, file: PathBuf) {
    let mut client: Option<Client> = None;
    soak.again(scope, 0, move || {
        let kept = client.get_or_insert_with(|| Client::at(soak.plain));
        let got = kept.try_get("/steady")?;
        if got.header("connection").eq_ignore_ascii_case("close") {
            client = None;
        }
        (got.status == 200).then_some(()).ok_or(got.head)
    });
    soak.again(scope, 1, || {
        let got = Client::at(soak.plain).try_get("/steady")?;
        (got.status == 200).then_some(()).ok_or(got.head)
    });
    let url = format!("https://{}/steady", soak.secure);
    soak.again(scope, 2, move || got(&[&url], 1));
    let url = format!("http://{}/", soak.plain);
    let body = format!("@{}", file.display());
    soak.again(scope, 3, move || {
        got(&["--limit-rate", "16M", "--data-binary", &body, &url], 1)
    });
    let url = format!("http://{}/?bytes={download}", soak.plain);
    soak.again(scope, 4, move || got(&[&url], download));
}

/// The same over HTTP/2.
pub fn requests_over_http2<'s>(
    soak: &'s Soak,
    scope: &'s Scope<'s, '_>,
    download: u64,
    file: &Path,
) {
    const HTTP2: &str = "--http2-prior-knowledge";
    let url = format!("http://{}/", soak.plain);
    let body = format!("@{}", file.display());
    soak.again(scope, 9, move || {
        let upload = ["--limit-rate", "16M", "--data-binary", &body, &url];
        got(&[&[HTTP2], &upload[..]].concat(), 1)
    });
    let url = format!("http://{}/?bytes={download}", soak.plain);
    soak.again(scope, 10, move || got(&[HTTP2, &url], download));
}

/// Streams that go on until the gateway ends them.
pub fn streams<'s>(soak: &'s Soak, scope: &'s Scope<'s, '_>) {
    soak.again(scope, 5, move || {
        let (opened, mut stream) = (
            Instant::now(),
            send(soak.plain, &ASK.replace("/chat", "/ws")),
        );
        let head = read_head(&mut stream);
        if !head.starts_with("HTTP/1.1 101 ") {
            return Err(head);
        }
        while soak.goes_on() {
            let mut start = [0; 8];
            let sent = stream.write_all(b"\x81\x82\0\0\0\0hi");
            let read = sent.and_then(|()| stream.read_exact(&mut start[..2]));
            if read.is_ok() && start[0] == 0x88 {
                break; // it says goodbye
            }
            if let Err(error) = read.and_then(|()| stream.read_exact(&mut start[2..])) {
                return Err(format!("no goodbye: {error}"));
            }
            soak.done(5);
            std::thread::sleep(Duration::from_millis(10)); // the pace of the load
        }
        soak.ended(5, opened);
        Ok(())
    });
    soak.again(scope, 6, move || {
        let ask = "GET /?stream=100000&every=20ms HTTP/1.1\r\nhost: a\r\n\r\n";
        let (opened, mut stream) = (Instant::now(), send(soak.plain, ask));
        let head = read_head(&mut stream);
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(head);
        }
        let mut piece = [0; 4096];
        loop {
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(_) if soak.goes_on() => soak.done(6),
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
        soak.ended(6, opened);
        Ok(())
    });
}

/// Calls of gRPC, of both kinds.
pub fn calls<'s>(soak: &'s Soak, scope: &'s Scope<'s, '_>, runtime: &Arc<tokio::runtime::Runtime>) {
    let at = format!("http://{}", soak.plain);
    let inside = runtime.enter();
    let channel = tonic::transport::Endpoint::from_shared(at)
        .unwrap()
        .connect_lazy();
    drop(inside);
    let (calls, asked) = (runtime.clone(), channel.clone());
    soak.again(scope, 7, move || {
        let call = || calls.block_on(unary(asked.clone(), "/test.Board/Unary", "one"));
        let answer = match call() {
            Err(status) if is_unsent(&status) => call(),
            answer => answer,
        };
        let answer = answer.map_err(|status| status.to_string())?;
        (answer.text == "got one").then_some(()).ok_or(answer.text)
    });
    let runtime = runtime.clone();
    soak.again(scope, 8, move || {
        runtime.block_on(async {
            let opened = Instant::now();
            let mut client = tonic::client::Grpc::new(channel.clone());
            client.ready().await.map_err(|error| error.to_string())?;
            let (say, mut said) = tokio::sync::mpsc::channel(1);
            let notes = futures_util::stream::poll_fn(move |cx| said.poll_recv(cx));
            let path = http::uri::PathAndQuery::from_static("/test.Board/Both");
            let talk = client.streaming(tonic::Request::new(notes), path, Codec::default());
            let mut talk = match talk.await {
                Ok(talk) => talk.into_inner(),
                Err(status) if is_unsent(&status) => return Ok(()),
                Err(status) => return Err(status.to_string()),
            };
            while soak.goes_on() {
                let _ = say.send(note("hi")).await; // where it is over, the status says so
                match talk.message().await {
                    Ok(Some(_)) => soak.done(8),
                    Err(status) if status.code() == tonic::Code::Unavailable => break,
                    other => return Err(format!("{other:?}")),
                }
                tokio::time::sleep(Duration::from_millis(10)).await; // the pace of the load
            }
            soak.ended(8, opened);
            Ok(())
        })
    });
}
