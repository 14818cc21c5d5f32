//! Many requests for the same: one fetch, and what all of them get of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::super::harness::until;
use super::*;

/// An origin that answers once it is told to, and counts.
pub(super) struct Held {
    pub(super) address: SocketAddr,
    pub(super) count: Arc<AtomicUsize>,
    pub(super) go: mpsc::Sender<()>,
}

/// Answers each request with this, a piece for each time that it is told to go on.
pub(super) fn held(pieces: &'static [&'static str]) -> Held {
    let count = Arc::new(AtomicUsize::new(0));
    let (go, goes) = mpsc::channel();
    let (counter, goes) = (count.clone(), Mutex::new(goes));
    let address = origin::serve(move |_, mut stream| {
        while origin::head(&mut stream).is_some() {
            counter.fetch_add(1, Ordering::SeqCst);
            let goes = goes.lock().unwrap();
            in_pieces(&mut stream, pieces, |_| {
                let _ = goes.recv();
            });
            if pieces.is_empty() {
                let _ = goes.recv();
                return;
            }
        }
    });
    Held { address, count, go }
}

pub(super) fn gateway(address: SocketAddr, options: &str) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{address}\"], retry: {{ attempts: 1 }} }} }}\n\
         routes: [{{ name: all, filters: [cache: {options}], upstream: app }}]\n"
    ))
}

/// So many clients that ask for a path at the same time, on threads of their own.
pub(super) fn clients(
    gateway: &Gateway,
    count: usize,
    path: &str,
) -> Vec<thread::JoinHandle<Answer>> {
    let url = gateway.url(path);
    let one = |_| {
        let url = url.clone();
        thread::spawn(move || curl(&[&url]))
    };
    (0..count).map(one).collect()
}

/// Waits until so many requests have arrived.
pub(super) fn all_have_come(gateway: &Gateway, count: usize) {
    until("all have come", || {
        let runs = gateway.metric("wiregate_filter_runs_total{filter=\"cache\",route=\"all\"}");
        runs as usize == count
    });
}

pub(super) fn join(clients: Vec<thread::JoinHandle<Answer>>) -> Vec<Answer> {
    clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .collect()
}

pub(super) const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 10\r\n\r\n";

#[test]
fn one_fetch_serves_all_who_ask_meanwhile() {
    let origin =
        held(&["HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 4\r\n\r\nbody"]);
    let gateway = gateway(origin.address, "{}");
    let clients = clients(&gateway, 20, "/a");
    all_have_come(&gateway, 20);
    origin.go.send(()).unwrap();
    let answers = join(clients);
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 && answer.text() == "body")
    );
    assert_eq!(origin.count.load(Ordering::SeqCst), 1);
    let collapsed = answers
        .iter()
        .filter(|answer| did(answer).contains("collapsed"))
        .count();
    assert_eq!(collapsed, 19);
}

#[test]
fn a_failed_fetch_has_failed_for_all_who_waited() {
    let origin = held(&[]);
    let gateway = gateway(origin.address, "{}");
    let clients = clients(&gateway, 10, "/a");
    all_have_come(&gateway, 10);
    origin.go.send(()).unwrap();
    for answer in join(clients) {
        assert_eq!(answer.status, 502, "{}", answer.text());
    }
    assert_eq!(origin.count.load(Ordering::SeqCst), 1);
}

