//! What happens where descriptors run out.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::super::harness::{Gateway, complete, curl, echo, until, upstream};
use super::super::upgrade::{upgrade, who};
use super::{WHO, ask, connect, start};

#[test]
fn without_descriptors_accepting_pauses_and_goes_on() {
    let gateway = start("{ public: { bind: \"127.0.0.1:0\" } }", WHO);
    let limit = |most: usize| {
        let status = std::process::Command::new("prlimit")
            .args(["--pid", &gateway.pid().to_string()])
            .arg(format!("--nofile={most}:"))
            .status();
        assert!(status.unwrap().success());
    };
    let mut open = connect(gateway.address());
    assert!(ask(&mut open).starts_with("HTTP/1.1 200"));
    limit(gateway.descriptors());
    let waiting = connect(gateway.address());
    until("accepting fails", || {
        gateway.log().contains("accepting pauses")
    });
    assert!(ask(&mut open).starts_with("HTTP/1.1 200"));
    limit(1024);
    let mut waiting = waiting;
    assert!(ask(&mut waiting).starts_with("HTTP/1.1 200"));
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
}

/// A gateway that may have so many descriptors.
fn start_with_few(text: &str, most: usize) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(file, complete(folder.path(), text, "{}")).unwrap();
    let program = env!("CARGO_BIN_EXE_wiregate");
    let command = format!("ulimit -n {most}; exec {program} run --config wiregate.yaml");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &command]).env("NO_COLOR", "1");
    Gateway::start_command(folder, shell, |_| {})
}

#[test]
fn clients_and_their_endpoints_leave_descriptors_for_reloads_and_upgrades() {
    let (origin, most) = (echo(), 144);
    let limits = "workers: 2\nlimits: { drain_deadline: 1s }\n";
    let text = limits.to_owned() + &upstream(&origin) + "routes: [{ name: all, upstream: app }]\n";
    let gateway = start_with_few(&text, most);
    let mut crowd: Vec<_> = (0..150).map(|_| connect(gateway.address())).collect();
    until("the others wait", || {
        gateway.log().contains("accepting pauses")
    });
    // Each of those that are in has an endpoint answer it, at last, and needs a descriptor more.
    for client in &mut crowd {
        let asked = client.write_all(b"GET /?delay=30s HTTP/1.1\r\nhost: a\r\n\r\n");
        asked.unwrap();
    }
    let refused =
        "wiregate_upstream_errors_total{error=\"connection_limit_reached\",upstream=\"app\"}";
    until("endpoints have all that they may", || {
        gateway.metric(refused) > 0.0
    });
    assert!(
        gateway.descriptors() <= most - 14,
        "{} of {most}",
        gateway.descriptors()
    );
    let blamed = gateway.log().contains("cannot be reached");
    assert!(!blamed, "{}", gateway.log());
    gateway.reload(&text.replace("name: all", "name: other"));
    let new = upgrade(&gateway, &[]).unwrap();
    assert_eq!(who(&gateway), new.0);
    let log = gateway.log();
    let said = log.lines().filter(|line| line.contains("accepting pauses"));
    assert!(
        (1..=2).contains(&said.count()),
        "by each process once: {log}"
    );
    drop(crowd);
    // Each of them is missed in its own time.
    until("there is a descriptor again", || {
        curl(&[&gateway.url("/")]).status == 200
    });
}

#[test]
fn a_health_check_without_a_descriptor_says_nothing_of_its_endpoint() {
    let routes = "workers: 2\nroutes: [{ name: all, filters: [respond: ok] }]\n";
    let most = 144;
    let gateway = start_with_few(routes, most);
    // Nobody answers there, so that each check has its descriptor for as long as it may take.
    let silent: Vec<_> = (0..most)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let endpoints = silent.iter().map(|it| it.local_addr().unwrap().to_string());
    let endpoints: Vec<_> = endpoints.map(|it| format!("\"{it}\"")).collect();
    let health = "health: { http: /, every: 2m, timeout: 1m, unhealthy_after: 1 }";
    let upstreams = format!(
        "upstreams: {{ app: {{ endpoints: [{}], {health} }} }}\n",
        endpoints.join(", ")
    );
    gateway.reload(&(upstreams + routes));
    let checks = |result: &str| {
        let labels = format!("{{result=\"{result}\",upstream=\"app\"}}");
        gateway.metric(&format!("wiregate_upstream_health_checks_total{labels}"))
    };
    until("some checks are not made", || checks("skipped") > 5.0);
    assert!(
        gateway.descriptors() <= most - 6,
        "{} of {most}",
        gateway.descriptors()
    );
    assert_eq!(checks("failed"), 0.0);
    let ready = gateway.admin("GET", "/readyz?verbose").json();
    let app = &ready["upstreams"]["app"];
    assert_eq!(app["available"], app["endpoints"], "{}", gateway.log());
    gateway.reload(routes);
}

#[test]
fn where_descriptors_run_out_connections_that_do_nothing_make_room() {
    let text = "workers: 2\nroutes: [{ name: all, filters: [respond: ok] }]\n";
    let gateway = start_with_few(text, 144);
    let _idle: Vec<_> = (0..100).map(|_| connect(gateway.address())).collect();
    until("the others wait", || {
        gateway.log().contains("accepting pauses")
    });
    // Far fewer than a crowd is by its number; by themselves they would stay for a minute.
    let start = Instant::now();
    // A worker that has not paused yet takes one of them. All ask at once: who says nothing makes room as well.
    std::thread::scope(|scope| {
        let asked = || ask(&mut connect(gateway.address()));
        let last: Vec<_> = (0..4).map(|_| scope.spawn(asked)).collect();
        for one in last {
            let answer = one.join().unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    });
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
}
