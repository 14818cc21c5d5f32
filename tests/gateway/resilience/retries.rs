//! What is tried again, where, and how much of it.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use super::super::harness::{Gateway, curl, curl_with, echo};
use super::super::origin::{self, Seen, empty, head, serve};
use super::{config, nobody, problems, upstream};

#[test]
fn a_status_is_tried_again_at_another_endpoint_and_passes_at_last() {
    let (bad, at_bad) = Seen::by(|_| empty(503));
    let (good, at_good) = Seen::by(|_| empty(200));
    let options = ", retry: { attempts: 2, on: [503] }";
    let both = upstream("app", &[at_bad, at_good], options);
    let gateway = Gateway::start(&config(&both, ""));
    for _ in 0..6 {
        let answer = curl(&[&gateway.url("/")]);
        assert_eq!(answer.status, 200);
    }
    assert_eq!(good.count(), 6);
    assert!(bad.count() >= 1);
    let retries = "wiregate_upstream_retries_total{outcome=\"made\",upstream=\"app\"}";
    assert_eq!(gateway.metric(retries), bad.count() as f64);

    let before = bad.count();
    gateway.reload(&config(&upstream("app", &[at_bad], options), ""));
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.text(), "", "it is the endpoint's own");
    assert_eq!(bad.count() - before, 2);
    assert_eq!(gateway.access_log(7)[6]["attempts"], 2);
}

#[test]
fn only_idempotent_methods_are_sent_twice() {
    let (seen, address) = Seen::by(|_| empty(503));
    let retry = |more: &str| format!(", retry: {{ attempts: 3, on: [503], backoff: 1ms{more} }}");
    let gateway = Gateway::start(&config(&upstream("app", &[address], &retry("")), ""));
    for (method, sent) in [
        ("GET", 3),
        ("POST", 1),
        ("PATCH", 1),
        ("DELETE", 3),
        ("OPTIONS", 3),
    ] {
        let before = seen.count();
        assert_eq!(curl(&["-X", method, &gateway.url("/")]).status, 503);
        assert_eq!(seen.count() - before, sent, "{method}");
    }
    let unsafe_too = upstream("app", &[address], &retry(", unsafe_methods: true"));
    gateway.reload(&config(&unsafe_too, ""));
    let before = seen.count();
    assert_eq!(curl(&["-X", "POST", &gateway.url("/")]).status, 503);
    assert_eq!(seen.count() - before, 3);
}

#[test]
fn a_connection_that_breaks_or_an_answer_that_does_not_come_is_tried_again_where_asked_for() {
    let good = echo();
    let resets = serve(|_, mut stream| {
        head(&mut stream);
        origin::reset(stream);
    });
    let silent = serve(|_, mut stream| assert!(origin::drain(&mut stream) > 0));
    for (bad, cause, status) in [(resets, "reset", 502), (silent, "timeout", 504)] {
        let times = ", timeouts: { first_byte: 1s }";
        let endpoints = [bad, good.addresses()[0]];
        let ask = |retry: &str| -> Vec<u16> {
            let app = upstream("app", &endpoints, &format!("{times}{retry}"));
            let gateway = Gateway::start(&format!("workers: 1\n{}", &config(&app, "")[11..]));
            (0..4).map(|_| curl(&[&gateway.url("/")]).status).collect()
        };
        let statuses = ask(&format!(", retry: {{ on: [{cause}] }}"));
        assert_eq!(statuses, [200; 4], "{cause}");
        let statuses = ask("");
        assert!(statuses.contains(&status), "not by default: {statuses:?}");
    }
}

