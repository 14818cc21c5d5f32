//! What becomes of spans when the configuration changes, and when the gateway ends.

use std::time::{Duration, Instant};

use super::receiver::{Answer, Receiver};
use crate::harness::{Echo, Gateway, curl, echo, until, upstream};
use crate::upgrade::{exchangeable, upgrade};

/// A configuration whose spans wait for a minute, unless something makes them go.
fn config(origin: &Echo, receiver: Option<&Receiver>, options: &str) -> String {
    let traces = receiver.map(|receiver| {
        let endpoint = receiver.url();
        format!("traces: {{ endpoint: \"{endpoint}\", interval: 1m{options} }}\n")
    });
    let routes = "routes: [{ name: all, upstream: app }]\n";
    traces.unwrap_or_default() + &upstream(origin) + routes
}

#[test]
fn what_waits_is_sent_when_the_gateway_ends() {
    let (origin, receiver) = (echo(), Receiver::start());
    let mut gateway = Gateway::start(&config(&origin, Some(&receiver), ""));
    for _ in 0..3 {
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    }
    let url = gateway.url("/?delay=1s");
    let slow = std::thread::spawn(move || curl(&[&url]).status);
    until("all are under way", || {
        gateway.metric("wiregate_requests_in_flight{route=\"all\"}") == 1.0
    });
    assert_eq!(receiver.spans().len(), 0);
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    assert_eq!(slow.join().unwrap(), 200);
    assert_eq!(receiver.spans().len(), 8, "the slow one's too");
    assert_eq!(receiver.posted().len(), 1, "together");
}

#[test]
fn a_receiver_that_hangs_does_not_hold_up_the_end_for_long() {
    let (origin, receiver) = (echo(), Receiver::start());
    receiver.answers(Answer::Hang);
    let text = config(&origin, Some(&receiver), ", timeout: 1m");
    let mut gateway = Gateway::start(&text);
    curl(&[&gateway.url("/")]);
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    let took = start.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(receiver.posted().len(), 1);
    until("it is told", || {
        (gateway.log()).contains("the time to export the last traces was not enough")
    });
}

#[test]
fn a_reload_changes_the_receiver_and_what_waited_goes_to_the_former_one() {
    let (origin, first, second) = (echo(), Receiver::start(), Receiver::start());
    let gateway = Gateway::start(&config(&origin, Some(&first), ""));
    curl(&[&gateway.url("/")]);
    let url = gateway.url("/?delay=1s");
    let slow = std::thread::spawn(move || curl(&[&url]).status);
    until("it is under way", || {
        gateway.metric("wiregate_requests_in_flight{route=\"all\"}") == 1.0
    });
    gateway.reload(&config(&origin, Some(&second), ", batch: 2"));
    curl(&[&gateway.url("/")]);
    assert_eq!(second.spans_when(2).len(), 2);
    assert_eq!(slow.join().unwrap(), 200);
    // What began under the former configuration ends there.
    assert_eq!(first.spans_when(4).len(), 4);
    assert_eq!(second.spans().len(), 2);
}

#[test]
fn a_reload_turns_traces_off_and_on() {
    let (origin, receiver) = (echo(), Receiver::start());
    let parent = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let gateway = Gateway::start(&config(&origin, None, ""));
    let seen = || {
        let answer = curl(&["-H", parent, &gateway.url("/")]);
        answer.json()["headers"]["traceparent"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(format!("traceparent: {}", seen()), parent, "as it came");
    gateway.reload(&config(&origin, Some(&receiver), ", batch: 2"));
    let passed = seen();
    assert_eq!(passed[36..52], *receiver.spans_when(2)[1].id);
    gateway.reload(&config(&origin, None, ""));
    assert_eq!(format!("traceparent: {}", seen()), parent);
    let log = gateway.access_log(3);
    let traced: Vec<_> = log
        .iter()
        .map(|line| line.get("trace_id").is_some())
        .collect();
    assert_eq!(traced, [false, true, false]);
    assert_eq!(receiver.spans().len(), 2);
}

#[test]
fn a_reload_that_changes_nothing_for_the_receiver_keeps_what_waits() {
    let (origin, receiver) = (echo(), Receiver::start());
    let mut gateway = Gateway::start(&config(&origin, Some(&receiver), ""));
    curl(&[&gateway.url("/")]);
    gateway.reload(&config(&origin, Some(&receiver), ", sample: 0%"));
    curl(&[&gateway.url("/")]);
    gateway.reload(&config(&origin, Some(&receiver), ", parent: never"));
    curl(&[&gateway.url("/")]);
    let bad = config(&origin, Some(&receiver), ", sample: 101%");
    gateway.write(&bad);
    assert_eq!(gateway.admin("POST", "/reload").status, 422);
    curl(&[&gateway.url("/")]);
    gateway.signal("TERM");
    gateway.wait();
    let posted = receiver.posted();
    assert_eq!(posted.len(), 1, "one exporter had them all");
    assert_eq!(receiver.spans().len(), 6);
}

#[test]
fn a_process_that_is_upgraded_sends_what_it_has() {
    let (origin, receiver) = (echo(), Receiver::start());
    let mut gateway = exchangeable(&config(&origin, Some(&receiver), ""));
    curl(&[&gateway.url("/")]);
    let new = upgrade(&gateway, &[]).unwrap();
    assert_eq!(gateway.wait().code(), Some(0));
    assert_eq!(receiver.spans().len(), 2);
    curl(&[&gateway.url("/")]);
    new.signal("TERM");
    assert_eq!(receiver.spans_when(4).len(), 4);
}
