//! The process: how it starts and ends, signals, and the other commands.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::harness::{Gateway, PATIENCE, complete, curl, echo, until, upstream, wiregate};

const ROUTE: &str = "routes: [{ name: all, upstream: app }]\n";

/// Kills a process that a failed test leaves behind.
struct Kill(Child);

impl Drop for Kill {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A connection with a request on it whose answer takes this long.
fn slow_request(gateway: &Gateway, origin: &wiregate::echo::Echo, delay: &str) -> TcpStream {
    let stats = format!("http://{}/__stats", origin.addresses()[0]);
    let before = curl(&[&stats]).json()["requests"].as_u64().unwrap();
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("GET /?delay={delay} HTTP/1.1\r\nhost: a.example\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    until("the origin has the request", || {
        curl(&[&stats]).json()["requests"].as_u64().unwrap() > before
    });
    stream
}

fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    // A reset is an end as well.
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn term_lets_requests_finish_refuses_connections_and_closes_idle_ones() {
    let origin = echo();
    let mut gateway = Gateway::start(&(upstream(&origin) + ROUTE));
    let mut idle = TcpStream::connect(gateway.address()).unwrap();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    idle.write_all(b"GET /idle HTTP/1.1\r\nhost: a.example\r\n\r\n")
        .unwrap();
    let mut seen = [0; 12];
    idle.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"HTTP/1.1 200");
    let in_flight = slow_request(&gateway, &origin, "2s");
    assert_eq!(gateway.admin("GET", "/readyz").text(), "ok\n");

    let address = gateway.address();
    gateway.signal("TERM");
    until("connections are refused", || {
        TcpStream::connect(address).is_err()
    });
    let ready = gateway.admin("GET", "/readyz");
    assert_eq!((ready.status, ready.text().as_str()), (503, "draining\n"));
    assert_eq!(gateway.admin("GET", "/livez").status, 200);
    rest(idle); // ends: the gateway has closed it
    assert_eq!(
        gateway.metric("wiregate_requests_in_flight{route=\"all\"}"),
        1.0
    );

    let answer = rest(in_flight);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\"query\":\"delay=2s\""), "{answer}");
    assert_eq!(gateway.wait().code(), Some(0));
    assert_eq!(gateway.access_log(2).len(), 2);
    assert!(!gateway.file("admin.sock").exists());
}

#[test]
fn requests_that_take_longer_than_the_drain_are_cut_off() {
    let origin = echo();
    let text = upstream(&origin) + ROUTE + "limits: { drain_deadline: 200ms }\n";
    let mut gateway = Gateway::start(&text);
    let in_flight = slow_request(&gateway, &origin, "60s");
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(rest(in_flight), "");
    gateway.tells("the drain deadline is over");
}

#[test]
fn int_ends_at_once() {
    let origin = echo();
    let mut gateway = Gateway::start(&(upstream(&origin) + ROUTE));
    let in_flight = slow_request(&gateway, &origin, "60s");
    let start = Instant::now();
    gateway.signal("INT");
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(rest(in_flight), "");
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_listener() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let route = "routes: [{ name: a, filters: [respond: 204] }]\n";
    for (config, message) in [
        (
            format!("listeners: {{ shop: {{ bind: \"{address}\" }} }}\n"),
            format!("wiregate: listener `shop` cannot bind {address}: "),
        ),
        (
            format!(
                "listeners: {{ shop: {{ bind: \"127.0.0.1:0\" }} }}\nadmin: {{ bind: \"{address}\" }}\n"
            ),
            format!("wiregate: the admin API cannot bind {address}: "),
        ),
    ] {
        let file = folder.path().join("w.yaml");
        std::fs::write(
            &file,
            format!("version: 1\naccess_log: off\n{config}{route}"),
        )
        .unwrap();
        let output = wiregate(&["run", "--config", file.to_str().unwrap()])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&message), "{said}");
    }
}

