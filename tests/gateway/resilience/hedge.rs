//! Requests that go to a second endpoint because the first one is slow.

mod bounds;
mod protocols;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::super::harness::{Echo, Gateway, curl, curl_with, echoes, until};
use super::super::origin::{Seen, drain, empty, head, serve, silent};
use super::{config, later, nobody, problems, upstream};

/// Long enough that a test which waits for it fails.
const LONG: Duration = Duration::from_secs(8);

const AFTER: &str = ", hedge: { after: 60ms, at_most: 50% }";

fn hedges(gateway: &Gateway, outcome: &str) -> f64 {
    gateway.metric(&format!(
        "wiregate_upstream_hedges_total{{outcome=\"{outcome}\",upstream=\"app\"}}"
    ))
}

/// Waits until nothing is under way at the endpoints.
fn settles(gateway: &Gateway, endpoints: &[SocketAddr]) {
    until("nothing is in flight", || {
        let of = |endpoint: &SocketAddr| {
            let labels = format!("{{endpoint=\"{endpoint}\",upstream=\"app\"}}");
            gateway.metric(&format!("wiregate_endpoint_requests_in_flight{labels}"))
        };
        let upstream = gateway.metric("wiregate_upstream_requests_in_flight{upstream=\"app\"}");
        upstream == 0.0 && endpoints.iter().all(|endpoint| of(endpoint) == 0.0)
    });
}

#[test]
fn the_answer_comes_from_the_fast_endpoint_and_the_slow_one_is_let_go() {
    let (counts, slow) = silent();
    let (_fast, at_fast) = Seen::by(|_| empty(200));
    let both = [slow, at_fast];
    let gateway = Gateway::start(&config(&upstream("app", &both, AFTER), ""));
    let start = Instant::now();
    for _ in 0..8 {
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    }
    assert!(start.elapsed() < LONG);
    let won = hedges(&gateway, "won");
    assert!(won >= 1.0);
    let asked = counts[0].load(Ordering::SeqCst);
    assert_eq!(asked as f64, won);
    until("the slow endpoint's connections are closed", || {
        counts[1].load(Ordering::SeqCst) == asked
    });
    settles(&gateway, &both);
    let given_up = "wiregate_upstream_requests_total{code=\"0\",upstream=\"app\"}";
    assert_eq!(gateway.metric(given_up), won, "each attempt is counted");
    let log = gateway.access_log(8);
    let hedged = log.iter().filter(|line| line["attempts"] == 2).count();
    assert_eq!(hedged as f64, won);
    let winner = at_fast.to_string();
    assert!(log.iter().all(|line| line["endpoint"] == winner.as_str()));
}

#[test]
fn only_idempotent_methods_are_hedged() {
    let (first, at_first) = Seen::by(slowly);
    let (second, at_second) = Seen::by(slowly);
    let app = upstream("app", &[at_first, at_second], AFTER);
    let gateway = Gateway::start(&config(&app, ""));
    for (method, sent) in [("POST", 1), ("PATCH", 1), ("GET", 2), ("DELETE", 2)] {
        let before = first.count() + second.count();
        assert_eq!(curl(&["-X", method, &gateway.url("/")]).status, 200);
        assert_eq!(first.count() + second.count() - before, sent, "{method}");
    }
    let before = first.count() + second.count();
    let put = curl_with(
        &["-X", "PUT", "--data-binary", "@-", &gateway.url("/")],
        b"streams through",
    );
    assert_eq!(put.status, 200);
    assert_eq!(first.count() + second.count() - before, 1);
    settles(&gateway, &[at_first, at_second]);
}

/// More slowly than others are asked as well.
fn slowly(_: &str) -> String {
    std::thread::park_timeout(Duration::from_millis(400));
    empty(200)
}

#[test]
fn the_share_of_live_requests_bounds_it() {
    let (first, at_first) = Seen::by(slowly);
    let (second, at_second) = Seen::by(slowly);
    let options = ", hedge: { after: 60ms, at_most: 10% }";
    let app = upstream("app", &[at_first, at_second], options);
    let gateway = Gateway::start(&config(&app, ""));
    let clients: Vec<_> = (0..20).map(|_| later(&gateway, "/")).collect();
    for client in clients {
        assert_eq!(client.join().unwrap().status, 200);
    }
    let made = hedges(&gateway, "won") + hedges(&gateway, "lost");
    let refused = hedges(&gateway, "no_budget");
    assert_eq!(made + refused, 20.0, "all of them are slow");
    assert!((1.0..10.0).contains(&made), "{made}");
    assert_eq!((first.count() + second.count()) as f64, 20.0 + made);
}

