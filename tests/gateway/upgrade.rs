//! Upgrades: a new process takes a running one's place.

mod counts;
pub mod faults;
mod keeper;
mod listeners;
mod moments;
mod soak;
mod streams;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::embedded::Embedded;
use super::harness::{Gateway, complete, curl, echo, until, upstream, wiregate};
use super::peers::Client;

const ROUTE: &str = "routes: [{ name: all, upstream: app }]\n";

/// A process that is not the test's child; killed when dropped.
#[derive(Debug)]
pub struct Process(pub u32);

impl Process {
    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args(["-s", name, &self.0.to_string()])
            .output();
        assert!(kill.unwrap().status.success(), "{name} to {}", self.0);
    }

    /// Whether it runs: it may have ended, and still be in the table.
    pub fn runs(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        let state = status.rsplit_once(") ").map_or("", |(_, rest)| rest);
        !state.is_empty() && !state.starts_with(['Z', 'X'])
    }

    /// The same, but one that is looked after elsewhere.
    pub fn keep(self) -> std::mem::ManuallyDrop<Self> {
        std::mem::ManuallyDrop::new(self)
    }

    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0))
            .unwrap()
            .count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .args(["-s", "KILL", &self.0.to_string()])
            .output();
    }
}

/// Upgrades a gateway: the new process, or why there is none, as the command says it.
pub fn upgrade(gateway: &Gateway, more: &[&str]) -> Result<Process, String> {
    let admin = format!("unix:{}", gateway.file("admin.sock").display());
    let mut command = wiregate(&["upgrade", "--admin", &admin]);
    let output = command.args(more).output().unwrap();
    let (said, why) = (output.stdout, String::from_utf8(output.stderr).unwrap());
    let said = String::from_utf8(said).unwrap();
    match output.status.code() {
        Some(0) => {
            let rest = said.strip_prefix("process ").unwrap();
            let (pid, rest) = rest.split_once(" (wiregate/").unwrap();
            assert!(rest.contains(") has taken over from process "), "{said}");
            Ok(Process(pid.parse().unwrap()))
        }
        Some(1) => Err(why),
        other => panic!("{other:?}: {said}{why}"),
    }
}

/// A gateway whose program can be exchanged: it is the file `wiregate` in its folder.
pub fn exchangeable(configuration: &str) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, complete(folder.path(), configuration, "{}")).unwrap();
    start_in(folder, |_| {})
}

/// The same in a folder that has a configuration.
pub fn start_in(folder: tempfile::TempDir, change: impl FnOnce(&mut Command)) -> Gateway {
    let program = folder.path().join("wiregate");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_wiregate"), &program).unwrap();
    let mut command = Command::new(program);
    let file = folder.path().join("wiregate.yaml");
    command
        .args(["run", "--config"])
        .arg(file)
        .env("NO_COLOR", "1");
    Gateway::start_command(folder, command, change)
}

/// Puts a shell script in the place of the program.
pub fn exchange(gateway: &Gateway, script: &str) {
    exchange_as(gateway, "wiregate", script);
}

/// The same for a process that was started as the program of this name in the gateway's folder.
pub fn exchange_as(gateway: &Gateway, name: &str, script: &str) {
    let new = gateway.file("new");
    std::fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(new, gateway.file(name)).unwrap();
}

/// Puts the real program back.
pub fn restore(gateway: &Gateway) {
    let new = gateway.file("new");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_wiregate"), &new).unwrap();
    std::fs::rename(new, gateway.file("wiregate")).unwrap();
}

/// Whose process answers the admin API.
pub fn who(gateway: &Gateway) -> u32 {
    let metrics = gateway.admin("GET", "/metrics").text();
    assert!(metrics.contains("wiregate_"), "{metrics}");
    let mut seen = 0;
    until("somebody holds the admin socket", || {
        let answer = gateway.admin("GET", "/readyz?verbose");
        seen = answer.json()["pid"].as_u64().unwrap_or(0) as u32;
        seen > 0
    });
    seen
}