#[test]
fn a_gateway_takes_the_place_of_one_that_was_killed() {
    let route = "routes: [{ name: all, filters: [respond: 204] }]\n";
    let mut gateway = Gateway::start(route);
    gateway.signal("KILL");
    assert!(!gateway.wait().success());
    assert!(gateway.file("admin.sock").exists());
    let file = gateway.file("wiregate.yaml");
    let mut next = Kill(
        wiregate(&["run", "--config", file.to_str().unwrap()])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    until("the next one is ready", || {
        assert_eq!(next.0.try_wait().unwrap(), None);
        gateway.admin("GET", "/readyz").status == 200
    });
}

#[test]
fn a_second_gateway_leaves_the_first_ones_admin_socket_alone() {
    let route = "routes: [{ name: all, filters: [respond: 204] }]\n";
    let gateway = Gateway::start(route);
    let file = gateway.file("second.yaml");
    std::fs::write(&file, complete(gateway.folder(), route, "{}")).unwrap();
    let output = wiregate(&["run", "--config", file.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the admin API cannot bind unix:"), "{said}");
    assert_eq!(gateway.admin("GET", "/readyz").status, 200);
}

#[test]
fn the_echo_command_answers_and_ends_with_a_signal() {
    let child = wiregate(&["echo", "--bind", "127.0.0.1:0", "--bind", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Kill(child);
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    for _ in 0..2 {
        let line = lines.next().unwrap().unwrap();
        let (_, address) = line.split_once("address=").unwrap();
        let answer = curl(&[&format!("http://{}/hello?x=1", address.trim())]);
        assert_eq!(answer.json()["path"], "/hello");
    }
    let pid = child.0.id().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-s", "TERM", &pid])
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

#[test]
fn run_can_bring_an_echo_server_along() {
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let text = format!("upstreams: {{ app: {{ endpoints: [\"{free}\"] }} }}\n{ROUTE}");
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, complete(folder.path(), &text, "{}")).unwrap();
    let gateway = Gateway::start_as(folder, &file, |command| {
        command.args(["--echo", &free.to_string()]);
    });
    assert_eq!(curl(&[&gateway.url("/a")]).json()["path"], "/a");
    let admin = format!("unix:{}", gateway.file("admin.sock").display());
    let upgrade = wiregate(&["upgrade", "--admin", &admin]).output().unwrap();
    let said = String::from_utf8_lossy(&upgrade.stderr);
    assert_eq!(upgrade.status.code(), Some(1), "{said}");
    assert!(
        said.contains("was started with `--echo` cannot be upgraded"),
        "{said}"
    );
}

#[test]
fn help_and_version_are_printed_and_mistakes_are_usage_errors() {
    let run = |arguments: &[&str]| {
        let output = wiregate(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text, said)
    };
    let (code, text, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for command in [
        "run",
        "check",
        "explain",
        "reload",
        "upgrade",
        "schema",
        "docs",
        "man",
        "completions",
        "cert",
        "cache",
        "top",
        "echo",
    ] {
        assert!(
            text.contains(&format!("\n  {command} ")),
            "{command} in {text}"
        );
        let (code, text, _) = run(&[command, "--help"]);
        assert_eq!(code, Some(0), "{command}");
        assert!(text.contains(&format!("wiregate {command}")), "{text}");
    }
    let (code, text, _) = run(&["--version"]);
    assert_eq!(
        (code, text),
        (Some(0), format!("wiregate {}\n", env!("CARGO_PKG_VERSION")))
    );
    for wrong in [&["serve"][..], &["run", "--confg", "x"], &[]] {
        let (code, _, said) = run(wrong);
        assert_eq!(code, Some(2), "{wrong:?}");
        assert!(said.contains("Usage: wiregate"), "{said}");
    }
}

#[test]
fn a_second_signal_ends_the_drain_at_once() {
    for second in ["TERM", "INT"] {
        let origin = echo();
        let mut gateway = Gateway::start(&(upstream(&origin) + ROUTE));
        let in_flight = slow_request(&gateway, &origin, "60s");
        gateway.signal("TERM");
        until("the gateway drains", || {
            gateway.log().contains("no more connections")
        });
        let start = Instant::now();
        gateway.signal(second);
        assert_eq!(gateway.wait().code(), Some(0), "{second}");
        assert!(start.elapsed() < Duration::from_secs(10), "{second}");
        assert_eq!(rest(in_flight), "", "{second}");
        gateway.tells("cut off by a signal");
    }
}