#[test]
fn a_second_endpoint_that_fails_or_is_missing_does_not_hurt() {
    let (_, slow) = Seen::by(slowly);
    let app = upstream(
        "app",
        &[slow, nobody()],
        &format!("{AFTER}, retry: {{ attempts: 2 }}"),
    );
    let gateway = Gateway::start(&config(&app, ""));
    for _ in 0..4 {
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    }
    assert!(hedges(&gateway, "failed") >= 1.0);
    settles(&gateway, &[slow]);
    gateway.reload(&config(&upstream("app", &[slow], AFTER), ""));
    assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    assert_eq!(hedges(&gateway, "no_endpoint"), 1.0);
}

#[test]
fn where_both_fail_the_request_is_tried_again_as_any_other() {
    let asked = Arc::new(AtomicUsize::new(0));
    let broken = || {
        let asked = asked.clone();
        serve(move |_, mut stream| {
            head(&mut stream);
            asked.fetch_add(1, Ordering::SeqCst);
            until("both are asked", || asked.load(Ordering::SeqCst) >= 2);
            std::thread::park_timeout(Duration::from_millis(200)); // slow enough for a race, later on too
        })
    };
    let (good, at_good) = Seen::by(|_| empty(200));
    let all = [broken(), broken()];
    let app = upstream("app", &all, AFTER);
    let gateway = Gateway::start(&config(&app, ""));
    let answer = curl(&[&gateway.url("/")]);
    assert_eq!(answer.status, 502);
    assert!(
        answer
            .header("proxy-status")
            .contains("connection_terminated")
    );
    assert_eq!(gateway.access_log(1)[0]["attempts"], 2);
    settles(&gateway, &all);
    let all = [all[0], all[1], at_good];
    let retry = format!("{AFTER}, retry: {{ attempts: 3, on: [reset] }}");
    gateway.reload(&config(&upstream("app", &all, &retry), ""));
    for _ in 0..6 {
        assert_eq!(curl(&[&gateway.url("/")]).status, 200);
    }
    assert_eq!(good.count(), 6);
    settles(&gateway, &all);
}

/// Asks the slow one of two echo servers for this, over each version.
fn bodies(protocol: &str) {
    let echo: Echo = echoes(2);
    let both = echo.addresses();
    let slow = both[0].port();
    let options = format!(", protocol: {protocol}{AFTER}");
    let gateway = Gateway::start(&config(&upstream("app", both, &options), ""));
    let ask = |version: &str, what: &str, more: &[&str]| {
        let url = gateway.url(&format!("/?{what}&delay=8s&at={slow}"));
        curl(&[&[version, &url], more].concat())
    };
    let start = Instant::now();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for _ in 0..2 {
            let answer = ask(version, "x=1", &["-H", "te: trailers", "-H", "x-a: b"]);
            assert_eq!(answer.status, 200, "{protocol} {version}");
            let asked = &answer.json()["headers"];
            assert_eq!(asked["x-a"], "b");
            assert!(asked["te"].is_null(), "{asked}");
            assert!(!answer.header("x-request-id").is_empty());
            let only_head = ask(version, "x=1", &["-I"]);
            assert_eq!(only_head.status, 200);
            assert_ne!(
                only_head.header("content-length"),
                "0",
                "there would be a body"
            );
        }
    }
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    assert!(hedges(&gateway, "won") >= 4.0);
    // Which bytes there are does not depend on who wins.
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for status in [204, 304] {
            let answer = curl(&[version, &gateway.url(&format!("/status/{status}"))]);
            assert_eq!((answer.status, answer.body.len()), (status, 0));
        }
        for (path, length) in [("/bytes/3000000", 3_000_000), ("/bytes/0", 0)] {
            let answer = curl(&[version, &gateway.url(path)]);
            assert_eq!((answer.status, answer.body.len()), (200, length));
        }
        let direct = curl(&[&format!("http://{}/?stream=5&every=20ms", both[1])]);
        let answer = curl(&[version, &gateway.url("/?stream=5&every=20ms")]);
        assert_eq!(answer.body, direct.body, "{protocol} {version}");
        assert!(!answer.body.is_empty());
    }
    let cut = curl(&[&gateway.url("/?fail=midway")]);
    let whole: usize = cut.header("content-length").parse().unwrap_or(usize::MAX);
    assert!(cut.body.len() < whole, "what is cut is not made whole");
    settles(&gateway, both);
}

