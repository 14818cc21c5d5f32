//! What bounds the attempts at an upstream bounds hedges too: the circuit breaker's probes, and the
//! places of its endpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::super::super::harness::{Gateway, curl, until};
use super::super::super::origin::{Seen, drain, empty, head, serve};
use super::{AFTER, LONG, config, hedges, later, settles, silent, slowly, upstream};

const OPEN: &str = "wiregate_upstream_circuit_open{upstream=\"app\"}";

#[test]
fn a_probe_is_not_hedged() {
    let failing = Arc::new(AtomicBool::new(true));
    let origin = || {
        let failing = failing.clone();
        Seen::by(move |head| match failing.load(Ordering::SeqCst) {
            true => empty(500),
            false => slowly(head),
        })
    };
    let ((first, at_first), (second, at_second)) = (origin(), origin());
    let options =
        format!("{AFTER}, breaker: {{ errors: 50%, of_at_least: 4, open_for: 1s, probes: 2 }}");
    let app = upstream("app", &[at_first, at_second], &options);
    let gateway = Gateway::start(&config(&app, ""));
    for _ in 0..4 {
        assert_eq!(curl(&[&gateway.url("/")]).status, 500);
    }
    assert_eq!(gateway.metric(OPEN), 1.0);
    failing.store(false, Ordering::SeqCst);
    let seen = || first.count() + second.count();
    let before = seen();
    until("a probe has passed", || {
        curl(&[&gateway.url("/")]).status == 200
    });
    assert_eq!(seen() - before, 1, "the other probe is another request's");
    assert_eq!(gateway.metric(OPEN), 1.0, "two must go well");
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    assert_eq!(gateway.metric(OPEN), 0.0);
    assert_eq!(seen() - before, 2);
    // From now on requests are hedged again.
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    assert_eq!(seen() - before, 4);
    settles(&gateway, &[at_first, at_second]);
}

#[test]
fn the_slower_one_gives_its_place_back_at_once() {
    let (_, slow) = silent();
    let (_fast, at_fast) = Seen::by(|_| empty(200));
    let both = [slow, at_fast];
    let options = format!("{AFTER}, in_flight: {{ most: 2, per_endpoint: 1 }}");
    let gateway = Gateway::start(&config(&upstream("app", &both, &options), ""));
    let start = Instant::now();
    for _ in 0..6 {
        // Without a place there would be a 503.
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    }
    assert!(hedges(&gateway, "won") >= 1.0);
    assert!(start.elapsed() < LONG);
    settles(&gateway, &both);
}

#[test]
fn whoever_waits_for_a_place_gets_that_of_the_slower_one() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    // The first of all is never answered.
    let origin = move || {
        let count = count.clone();
        serve(move |_, mut stream| {
            while head(&mut stream).is_some() {
                if count.fetch_add(1, Ordering::SeqCst) == 0 {
                    drain(&mut stream);
                    return;
                }
                std::thread::park_timeout(Duration::from_millis(500)); // this makes it slow
                let _ = std::io::Write::write_all(&mut stream, empty(200).as_bytes());
            }
        })
    };
    let both = [origin(), origin()];
    let options = format!("{AFTER}, in_flight: {{ most: 2, queue: 4, wait: 20s }}");
    let gateway = Gateway::start(&config(&upstream("app", &both, &options), ""));
    let first = later(&gateway, "/1");
    until("both places are taken", || {
        asked.load(Ordering::SeqCst) == 2
    });
    let start = Instant::now();
    let waiting: Vec<_> = (0..3).map(|_| later(&gateway, "/2")).collect();
    for client in waiting {
        assert_eq!(client.join().unwrap().status, 200);
    }
    assert_eq!(first.join().unwrap().status, 200);
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    settles(&gateway, &both);
}
