//! The metrics: what is counted, and for how long.

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;

use super::super::harness::{Gateway, curl, echo, until};
use super::exposition::Exposition;
use super::gateway;

fn metrics(gateway: &Gateway) -> Exposition {
    let answer = gateway.admin("GET", "/metrics");
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    Exposition::parse(&answer.text())
}

#[test]
fn metrics_tell_what_happened_to_each_request() {
    let (gateway, _origin) = gateway();
    let get = |path: &str| curl(&[&gateway.url(path)]).status;
    assert_eq!((get("/open/a"), get("/open/b")), (200, 200));
    assert_eq!(
        curl(&[
            "-X",
            "POST",
            "-d",
            "x",
            &gateway.url("/open/status?status=201")
        ])
        .status,
        201
    );
    assert_eq!(
        curl(&["--http2-prior-knowledge", &gateway.url("/open/c")]).version,
        "2"
    );
    assert_eq!(
        (get("/closed/a"), get("/dead/a"), get("/nowhere")),
        (403, 502, 404)
    );
    // Any word can be a method; only the known ones are labels.
    for word in ["BREW", "PROPFIND", "LINK"] {
        assert_eq!(curl(&["-X", word, &gateway.url("/open/d")]).status, 200);
    }
    // The last lines of the log are written when all has been counted.
    gateway.access_log(10);

    let seen = metrics(&gateway);
    for (series, expected) in [
        ("requests_total{route=open,method=GET,code=200}", 3.0),
        ("requests_total{route=open,method=POST,code=201}", 1.0),
        ("requests_total{route=open,method=other,code=200}", 3.0),
        ("requests_total{route=closed,method=GET,code=403}", 1.0),
        ("requests_total{route=dead,method=GET,code=502}", 1.0),
        ("requests_total{route=-,method=GET,code=404}", 1.0),
        ("request_duration_seconds_count{route=open}", 7.0),
        ("request_duration_seconds_bucket{route=open,le=+Inf}", 7.0),
        ("requests_in_flight{route=open}", 0.0),
        ("requests_in_flight{route=dead}", 0.0),
        ("requests_in_flight{route=-}", 0.0),
        ("upstream_requests_total{upstream=app,code=200}", 6.0),
        ("upstream_requests_total{upstream=app,code=201}", 1.0),
        ("upstream_requests_total{upstream=dead,code=0}", 2.0),
        ("upstream_duration_seconds_count{upstream=app}", 7.0),
        ("upstream_requests_in_flight{upstream=app}", 0.0),
        ("upstream_requests_in_flight{upstream=dead}", 0.0),
        ("filter_runs_total{route=open,filter=headers}", 7.0),
        ("filter_refusals_total{route=open,filter=headers}", 0.0),
        ("filter_runs_total{route=closed,filter=ip}", 1.0),
        ("filter_refusals_total{route=closed,filter=ip}", 1.0),
        ("access_log_dropped_total{}", 0.0),
        ("config_generation{}", 1.0),
        ("body_memory_bytes{}", 0.0),
        (
            concat!("build_info{version=", env!("CARGO_PKG_VERSION"), "}"),
            1.0,
        ),
    ] {
        assert_eq!(
            seen.value(&format!("wiregate_{series}")),
            Some(expected),
            "{series}"
        );
    }
    let positive = [
        "wiregate_request_duration_seconds_sum{route=open}",
        "wiregate_upstream_duration_seconds_sum{upstream=app}",
        "wiregate_filter_seconds_total{route=open,filter=headers}",
        "process_resident_memory_bytes{}",
    ];
    for series in positive {
        assert!(seen.value(series).unwrap() > 0.0, "{series}");
    }
    let methods: HashSet<_> = seen.labels("method").collect();
    assert_eq!(methods, HashSet::from(["GET", "POST", "other"]));
    let routes: HashSet<_> = seen.labels("route").collect();
    assert_eq!(routes, HashSet::from(["open", "closed", "dead", "-"]));
}

#[test]
fn requests_and_attempts_in_flight_are_counted() {
    let (gateway, _origin) = gateway();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| curl(&[&gateway.url("/open/a?delay=1s")]).status);
        let route = "wiregate_requests_in_flight{route=\"open\"}";
        let attempts = "wiregate_upstream_requests_in_flight{upstream=\"app\"}";
        until("they are in flight", || {
            gateway.metric(route) == 1.0 && gateway.metric(attempts) == 1.0
        });
        assert_eq!(
            gateway.metric("wiregate_connections{listener=\"public\"}"),
            1.0
        );
        assert_eq!(slow.join().unwrap(), 200);
        until("they are over", || {
            gateway.metric(route) == 0.0 && gateway.metric(attempts) == 0.0
        });
    });
    until("the connection is closed", || {
        gateway.metric("wiregate_connections{listener=\"public\"}") == 0.0
    });
    // A client that goes away is not in flight for ever.
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream
        .write_all(b"GET /open/a?delay=60s HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let route = "wiregate_requests_in_flight{route=\"open\"}";
    until("it is in flight", || gateway.metric(route) == 1.0);
    // One that ends its side in order may still wait for its answer.
    let reset = socket2::SockRef::from(&stream);
    reset.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
    until("it is over", || gateway.metric(route) == 0.0);
    assert_eq!(gateway.access_log(2)[1]["status"], 499);
}

#[test]
fn series_of_what_is_gone_vanish() {
    let origin = echo();
    let at = origin.addresses()[0];
    let text = |name: &str, body: &str| {
        format!(
            "upstreams: {{ up-{name}: {{ endpoints: [\"{at}\"] }} }}\n\
             filters: {{ tag-{name}: {{ headers: {{ request: {{ set: {{ x-a: {body} }} }} }} }} }}\n\
             routes: [{{ name: route-{name}, filters: [tag-{name}], upstream: up-{name} }}]\n"
        )
    };
    let gateway = Gateway::start(&text("old", "one"));
    let get = |path: &str| curl(&[&gateway.url(path)]).status;
    assert_eq!(get("/"), 200);
    // The last version with these names gets no request: they vanish all the same.
    gateway.reload(&text("old", "two"));
    let names = ["route-old", "tag-old", "up-old"];
    let present = |names: &[&str]| {
        let text = gateway.admin("GET", "/metrics").text();
        let mut names = names.to_vec();
        names.retain(|name| text.contains(&format!("\"{name}\"")));
        names.len()
    };
    assert_eq!(present(&names), 3);
    std::thread::scope(|scope| {
        let late = scope.spawn(|| get("/?delay=1s&status=404"));
        let flight = "wiregate_requests_in_flight{route=\"route-old\"}";
        until("it is in flight", || gateway.metric(flight) == 1.0);
        gateway.reload(&text("new", "three"));
        assert_eq!(present(&names), 0);
        assert_eq!(late.join().unwrap(), 404);
    });
    gateway.access_log(2);
    // What ends after its route is gone brings nothing back.
    assert_eq!(present(&names), 0);
    assert_eq!(get("/"), 200);
    assert_eq!(present(&["route-new", "tag-new", "up-new"]), 3);
    // Nor does a version that was refused leave anything.
    gateway.write(&(text("refused", "four") + "wrong: 1\n"));
    assert_eq!(gateway.admin("POST", "/reload").status, 422);
    assert_eq!(present(&["route-refused", "tag-refused", "up-refused"]), 0);
}