#[test]
fn what_could_not_stand_in_is_not_counted_as_if_it_had() {
    const STALE: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=0, must-revalidate\r\n\
                         etag: \"a\"\r\ncontent-length: 4\r\n\r\nbody";
    // One answer that is stale at once; the others are awaited, and never come.
    let (go, goes) = mpsc::channel::<()>();
    let (count, goes) = (AtomicUsize::new(0), Mutex::new(goes));
    let address = origin::serve(move |_, mut stream| {
        while origin::head(&mut stream).is_some() {
            if count.fetch_add(1, Ordering::SeqCst) > 0 {
                let _ = goes.lock().unwrap().recv();
                return;
            }
            stream.write_all(STALE.as_bytes()).unwrap();
        }
    });
    let gateway = gateway(address, "{}");
    assert_eq!(get(&gateway, "/a", &[]).status, 200);
    let clients = clients(&gateway, 5, "/a");
    all_have_come(&gateway, 6);
    drop(go);
    for answer in join(clients) {
        assert_eq!(answer.status, 502, "{}", answer.text());
    }
    let counted = |result: &str| {
        gateway.metric(&format!(
            "wiregate_cache_requests_total{{result=\"{result}\",route=\"all\"}}"
        ))
    };
    assert_eq!((counted("stale"), counted("miss")), (0.0, 6.0));
}

#[test]
fn an_error_of_the_upstream_is_shared_too() {
    let origin = held(&["HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno"]);
    let gateway = gateway(origin.address, "{}");
    let clients = clients(&gateway, 10, "/a");
    all_have_come(&gateway, 10);
    origin.go.send(()).unwrap();
    let answers = join(clients);
    assert!(answers.iter().all(|answer| answer.status == 503));
    assert_eq!(origin.count.load(Ordering::SeqCst), 1);
    // What the upstream said goes to the one who asked it.
    assert_eq!(
        answers
            .iter()
            .filter(|answer| answer.text() == "no")
            .count(),
        1
    );
}

#[test]
fn what_is_not_for_the_cache_is_fetched_by_each_at_the_same_time() {
    let origin =
        held(&["HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-length: 4\r\n\r\nbody"]);
    let gateway = gateway(origin.address, "{}");
    let clients = clients(&gateway, 5, "/a");
    all_have_come(&gateway, 5);
    for _ in 0..5 {
        origin.go.send(()).unwrap();
    }
    assert!(join(clients).iter().all(|answer| answer.text() == "body"));
    assert_eq!(origin.count.load(Ordering::SeqCst), 5);
}

