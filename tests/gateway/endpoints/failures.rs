//! What is told of endpoints that fail.

use std::io::Write as _;
use std::net::SocketAddr;

use super::super::harness::{Gateway, curl, echoes, until};
use super::super::origin;
use super::super::peers::state;
use super::to;

fn errors(gateway: &Gateway, address: SocketAddr) -> u64 {
    state(gateway, address)["errors"].as_u64().unwrap()
}

fn metric(gateway: &Gateway, name: &str, address: SocketAddr) -> f64 {
    gateway.metric(&format!(
        "wiregate_endpoint_{name}{{endpoint=\"{address}\",upstream=\"app\"}}"
    ))
}

/// A server that closes each connection in the middle of a body.
fn breaks_off(status: &'static str) -> SocketAddr {
    origin::serve(move |_, mut stream| {
        if origin::head(&mut stream).is_some() {
            let half = format!("HTTP/1.1 {status}\r\ncontent-length: 9\r\n\r\nx");
            stream.write_all(half.as_bytes()).unwrap();
        }
    })
}

#[test]
fn failures_are_counted_by_endpoint_and_kept_over_a_reload() {
    let origin = echoes(1);
    let good = origin.addresses()[0];
    let whole = origin::answers(|_| origin::empty(503));
    // They promise more than comes.
    let half = breaks_off("200 OK");
    let both = breaks_off("500 No");
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = gone.local_addr().unwrap();
    drop(gone);
    let all = [good, whole, half, both, closed];
    let upstreams = |options: &str| {
        let each = all.iter().enumerate().map(|(n, address)| {
            format!(
                "  app{n}: {{ endpoints: [\"{address}\"], retry: {{ attempts: 1 }}{options} }}\n"
            )
        });
        let routes = (0..all.len())
            .map(|n| format!("  - {{ name: r{n}, match: {{ path: /{n} }}, upstream: app{n} }}\n"));
        let (each, routes): (String, String) = (each.collect(), routes.collect());
        format!("upstreams:\n{each}routes:\n{routes}")
    };
    let gateway = Gateway::start(&upstreams(""));
    let counted = |n: usize| {
        let told = gateway.admin("GET", "/upstreams").json();
        let told = told["upstreams"][format!("app{n}")]["endpoints"][0]["errors"].as_f64();
        let metric = gateway.metric(&format!(
            "wiregate_endpoint_errors_total{{endpoint=\"{}\",upstream=\"app{n}\"}}",
            all[n]
        ));
        assert_eq!(told, Some(metric), "{n}");
        metric
    };
    for round in 1..=2 {
        for n in 0..all.len() {
            curl(&[&gateway.url(&format!("/{n}"))]);
        }
        // One for each attempt, however it failed.
        for n in 0..all.len() {
            let expected = if n == 0 { 0.0 } else { f64::from(round) };
            until("its failure is counted", || counted(n) >= expected);
            assert_eq!(counted(n), expected, "{n}");
        }
        gateway.reload(&upstreams(", timeouts: { connect: 3s }"));
    }
}

#[test]
fn whether_anybody_checks_is_told() {
    let origin = echoes(1);
    let address = origin.addresses()[0];
    let with = |health: &str| to(&format!("{{ endpoints: [\"{address}\"]{health} }}"));
    let gateway = Gateway::start(&with(""));
    let told = |gateway: &Gateway| state(gateway, address)["health"].clone();
    assert_eq!(told(&gateway), "unchecked");
    let (healthy, checked) = ("healthy", "checked");
    assert_eq!(metric(&gateway, healthy, address), 1.0);
    assert_eq!(metric(&gateway, checked, address), 0.0);

    gateway.reload(&with(", health: { http: /health, every: 50ms }"));
    until("it is checked", || told(&gateway) == "healthy");
    assert_eq!(metric(&gateway, checked, address), 1.0);
    super::super::peers::set_health(address, 503);
    until("it is found unhealthy", || told(&gateway) == "unhealthy");
    assert_eq!(metric(&gateway, healthy, address), 0.0);

    // What checks have found holds as long as there are some.
    gateway.reload(&with(""));
    assert_eq!(told(&gateway), "unchecked");
    assert_eq!(state(&gateway, address)["available"], true);
    assert_eq!(metric(&gateway, checked, address), 0.0);
}

#[test]
fn a_retry_takes_nobody_s_turn() {
    for count in [2, 3] {
        let origin = echoes(count - 1);
        let bad = origin::answers(|_| origin::empty(503));
        let good = origin.addresses();
        let list: Vec<_> = good
            .iter()
            .chain([&bad])
            .map(|a| format!("\"{a}\""))
            .collect();
        let gateway = Gateway::start(&format!(
            "workers: 1\n{}",
            to(&format!(
                "{{ endpoints: [{}], retry: {{ attempts: 2, on: [503], budget: 100% }} }}",
                list.join(", ")
            ))
        ));
        let rounds = 4;
        let mut served = std::collections::BTreeMap::<String, usize>::new();
        for _ in 0..rounds * count {
            let answer = curl(&[&gateway.url("/")]);
            assert_eq!(answer.status, 200);
            let by = answer.json()["served_by"].as_str().unwrap().to_owned();
            *served.entry(by).or_default() += 1;
        }
        // It was first once in a round, and the others share what it has failed at.
        assert_eq!(errors(&gateway, bad), rounds as u64, "of {count}");
        let each = rounds * count / (count - 1);
        assert!(served.values().all(|&n| n == each), "{served:?}");
    }
}
