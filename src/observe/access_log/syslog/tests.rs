//! Messages at real receivers: ones that go away, come back, and take nothing.

use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::tests::entry;
use super::super::{AccessLog, Output, Plan};
use super::*;

const LONG: Duration = Duration::from_secs(20);

fn receiver(address: &str) -> Receiver {
    Receiver {
        address: address.parse().unwrap(),
        header: Header::Rfc5424,
        facility: Facility::Local0,
        severity: Severity::Info,
        tag: "wiregate".to_owned(),
    }
}

fn plan(receiver: Receiver) -> Arc<Plan> {
    Arc::new(Plan::plain(Output::Syslog(receiver)))
}

fn log(address: &str) -> AccessLog {
    AccessLog::open(plan(receiver(address))).unwrap()
}

fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < LONG, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// What a message says: its head without time and host, and its line.
fn told(message: &str) -> (String, serde_json::Value) {
    let parts: Vec<_> = message.splitn(8, ' ').collect();
    let [priority, time, host, tag, pid, kind, data, line] = parts[..] else {
        panic!("expected a message of RFC 5424, found {message}");
    };
    assert_eq!(time, "2023-11-14T22:13:20.042Z");
    assert!(!host.is_empty() && pid == std::process::id().to_string());
    let head = format!("{priority} {tag} {kind} {data}");
    (head, serde_json::from_str(line).unwrap())
}

/// Reads messages by their counted octets (RFC 6587, 3.4.1).
fn read_messages(stream: &mut TcpStream, count: usize) -> Vec<String> {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut byte = [0];
    let mut messages = Vec::new();
    while messages.len() < count {
        let mut length = String::new();
        while stream.read_exact(&mut byte).is_ok() && byte[0] != b' ' {
            length.push(byte[0].into());
        }
        let mut message = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut message).unwrap();
        messages.push(String::from_utf8(message).unwrap());
    }
    messages
}

#[test]
fn a_unix_socket_and_udp_get_a_datagram_for_each_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let unix = UnixDatagram::bind(&path).unwrap();
    unix.set_read_timeout(Some(LONG)).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(LONG)).unwrap();
    let addresses = [
        format!("unix:{}", path.display()),
        format!("udp://{}", udp.local_addr().unwrap()),
    ];
    let mut buffer = [0; 4096];
    for address in addresses {
        let log = log(&address);
        for target in ["/one", "/two\n<0>1 forged"] {
            log.write(entry(target));
            let size = match &*address {
                udp_address if udp_address.starts_with("udp") => udp.recv(&mut buffer),
                _ => unix.recv(&mut buffer),
            };
            let message = std::str::from_utf8(&buffer[..size.unwrap()]).unwrap();
            let (head, line) = told(message);
            assert_eq!(head, "<134>1 wiregate access -");
            assert_eq!(line["target"], target);
            assert!(!message.contains('\n'));
        }
        assert!(log.close(LONG));
        assert_eq!((log.written(), log.dropped()), (2, 0));
    }
}

#[test]
fn older_receivers_get_heads_that_they_know() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let unix = UnixDatagram::bind(&path).unwrap();
    unix.set_read_timeout(Some(LONG)).unwrap();
    let log = AccessLog::open(plan(Receiver {
        header: Header::Rfc3164,
        facility: Facility::Daemon,
        severity: Severity::Notice,
        tag: "gw".to_owned(),
        ..receiver(&format!("unix:{}", path.display()))
    }));
    let log = log.unwrap();
    log.write(entry("/"));
    let mut buffer = [0; 4096];
    let size = unix.recv(&mut buffer).unwrap();
    let message = std::str::from_utf8(&buffer[..size]).unwrap();
    let start = format!(
        "<29>Nov 14 22:13:20 gw[{}]: {{\"time\":",
        std::process::id()
    );
    assert!(message.starts_with(&start), "{message}");
}

#[test]
fn over_tcp_each_message_is_counted_and_none_is_lost_when_the_receiver_comes_late() {
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let log = log(&format!("tcp://{address}"));
    for n in 0..300 {
        log.write(entry(&format!("/é{n}")));
    }
    let listener = TcpListener::bind(address).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    for (n, message) in read_messages(&mut stream, 300).iter().enumerate() {
        assert_eq!(told(message).1["target"], format!("/é{n}"));
    }
    // It says something, goes, and comes back.
    std::io::Write::write_all(&mut stream, b"250 fine\r\n").unwrap();
    drop(stream);
    log.write(entry("/after"));
    let (mut stream, _) = listener.accept().unwrap();
    let message = &read_messages(&mut stream, 1)[0];
    assert_eq!(told(message).1["target"], "/after");
    assert!(log.close(LONG));
    assert_eq!((log.written(), log.dropped()), (301, 0));
}

#[test]
fn without_a_receiver_the_queue_fills_drops_are_counted_and_the_end_comes() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("log");
    let plan = plan(receiver(&format!("unix:{}", nowhere.display())));
    let log = AccessLog::with_capacity(plan, 10).unwrap();
    for _ in 0..1000 {
        log.write(entry("/"));
    }
    assert!(log.dropped() >= 980, "{}", log.dropped());
    assert!(log.close(LONG));
    assert_eq!((log.written(), log.dropped()), (0, 1000));
}

#[test]
fn a_receiver_that_takes_nothing_holds_nobody_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let log = AccessLog::with_capacity(plan(receiver(&format!("tcp://{address}"))), 100).unwrap();
    let (_silent, _) = listener.accept().unwrap();
    let target = "x".repeat(2000);
    until("an entry is dropped", || {
        log.write(entry(&target));
        log.dropped() > 0
    });
    let began = Instant::now();
    for _ in 0..10_000 {
        log.write(entry("/"));
    }
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_message_that_is_too_large_is_dropped_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let unix = UnixDatagram::bind(&path).unwrap();
    unix.set_read_timeout(Some(LONG)).unwrap();
    let mut link = Link::new(&receiver(&format!("unix:{}", path.display())));
    let mut batch = super::super::sink::Batch::default();
    for size in [10, 8 << 20, 20] {
        batch.bytes.extend(vec![b'a'; size]);
        batch.ends.push(batch.bytes.len());
    }
    let passed = link.pass(&mut batch, false);
    assert!(passed.result.is_ok());
    assert_eq!((passed.written, passed.dropped, batch.lines()), (2, 1, 0));
    let mut buffer = [0; 64];
    assert_eq!(unix.recv(&mut buffer).unwrap(), 10);
    assert_eq!(unix.recv(&mut buffer).unwrap(), 20);
}

#[test]
fn pauses_grow_and_have_an_end() {
    let mut link = Link::new(&receiver("unix:/nowhere/at/all"));
    let mut batch = super::super::sink::Batch::default();
    batch.bytes.push(b'a');
    batch.ends.push(1);
    let mut waits = Vec::new();
    for _ in 0..12 {
        let failed = link.pass(&mut batch, true).result.unwrap_err();
        let error = failed.error.unwrap().to_string();
        assert!(error.starts_with("unix:/nowhere/at/all: "), "{error}");
        waits.push(failed.wait.unwrap());
    }
    assert_eq!(batch.lines(), 1, "what could not be sent is kept");
    assert!(waits[0] <= Duration::from_millis(100));
    assert!(waits[11] > Duration::from_secs(14) && waits[11] <= Duration::from_secs(30));
    // Before it is due there is no other attempt.
    assert!(
        link.pass(&mut batch, false)
            .result
            .unwrap_err()
            .error
            .is_none()
    );
}
