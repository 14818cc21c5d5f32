//! What the gateway does when more comes than it can take.

mod crowd;
mod memory;
mod pace;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use super::harness::{
    Answer, Gateway, PATIENCE, complete, curl, echo, raw, until, upstream, wiregate,
};

/// One worker, whose delay is long from 5 ms on.
const QUICK: &str =
    "workers: 1\nlimits: { overload: { delay: 5ms, during: 50ms }, never_shed: [/healthz] }\n";
const ROUTES: &str = "routes: [{ name: all, upstream: app }, { name: health, match: { path: /healthz }, upstream: app }]\n";
/// A queue of requests that waits for some seconds in a build without optimisation.
const CONNECTIONS: usize = 32;
const EACH: usize = 300;

/// Sends so many requests at once on one connection, and counts the answers by their status.
fn pipeline(address: SocketAddr, path: &str, count: usize) -> (usize, usize, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut writing = stream.try_clone().unwrap();
    let requests = request.repeat(count);
    let writer = thread::spawn(move || writing.write_all(requests.as_bytes()).unwrap());
    let (mut read, mut piece) = (String::new(), [0; 16 * 1024]);
    let statuses = |read: &str, status: &str| read.matches(&format!("HTTP/1.1 {status} ")).count();
    loop {
        let (good, shed) = (statuses(&read, "200"), statuses(&read, "503"));
        if good + shed == count && read.ends_with('\n') || good == count {
            writer.join().unwrap();
            return (good, shed, read);
        }
        let more = stream.read(&mut piece).unwrap();
        assert!(more > 0, "the connection ends after {good} and {shed}");
        read.push_str(&String::from_utf8_lossy(&piece[..more]));
    }
}

/// Many such connections at once; how many requests were answered, and how many shed.
fn flood(address: SocketAddr) -> (usize, usize, String) {
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|_| thread::spawn(move || pipeline(address, "/", EACH)))
        .collect();
    let mut sum = (0, 0, String::new());
    for thread in threads {
        let (good, shed, read) = thread.join().unwrap();
        sum = (sum.0 + good, sum.1 + shed, read);
    }
    sum
}

#[test]
fn requests_are_shed_while_a_worker_has_too_much_to_do() {
    let origin = echo();
    let gateway = Gateway::start(&format!("{QUICK}{}{ROUTES}", upstream(&origin)));
    let address = gateway.address();
    let flooding = thread::spawn(move || flood(address));
    until("it is overloaded", || {
        let ready = gateway.admin("GET", "/readyz?verbose");
        assert_eq!(ready.status, 200, "{}", ready.text());
        ready.json()["overloaded_workers"] == 1 || gateway.log().contains("overloaded any more")
    });
    // Whoever asks whether it is well gets an answer all the same.
    let (healthy, unhealthy, _) = pipeline(address, "/healthz", 20);
    assert_eq!((healthy, unhealthy), (20, 0));
    let (good, shed, read) = flooding.join().unwrap();
    assert_eq!(good + shed, CONNECTIONS * EACH);
    assert!(good > 0 && shed > 0, "{good} {shed}");
    let of_shed = read.split("HTTP/1.1 503 ").nth(1).unwrap_or_default();
    for field in [
        "retry-after: ",
        "proxy-status: wiregate; error=proxy_internal_response; details=\"overloaded\"",
        "content-type: application/problem+json",
        "x-request-id: ",
        "urn:wiregate:overloaded",
    ] {
        assert!(of_shed.contains(field), "{field}: {of_shed}");
    }
    assert!(!of_shed.contains("connection: close"), "{of_shed}");

    until("it is not overloaded any more", || {
        gateway
            .log()
            .contains("a worker is not overloaded any more")
    });
    assert_eq!(gateway.metric("wiregate_overloaded_workers"), 0.0);
    let counted = gateway.metric("wiregate_requests_shed_total{reason=\"delay\"}");
    assert_eq!(counted, shed as f64);
    assert!(gateway.metric("wiregate_worker_delay_seconds_count") >= 2.0);
    let begun = gateway.log().matches("a worker is overloaded").count();
    assert!(begun <= 10, "it is said at the beginning: {begun}");
    let logged = gateway.access_log(shed);
    let logged = (logged.iter()).filter(|line| line["error"] == "overloaded");
    assert!(
        logged
            .clone()
            .all(|line| line["status"] == 503 && line["detail"] == "delay")
    );
    assert_eq!(logged.count(), shed);
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
}

#[test]
fn where_it_is_off_nothing_is_shed() {
    let origin = echo();
    let gateway = Gateway::start(&format!(
        "workers: 1\nlimits: {{ overload: off }}\n{}{ROUTES}",
        upstream(&origin)
    ));
    let (address, count) = (gateway.address(), CONNECTIONS * 50);
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|_| thread::spawn(move || pipeline(address, "/", 50)))
        .collect();
    let answered: usize = (threads.into_iter())
        .map(|thread| thread.join().unwrap().0)
        .sum();
    assert_eq!(answered, count);
}

