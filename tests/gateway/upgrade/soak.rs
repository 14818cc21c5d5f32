//! Upgrades and reloads under every kind of traffic at once: no request fails, no connection is
//! refused, and no stream breaks before its time is over.
//!
//! A short one runs with the other tests. `make soak` runs twenty upgrades and two hundred reloads,
//! over `SOAK_MINUTES` (2).

mod held;
mod traffic;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use self::held::{holds, is_flat};
use self::traffic::{KINDS, SLACK, Soak};
use super::super::harness::{Gateway, complete, curl, echo, until};
use super::super::protocols::grpc::{runtime, serve_board};
use super::streams::mirror;
use super::{Process, start_in, upgrade};

/// What a soak is made of.
struct Plan {
    /// Reloads of the first process, before the first upgrade: whether it grows is seen there.
    reloads_before: usize,
    upgrades: usize,
    reloads_between: usize,
    pause: Duration,
    download: u64,
    /// How long what is under way goes on after an upgrade.
    deadline: Duration,
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
    // A program without optimisation has more to do than it can, and would shed some of it.
    let overload = if cfg!(debug_assertions) {
        ", overload: off"
    } else {
        ""
    };
    let text = format!(
        "limits: {{ drain_deadline: {}s{overload} }}\n\
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

fn run(plan: &Plan) {
    let runtime = Arc::new(runtime());
    let origin = echo();
    let (mut gateway, soak) = start(&runtime, origin.addresses()[0], plan.deadline);
    let file = gateway.file("upload");
    std::fs::write(&file, vec![b'x'; 8 << 20]).unwrap();
    let configuration = std::fs::read_to_string(gateway.file("wiregate.yaml")).unwrap();
    let mut processes: Vec<Process> = Vec::new();
    let (mut before, mut held) = (Vec::new(), Vec::new());
    let reload = |number: usize| {
        std::thread::sleep(plan.pause); // the pace of the reloads
        let text = format!("{configuration}# {number}\n");
        std::fs::write(gateway.file("next"), text).unwrap();
        std::fs::rename(gateway.file("next"), gateway.file("wiregate.yaml")).unwrap();
        let answer = gateway.admin("POST", "/reload");
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    std::thread::scope(|scope| {
        // What fails must not keep the threads going.
        let _stop = super::Stop(&soak.over);
        let soak = &soak;
        std::thread::scope(|_| {
            traffic::requests_over_http2(soak, scope, plan.download / 2, &file);
            traffic::requests(soak, scope, plan.download, file);
            traffic::streams(soak, scope);
            traffic::calls(soak, scope, &runtime);
        });
        for number in 0..plan.reloads_before {
            reload(number);
            before.push(holds(gateway.pid()));
        }
        for round in 1..=plan.upgrades {
            for number in 0..plan.reloads_between {
                reload(round * 1000 + number);
            }
            let new = upgrade(&gateway, &[]).unwrap();
            soak.upgrades.lock().unwrap().push(Instant::now());
            held.push(holds(new.0));
            processes.push(new);
        }
        // As long as what is under way may go on: the load goes on as well, and must not fail meanwhile.
        std::thread::sleep(plan.deadline + SLACK);
    });
    let done: Vec<_> = (soak.done.iter().zip(KINDS))
        .map(|(done, kind)| format!("{kind} {}", done.load(Ordering::Relaxed)))
        .collect();
    eprintln!(
        "{}; memory (kB) and descriptors over {} reloads of one process: {before:?}, and after each \
         upgrade: {held:?}",
        done.join(", "),
        before.len(),
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
    is_flat(&before);
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
        reloads_before: 20,
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
    let (reloads_before, upgrades, reloads_between) = (100, 20, 5);
    run(&Plan {
        reloads_before,
        upgrades,
        reloads_between,
        pause: Duration::from_secs(minutes * 60) / (100 + 20 * 5),
        download: 1 << 30,
        deadline: Duration::from_secs(60),
    });
}
