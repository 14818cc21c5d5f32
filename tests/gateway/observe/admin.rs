//! The admin API: probes, whom it answers, and what it shows of the configuration.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::super::harness::{Gateway, PATIENCE, complete, curl, until};
use super::gateway;

#[test]
fn probes_answer() {
    let (gateway, _origin) = gateway();
    for path in ["/livez", "/readyz"] {
        let answer = gateway.admin("GET", path);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "ok\n"),
            "{path}"
        );
        assert_eq!(gateway.admin("POST", path).status, 405);
    }
    let answer = gateway.admin("GET", "/readyz?verbose").json();
    assert_eq!(answer["ready"], true);
    assert_eq!(answer["generation"], 1);
    assert_eq!(
        answer["upstreams"]["app"],
        serde_json::json!({ "available": 1, "endpoints": 1 })
    );
    assert_eq!(gateway.admin("GET", "/other").status, 404);
}

#[test]
fn the_admin_api_does_not_answer_web_pages() {
    let gateway = Gateway::start("routes: [{ name: all, filters: [respond: 204] }]\n");
    let socket = gateway.file("admin.sock").display().to_string();
    let ask = |header: &str| {
        let url = "http://localhost/config";
        curl(&["--unix-socket", &socket, "-H", header, url]).status
    };
    for refused in ["origin: http://localhost", "origin: null"] {
        assert_eq!(ask(refused), 403, "{refused}");
    }
    // No browser comes over a Unix socket, and the host is whatever a client calls it there.
    for good in ["host: localhost", "host: wiregate", "host: a.example:1"] {
        assert_eq!(ask(good), 200, "{good}");
    }
    let url = "http://localhost/reload";
    let answer = curl(&[
        "--unix-socket",
        &socket,
        "-H",
        "origin: http://a.example",
        "-X",
        "POST",
        url,
    ]);
    assert_eq!(answer.status, 403);
    assert_eq!(gateway.metric("wiregate_config_generation"), 1.0);
}

#[test]
fn secrets_are_shown_as_written_and_never_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "Tr0ub4dor-from-file\n").unwrap();
    let keys = |extra: &str| {
        format!(
            "routes: [{{ name: all, filters: [api_key: {{ keys: [\
             {{ name: ann, key: \"${{env:WIREGATE_TEST_KEY}}\" }}, \
             {{ name: bob, key: \"${{file:{}}}\" }}] }}, \
             headers: {{ request: {{ set: {{ x-token: \"Bearer ${{env:WIREGATE_TEST_KEY}}\" }} }} }}, \
             respond: ok] }}]\n{extra}",
            secret.display()
        )
    };
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, complete(folder.path(), &keys(""), "{}")).unwrap();
    let gateway = Gateway::start_as(folder, &file, |command| {
        command.env("WIREGATE_TEST_KEY", "Tr0ub4dor-from-env");
    });
    for key in ["Tr0ub4dor-from-env", "Tr0ub4dor-from-file"] {
        assert_eq!(
            curl(&["-H", &format!("x-api-key: {key}"), &gateway.url("/")]).status,
            200
        );
    }
    let mut said = vec![gateway.admin("GET", "/config").text()];
    let config = gateway.admin("GET", "/config").json();
    assert_eq!(config["generation"], 1);
    let shown = &config["config"]["routes"][0]["filters"];
    assert_eq!(
        shown[0]["api_key"]["keys"][0]["key"],
        "${env:WIREGATE_TEST_KEY}"
    );
    let written = format!("${{file:{}}}", secret.display());
    assert_eq!(shown[0]["api_key"]["keys"][1]["key"], written);
    assert_eq!(
        shown[1]["headers"]["request"]["set"]["x-token"],
        "Bearer ${env:WIREGATE_TEST_KEY}"
    );

    // In places where they make no sense, so that a message is about them.
    for wrong in [
        "limits: { drain_deadline: \"${env:WIREGATE_TEST_KEY}\" }\n",
        "workers: ${env:WIREGATE_TEST_KEY}\n",
        "upstreams: { app: { endpoints: [\"${env:WIREGATE_TEST_KEY}\"] } }\n",
        "all_routes: { filters: [\"${env:WIREGATE_TEST_KEY}\"] }\n",
        "all_routes: { filters: [redirect: \"${env:WIREGATE_TEST_KEY}\"] }\n",
        "all_routes: { filters: [ip: { allow: \"${env:WIREGATE_TEST_KEY}\" }] }\n",
        "all_routes: { filters: [rate_limit: { limit: \"${env:WIREGATE_TEST_KEY}\" }] }\n",
        "filters: { a: \"${env:WIREGATE_TEST_KEY}\" }\n",
    ] {
        gateway.write(&keys(wrong));
        let answer = gateway.admin("POST", "/reload");
        assert_eq!(answer.status, 422, "{wrong}");
        said.push(answer.text());
    }
    gateway.write(
        &keys("")
            .replace("upstream: app", "")
            .replace("respond: ok", "")
            .replace(
                "name: all,",
                "name: \"${env:WIREGATE_TEST_KEY}\", upstream: \"${env:WIREGATE_TEST_KEY}\",",
            ),
    );
    said.push(gateway.admin("POST", "/reload").text());
    // Written out: refused, and not repeated, neither for this problem nor for one beside it.
    gateway.write(&keys("").replace(
        "${env:WIREGATE_TEST_KEY}\" }, ",
        "Tr0ub4dor-written-out\", x: 1 }, ",
    ));
    let answer = gateway.admin("POST", "/reload");
    assert_eq!(answer.status, 422);
    assert!(answer.text().contains("reference to a secret"));
    said.push(answer.text());
    until("the refusal is logged", || {
        gateway.log().contains("reference to a secret")
    });
    said.push(gateway.admin("GET", "/config?format=yaml").text());
    said.push(gateway.admin("GET", "/metrics").text());
    said.push(gateway.admin("GET", "/readyz?verbose").text());
    gateway.access_log(2);
    said.push(std::fs::read_to_string(gateway.file("access.log")).unwrap());
    said.push(gateway.log());
    for text in said {
        assert!(!text.to_lowercase().contains("tr0ub4dor"), "{text}");
    }
}

