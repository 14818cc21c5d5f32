//! The service as systemd sees it: what it is told, on a socket that is listened to here; the
//! command lines of the unit; sockets that systemd passes; and what the unit allows.

mod busy;
mod hanging;
mod ready;
mod real;

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::harness::{Echo, Gateway, PATIENCE, complete, curl, echo, until, upstream};
use super::protocols::peers::{read_head, send};
use super::upgrade::{Process, start_in, upgrade};

const ROUTE: &str = "routes: [{ name: all, upstream: app }]\n";
const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/wiregate.service");

/// Where systemd would listen.
struct Listener {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Listener {
    fn new(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let heard = Vec::new();
        Self { socket, heard }
    }

    /// Waits until this has been told since it was last asked for.
    fn until(&mut self, what: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(place) = self.heard.iter().position(|told| told.contains(what)) {
                let told = self.heard.drain(..=place).next_back();
                return told.unwrap();
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{what:?} is not told: {:?}",
                self.heard
            );
            self.listen();
        }
    }

    fn listen(&mut self) {
        let mut told = [0; 4096];
        if let Ok(length) = self.socket.recv(&mut told) {
            let told = String::from_utf8_lossy(&told[..length]);
            self.heard.extend(told.lines().map(str::to_owned));
        }
    }
}

/// A line of the unit, as a command that runs the program under test with another configuration.
fn command(folder: &Path, key: &str) -> Command {
    let unit = std::fs::read_to_string(UNIT).unwrap();
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let line = line.unwrap_or_else(|| panic!("no {key} in the unit"));
    let mut words = line.trim_start_matches('-').split(' ');
    assert_eq!(words.next(), Some("/usr/bin/wiregate"));
    let file = folder.join("wiregate.yaml").display().to_string();
    let words = words.map(|word| word.replace("/etc/wiregate/wiregate.yaml", &file));
    let mut command = Command::new(folder.join("wiregate"));
    command.args(words).env("NO_COLOR", "1");
    command
}

/// A service that starts by the unit's command, and what it tells.
fn service(configuration: &str, change: impl FnOnce(&mut Command)) -> (Gateway, Listener) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(file, complete(folder.path(), configuration, "{}")).unwrap();
    let notify = folder.path().join("notify");
    let listener = Listener::new(&notify);
    let start = command(folder.path(), "ExecStart");
    let gateway = start_in(folder, |command| {
        assert_eq!(
            command.get_args().collect::<Vec<_>>(),
            start.get_args().collect::<Vec<_>>(),
            "the unit starts it like this"
        );
        command.env("NOTIFY_SOCKET", notify);
        change(command);
    });
    (gateway, listener)
}

#[test]
fn the_units_commands_check_start_and_reload() {
    let origin = echo();
    let (gateway, mut told) = service(&(upstream(&origin) + ROUTE), |_| {});
    told.until("READY=1");
    assert!(
        command(gateway.folder(), "ExecStartPre")
            .output()
            .unwrap()
            .status
            .success()
    );
    let reload = || command(gateway.folder(), "ExecReload").output().unwrap();
    assert!(reload().status.success());
    told.until("STATUS=configuration 2, ");
    gateway.write("routes: [{}]\n");
    let refused = reload();
    assert_eq!(refused.status.code(), Some(78));
    let checked = command(gateway.folder(), "ExecStartPre").output().unwrap();
    assert_eq!(checked.status.code(), Some(78));
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
}

#[test]
fn the_state_tells_configuration_connections_and_drain() {
    let origin = echo();
    let limits = "limits: { drain_deadline: 20s }\n";
    let (mut gateway, mut told) = service(&(upstream(&origin) + ROUTE + limits), |_| {});
    told.until("STATUS=configuration 1, 0 connections");
    let mut slow = send(
        gateway.address(),
        "GET /?delay=6s HTTP/1.1\r\nhost: a\r\n\r\n",
    );
    told.until("STATUS=configuration 1, 1 connections");
    gateway.signal("TERM");
    told.until("STOPPING=1");
    // However long the unit would wait.
    told.until("EXTEND_TIMEOUT_USEC=32000000");
    told.until("STATUS=draining: 1 connections left, cut off in 1");
    assert!(read_head(&mut slow).starts_with("HTTP/1.1 200 "));
    assert_eq!(gateway.wait().code(), Some(0));
}

/// A service with its endpoint, and a request in flight that takes nine seconds.
fn busy_service() -> (Echo, Gateway, Listener, TcpStream) {
    let origin = echo();
    let (gateway, mut told) = service(&(upstream(&origin) + ROUTE), |_| {});
    told.until("READY=1");
    let slow = send(
        gateway.address(),
        "GET /?delay=9s HTTP/1.1\r\nhost: a\r\n\r\n",
    );
    told.until("1 connections");
    (origin, gateway, told, slow)
}

#[test]
fn the_new_process_tells_that_it_is_ready_and_who_still_finishes() {
    let (_origin, mut gateway, mut told, mut slow) = busy_service();
    let new = upgrade(&gateway, &[]).unwrap();
    told.until(&format!("process {} finishes what it has", gateway.pid()));
    let newest = upgrade(&gateway, &[]).unwrap();
    let both = format!("processes {}, {} finish", gateway.pid(), new.0);
    told.until(&both);
    assert!(read_head(&mut slow).starts_with("HTTP/1.1 200 "));
    drop(slow);
    assert_eq!(gateway.wait().code(), Some(0));
    until("the second ends", || !new.runs());
    assert!(newest.runs());
}