#[test]
fn a_burst_is_served() {
    let origin = echo();
    // Each burst makes the wait long, but not for two seconds.
    let gateway = Gateway::start(&format!(
        "workers: 1\nlimits: {{ overload: {{ delay: 1ms, during: 2s }} }}\n{}{ROUTES}",
        upstream(&origin)
    ));
    let address = gateway.address();
    for _ in 0..5 {
        let threads: Vec<_> = (0..64)
            .map(|_| thread::spawn(move || pipeline(address, "/", 1)))
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap().0, 1);
        }
    }
    assert!(!gateway.log().contains("overloaded"), "{}", gateway.log());
}

/// An origin that answers each request when it is told to.
fn patient_origin() -> (SocketAddr, Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (go, told) = channel::<()>();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            if told.recv().is_err() {
                return;
            }
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
        }
    });
    (address, go)
}

/// A gateway with room for one request, which has it; the origin and the client that wait.
fn full() -> (Gateway, Sender<()>, thread::JoinHandle<Answer>) {
    full_with("{}", |text| text)
}

/// The same with these options of the listener, and another configuration.
fn full_with(
    listener: &str,
    change: impl FnOnce(String) -> String,
) -> (Gateway, Sender<()>, thread::JoinHandle<Answer>) {
    let (origin, go) = patient_origin();
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "limits: {{ requests: 1, retry_after: 5s, never_shed: [/healthz] }}\n\
         upstreams: {{ app: {{ endpoints: [\"{origin}\"] }} }}\n\
         routes: [{{ name: all, upstream: app }}, \
         {{ name: health, match: {{ path: /healthz }}, filters: [respond: 200] }}]\n"
    );
    let file = folder.path().join("wiregate.yaml");
    let text = change(complete(folder.path(), &text, listener));
    std::fs::write(&file, text).unwrap();
    let gateway = Gateway::start_file(folder, &file);
    let url = gateway.url("/");
    let first = thread::spawn(move || curl(&[&url]));
    until("the first one is under way", || {
        gateway.metric("wiregate_upstream_requests_in_flight{upstream=\"app\"}") == 1.0
    });
    (gateway, go, first)
}

