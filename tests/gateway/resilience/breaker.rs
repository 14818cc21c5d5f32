//! Circuit breakers: an upstream that fails is left alone for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::super::harness::{Gateway, curl, until};
use super::super::origin::{Seen, empty};
use super::{config, upstream};

const OPEN: &str = "wiregate_upstream_circuit_open{upstream=\"app\"}";

#[test]
fn opens_probes_and_closes_again() {
    let status = Arc::new(AtomicU16::new(500));
    let said = status.clone();
    let (seen, address) = Seen::by(move |_| empty(said.load(Ordering::SeqCst)));
    let options = ", breaker: { errors: 50%, of_at_least: 4, open_for: 6s }";
    let app = config(&upstream("app", &[address], options), "");
    let gateway = Gateway::start(&app);
    for _ in 0..4 {
        assert_eq!(curl(&[&gateway.url("/")]).status, 500);
    }
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["type"], "urn:wiregate:circuit_open");
    let after: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=6).contains(&after), "{after}");
    assert_eq!(
        answer.header("proxy-status"),
        "wiregate; error=destination_unavailable; details=\"circuit_open\""
    );
    assert_eq!(seen.count(), 4, "the endpoint is left alone");
    assert_eq!(gateway.metric(OPEN), 1.0);
    // A reload forgets nothing.
    gateway.reload(&format!("{app}# again\n"));
    assert_eq!(curl(&[&gateway.url("/")]).status, 503);
    assert_eq!(gateway.metric(OPEN), 1.0);

    // A probe that fails opens it again.
    until("a probe has passed", || {
        curl(&[&gateway.url("/")]).status == 500
    });
    assert_eq!(seen.count(), 5);
    assert_eq!(curl(&[&gateway.url("/")]).status, 503);

    status.store(200, Ordering::SeqCst);
    until("the circuit is closed", || {
        curl(&[&gateway.url("/")]).status == 200
    });
    assert_eq!(gateway.metric(OPEN), 0.0);
    let turns = |turn: &str| {
        let name = "wiregate_upstream_circuit_turns_total";
        gateway.metric(&format!("{name}{{turn=\"{turn}\",upstream=\"app\"}}"))
    };
    assert_eq!((turns("opened"), turns("closed")), (2.0, 1.0));
    for _ in 0..10 {
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    }
}

#[test]
fn the_fallback_takes_over_while_it_is_open() {
    let (_, failing) = Seen::by(|_| empty(500));
    let (spare, at_spare) = Seen::by(|_| empty(200));
    let options = ", breaker: { errors: 50%, of_at_least: 2, open_for: 1h }, fallback: spare";
    let upstreams = upstream("app", &[failing], options) + &upstream("spare", &[at_spare], "");
    let gateway = Gateway::start(&config(&upstreams, ""));
    let statuses: Vec<u16> = (0..6).map(|_| curl(&[&gateway.url("/")]).status).collect();
    assert_eq!(statuses, [500, 500, 200, 200, 200, 200]);
    assert_eq!(spare.count(), 4);
}
