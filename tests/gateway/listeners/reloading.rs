//! Listeners that a reload adds, removes and changes, while the connections of others live on.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::super::harness::{Gateway, curl, echo, until, upstream};
use super::{WHO, ask, connect, reload, start};

const ROUTE: &str = "routes: [{ name: all, upstream: app }]\n";

/// A download that takes as long as nobody reads it.
fn download(gateway: &Gateway, listener: &str) -> TcpStream {
    let mut stream = connect(gateway.listener(listener));
    stream
        .write_all(b"GET /?bytes=20000000 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    stream
}

fn is_whole(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    rest.len() > 20_000_000
}

#[test]
fn listeners_come_and_go_while_downloads_go_on() {
    let origin = echo();
    let rest = upstream(&origin) + ROUTE;
    let gateway = start(
        "{ stays: { bind: \"127.0.0.1:0\" }, goes: { bind: \"127.0.0.1:0\" } }",
        &rest,
    );
    let (stays, goes) = (gateway.listener("stays"), gateway.listener("goes"));
    let downloads = [download(&gateway, "stays"), download(&gateway, "goes")];
    let mut idle = connect(goes);
    assert!(ask(&mut idle).starts_with("HTTP/1.1 200"));

    let answer = reload(
        &gateway,
        "{ stays: { bind: \"127.0.0.1:0\" }, comes: { bind: \"127.0.0.1:0\" } }",
        &rest,
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    // Port 0 is the port that it was.
    assert_eq!(gateway.listener("stays"), stays);
    assert_eq!(curl(&[&format!("http://{stays}/")]).status, 200);
    let comes = gateway.listener("comes");
    assert_eq!(curl(&[&format!("http://{comes}/")]).status, 200);
    until("the removed listener refuses connections", || {
        TcpStream::connect(goes).is_err()
    });
    // A connection of its that is kept alive ends with its next request.
    let last = ask(&mut idle);
    assert!(
        last.is_empty() || last.to_lowercase().contains("connection: close"),
        "{last}"
    );
    assert!(ask(&mut idle).is_empty());
    for download in downloads {
        assert!(is_whole(download));
    }
    assert!(
        !gateway
            .admin("GET", "/metrics")
            .text()
            .contains("listener=\"goes\"")
    );
}

#[test]
fn an_address_that_is_taken_refuses_the_reload_and_changes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    let gateway = start("{ public: { bind: \"127.0.0.1:0\" } }", WHO);
    let before = gateway.address();
    let mut open = connect(before);
    assert!(ask(&mut open).starts_with("HTTP/1.1 200"));
    let listeners = format!(
        "{{ fresh: {{ bind: \"127.0.0.1:0\" }}, clash: {{ bind: \"{}\" }} }}",
        taken.1
    );
    let answer = reload(&gateway, &listeners, WHO);
    assert_eq!(answer.status, 422);
    let said = answer.json()["text"].as_str().unwrap().to_owned();
    let expected = format!(
        "error: listener `clash` cannot bind {}: Address already in use",
        taken.1
    );
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains("wiregate.yaml:2:61\n"), "{said}");
    assert_eq!(gateway.address(), before);
    assert!(
        !gateway.log().contains("listener=\"fresh\""),
        "{}",
        gateway.log()
    );
    assert!(ask(&mut open).starts_with("HTTP/1.1 200"));
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);

    drop(taken);
    assert_eq!(gateway.admin("POST", "/reload").status, 200);
    let clash = format!("http://{}/", gateway.listener("clash"));
    assert_eq!(curl(&[&clash]).status, 200);
}

#[test]
fn a_changed_listener_keeps_its_socket_and_connections() {
    let gateway = start("{ public: { bind: \"127.0.0.1:0\" } }", WHO);
    let address = gateway.address();
    let mut before = connect(address);
    assert!(ask(&mut before).starts_with("HTTP/1.1 200"));
    let capped = "{ public: { bind: \"127.0.0.1:0\", max_connections: 1 } }";
    assert_eq!(reload(&gateway, capped, WHO).status, 200);
    assert_eq!(gateway.address(), address);
    assert!(ask(&mut before).starts_with("HTTP/1.1 200"));
    // The new setting counts those that were there before.
    assert!(super::is_closed(&connect(address)));
}

#[test]
fn a_listener_that_gets_another_name_hands_its_socket_on() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let named = |name: &str| format!("{{ {name}: {{ bind: \"{address}\" }} }}");
    let gateway = start(&named("one"), WHO);
    assert_eq!(curl(&[&format!("http://{address}/")]).status, 200);
    let answer = reload(&gateway, &named("two"), WHO);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(gateway.listener("two"), address);
    for _ in 0..5 {
        assert_eq!(curl(&[&format!("http://{address}/")]).status, 200);
    }
}

#[test]
fn a_unix_socket_can_be_added_and_removed() {
    let tcp = "public: { bind: \"127.0.0.1:0\" }";
    let gateway = start(&format!("{{ {tcp} }}"), WHO);
    let socket = gateway.file("http.sock");
    for _ in 0..2 {
        let both = format!("{{ {tcp}, local: {{ bind: \"unix:DIR/http.sock\" }} }}");
        let answer = reload(&gateway, &both, WHO);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let path = socket.to_str().unwrap();
        assert_eq!(curl(&["--unix-socket", path, "http://a/"]).status, 200);
        assert_eq!(reload(&gateway, &format!("{{ {tcp} }}"), WHO).status, 200);
        until("the socket is gone", || !socket.exists());
    }
}

#[test]
fn what_is_open_on_an_address_stays_under_its_rules_when_the_name_moves_on() {
    let gateway = start("{ public: { bind: \"127.0.0.1:0\" } }", WHO);
    let mut open = connect(gateway.address());
    // The beginning of a request: it is waited for.
    open.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 9.9.9.9\r\n")
        .unwrap();
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    let moved = "{ public: { bind: \"127.0.0.2:0\", trusted_proxies: [127.0.0.0/8] } }";
    assert_eq!(reload(&gateway, moved, WHO).status, 200);
    let new = format!("http://{}/", gateway.listener("public"));
    let trusted = curl(&["-H", "x-forwarded-for: 9.9.9.9", &new]);
    assert!(trusted.text().contains("9.9.9.9"), "{}", trusted.text());
    open.write_all(b"connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    open.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.contains("9.9.9.9"), "{answer}");
}
