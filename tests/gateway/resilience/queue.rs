//! Bounds on requests in flight, and the line of those that wait.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::super::harness::{Gateway, curl, until};
use super::super::origin::{self, empty, head, serve};
use super::{config, later, upstream};

/// An origin that answers when it is told to.
#[derive(Clone, Default)]
struct Held {
    working: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    leave: Arc<(Mutex<usize>, Condvar)>,
    order: Arc<Mutex<Vec<String>>>,
}

impl Held {
    fn start(&self) -> SocketAddr {
        let this = self.clone();
        serve(move |_, mut stream| {
            while let Some(head) = head(&mut stream) {
                let path = head.split(' ').nth(1).unwrap().to_owned();
                this.order.lock().unwrap().push(path);
                let now = this.working.fetch_add(1, Ordering::SeqCst) + 1;
                this.most.fetch_max(now, Ordering::SeqCst);
                let (leave, told) = &*this.leave;
                let mut leave = leave.lock().unwrap();
                while *leave == 0 {
                    leave = told.wait(leave).unwrap();
                }
                *leave -= 1;
                drop(leave);
                this.working.fetch_sub(1, Ordering::SeqCst);
                let _ = stream.write_all(empty(200).as_bytes());
            }
        })
    }

    fn working(&self) -> usize {
        self.working.load(Ordering::SeqCst)
    }

    fn let_go(&self, count: usize) {
        *self.leave.0.lock().unwrap() += count;
        self.leave.1.notify_all();
    }
}

const WAITING: &str = "wiregate_upstream_requests_waiting{upstream=\"app\"}";
const FULL: &str = "urn:wiregate:connection_limit_reached";

#[test]
fn requests_wait_in_line_and_the_rest_is_sent_away() {
    let held = Held::default();
    let options = ", in_flight: { most: 1, queue: 2, wait: 20s }";
    let gateway = Gateway::start(&config(&upstream("app", &[held.start()], options), ""));
    let first = later(&gateway, "/1");
    until("the first is there", || held.working() == 1);
    let second = later(&gateway, "/2");
    until("the second waits", || gateway.metric(WAITING) == 1.0);
    let third = later(&gateway, "/3");
    until("the third waits", || gateway.metric(WAITING) == 2.0);

    let answer = curl(&[&gateway.url("/4")]);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["type"], FULL);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(
        answer.header("proxy-status"),
        "wiregate; error=connection_limit_reached"
    );
    held.let_go(3);
    for client in [first, second, third] {
        assert_eq!(client.join().unwrap().status, 200);
    }
    assert_eq!(*held.order.lock().unwrap(), ["/1", "/2", "/3"]);
    assert_eq!(held.most.load(Ordering::SeqCst), 1);
    assert_eq!(gateway.metric(WAITING), 0.0);
}

#[test]
fn nobody_waits_longer_than_the_wait() {
    let held = Held::default();
    let options = ", in_flight: { most: 1, queue: 10, wait: 300ms }";
    let gateway = Gateway::start(&config(&upstream("app", &[held.start()], options), ""));
    let first = later(&gateway, "/1");
    until("the first is there", || held.working() == 1);
    let start = Instant::now();
    let answer = curl(&[&gateway.url("/2")]);
    assert_eq!(
        (answer.status, answer.json()["type"].as_str()),
        (503, Some(FULL))
    );
    assert!(start.elapsed() >= Duration::from_millis(300));
    held.let_go(2);
    assert_eq!(first.join().unwrap().status, 200);
    assert_eq!(curl(&[&gateway.url("/3")]).status, 200);
}

#[test]
fn each_endpoint_has_its_own_bound() {
    let held = [Held::default(), Held::default()];
    let endpoints: Vec<_> = held.iter().map(Held::start).collect();
    let options = ", in_flight: { per_endpoint: 2, queue: 10, wait: 20s }";
    let gateway = Gateway::start(&config(&upstream("app", &endpoints, options), ""));
    let clients: Vec<_> = (0..6).map(|_| later(&gateway, "/")).collect();
    until("both are full and two wait", || {
        held.iter().all(|held| held.working() == 2) && gateway.metric(WAITING) == 2.0
    });
    held.iter().for_each(|held| held.let_go(6));
    for client in clients {
        assert_eq!(client.join().unwrap().status, 200);
    }
    for held in &held {
        assert_eq!(held.most.load(Ordering::SeqCst), 2);
    }
}

#[test]
fn a_client_that_leaves_the_line_makes_room() {
    let held = Held::default();
    // Far longer than this test waits for anything: nobody leaves because the time is up.
    let options = ", in_flight: { most: 1, queue: 1, wait: 10m }";
    let gateway = Gateway::start(&config(&upstream("app", &[held.start()], options), ""));
    let first = later(&gateway, "/1");
    until("the first is there", || held.working() == 1);
    for how in ["by a reset", "--http1.1", "--http2-prior-knowledge"] {
        let leave = match how {
            "by a reset" => ask_and_reset(&gateway),
            version => ask_and_be_killed(&gateway.url("/2"), version),
        };
        until("it waits", || gateway.metric(WAITING) == 1.0);
        leave();
        until(&format!("it has left the line ({how})"), || {
            gateway.metric(WAITING) == 0.0
        });
    }
    for line in gateway.access_log(3) {
        assert_eq!(line["error"], "client_gone", "{line}");
        assert_eq!(line["status"], 499, "{line}");
    }
    let third = later(&gateway, "/3");
    until("another one waits", || gateway.metric(WAITING) == 1.0);
    held.let_go(2);
    assert_eq!(first.join().unwrap().status, 200);
    assert_eq!(third.join().unwrap().status, 200);
    assert_eq!(*held.order.lock().unwrap(), ["/1", "/3"]);
}

/// Asks, and resets its connection.
fn ask_and_reset(gateway: &Gateway) -> Box<dyn FnOnce()> {
    let mut client = TcpStream::connect(gateway.address()).unwrap();
    client
        .write_all(b"GET /2 HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    Box::new(|| origin::reset(client))
}

/// Asks, and is killed.
fn ask_and_be_killed(url: &str, version: &str) -> Box<dyn FnOnce()> {
    let mut client = Command::new("curl")
        .args(["-s", version, url])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Box::new(move || {
        client.kill().unwrap();
        client.wait().unwrap();
    })
}