#[test]
fn a_body_is_sent_again_while_it_is_in_memory() {
    let good = echo();
    let refuses_late = serve(|_, mut stream| {
        let Some(head) = head(&mut stream) else {
            return;
        };
        let length = head.to_ascii_lowercase();
        let length = length.split_once("content-length: ").unwrap().1;
        let mut left: usize = length.lines().next().unwrap().parse().unwrap();
        let mut buffer = [0; 65536];
        while left > 0 {
            match std::io::Read::read(&mut stream, &mut buffer) {
                Ok(read @ 1..) => left -= read.min(left),
                _ => return,
            }
        }
        let _ = stream.write_all(empty(503).as_bytes());
    });
    let options = ", retry: { on: [503] }";
    let app = upstream("app", &[refuses_late, good.addresses()[0]], options);
    let gateway = Gateway::start(&config(&app, ""));
    let url = gateway.url("/");
    let put = |body: &[u8]| {
        curl_with(
            &["-X", "PUT", "-H", "expect:", "--data-binary", "@-", &url],
            body,
        )
    };
    let small = vec![b'x'; 40_000];
    for _ in 0..4 {
        let answer = put(&small);
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.json()["body_bytes"],
            small.len(),
            "{}",
            answer.text()
        );
    }
    let large = vec![b'x'; 1 << 20];
    let statuses: Vec<u16> = (0..4).map(|_| put(&large).status).collect();
    assert!(
        statuses.contains(&503) && statuses.contains(&200),
        "{statuses:?}"
    );
}

#[test]
fn an_outage_is_not_multiplied() {
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, all_live) = (asked.clone(), Arc::new(Barrier::new(40)));
    let failing = serve(move |_, mut stream| {
        while head(&mut stream).is_some() {
            if count.fetch_add(1, Ordering::SeqCst) < 40 {
                all_live.wait();
            }
            std::thread::park_timeout(Duration::from_millis(300)); // an outage that takes its time
            let _ = stream.write_all(empty(503).as_bytes());
        }
    });
    let options = ", retry: { attempts: 4, on: [503], budget: 10%, backoff: 1ms }";
    // All of them have to get there.
    let config = config(&upstream("app", &[failing], options), "");
    let gateway = Gateway::start(&format!("limits: {{ overload: off }}\n{config}"));
    let clients: Vec<_> = (0..40).map(|_| super::later(&gateway, "/")).collect();
    for client in clients {
        assert_eq!(client.join().unwrap().status, 503);
    }
    // Without a budget there would be 160; four requests at a time may be tried again.
    let asked = asked.load(Ordering::SeqCst);
    assert!((41..=75).contains(&asked), "{asked}");
    let refused = "wiregate_upstream_retries_total{outcome=\"no_budget\",upstream=\"app\"}";
    assert!(gateway.metric(refused) > 20.0);
    assert_eq!(curl(&[&gateway.url("/")]).status, 503);
}

#[test]
fn the_fallback_takes_what_could_not_be_sent() {
    let (spare, at_spare) = Seen::by(|_| empty(200));
    let app = upstream("app", &[nobody()], ", fallback: spare");
    let gateway = Gateway::start(&config(&(app + &upstream("spare", &[at_spare], "")), ""));
    for method in ["GET", "POST"] {
        assert_eq!(curl(&["-X", method, &gateway.url("/")]).status, 200);
    }
    assert_eq!(spare.count(), 2);
    assert_eq!(gateway.access_log(1)[0]["upstream"], "spare");

    // What was sent and failed is not sent there as well.
    let broken = serve(|_, mut stream| drop(head(&mut stream)));
    let app = upstream("app", &[broken], ", fallback: spare");
    gateway.reload(&config(&(app + &upstream("spare", &[at_spare], "")), ""));
    assert_eq!(curl(&[&gateway.url("/")]).status, 502);
    assert_eq!(spare.count(), 2);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let app = |options: &str| config(&upstream("app", &[nobody()], options), "");
    for (options, expected) in [
        (
            ", retry: { attempts: 11 }",
            "expected 1 to 10 attempts, found 11",
        ),
        (
            ", retry: { on: [404] }",
            "expected `connect_error`, `reset`, `timeout`, or a status",
        ),
        (", fallback: spear", "unknown upstream `spear`"),
        (
            ", fallback: app",
            "the fallbacks of upstream `app` lead back to it",
        ),
        (
            ", breaker: { errors: 0% }",
            "expected more than `0%` of errors",
        ),
        (", in_flight: { queue: 5 }", "`in_flight` bounds nothing"),
        (
            ", in_flight: { most: 5, wait: 1s }",
            "`wait` says nothing without `queue`",
        ),
        (
            ", panic: 50%",
            "`panic` says nothing without `health` and `outliers`",
        ),
        (
            ", tls: { ca: a.pem, verify: dangerously_off }",
            "`ca` says nothing with `verify: dangerously_off`",
        ),
    ] {
        let said = problems(&app(options));
        assert!(said.contains(expected), "{options}: {said}");
    }
}