#[test]
fn there_is_room_for_so_many_requests() {
    let (gateway, go, first) = full();
    let shed = curl(&[&gateway.url("/second?x=1")]);
    assert_eq!(shed.status, 503);
    let after: u64 = shed.header("retry-after").parse().unwrap();
    assert!((5..=10).contains(&after), "{after}");
    let body = shed.json();
    assert_eq!(body["type"], "urn:wiregate:overloaded");
    assert_eq!(body["detail"], "as many requests are under way as may be");
    let id = format!("urn:request:{}", shed.header("x-request-id"));
    assert_eq!(body["instance"], id);
    let head = "HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let head = raw(gateway.address(), head.as_bytes());
    assert!(
        head.starts_with("HTTP/1.1 503 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    assert_eq!(curl(&[&gateway.url("/healthz")]).status, 200);
    assert_eq!(
        gateway.metric("wiregate_requests_shed_total{reason=\"requests\"}"),
        2.0
    );
    go.send(()).unwrap();
    assert_eq!(first.join().unwrap().status, 204);
    go.send(()).unwrap();
    assert_eq!(curl(&[&gateway.url("/")]).status, 204);
}

#[test]
fn a_connection_goes_on_where_its_request_has_come_whole() {
    let (gateway, _go, _first) = full();
    let whole = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    let chunked =
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let last = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let said = raw(
        gateway.address(),
        format!("{whole}{chunked}{last}").as_bytes(),
    );
    assert_eq!(said.matches("HTTP/1.1 503 ").count(), 3, "{said}");
    assert_eq!(said.matches("connection: close").count(), 1, "{said}");
    // What has not come is not waited for, and what comes then is no request.
    let half = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    let expecting =
        "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    let old = "GET / HTTP/1.0\r\n\r\n";
    for request in [half, expecting, old] {
        let said = raw(gateway.address(), request.as_bytes());
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{said}");
        assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
        assert!(said.contains("connection: close"), "{said}");
    }
    // An old client says that it wants it to go on, and is told that it does.
    let old = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
    let said = raw(gateway.address(), format!("{old}{old}{last}").as_bytes());
    assert_eq!(said.matches("HTTP/1.1 503 ").count(), 3, "{said}");
    assert_eq!(said.matches("connection: keep-alive").count(), 2, "{said}");
}

#[test]
fn streams_and_calls_are_shed_as_they_expect() {
    let (gateway, _go, _first) = full();
    let shed = curl(&["--http2-prior-knowledge", "-d", "body", &gateway.url("/")]);
    assert_eq!((shed.status, &*shed.version), (503, "2"));
    assert_eq!(shed.json()["type"], "urn:wiregate:overloaded");
    assert!(shed.header("proxy-status").contains("overloaded"));
    let call = curl(&[
        "--http2-prior-knowledge",
        "-H",
        "content-type: application/grpc+proto",
        "-d",
        "x",
        &gateway.url("/a.B/C?k=s3cr3t"),
    ]);
    assert_eq!((call.status, call.body.len()), (200, 0));
    assert_eq!(call.header("grpc-status"), "14");
    assert_eq!(call.header("content-type"), "application/grpc+proto");
    let logged = gateway.access_log(2);
    let shed = (logged.iter()).filter(|line| line["error"] == "overloaded");
    assert_eq!(shed.count(), 2);
    // No filter has taken keys out of the query.
    assert!(logged.iter().all(|line| {
        line["target"]
            .as_str()
            .is_some_and(|it| !it.contains("s3cr3t"))
    }));
    assert_eq!(logged[1]["target"], "/a.B/C");
    // They took no time that would tell how long requests take.
    let failed = "wiregate_requests_failed_total{reason=\"overloaded\",route=\"-\"}";
    assert_eq!(gateway.metric(failed), 2.0);
    let timed = "wiregate_request_duration_seconds_count{route=\"-\"}";
    assert_eq!(gateway.metric(timed), 0.0);
}

#[test]
fn lines_of_shed_requests_name_the_client_and_heed_the_condition() {
    let condition =
        "request.path != \"/quiet\" && client.address != \"203.0.113.9\" && response.status == 503";
    let (gateway, _go, _first) = full_with("{ trusted_proxies: [127.0.0.0/8] }", |text| {
        let changed = text.replace(
            "access.log\" }",
            &format!("access.log\", when: '{condition}' }}"),
        );
        assert_ne!(changed, text);
        changed
    });
    let ask = |more: &[&str], path: &str, client: &str| {
        let (url, field) = (gateway.url(path), format!("x-forwarded-for: {client}"));
        let mut arguments = vec!["-H", field.as_str(), url.as_str()];
        arguments.extend(more);
        assert_eq!(curl(&arguments).status, 503);
    };
    let h2 = &["--http2-prior-knowledge"][..];
    for protocol in [&[][..], h2] {
        ask(protocol, "/quiet", "203.0.113.7");
        ask(protocol, "/loud", "203.0.113.9");
        ask(protocol, "/loud", "198.51.100.1, 203.0.113.7, 127.0.0.3");
        // Where the proxies' words do not tell, it is the proxy itself.
        ask(protocol, "/loud", "nobody");
    }
    ask(h2, "/last", "203.0.113.8");
    let lines = gateway.access_log(5);
    let lines: Vec<_> = (lines.iter())
        .map(|line| {
            (
                line["target"].as_str().unwrap(),
                line["client"].as_str().unwrap(),
            )
        })
        .collect();
    let (told, untold) = (("/loud", "203.0.113.7"), ("/loud", "127.0.0.1"));
    assert_eq!(
        lines,
        [told, untold, told, untold, ("/last", "203.0.113.8")]
    );
}

#[test]
fn mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let seventeen = "/a, ".repeat(17);
    for (limits, said) in [
        (
            "memory: { soft: 90%, hard: 80% }",
            "expected at least 90%, which is `memory.soft`, found 80%",
        ),
        (
            "memory: { soft: 0% }",
            "expected more than 0%, since all requests would be shed",
        ),
        (
            "memory: { limit: 0 }",
            "expected at least one byte, found 0",
        ),
        (
            "never_shed: [healthz]",
            "expected a path such as `/healthz`, without a query, found `healthz`",
        ),
        (
            "never_shed: [\"/healthz?x\"]",
            "expected a path such as `/healthz`, without a query, found `/healthz?x`",
        ),
        (
            &format!("never_shed: [{seventeen}]"),
            "expected at most 16 paths, found 17",
        ),
        (
            "body_rate: 500",
            "expected bytes per second such as `500B/s` or `1KiB/s`, found `500`",
        ),
        ("response_rate: 1KiB/min", "expected bytes per second"),
        ("overload: { delay: 50 }", "expected a duration"),
        ("overload: { dely: 50ms }", "did you mean `delay`?"),
        ("overload: never", "`off`"),
        ("requests: 0", "expected a whole number from 1"),
    ] {
        let configuration =
            format!("limits: {{ {limits} }}\nroutes: [{{ name: all, filters: [respond: ok] }}]\n");
        std::fs::write(&file, complete(folder.path(), &configuration, "{}")).unwrap();
        let output = wiregate(&["check", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        let problems = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{limits}: {problems}");
        assert!(problems.contains(said), "{limits}: {problems}");
        assert!(
            problems.contains("wiregate.yaml:5:"),
            "{limits}: {problems}"
        );
    }
}
