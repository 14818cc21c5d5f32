//! The one who asks first makes the fetch: what others get when it leaves, is slow, or wants a part.

use std::io::Read;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::super::harness::{PATIENCE, until};
use super::super::http2::wire::{self, DATA, END_HEADERS, END_STREAM, RST_STREAM};
use super::collapse::{HEAD, all_have_come, clients, gateway, held, join};
use super::*;

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n";

/// Asks for `/a`, with more fields, on a connection of its own.
fn ask(address: SocketAddr, fields: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET /a HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Reads up to these words; returns what came before them.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(end.as_bytes()) {
        let count = stream.read(&mut byte).unwrap();
        assert_eq!(count, 1, "{}", String::from_utf8_lossy(&read));
        read.push(byte[0]);
    }
    String::from_utf8_lossy(&read[..read.len() - end.len()]).into_owned()
}

/// All that comes until the other end closes.
fn rest(mut stream: TcpStream) -> String {
    let mut rest = Vec::new();
    // One that is reset has said all that it says.
    let _ = stream.read_to_end(&mut rest);
    String::from_utf8_lossy(&rest).into_owned()
}

/// Waits until the first of the exchanges has ended before its response had; its line in the log.
fn has_left(gateway: &Gateway) -> serde_json::Value {
    until("it has left", || {
        gateway.access_log(1)[0]["error"].is_string()
    });
    gateway.access_log(1)[0].clone()
}

/// Waits until no attempt is counted any more as one that runs.
fn no_attempt_is_left(gateway: &Gateway) {
    let running = "wiregate_upstream_requests_in_flight{upstream=\"app\"}";
    until("no attempt is left", || gateway.metric(running) == 0.0);
}

/// Waits until `/a` is stored as a whole.
fn is_stored(gateway: &Gateway, body: &str) {
    until("it is stored", || {
        get(gateway, "/a", &["cache-control: only-if-cached", "host: a"]).text() == body
    });
    no_attempt_is_left(gateway);
}

#[test]
fn the_first_of_many_leaves_in_the_middle_of_a_body_of_unknown_length() {
    let origin = held(&[CHUNKED, "5\r\n01234\r\n", "5\r\n56789\r\n0\r\n\r\n"]);
    let gateway = gateway(origin.address, "{}");
    let mut first = ask(gateway.address(), "");
    origin.go.send(()).unwrap();
    origin.go.send(()).unwrap();
    read_until(&mut first, "01234");
    let others: Vec<_> = (0..4).map(|_| ask(gateway.address(), "")).collect();
    all_have_come(&gateway, 5);
    origin::reset(first);
    let line = has_left(&gateway);
    assert_eq!(line["cache"], "miss", "{line}");
    assert!(
        line["endpoint"].is_string() && line["attempts"] == 1,
        "{line}"
    );
    let late = ask(gateway.address(), "");
    all_have_come(&gateway, 6);
    origin.go.send(()).unwrap();
    for mut other in others.into_iter().chain([late]) {
        read_until(&mut other, "01234");
        read_until(&mut other, "56789");
        read_until(&mut other, "0\r\n\r\n");
    }
    assert_eq!(origin.count.load(Ordering::SeqCst), 1);
    is_stored(&gateway, "0123456789");
}

