//! A receiver that is slow, away, or does not want what it gets.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use super::receiver::{Answer, Receiver};
use super::{dropped, exported, to};
use crate::harness::{Gateway, curl, until};

const ROUTES: &str = "routes: [{ name: all, filters: [respond: 204] }]\n";

/// A gateway that answers itself, so that a request is one span.
fn gateway(receiver: &Receiver, options: &str) -> Gateway {
    Gateway::start(&(to(receiver, options) + ROUTES))
}

/// Sends so many requests, which are all answered.
fn load(gateway: &Gateway, requests: u32) {
    let url = gateway.url("/");
    let count = requests.to_string();
    let arguments = ["--h1", "-n", &*count, "-c", "4", &*url];
    let output = Command::new("h2load").args(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let all = format!("{requests} succeeded, 0 failed, 0 errored, 0 timeout");
    assert!(said.contains(&all), "{said}");
}

#[test]
fn a_receiver_that_hangs_costs_spans_and_no_time() {
    let receiver = Receiver::start();
    receiver.answers(Answer::Hang);
    let gateway = gateway(&receiver, ", queue: 64, batch: 64, timeout: 1m");
    let start = Instant::now();
    load(&gateway, 1000);
    // Whoever waited for the receiver would wait for a minute.
    assert!(start.elapsed() < Duration::from_secs(30));
    until(
        "one batch hangs, the queue is full, and the rest is dropped",
        || {
            let lost = dropped(&gateway, "queue_full");
            receiver.posted().len() == 1 && (872.0..=999.0).contains(&lost)
        },
    );
    assert_eq!(curl(&[&gateway.url("/")]).status, 204);
    assert_eq!(exported(&gateway), 0.0);

    receiver.answers(Answer::Take);
    let lost = dropped(&gateway, "queue_full");
    until("what waited is exported", || {
        exported(&gateway) == 1001.0 - lost
    });
    assert_eq!(receiver.spans().len() as f64, 1001.0 - lost);
    assert_eq!(dropped(&gateway, "failed"), 0.0);
}

#[test]
fn a_receiver_that_is_away_is_told_of_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let gateway = Gateway::start(&format!(
        "traces: {{ endpoint: \"http://{nobody}/v1/traces?secret=${{env:KEY_OF_ANN}}\", interval: 100ms, \
         queue: 64, batch: 1 }}\n{ROUTES}"
    ));
    load(&gateway, 200);
    until("spans are dropped", || {
        dropped(&gateway, "queue_full") > 0.0
    });
    let said = "the traces cannot be exported";
    until("it is told", || gateway.log().contains(said));
    let log = gateway.log();
    assert_eq!(log.matches(said).count(), 1, "{log}");
    assert!(log.contains("Connection refused"), "{log}");
    assert!(!log.contains(crate::harness::KEY_OF_ANN), "{log}");
}

#[test]
fn what_may_be_taken_later_is_sent_again_when_the_receiver_says() {
    let receiver = Receiver::start();
    let gateway = gateway(&receiver, "");
    receiver.answers(Answer::Status(503, "retry-after: 1\r\n"));
    curl(&[&gateway.url("/")]);
    receiver.posted_when(1);
    let start = Instant::now();
    receiver.answers(Answer::Take);
    let spans = receiver.spans_when(1);
    assert!(start.elapsed() > Duration::from_millis(800));
    let posted = receiver.posted();
    let [first, second] = &posted[..] else {
        panic!("{} requests", posted.len());
    };
    assert_eq!((spans.len(), &first.message), (1, &second.message));
    until("it is counted", || exported(&gateway) == 1.0);
    gateway.tells("the receiver answers with 503");
    gateway.tells("the traces are exported again");

    for status in [429, 502, 504] {
        let before = receiver.posted().len();
        receiver.answers(Answer::Status(status, ""));
        curl(&[&gateway.url("/")]);
        receiver.posted_when(before + 1);
        receiver.answers(Answer::Take);
        until("it is sent again", || {
            receiver.posted().last().unwrap().taken
        });
    }
    assert_eq!(receiver.spans().len(), 4);
}

#[test]
fn a_batch_is_given_up_after_five_tries() {
    let receiver = Receiver::start();
    let gateway = gateway(&receiver, "");
    receiver.answers(Answer::Status(503, "retry-after: 0\r\n"));
    curl(&[&gateway.url("/")]);
    until("it is given up", || dropped(&gateway, "failed") == 1.0);
    assert_eq!(receiver.posted().len(), 5);
    receiver.answers(Answer::Take);
    curl(&[&gateway.url("/")]);
    assert_eq!(receiver.spans_when(1).len(), 1);
}

#[test]
fn what_is_not_wanted_is_not_sent_again() {
    let receiver = Receiver::start();
    let gateway = gateway(&receiver, "");
    let answers = [
        (400, ""),
        (401, ""),
        (413, ""),
        (500, ""),
        (307, "location: /elsewhere\r\n"),
    ];
    for (number, (status, fields)) in answers.into_iter().enumerate() {
        receiver.answers(Answer::Status(status, fields));
        curl(&[&gateway.url("/")]);
        let lost = number as f64 + 1.0;
        until("it is counted", || dropped(&gateway, "rejected") == lost);
    }
    receiver.answers(Answer::Take);
    curl(&[&gateway.url("/")]);
    receiver.spans_when(1);
    let posted = receiver.posted();
    assert_eq!(posted.len(), 6);
    assert!(
        posted
            .iter()
            .all(|one| one.head.starts_with("post /v1/traces "))
    );
    until("the last one is counted", || exported(&gateway) == 1.0);
}

#[test]
fn what_a_receiver_leaves_out_is_counted_and_told_once_a_minute() {
    let receiver = Receiver::start();
    receiver.answers(Answer::Partly(3, "too\nold"));
    let endpoint = receiver.url();
    // Each batch is full.
    let traces = format!("traces: {{ endpoint: \"{endpoint}\", batch: 8, interval: 1m }}\n");
    let gateway = Gateway::start(&(traces + ROUTES));
    load(&gateway, 16);
    until("they are counted", || dropped(&gateway, "rejected") == 6.0);
    assert_eq!(exported(&gateway), 10.0);
    gateway.tells("too old");
    let log = gateway.log();
    assert_eq!(log.matches("did not take all spans").count(), 1, "{log}");
    // More than all of them cannot be left out.
    receiver.answers(Answer::Partly(1000, ""));
    load(&gateway, 8);
    until("they are counted", || dropped(&gateway, "rejected") == 14.0);
    receiver.answers(Answer::Partly(-5, ""));
    load(&gateway, 8);
    until("they are counted", || exported(&gateway) == 18.0);
    assert_eq!(dropped(&gateway, "rejected"), 14.0);
}

#[test]
fn a_receiver_that_has_said_yes_is_not_asked_again_whatever_it_says_then() {
    let receiver = Receiver::start();
    receiver.answers(Answer::Half);
    let gateway = gateway(&receiver, ", timeout: 2s");
    for count in 1..=2 {
        curl(&[&gateway.url("/")]);
        until("it is counted", || exported(&gateway) == f64::from(count));
    }
    assert_eq!(receiver.posted().len(), 2);
    assert_eq!(receiver.spans().len(), 2);
    assert!(!gateway.log().contains("cannot"), "{}", gateway.log());
}
