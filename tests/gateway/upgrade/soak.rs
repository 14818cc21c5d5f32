//! Upgrades and reloads under every kind of traffic at once: no request fails, no connection is
//! refused, and no stream breaks before its time is over.
//!
//! A short one runs with the other tests. `make soak` runs twenty upgrades and two hundred reloads,
//! over `SOAK_MINUTES` (2).

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::super::harness::{Gateway, complete, curl, echo, until};
use super::super::peers::Client;
use super::super::protocols::grpc::{
    board::{Codec, note},
    runtime, serve_board, unary,
};
use super::super::protocols::peers::{read_head, send};
use super::streams::{ASK, mirror};
use super::{Process, start_in, upgrade};

/// How much earlier than that it may seem to end: both sides look at their own clocks.
const SLACK: Duration = Duration::from_millis(300);

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

/// What a soak is made of.
struct Plan {
    upgrades: usize,
    reloads_between: usize,
    pause: Duration,
    download: u64,
    /// How long what is under way goes on after an upgrade.
    deadline: Duration,
}

/// What the clients of a soak share.
struct Soak {
    plain: SocketAddr,
    secure: SocketAddr,
    deadline: Duration,
    over: AtomicBool,
    /// What went wrong.
    wrong: Mutex<Vec<String>>,
    /// When upgrades came about.
    upgrades: Mutex<Vec<Instant>>,
    done: [AtomicU64; KINDS.len()],
}

const KINDS: [&str; 9] = [
    "kept",
    "fresh",
    "tls",
    "upload",
    "download",
    "websocket",
    "sse",
    "grpc",
    "grpc stream",
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

fn requests<'s>(soak: &'s Soak, scope: &'s Scope<'s, '_>, download: u64, file: PathBuf) {
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

fn streams<'s>(soak: &'s Soak, scope: &'s Scope<'s, '_>) {
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
            std::thread::sleep(Duration::from_millis(10));
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

fn calls<'s>(soak: &'s Soak, scope: &'s Scope<'s, '_>, runtime: &Arc<tokio::runtime::Runtime>) {
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
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            soak.ended(8, opened);
            Ok(())
        })
    });
}

/// Starts a gateway with listeners with and without TLS on ports that stay.
fn start(
    runtime: &Arc<tokio::runtime::Runtime>,
    origin: SocketAddr,
    deadline: Duration,
) -> (Gateway, Soak) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=a.example"])
        .args(["-addext", "subjectAltName=DNS:a.example"])
        .args(["-keyout", &at("a.key"), "-out", &at("a.pem")])
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let board = serve_board(runtime);
    let websockets = mirror();
    let text = format!(
        "limits: {{ drain_deadline: {}s, overload: off }}\n\
         upstreams:\n  app: {{ endpoints: [\"{origin}\"], health: {{ http: /health, every: 1s }} }}\n  \
         board: {{ endpoints: [\"{board}\"], protocol: h2c }}\n  \
         ws: {{ endpoints: [\"{websockets}\"] }}\n\
         routes:\n  - {{ name: all, filters: [rate_limit: {{ limit: 100000/s }}], upstream: app }}\n  \
         - {{ name: board, match: {{ path: /test.Board/** }}, upstream: board }}\n  \
         - {{ name: ws, match: {{ path: /ws }}, upstream: ws }}\n",
        deadline.as_secs()
    );
    let text = complete(folder.path(), &text, "{}");
    let tls = format!(
        ", secure: {{ bind: \"127.0.0.1:0\", tls: {{ certificates: [{{ certificate: {}, key: {} }}] }} }} }}\nadmin",
        at("a.pem"),
        at("a.key")
    );
    let text = text.replacen(" }\nadmin", &tls, 1);
    std::fs::write(folder.path().join("wiregate.yaml"), text).unwrap();
    let gateway = start_in(folder, |_| {});
    let soak = Soak {
        plain: gateway.listener("public"),
        secure: gateway.listener("secure"),
        deadline,
        over: AtomicBool::new(false),
        wrong: Mutex::default(),
        upgrades: Mutex::default(),
        done: Default::default(),
    };
    (gateway, soak)
}