#[test]
fn a_stream_that_is_reset_in_the_middle_ends_no_fetch() {
    for whole_connection in [false, true] {
        let origin = held(&[HEAD, "01234", "56789"]);
        let gateway = gateway(origin.address, "{}");
        let mut first = wire::Client::open(gateway.address());
        let head = wire::headers(1, END_HEADERS | END_STREAM, &wire::get("/a"));
        first.write(&head);
        origin.go.send(()).unwrap();
        origin.go.send(()).unwrap();
        assert_eq!(first.next_of(DATA).unwrap().payload, b"01234");
        let url = gateway.url("/a");
        let other = thread::spawn(move || curl(&["-H", "host: localhost", &url]));
        all_have_come(&gateway, 2);
        match whole_connection {
            true => drop(first),
            false => first.write(&wire::frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        }
        has_left(&gateway);
        origin.go.send(()).unwrap();
        assert_eq!(other.join().unwrap().text(), "0123456789");
        assert_eq!(origin.count.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn a_stream_that_is_reset_before_the_head_ends_no_fetch() {
    let origin = held(&[HEAD, "0123456789"]);
    let gateway = gateway(origin.address, "{}");
    let mut first = wire::Client::open(gateway.address());
    let head = wire::headers(1, END_HEADERS | END_STREAM, &wire::get("/a"));
    first.write(&head);
    until("it was asked", || origin.count.load(Ordering::SeqCst) == 1);
    let url = gateway.url("/a");
    let other = thread::spawn(move || curl(&["-H", "host: localhost", &url]));
    all_have_come(&gateway, 2);
    first.write(&wire::frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
    has_left(&gateway);
    origin.go.send(()).unwrap();
    origin.go.send(()).unwrap();
    assert_eq!(other.join().unwrap().text(), "0123456789");
    assert_eq!(origin.count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_first_client_that_is_slow_gets_all_of_it_in_the_end() {
    // No two places of it look the same.
    let body: String = (0..1_000_000)
        .map(|number| format!("{number:08}"))
        .collect();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let address = origin::answers(move |_| answer.clone());
    let gateway = gateway(address, "{}");
    let mut slow = ask(gateway.address(), "");
    read_until(&mut slow, "\r\n\r\n");
    let others = join(clients(&gateway, 2, "/a"));
    assert!(others.iter().all(|other| other.status == 200));
    let other = get(
        &gateway,
        "/a",
        &["host: a", "cache-control: only-if-cached"],
    );
    assert!(other.text() == body, "{}", other.body.len());
    let mut read = vec![0; body.len()];
    slow.read_exact(&mut read).unwrap();
    assert!(read == body.as_bytes());
}

#[test]
fn a_fetch_that_breaks_off_breaks_off_for_all_and_is_made_anew() {
    let (count, (go, goes)) = (Arc::new(AtomicUsize::new(0)), mpsc::channel());
    let (counter, goes) = (count.clone(), Mutex::new(goes));
    let address = origin::serve(move |_, mut stream| {
        while origin::head(&mut stream).is_some() {
            if counter.fetch_add(1, Ordering::SeqCst) > 0 {
                stream
                    .write_all(format!("{HEAD}0123456789").as_bytes())
                    .unwrap();
                continue;
            }
            stream.write_all(format!("{HEAD}01234").as_bytes()).unwrap();
            return goes.lock().unwrap().recv().unwrap();
        }
    });
    let gateway = gateway(address, "{}");
    let mut first = ask(gateway.address(), "");
    read_until(&mut first, "01234");
    let mut second = ask(gateway.address(), "");
    read_until(&mut second, "01234");
    go.send(()).unwrap();
    assert_eq!((rest(first), rest(second)), (String::new(), String::new()));
    until("both have ended", || gateway.access_log(2).len() == 2);
    for line in gateway.access_log(2) {
        assert_eq!(line["error"], "http_response_incomplete", "{line}");
    }
    assert_eq!(get(&gateway, "/a", &["host: a"]).text(), "0123456789");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn a_fetch_whose_client_has_left_is_tried_again_like_any_other() {
    let (count, (go, goes)) = (Arc::new(AtomicUsize::new(0)), mpsc::channel());
    let (counter, goes) = (count.clone(), Mutex::new(goes));
    let address = origin::serve(move |_, mut stream| {
        if origin::head(&mut stream).is_some() {
            if counter.fetch_add(1, Ordering::SeqCst) == 0 {
                return goes.lock().unwrap().recv().unwrap(); // and closes, without a word
            }
            stream
                .write_all(format!("{HEAD}0123456789").as_bytes())
                .unwrap();
            let _ = origin::head(&mut stream);
        }
    });
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{address}\"], retry: {{ attempts: 2, on: [reset], budget: 100% }} }} }}\n\
         routes: [{{ name: all, filters: [cache: {{}}], upstream: app }}]\n"
    ));
    let first = ask(gateway.address(), "");
    until("it was asked", || count.load(Ordering::SeqCst) == 1);
    origin::reset(first);
    has_left(&gateway);
    go.send(()).unwrap();
    is_stored(&gateway, "0123456789");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn a_client_that_leaves_before_its_turn_has_its_fetch_made_without_it() {
    // One that closes its connection in order looks at first as if it had only ended its side.
    for leave in [origin::reset, drop::<TcpStream>] {
        let origin = held(&[HEAD, "0123456789"]);
        let gateway = Gateway::start(&format!(
            "upstreams: {{ app: {{ endpoints: [\"{}\"], in_flight: {{ per_endpoint: 1, queue: 5, wait: 15s }} }} }}\n\
         routes:\n  - {{ name: plain, match: {{ path: /plain }}, upstream: app }}\n  \
         - {{ name: all, filters: [cache: {{}}], upstream: app }}\n",
            origin.address
        ));
        let url = gateway.url("/plain");
        let before = thread::spawn(move || curl(&[&url]));
        until("it was asked", || origin.count.load(Ordering::SeqCst) == 1);
        let first = ask(gateway.address(), "");
        all_have_come(&gateway, 1);
        leave(first);
        assert_eq!(has_left(&gateway)["error"], "client_gone");
        for _ in 0..4 {
            origin.go.send(()).unwrap();
        }
        assert_eq!(before.join().unwrap().text(), "0123456789");
        is_stored(&gateway, "0123456789");
        assert_eq!(origin.count.load(Ordering::SeqCst), 2);
    }
}

#[test]
fn a_fetch_that_takes_too_long_has_done_so_for_all() {
    let origin = held(&[HEAD, "0123456789"]);
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{}\"], timeouts: {{ total: 1s }} }} }}\n\
         routes: [{{ name: all, filters: [cache: {{}}], upstream: app }}]\n",
        origin.address
    ));
    for answer in join(clients(&gateway, 4, "/a")) {
        assert_eq!(answer.status, 504, "{}", answer.text());
        assert_eq!(answer.json()["type"], "urn:wiregate:http_response_timeout");
    }
    assert_eq!(origin.count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_client_whose_time_is_over_takes_the_fill_from_nobody() {
    let origin = held(&[HEAD, "01234", "56789"]);
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{}\"], timeouts: {{ total: 2s }} }} }}\n\
         routes: [{{ name: all, filters: [cache: {{}}], upstream: app }}]\n",
        origin.address
    ));
    let mut first = ask(gateway.address(), "");
    origin.go.send(()).unwrap();
    origin.go.send(()).unwrap();
    read_until(&mut first, "01234");
    // The time of another one has to end some time after that of the first, and there is nothing to wait for
    // but time itself.
    thread::sleep(Duration::from_millis(1_200));
    let mut second = ask(gateway.address(), "");
    read_until(&mut second, "01234");
    assert_eq!(rest(first), "");
    origin.go.send(()).unwrap();
    read_until(&mut second, "56789");
    assert_eq!(origin.count.load(Ordering::SeqCst), 1);
    is_stored(&gateway, "0123456789");
}

/// A gateway whose endpoint may be silent for this long.
fn impatient(address: SocketAddr) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{address}\"], timeouts: {{ first_byte: 500ms, idle: 500ms }} }} }}\n\
         routes: [{{ name: all, filters: [cache: {{}}], upstream: app }}]\n"
    ))
}

#[test]
fn an_endpoint_that_does_not_answer_has_not_done_so_for_all() {
    let origin = held(&[HEAD, "0123456789"]);
    let gateway = impatient(origin.address);
    for answer in join(clients(&gateway, 4, "/a")) {
        assert_eq!(answer.status, 504, "{}", answer.text());
        assert_eq!(answer.json()["type"], "urn:wiregate:http_response_timeout");
    }
    assert_eq!(origin.count.load(Ordering::SeqCst), 1);
}

#[test]
fn an_endpoint_that_falls_silent_breaks_off_for_all_whoever_is_there() {
    for leaves in [false, true] {
        let origin = held(&[HEAD, "01234", "56789"]);
        let gateway = impatient(origin.address);
        let mut first = ask(gateway.address(), "");
        origin.go.send(()).unwrap();
        origin.go.send(()).unwrap();
        read_until(&mut first, "01234");
        let mut second = ask(gateway.address(), "");
        read_until(&mut second, "01234");
        if leaves {
            origin::reset(first);
        } else {
            assert_eq!(rest(first), "");
        }
        assert_eq!(rest(second), "");
        let failed =
            "wiregate_upstream_errors_total{error=\"connection_read_timeout\",upstream=\"app\"}";
        until("it is charged", || gateway.metric(failed) as usize == 1);
        no_attempt_is_left(&gateway);
    }
}

#[test]
fn the_first_one_may_want_a_part_and_the_whole_is_stored() {
    let origin = held(&[HEAD, "01234", "56789"]);
    let gateway = gateway(origin.address, "{}");
    let mut first = ask(gateway.address(), "range: bytes=1-3\r\n");
    origin.go.send(()).unwrap();
    origin.go.send(()).unwrap();
    let head = read_until(&mut first, "\r\n\r\n123");
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    assert!(head.contains("content-range: bytes 1-3/10"), "{head}");
    // The connection is free before the whole has come.
    first
        .write_all(b"GET /a HTTP/1.1\r\nhost: a\r\nrange: bytes=0-0\r\n\r\n")
        .unwrap();
    let head = read_until(&mut first, "\r\n\r\n0");
    assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
    origin.go.send(()).unwrap();
    is_stored(&gateway, "0123456789");
    assert_eq!(origin.count.load(Ordering::SeqCst), 1);
}

/// A client is cut off with its listener, and has not left of itself.
#[test]
fn a_client_that_is_cut_off_takes_the_fill_from_nobody() {
    let origin = held(&[HEAD, "01234", "56789"]);
    let folder = tempfile::tempdir().unwrap();
    let text = |listeners: &str, folder: &std::path::Path| {
        let folder = folder.display();
        format!(
            "version: 1\nlisteners: {{ {listeners} }}\nadmin: {{ bind: \"unix:{folder}/admin.sock\" }}\n\
             access_log: {{ file: \"{folder}/access.log\" }}\nlimits: {{ drain_deadline: 200ms }}\n\
             upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n\
             routes: [{{ name: all, filters: [cache: {{}}], upstream: app }}]\n",
            origin.address
        )
    };
    let (stays, goes) = (
        "stays: { bind: \"127.0.0.1:0\" }",
        "goes: { bind: \"127.0.0.1:0\" }",
    );
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, text(&format!("{stays}, {goes}"), folder.path())).unwrap();
    let gateway = Gateway::start_file(folder, &file);
    let mut first = ask(gateway.listener("goes"), "");
    origin.go.send(()).unwrap();
    origin.go.send(()).unwrap();
    read_until(&mut first, "01234");
    let mut second = ask(gateway.listener("stays"), "");
    read_until(&mut second, "01234");
    std::fs::write(&file, text(stays, gateway.folder())).unwrap();
    assert_eq!(gateway.admin("POST", "/reload").status, 200);
    assert_eq!(rest(first), "");
    origin.go.send(()).unwrap();
    read_until(&mut second, "56789");
    assert_eq!(origin.count.load(Ordering::SeqCst), 1);
    no_attempt_is_left(&gateway);
}