#[test]
fn the_new_main_process_is_told_before_the_old_one_ends_and_again_where_the_new_one_fails() {
    let (_origin, mut gateway, mut told, _slow) = busy_service();
    let new = upgrade(&gateway, &[]).unwrap();
    told.until(&format!("MAINPID={}", new.0));
    new.signal("KILL");
    told.until(&format!("MAINPID={}", gateway.pid()));
    assert_eq!(gateway.wait().code(), Some(1));
}

#[test]
fn signs_of_life_come_from_whoever_serves() {
    let origin = echo();
    let (gateway, mut told) = service(&(upstream(&origin) + ROUTE), |command| {
        command.env("WATCHDOG_USEC", "400000");
    });
    for _ in 0..3 {
        told.until("WATCHDOG=1");
    }
    let new = upgrade(&gateway, &[]).unwrap();
    told.until("MAINPID=");
    told.until("WATCHDOG=1"); // of the new one
    drop(new);
}

/// Upgrades the gateway that this child of ours has become, and gives the new process.
fn taken_over(admin: &str, mut child: Child, old: Process) -> Process {
    let url = "http://localhost/upgrade";
    let upgraded = curl(&["--unix-socket", admin, "-X", "POST", url]);
    assert_eq!(upgraded.status, 200, "{}", upgraded.text());
    let new = upgraded.json()["pid"].as_u64().unwrap();
    assert!(child.wait().unwrap().success());
    old.keep(); // it has ended: its number may be another's
    Process(u32::try_from(new).unwrap())
}

#[test]
fn sockets_that_systemd_has_opened_are_used_and_outlive_restarts_and_upgrades() {
    let activate = "systemd-socket-activate"; // of Debian's package systemd
    let origin = echo();
    let folder = tempfile::tempdir().unwrap();
    let free = || {
        std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    };
    let address = free();
    let listener = format!("listeners: {{ public: {{ bind: \"{address}\" }} }}");
    let text = complete(folder.path(), &(upstream(&origin) + ROUTE), "{}");
    let text = text.replace(
        "listeners: { public: { bind: \"127.0.0.1:0\" } }",
        &listener,
    );
    assert!(text.contains(&listener), "{text}");
    std::fs::write(folder.path().join("wiregate.yaml"), text).unwrap();
    let program = env!("CARGO_BIN_EXE_wiregate");
    let child = Command::new(activate)
        .args(["-l", &address.to_string(), program, "run", "--config"])
        .arg(folder.path().join("wiregate.yaml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let first = Process(child.id()); // it becomes the gateway
    until("somebody listens", || {
        std::net::TcpStream::connect(address).is_ok()
    });
    let url = format!("http://{address}/");
    until("it answers", || curl(&[&url]).status == 200);
    let admin = folder.path().join("admin.sock").display().to_string();
    let new = taken_over(&admin, child, first);
    assert_eq!(curl(&[&url]).status, 200);
    drop(new);
    until("nobody listens any more", || {
        std::net::TcpStream::connect(address).is_err()
    });

    // One that nobody asks for is an error.
    let other = free();
    let mut child = Command::new("systemd-socket-activate")
        .args(["-l", &other.to_string(), program, "run", "--config"])
        .arg(folder.path().join("wiregate.yaml"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("somebody listens", || {
        std::net::TcpStream::connect(other).is_ok()
    });
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert!(
        said.contains(&format!("systemd passes a socket on {other}")),
        "{said}"
    );
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn the_file_of_a_socket_that_systemd_has_opened_stays_whoever_ends() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let text = format!(
        "version: 1\naccess_log: off\nlisteners: {{ public: {{ bind: \"unix:{}\" }}, own: {{ bind: \"unix:{}\" }} }}\n\
         admin: {{ bind: \"unix:{}\" }}\nroutes: [{{ name: all, filters: [respond: 204] }}]\n",
        at("public.sock"),
        at("own.sock"),
        at("admin.sock")
    );
    std::fs::write(at("wiregate.yaml"), text).unwrap();
    let child = Command::new("systemd-socket-activate")
        .args(["-l", &at("public.sock"), env!("CARGO_BIN_EXE_wiregate")])
        .args(["run", "--config", &at("wiregate.yaml")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let first = Process(child.id());
    let public = at("public.sock");
    let ask = || curl(&["--unix-socket", &public, "http://localhost/"]).status;
    until("it answers", || ask() == 204);
    let admin = at("admin.sock");
    let new = taken_over(&admin, child, first);
    assert_eq!(ask(), 204);
    new.signal("TERM");
    until("it has ended", || !new.runs());
    // systemd still listens there; what the gateway has opened itself goes with it.
    assert!(Path::new(&public).exists());
    assert!(!Path::new(&at("own.sock")).exists());
}

#[test]
fn the_unit_is_well_formed_and_allows_little() {
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", UNIT])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "more exposed than 2.0: {said}");
    let folder = tempfile::tempdir().unwrap();
    let unit = std::fs::read_to_string(UNIT).unwrap();
    let copy = folder.path().join("wiregate.service");
    let without_page = unit.replace("Documentation=man:wiregate(1)\n", "");
    let text = without_page.replace("/usr/bin/wiregate", env!("CARGO_BIN_EXE_wiregate"));
    std::fs::write(&copy, text).unwrap();
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&copy)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("wiregate.service:"), "{said}");
}
