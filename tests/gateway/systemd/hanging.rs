//! A worker that hangs: the process lives, its admin API answers, and yet systemd hears no more of it.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wiregate::gateway::{self, Start};
use wiregate::systemd::Systemd;
use wiregate::upgrade::Program;

use super::super::harness::{PATIENCE, curl, until};
use super::super::upgrade::Process;
use super::Listener;

/// Says which configuration the process is to run.
const CONFIGURATION: &str = "WIREGATE_TEST_HANGING";
/// How long no sign comes before it is taken for the end: many times as long as between two of them.
const SILENCE: Duration = Duration::from_secs(2);

/// A filter that does what none may: it blocks its worker.
struct Hangs;

#[derive(wiregate::Deserialize, wiregate::JsonSchema)]
struct Nothing {}

impl wiregate::Filter for Hangs {
    const NAME: &'static str = "hangs";
    type Config = Nothing;
    type State = ();

    fn build(_: Nothing, _: &mut wiregate::Build<'_>) -> Result<Self, wiregate::Invalid> {
        Ok(Self)
    }

    async fn request(&self, _: &mut wiregate::Request<'_>, (): &mut ()) -> wiregate::Flow {
        std::thread::sleep(Duration::from_secs(600));
        Ok(())
    }
}

/// The gateway of the test below, in a process of its own.
#[test]
#[ignore = "a process that another test starts"]
fn a_gateway_with_a_filter_that_hangs() {
    let Some(path) = std::env::var_os(CONFIGURATION) else {
        return;
    };
    let start = Start {
        registry: wiregate::filters::all().add::<Hangs>(),
        path: PathBuf::from(path),
        program: Program::of_process().unwrap(),
        systemd: Systemd::of_process().unwrap(),
        predecessor: None,
        sockets: Default::default(),
    };
    gateway::run(start).unwrap();
}

#[test]
fn signs_of_life_stop_where_one_worker_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let text = format!(
        "version: 1\nworkers: 2\naccess_log: off\nlisteners: {{ public: {{ bind: \"unix:{}\" }} }}\n\
         admin: {{ bind: \"unix:{}\" }}\nroutes: [{{ name: hang, match: {{ path: /hang }}, filters: [hangs: {{}}, respond: 200] }}, \
         {{ name: all, filters: [respond: 204] }}]\n",
        at("public.sock"),
        at("admin.sock")
    );
    std::fs::write(at("wiregate.yaml"), text).unwrap();
    let mut told = Listener::new(&folder.path().join("notify"));
    let name = "systemd::hanging::a_gateway_with_a_filter_that_hangs";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(CONFIGURATION, at("wiregate.yaml"))
        .env("NOTIFY_SOCKET", at("notify"))
        .env("WATCHDOG_USEC", "400000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process(child.id());
    told.until("READY=1");
    for _ in 0..5 {
        told.until("WATCHDOG=1");
    }
    let mut hanging = UnixStream::connect(at("public.sock")).unwrap();
    hanging
        .write_all(b"GET /hang HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let (start, mut last) = (Instant::now(), Instant::now());
    while last.elapsed() < SILENCE {
        assert!(start.elapsed() < PATIENCE, "it is said to live on and on");
        told.listen();
        if told.heard.drain(..).any(|told| told == "WATCHDOG=1") {
            last = Instant::now();
        }
    }
    // It is the worker alone: the process runs, and says itself that all is well.
    let admin = at("admin.sock");
    let live = curl(&["--unix-socket", &admin, "http://localhost/livez"]);
    assert_eq!(live.status, 200);
    let public = at("public.sock");
    until("the other worker answers", || {
        curl(&[
            "--unix-socket",
            &public,
            "--max-time",
            "1",
            "http://localhost/",
        ])
        .status
            == 204
    });
    process.signal("KILL");
    child.wait().unwrap();
    std::mem::forget(process);
}