/// Resident memory in kB, and descriptors, of a process.
fn holds(pid: u32) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let memory = line.trim().trim_end_matches(" kB").parse().unwrap();
    (memory, Process(pid).keep().descriptors())
}

fn run(plan: &Plan) {
    let runtime = Arc::new(runtime());
    let origin = echo();
    let (mut gateway, soak) = start(&runtime, origin.addresses()[0], plan.deadline);
    let file = gateway.file("upload");
    std::fs::write(&file, vec![b'x'; 8 << 20]).unwrap();
    let configuration = std::fs::read_to_string(gateway.file("wiregate.yaml")).unwrap();
    let mut processes: Vec<Process> = Vec::new();
    let mut held = Vec::new();
    std::thread::scope(|scope| {
        // What fails must not keep the threads going.
        let _stop = super::Stop(&soak.over);
        let soak = &soak;
        std::thread::scope(|_| {
            requests(soak, scope, plan.download, file);
            streams(soak, scope);
            calls(soak, scope, &runtime);
        });
        for round in 0..plan.upgrades {
            for reload in 0..plan.reloads_between {
                std::thread::sleep(plan.pause);
                let text = format!("{configuration}# {round} {reload}\n");
                std::fs::write(gateway.file("next"), text).unwrap();
                std::fs::rename(gateway.file("next"), gateway.file("wiregate.yaml")).unwrap();
                let answer = gateway.admin("POST", "/reload");
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
            let new = upgrade(&gateway, &[]).unwrap();
            soak.upgrades.lock().unwrap().push(Instant::now());
            held.push(holds(new.0));
            processes.push(new);
        }
        std::thread::sleep(plan.deadline + SLACK);
    });
    let done: Vec<_> = (soak.done.iter().zip(KINDS))
        .map(|(done, kind)| format!("{kind} {}", done.load(Ordering::Relaxed)))
        .collect();
    eprintln!(
        "{}; memory and descriptors after each upgrade: {held:?}",
        done.join(", ")
    );
    let wrong = soak.wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} failures: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(20)]
    );
    for (done, kind) in soak.done.iter().zip(KINDS) {
        assert!(done.load(Ordering::Relaxed) > 0, "{kind} did nothing");
    }
    assert_eq!(gateway.wait().code(), Some(0));
    let last = processes.pop().unwrap();
    // Those who finish have had their time, and a farewell.
    until("all others have ended", || {
        !processes.iter().any(Process::runs)
    });
    assert_eq!(curl(&[&format!("http://{}/", soak.plain)]).status, 200);
    let (memory, descriptors) = holds(last.0);
    let (first_memory, first_descriptors) = held[0];
    assert!(
        memory < first_memory * 2 + (16 << 10),
        "{first_memory} kB became {memory}"
    );
    assert!(
        descriptors < first_descriptors + 64,
        "{first_descriptors} became {descriptors}"
    );
}

#[test]
fn a_short_soak() {
    run(&Plan {
        upgrades: 3,
        reloads_between: 5,
        pause: Duration::from_millis(150),
        download: 64 << 20,
        deadline: Duration::from_secs(4),
    });
}

#[test]
#[ignore = "takes minutes: make soak"]
fn soak() {
    let minutes = std::env::var("SOAK_MINUTES").ok();
    let minutes: u64 = minutes.map_or(2, |text| text.parse().expect("SOAK_MINUTES is a number"));
    let (upgrades, reloads_between) = (20, 10);
    run(&Plan {
        upgrades,
        reloads_between,
        pause: Duration::from_secs(minutes * 60) / (20 * 10),
        download: 1 << 30,
        deadline: Duration::from_secs(60),
    });
}