const ROUTE: &str = "routes: [{ name: all, filters: [respond: 204] }]\n";
const LIVEZ: &[u8] = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";

fn connect(gateway: &Gateway) -> UnixStream {
    let stream = UnixStream::connect(gateway.file("admin.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn it_goes_on_after_a_connection_could_not_be_accepted() {
    let gateway = Gateway::start(ROUTE);
    let pid = gateway.pid().to_string();
    let limit = |most: usize| {
        let limit = std::process::Command::new("prlimit")
            .args(["--pid", &pid, &format!("--nofile={most}:")])
            .status();
        assert!(limit.unwrap().success());
    };
    limit(gateway.descriptors());
    let mut waiting = connect(&gateway);
    waiting.write_all(LIVEZ).unwrap();
    until("it cannot accept", || {
        gateway.log().contains("cannot accept a connection")
    });
    limit(1024);
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(gateway.admin("GET", "/readyz").status, 200);
}

#[test]
fn who_says_nothing_gives_way_to_those_beyond_the_most() {
    let gateway = Gateway::start(ROUTE);
    let mut silent: Vec<_> = (0..64).map(|_| connect(&gateway)).collect();
    let mut next = connect(&gateway);
    next.write_all(LIVEZ).unwrap();
    // Sooner than any of them has to go by itself.
    next.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut first = [0; 12];
    next.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let mut rest = String::new();
    silent[0].set_read_timeout(Some(PATIENCE)).unwrap();
    silent[0].read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "the one that was there longest");
    // The others are still heard.
    silent[63].write_all(LIVEZ).unwrap();
    silent[63].read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
}

#[test]
fn no_connection_stays_for_long() {
    let gateway = Gateway::start(ROUTE);
    let mut silent = connect(&gateway);
    let mut slow = connect(&gateway);
    slow.write_all(b"GET /livez HTTP/1.1\r\n").unwrap();
    let mut answered = connect(&gateway);
    let start = Instant::now();
    answered.write_all(LIVEZ).unwrap();
    let mut answer = String::new();
    answered.read_to_string(&mut answer).unwrap();
    assert!(start.elapsed() < Duration::from_secs(8), "it was kept open");
    let lower = answer.to_lowercase();
    assert!(lower.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(lower.contains("\r\ncontent-length: 3\r\n"), "{answer}");
    for stream in [&mut silent, &mut slow] {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}
