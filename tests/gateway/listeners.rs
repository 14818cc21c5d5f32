//! Listeners: sockets, caps, the PROXY protocol, and how a reload changes them.

mod cert;
mod clients;
mod descriptors;
mod leaving;
mod misbehaving;
pub(super) mod pki;
mod proxy_protocol;
mod reloading;
mod tls;
mod websocket;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::harness::{Answer, Gateway, PATIENCE, curl, until};

/// Answers with what the gateway knows of the client.
const WHO: &str = "routes: [{ name: all, filters: [respond: \"${client.address} ${client.port} \
                   ${request.scheme}\"] }]\n";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n";

/// A whole configuration with these listeners.
fn text(folder: &Path, listeners: &str, rest: &str) -> String {
    let folder = folder.display();
    format!(
        "version: 1\nlisteners: {listeners}\nadmin: {{ bind: \"unix:{folder}/admin.sock\" }}\n\
         access_log: {{ file: \"{folder}/access.log\" }}\n{rest}\n"
    )
}

/// A gateway with these listeners. `DIR` is its folder.
fn start(listeners: &str, rest: &str) -> Gateway {
    start_in(tempfile::tempdir().unwrap(), listeners, rest)
}

fn start_in(folder: tempfile::TempDir, listeners: &str, rest: &str) -> Gateway {
    let file = folder.path().join("wiregate.yaml");
    let listeners = listeners.replace("DIR", &folder.path().display().to_string());
    std::fs::write(&file, text(folder.path(), &listeners, rest)).unwrap();
    Gateway::start_file(folder, &file)
}

/// Puts other listeners in place; gives what the reload said.
fn reload(gateway: &Gateway, listeners: &str, rest: &str) -> Answer {
    let listeners = listeners.replace("DIR", &gateway.folder().display().to_string());
    let new = gateway.file("wiregate.yaml.new");
    std::fs::write(&new, text(gateway.folder(), &listeners, rest)).unwrap();
    std::fs::rename(new, gateway.file("wiregate.yaml")).unwrap();
    gateway.admin("POST", "/reload")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One exchange on a connection that stays open; what comes back, or nothing where it is closed.
fn ask(stream: &mut (impl Read + Write)) -> String {
    let mut answer = Vec::new();
    if stream.write_all(REQUEST).is_err() {
        return String::new();
    }
    let mut byte = [0];
    let length = loop {
        match stream.read(&mut byte) {
            Ok(1) => answer.push(byte[0]),
            _ => return String::from_utf8(answer).unwrap(),
        }
        if answer.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer).to_lowercase();
            let length = head.split_once("content-length: ").unwrap().1;
            break length.split("\r\n").next().unwrap().parse().unwrap();
        }
    };
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    answer.extend(body);
    String::from_utf8(answer).unwrap()
}

/// Whether the other end closes the connection without a word.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    match stream.read(&mut [0; 64]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_unix_socket_serves_whoever_may_open_it_and_goes_with_the_gateway() {
    let mut gateway = start("{ local: { bind: \"unix:DIR/http.sock\" } }", WHO);
    let socket = gateway.file("http.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let path = socket.to_str().unwrap();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&["--unix-socket", path, version, "http://a.example/"]);
        assert_eq!(answer.text(), "127.0.0.1 0 http", "{version}");
    }
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn a_socket_file_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
    let folder = tempfile::tempdir().unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("http.sock")).unwrap());
    let gateway = start_in(folder, "{ local: { bind: \"unix:DIR/http.sock\" } }", WHO);
    let socket = gateway.file("http.sock");
    let other = format!("{{ local: {{ bind: \"unix:{}\" }} }}", socket.display());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.yaml");
    std::fs::write(&file, text(folder.path(), &other, WHO)).unwrap();
    let output = super::harness::wiregate(&["run", "--config", file.to_str().unwrap()]).output();
    let output = output.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = format!(
        "wiregate: listener `local` cannot bind unix:{}: ",
        socket.display()
    );
    assert!(said.contains(&expected), "{said}");
    let path = socket.to_str().unwrap();
    assert_eq!(curl(&["--unix-socket", path, "http://a/"]).status, 200);
}

#[test]
fn ipv6_is_served_and_stands_apart_from_ipv4_on_the_same_port() {
    let gateway = start(
        "{ six: { bind: \"[::1]:0\" }, all: { bind: \"[::]:0\" } }",
        WHO,
    );
    let six = gateway.listener("six");
    assert!(six.is_ipv6());
    let answer = curl(&["-g", &format!("http://{six}/")]);
    assert!(answer.text().starts_with("::1 "), "{}", answer.text());
    let port = gateway.listener("all").port();
    assert_eq!(curl(&["-g", &format!("http://[::1]:{port}/")]).status, 200);
    assert_eq!(curl(&[&format!("http://127.0.0.1:{port}/")]).status, 0);
}