#[test]
fn responses_are_whole_over_http1() {
    bodies("http1");
}

#[test]
fn responses_are_whole_over_http2() {
    bodies("h2c");
}

#[test]
fn filters_see_what_is_sent_and_the_winners_response() {
    let echo = echoes(2);
    let both = echo.addresses();
    let slow = both[0].port();
    let route = ", filters: [{ headers: { request: { set: { x-set: \"1\" } }, \
                 response: { set: { x-seen: \"1\" } } } }, { compress: { min_size: 8 } }]";
    let gateway = Gateway::start(&config(&upstream("app", both, AFTER), route));
    for _ in 0..4 {
        let url = gateway.url(&format!("/?delay=8s&at={slow}"));
        let answer = curl(&["--compressed", &url]);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-seen"), "1");
        assert_ne!(answer.header("content-encoding"), "");
        assert_eq!(answer.json()["headers"]["x-set"], "1");
    }
    assert!(hedges(&gateway, "won") >= 1.0);
}

#[test]
fn a_client_that_leaves_ends_both_attempts() {
    // One that closes its connection in order looks at first as if it had only ended its side.
    for leave in [super::super::origin::reset, drop::<TcpStream>] {
        let ((first, at_first), (second, at_second)) = (silent(), silent());
        let both = [at_first, at_second];
        let gateway = Gateway::start(&config(&upstream("app", &both, AFTER), ""));
        let mut client = TcpStream::connect(gateway.address()).unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .unwrap();
        let sum = |which: usize| {
            first[which].load(Ordering::SeqCst) + second[which].load(Ordering::SeqCst)
        };
        until("both are asked", || sum(0) == 2);
        leave(client);
        until("both are let go", || sum(1) == 2);
        settles(&gateway, &both);
        assert_eq!(hedges(&gateway, "abandoned"), 1.0);
        let line = &gateway.access_log(1)[0];
        assert_eq!(line["status"], 499, "{line}");
        assert_eq!(line["error"], "client_gone", "{line}");
    }
}

#[test]
fn a_quantile_is_learned_from_the_answers() {
    let echo = echoes(2);
    let both = echo.addresses();
    let slow = both[0].port();
    let app = upstream("app", both, ", hedge: { after: p95, at_most: 50% }");
    let gateway = Gateway::start(&config(&app, ""));
    let url = gateway.url("/");
    let many: Vec<&str> = (0..140)
        .flat_map(|_| [url.as_str(), "-o", "/dev/null"])
        .collect();
    assert_eq!(curl(&many).status, 200);
    let start = Instant::now();
    for _ in 0..4 {
        let url = gateway.url(&format!("/?delay=8s&at={slow}"));
        assert_eq!(curl(&[&url]).status, 200);
    }
    assert!(start.elapsed() < LONG);
    assert!(hedges(&gateway, "won") >= 1.0);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let app = |options: &str| config(&upstream("app", &[nobody()], options), "");
    for (options, expected) in [
        (
            "hedge: { after: p100 }",
            "expected a duration such as `50ms`, or a quantile from `p50` to `p99`, found `p100`",
        ),
        ("hedge: { at_most: 5% }", "after"),
        (
            "hedge: { after: 2m }",
            "expected a time from `1ms` to `60s`",
        ),
        (
            "hedge: { after: p95, at_most: 0% }",
            "expected a share above `0%`, `50%` at most, found `0%`",
        ),
        ("hedge: { after: p95, at_most: 60% }", "`50%` at most"),
        (
            "hedge: { after: 2s }, timeouts: { first_byte: 1s }",
            "nothing would be hedged: an attempt has failed after `first_byte` (1s)",
        ),
    ] {
        let said = problems(&app(&format!(", {options}")));
        assert!(said.contains(expected), "{options}: {said}");
    }
}