#[test]
fn readers_follow_a_fill_that_runs() {
    let origin = held(&[HEAD, "01234", "56789"]);
    let gateway = gateway(origin.address, "{}");
    let address = gateway.address();
    let ask = move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream
            .write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n")
            .unwrap();
        stream
    };
    let read_until = |stream: &mut std::net::TcpStream, end: &str| {
        use std::io::Read;
        let (mut read, mut byte) = (Vec::new(), [0]);
        while !read.ends_with(end.as_bytes()) {
            assert_eq!(
                stream.read(&mut byte).unwrap(),
                1,
                "{}",
                String::from_utf8_lossy(&read)
            );
            read.push(byte[0]);
        }
    };
    let mut first = ask();
    origin.go.send(()).unwrap();
    origin.go.send(()).unwrap();
    read_until(&mut first, "01234");
    // The second one comes in the middle, and has what is there at once.
    let mut second = ask();
    read_until(&mut second, "01234");
    origin.go.send(()).unwrap();
    read_until(&mut first, "56789");
    read_until(&mut second, "56789");
    assert_eq!(origin.count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_client_that_leaves_takes_the_fill_from_nobody() {
    let origin = held(&[HEAD, "01234", "56789"]);
    let gateway = gateway(origin.address, "{}");
    let mut leaving = std::net::TcpStream::connect(gateway.address()).unwrap();
    leaving
        .write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    all_have_come(&gateway, 1);
    origin.go.send(()).unwrap();
    origin.go.send(()).unwrap();
    let url = gateway.url("/a");
    let staying = thread::spawn(move || curl(&["-H", "host: a", &url]));
    all_have_come(&gateway, 2);
    origin::reset(leaving);
    until("it has left", || {
        gateway.access_log(1)[0]["error"].is_string()
    });
    origin.go.send(()).unwrap();
    assert_eq!(staying.join().unwrap().text(), "0123456789");
    assert_eq!(origin.count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_client_that_left_before_the_head_leaves_a_stored_response() {
    let origin = held(&[HEAD, "0123456789"]);
    let gateway = gateway(origin.address, "{}");
    let mut leaving = std::net::TcpStream::connect(gateway.address()).unwrap();
    leaving
        .write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    until("it was asked", || origin.count.load(Ordering::SeqCst) == 1);
    origin::reset(leaving);
    until("it has left", || {
        gateway.access_log(1)[0]["error"].is_string()
    });
    origin.go.send(()).unwrap();
    origin.go.send(()).unwrap();
    until("it is stored", || {
        let answer = get(
            &gateway,
            "/a",
            &["host: a", "cache-control: only-if-cached"],
        );
        answer.text() == "0123456789"
    });
    assert_eq!(origin.count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_slow_client_does_not_hold_up_a_fill() {
    let large = 8_000_000;
    let address = origin::answers(move |_| {
        let body = "x".repeat(large);
        format!(
            "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: {large}\r\n\r\n{body}"
        )
    });
    let gateway = gateway(address, "{}");
    let mut slow = std::net::TcpStream::connect(gateway.address()).unwrap();
    slow.write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    all_have_come(&gateway, 1);
    // It reads nothing; others get all of it.
    let other = get(&gateway, "/a", &["host: a"]);
    assert_eq!(other.body.len(), large);
    drop(slow);
}

/// What an endpoint says of the hop to it stays there, whether a response is fetched for the cache or not.
#[test]
fn interim_responses_say_nothing_of_the_hop() {
    let address = origin::answers(|_| {
        "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\nconnection: x-internal\r\n\
         x-internal: 10.0.0.1\r\nkeep-alive: timeout=5\r\ncontent-length: 5\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nlink: </b.css>\r\ntransfer-encoding: chunked\r\n\r\n\
         HTTP/1.1 200 OK\r\ncache-control: no-store\r\ncontent-length: 4\r\n\r\nbody"
            .to_owned()
    });
    for filters in ["[]", "[cache: {}]"] {
        let gateway = Gateway::start(&format!(
            "upstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}\n\
             routes: [{{ name: all, filters: {filters}, upstream: app }}]\n"
        ));
        let request = b"GET /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let answer = super::super::harness::raw(gateway.address(), request).to_lowercase();
        let mut heads: Vec<&str> = answer.split("\r\n\r\n").collect();
        assert_eq!(heads.pop(), Some("body"), "{filters}: {answer}");
        for (head, link) in heads.iter().zip(["a", "b"]) {
            let mut fields: Vec<&str> = head.split("\r\n").skip(1).collect();
            fields.sort_unstable();
            let link = format!("link: </{link}.css>");
            assert_eq!(fields, [&*link, "via: 1.1 wiregate"], "{filters}: {answer}");
        }
        assert_eq!(heads.len(), 3, "{filters}: {answer}");

        let output = std::process::Command::new("nghttp")
            .args(["-v", &gateway.url("/a")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).to_lowercase();
        let (_, interim) = said.split_once(":status: 103").expect(&said);
        let (interim, _) = interim.split_once(":status: 200").expect(&said);
        for there in ["</a.css>", "</b.css>", "via: 1.1 wiregate", ":status: 103"] {
            assert!(interim.contains(there), "{filters}: {there} in {said}");
        }
        for gone in [
            "content-length",
            "x-internal",
            "keep-alive",
            "transfer-encoding",
        ] {
            assert!(!interim.contains(gone), "{filters}: {gone} in {said}");
        }
    }
}

#[test]
fn interim_responses_pass_and_are_not_stored() {
    let address = origin::answers(|_| {
        "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n\
         HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 4\r\n\r\nbody"
            .to_owned()
    });
    let gateway = gateway(address, "{}");
    let ask = || {
        super::super::harness::raw(
            gateway.address(),
            b"GET /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        )
    };
    assert!(ask().starts_with("HTTP/1.1 103 "), "{}", ask());
    let second = ask();
    assert!(
        second.starts_with("HTTP/1.1 200 ") && second.contains("hit"),
        "{second}"
    );
    assert!(!second.contains("a.css"));
}