/// Requests over kept connections and fresh ones, until told to stop. Whatever fails is a failure.
fn under_load(gateway: &Gateway, during: impl FnOnce(&AtomicU64)) -> u64 {
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let address = gateway.address();
    std::thread::scope(|scope| {
        for kept in [true, true, false, false] {
            let (stop, answered) = (&stop, &answered);
            scope.spawn(move || {
                let mut client = Client::at(address);
                while !stop.load(Ordering::Relaxed) {
                    let got = client.get("/steady", &[]);
                    assert_eq!(got.status, 200, "{}", got.head);
                    answered.fetch_add(1, Ordering::Relaxed);
                    // Whoever is told to goes elsewhere.
                    if !kept || got.header("connection").eq_ignore_ascii_case("close") {
                        client = Client::at(address);
                    }
                    std::thread::sleep(Duration::from_millis(1)); // the pace of the load
                }
            });
        }
        let _stop = Stop(&stop); // also where it fails
        during(&answered);
    });
    answered.into_inner()
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn more(answered: &AtomicU64) {
    let before = answered.load(Ordering::Relaxed);
    until("requests go on", || {
        answered.load(Ordering::Relaxed) > before + 50
    });
}

#[test]
fn a_new_process_takes_over_under_load_and_no_request_fails() {
    let origin = echo();
    let mut gateway = Gateway::start(&(upstream(&origin) + ROUTE));
    let mut new = None;
    let answered = under_load(&gateway, |answered| {
        more(answered);
        new = Some(upgrade(&gateway, &[]).unwrap());
        more(answered);
    });
    assert!(answered > 100, "{answered}");
    let new = new.unwrap();
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(new.runs());
    assert_eq!(who(&gateway), new.0);
    assert_eq!(gateway.admin("GET", "/readyz").text(), "ok\n");
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    // Both write the same log.
    gateway.access_log(usize::try_from(answered).unwrap() + 1);
    // What it leaves behind: nothing, once the last one ends as well.
    new.signal("TERM");
    until("it has ended", || !new.runs());
    assert!(!gateway.file("admin.sock").exists());
    assert!(std::net::TcpStream::connect(gateway.address()).is_err());
}

#[test]
fn a_kept_connection_ends_with_a_response_that_says_so() {
    let origin = echo();
    let mut gateway = Gateway::start(&(upstream(&origin) + ROUTE));
    let mut idle = Client::new(&gateway);
    assert_eq!(idle.get("/", &[]).status, 200);
    let new = upgrade(&gateway, &[]).unwrap();
    // Longer than a connection without a request is given when the gateway stops for good: there is
    // nothing to wait for but time itself.
    std::thread::sleep(Duration::from_millis(1500));
    let last = idle.get("/", &[]);
    assert_eq!((last.status, last.header("connection")), (200, "close"));
    let ended = Instant::now();
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(
        ended.elapsed() < Duration::from_secs(5),
        "it ends with its last connection"
    );
    drop(new);
}

#[test]
fn readiness_fails_before_connections_do() {
    let origin = echo();
    let limits = "limits: { drain_delay: 3s, drain_deadline: 20s }\n";
    let mut gateway = Gateway::start(&(upstream(&origin) + ROUTE + limits));
    gateway.signal("TERM");
    until("it is not ready", || {
        gateway.admin("GET", "/readyz").status == 503
    });
    assert_eq!(
        curl(&[&gateway.url("/")]).status,
        200,
        "it goes on to accept"
    );
    until("it accepts no more", || {
        std::net::TcpStream::connect(gateway.address()).is_err()
    });
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn what_is_known_of_endpoints_goes_over() {
    let origins = super::harness::echoes(2);
    let [good, bad] = [origins.addresses()[0], origins.addresses()[1]];
    super::peers::set_health(bad, 503);
    let health = "health: { http: /health, every: 300ms, unhealthy_after: 1 }";
    let text = format!(
        "upstreams: {{ app: {{ endpoints: [\"{good}\", \"{bad}\"], {health} }} }}\n{ROUTE}"
    );
    let gateway = Gateway::start(&text);
    let healthy = || super::peers::state(&gateway, bad)["health"] == "healthy";
    until("it is found unhealthy", || !healthy());
    // From now on nobody looks again for an hour.
    gateway.reload(&text.replace("300ms", "1h"));
    let _new = upgrade(&gateway, &[]).unwrap();
    assert!(!healthy());
    for _ in 0..10 {
        let answer = curl(&[&gateway.url("/")]).json();
        assert_eq!(answer["served_by"], good.to_string());
    }
}

/// Has something fetched before the first request.
struct Prepares(std::sync::Arc<AtomicBool>);

#[derive(wiregate::Deserialize, wiregate::JsonSchema)]
struct Nothing {}

impl wiregate::Filter for Prepares {
    const NAME: &'static str = "prepares";
    type Config = Nothing;
    type State = ();

    fn build(_: Nothing, cx: &mut wiregate::Build<'_>) -> Result<Self, wiregate::Invalid> {
        let fetched = std::sync::Arc::new(AtomicBool::new(false));
        let fetching = fetched.clone();
        cx.prepare(async move {
            tokio::time::sleep(Duration::from_millis(300)).await; // as a key set takes its time
            fetching.store(true, Ordering::Relaxed);
        });
        Ok(Self(fetched))
    }

    async fn request(&self, _: &mut wiregate::Request<'_>, (): &mut ()) -> wiregate::Flow {
        match self.0.load(Ordering::Relaxed) {
            true => Err(wiregate::Reply::new(wiregate::StatusCode::NO_CONTENT)),
            false => panic!("a request has come before it was prepared"),
        }
    }
}

#[test]
fn what_a_filter_prepares_is_there_before_connections_are_accepted() {
    let text = "upstreams: { app: { endpoints: [\"127.0.0.1:1\"] } }\n\
                routes: [{ name: all, filters: [prepares: {}], upstream: app }]\n";
    let registry = wiregate::filters::all().add::<Prepares>();
    let gateway = Embedded::start(registry, text);
    assert_eq!(curl(&[&gateway.url("/")]).status, 204);
}

#[test]
fn another_version_takes_over() {
    let origin = echo();
    let gateway = exchangeable(&(upstream(&origin) + ROUTE));
    let mut program = std::fs::read(env!("CARGO_BIN_EXE_wiregate")).unwrap();
    let (ours, theirs) = (version("0.1.0"), version("9.8.7"));
    let places: Vec<_> = memchr::memmem::find_iter(&program, &*ours).collect();
    assert!(!places.is_empty(), "the program says its version");
    for place in places {
        program[place..place + theirs.len()].copy_from_slice(&theirs);
    }
    let new = gateway.file("new");
    std::fs::write(&new, program).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&new, gateway.file("wiregate")).unwrap();
    let _new = upgrade(&gateway, &[]).unwrap();
    assert!(
        gateway.log().contains("version=\"wiregate/9.8.7\""),
        "{}",
        gateway.log()
    );
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
}

/// How the program writes its version where another one reads it.
fn version(version: &str) -> Vec<u8> {
    assert_eq!(env!("CARGO_PKG_VERSION"), "0.1.0");
    format!("wiregate/{version}").into_bytes()
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
