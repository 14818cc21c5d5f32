//! A systemd that reads nothing for a while, as in a `daemon-reload`: it holds up neither an upgrade nor an end.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use super::super::harness::{echo, until, upstream};
use super::super::protocols::peers::{read_head, send};
use super::super::upgrade::upgrade;
use super::{ROUTE, busy_service, service};

/// Less than what must not be lost is waited for.
const LESS: Duration = Duration::from_secs(9);

/// Fills the queue of the socket at which systemd listens.
fn fill(path: &std::path::Path) {
    // What one socket may have in it is less than what the queue takes: it is full for the first that cannot say a word.
    let mut said = true;
    while said {
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        said = socket.send(b"STATUS=more").is_ok();
        while socket.send(b"STATUS=more").is_ok() {}
    }
}

#[test]
fn an_upgrade_and_an_end_do_not_wait_for_it() {
    let origin = echo();
    let (mut gateway, mut told) = service(&(upstream(&origin) + ROUTE), |_| {});
    told.until("READY=1");
    fill(&gateway.file("notify"));
    let new = upgrade(&gateway, &[]).unwrap();
    told.until(&format!("MAINPID={}", new.0));
    assert_eq!(gateway.wait().code(), Some(0));
    fill(&gateway.file("notify"));
    let start = Instant::now();
    new.signal("TERM");
    until("it ends", || !new.runs());
    assert!(start.elapsed() < LESS, "{:?}", start.elapsed());
}

#[test]
fn signals_are_acted_on_while_it_is_told_who_has_taken_over() {
    let origin = echo();
    let (mut gateway, mut told) = service(&(upstream(&origin) + ROUTE), |_| {});
    told.until("READY=1");
    let mut slow = send(
        gateway.address(),
        "GET /?delay=4s HTTP/1.1\r\nhost: a\r\n\r\n",
    );
    told.until("1 connections");
    fill(&gateway.file("notify"));
    let new = upgrade(&gateway, &[]).unwrap();
    let log = gateway.file("access.log");
    std::fs::rename(&log, gateway.file("moved.log")).unwrap();
    gateway.signal("USR1");
    until("the log is opened anew", || log.exists());
    let main = format!("MAINPID={}", new.0);
    assert!(!gateway.log().contains(&main), "it is not lost by then");
    told.until(&main);
    assert!(read_head(&mut slow).starts_with("HTTP/1.1 200 "));
    drop(slow);
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.log());
}

#[test]
fn a_signal_ends_an_old_process_that_still_tells_who_has_taken_over() {
    let origin = echo();
    let (mut gateway, mut told) = service(&(upstream(&origin) + ROUTE), |_| {});
    told.until("READY=1");
    let _slow = send(
        gateway.address(),
        "GET /?delay=30s HTTP/1.1\r\nhost: a\r\n\r\n",
    );
    told.until("1 connections");
    fill(&gateway.file("notify"));
    let _new = upgrade(&gateway, &[]).unwrap();
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.log());
    assert!(start.elapsed() < LESS, "{:?}", start.elapsed());
    until("it is told", || {
        gateway.log().contains("cut off by a signal")
    });
}

#[test]
fn the_oldest_hears_at_once_that_the_second_has_handed_over() {
    let (_origin, mut gateway, mut told, mut slow) = busy_service();
    let second = upgrade(&gateway, &[]).unwrap();
    told.until(&format!("MAINPID={}", second.0));
    fill(&gateway.file("notify"));
    let third = upgrade(&gateway, &[]).unwrap();
    until("the oldest hears of it", || {
        gateway.log().contains("has handed over as well")
    });
    // It was not lost before that: the second still waits for systemd.
    let lost = format!("MAINPID={}", third.0);
    assert!(!gateway.log().contains(&lost), "{}", gateway.log());
    second.signal("KILL");
    assert!(read_head(&mut slow).starts_with("HTTP/1.1 200 "));
    drop(slow);
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.log());
    assert!(third.runs());
}