#[test]
fn a_listener_at_its_cap_closes_what_is_more_and_takes_the_next_when_one_ends() {
    let listeners = "{ public: { bind: \"127.0.0.1:0\", max_connections: 2 }, \
                       other: { bind: \"127.0.0.1:0\" } }";
    let gateway = start(listeners, WHO);
    let mut first = connect(gateway.address());
    let mut second = connect(gateway.address());
    assert!(ask(&mut first).starts_with("HTTP/1.1 200"));
    assert!(ask(&mut second).starts_with("HTTP/1.1 200"));
    assert!(is_closed(&connect(gateway.address())));
    let refused =
        "wiregate_connections_refused_total{listener=\"public\",reason=\"max_connections\"}";
    assert_eq!(gateway.metric(refused), 1.0);
    // The cap is this listener's, over all workers, and those that are open go on.
    let other = format!("http://{}/", gateway.listener("other"));
    assert_eq!(curl(&[&other]).status, 200);
    assert!(ask(&mut first).starts_with("HTTP/1.1 200"));
    drop(second);
    until("the place is free", || {
        ask(&mut connect(gateway.address())).starts_with("HTTP/1.1 200")
    });
    drop(first);
    until("no connection is counted any more", || {
        gateway.metric("wiregate_connections{listener=\"public\"}") == 0.0
    });
}

#[test]
fn a_client_at_its_cap_leaves_room_for_others() {
    let gateway = start(
        "{ public: { bind: \"127.0.0.1:0\", max_connections_per_client: 1 } }",
        WHO,
    );
    let mut first = connect(gateway.address());
    assert!(ask(&mut first).starts_with("HTTP/1.1 200"));
    assert!(is_closed(&connect(gateway.address())));
    let refused = "wiregate_connections_refused_total{listener=\"public\",reason=\"max_connections_per_client\"}";
    assert_eq!(gateway.metric(refused), 1.0);
    let other = curl(&["--interface", "127.0.0.2", &gateway.url("/")]);
    assert!(other.text().starts_with("127.0.0.2 "), "{}", other.text());
    drop(first);
    until("the client may come again", || {
        curl(&[&gateway.url("/")]).status == 200
    });
    // A trusted proxy stands for many clients.
    let trusting = "{ public: { bind: \"127.0.0.1:0\", max_connections_per_client: 1, \
                      trusted_proxies: [127.0.0.1] } }";
    assert_eq!(reload(&gateway, trusting, WHO).status, 200);
    let mut many: Vec<_> = (0..3).map(|_| connect(gateway.address())).collect();
    assert!(
        many.iter_mut()
            .all(|one| ask(one).starts_with("HTTP/1.1 200"))
    );
}

#[test]
fn every_mistake_has_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.yaml");
    for (listener, place, message) in [
        (
            "bind: \"unix:run/a\"",
            "2:30",
            "expected an absolute path after `unix:`",
        ),
        (
            "bind: \"unix:/a\", max_connections_per_client: 3",
            "2:69",
            "clients of a Unix socket cannot be told from each other",
        ),
        (
            "bind: \"0.0.0.0:80\", trusted_fields: rfc7239",
            "2:60",
            "`trusted_fields` says nothing without `trusted_proxies`",
        ),
        (
            "bind: \"0.0.0.0:80\", max_connections: 0",
            "2:61",
            "expected a whole number from 1",
        ),
        (
            "bind: \"0.0.0.0:80\", proxy_protocol: { form: 10.0.0.0/8 }",
            "2:62",
            "unknown key `form`",
        ),
        (
            "bind: \"0.0.0.0:80\", proxy_protocol: { from: [] }",
            "2:68",
            "expected at least one value, found an empty list",
        ),
        (
            "bind: \"0.0.0.0:80\", tls: { certificates: [] }",
            "2:65",
            "expected at least one value, found an empty list",
        ),
        (
            "bind: \"0.0.0.0:80\", tls: { versions: [1.1], certificates: [] }",
            "2:62",
            "`1.1`",
        ),
    ] {
        let listeners = format!("{{ public: {{ {listener} }} }}");
        std::fs::write(&file, text(folder.path(), &listeners, WHO)).unwrap();
        let output = super::harness::wiregate(&["check", "--config", file.to_str().unwrap()]);
        let output = { output }.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{listener}: {said}");
        assert!(said.contains(message), "{message:?} in {said}");
        assert!(
            said.contains(&format!("w.yaml:{place}\n")),
            "{place} in {said}"
        );
    }
}

#[test]
fn a_second_gateway_cannot_take_a_share_of_an_address() {
    let rest = format!("workers: 3\n{WHO}");
    let gateway = start("{ public: { bind: \"127.0.0.1:0\" } }", &rest);
    let address = gateway.address();
    let listeners = format!("{{ public: {{ bind: \"{address}\" }} }}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.yaml");
    std::fs::write(&file, text(folder.path(), &listeners, &rest)).unwrap();
    let output = super::harness::wiregate(&["run", "--config", file.to_str().unwrap()]).output();
    let output = output.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = format!("wiregate: listener `public` cannot bind {address}: ");
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn connections_are_spread_over_workers() {
    let rest = format!("workers: 2\n{WHO}");
    let gateway = start("{ public: { bind: \"127.0.0.1:0\" } }", &rest);
    let mut open: Vec<_> = (0..200).map(|_| connect(gateway.address())).collect();
    assert!(
        open.iter_mut()
            .all(|one| ask(one).starts_with("HTTP/1.1 200"))
    );
    // What each worker waits for is in its own `epoll` instances.
    let folder = format!("/proc/{}/fdinfo", gateway.pid());
    let mut waits: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default())
        .map(|text| text.lines().filter(|line| line.starts_with("tfd:")).count())
        .filter(|waits| *waits > 40)
        .collect();
    waits.sort_unstable();
    waits.dedup();
    assert!(
        !waits.is_empty() && waits.iter().all(|waits| *waits < 165),
        "{waits:?}"
    );
}
