//! The metrics: what is counted, and for how long.

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;

use super::super::harness::{Gateway, curl, echo, until};
use super::super::upgrade::{exchange, exchangeable, restore, upgrade};
use super::exposition::Exposition;
use super::{ask_often, gateway};

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
        ("requests_failed_total{route=closed,reason=ip_denied}", 1.0),
        (
            "requests_failed_total{route=dead,reason=connection_refused}",
            1.0,
        ),
        ("requests_failed_total{route=-,reason=no_route}", 1.0),
        ("request_body_bytes_total{route=open}", 1.0),
        ("request_body_bytes_total{route=closed}", 0.0),
        (
            "upstream_connect_duration_seconds_count{upstream=dead}",
            0.0,
        ),
        ("connections_accepted_total{listener=public}", 10.0),
        ("connections_limit{listener=public}", 50_000.0),
        ("phase{phase=ready}", 1.0),
        ("phase{phase=draining}", 0.0),
        ("config_reloads_total{result=ok}", 0.0),
        ("config_reloads_total{result=refused}", 0.0),
        ("upgrades_total{result=failed}", 0.0),
        ("body_memory_limit_bytes{}", 268_435_456.0),
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
        "wiregate_response_body_bytes_total{route=open}",
        "wiregate_response_body_bytes_total{route=-}",
        "wiregate_workers{}",
        "process_resident_memory_bytes{}",
    ];
    for series in positive {
        assert!(seen.value(series).unwrap() > 0.0, "{series}");
    }
    let connections = |kind: &str| {
        let series = format!("wiregate_upstream_connections_total{{upstream=app,kind={kind}}}");
        seen.value(&series).unwrap()
    };
    assert_eq!(connections("new") + connections("reused"), 7.0);
    let connect = "wiregate_upstream_connect_duration_seconds_count{upstream=app}";
    assert_eq!(seen.value(connect), Some(connections("new")));
    let methods: HashSet<_> = seen.labels("method").collect();
    assert_eq!(methods, HashSet::from(["GET", "POST", "other"]));
    let routes: HashSet<_> = seen.labels("route").collect();
    assert_eq!(routes, HashSet::from(["open", "closed", "dead", "-"]));
}

#[test]
fn the_time_in_filters_is_about_what_it_is() {
    let gateway = Gateway::start(
        "routes: [{ name: all, filters: [{ rate_limit: 100000/365d }, { respond: hello }] }]\n",
    );
    let hooks = |filter: &str, hook: &str| {
        let labels = format!("filter=\"{filter}\",hook=\"{hook}\",route=\"all\"");
        gateway.metric(&format!("wiregate_filter_seconds_total{{{labels}}}"))
    };
    until("one of many was measured", || {
        ask_often(&gateway, "/", "");
        hooks("rate_limit", "request") > 0.0
    });
    for hook in ["response", "done"] {
        assert!(hooks("rate_limit", hook) > 0.0, "{hook}");
    }
    // Nobody has claimed a body.
    assert_eq!(hooks("rate_limit", "request_body"), 0.0);
    // A filter that always answers has no response to look at.
    assert_eq!(hooks("respond", "upstream"), 0.0);
}

#[test]
fn reloads_and_upgrades_are_counted_by_their_outcome() {
    let route = "routes: [{ name: all, filters: [respond: hello] }]\n";
    let gateway = exchangeable(route);
    let reloads = |result: &str| {
        gateway.metric(&format!(
            "wiregate_config_reloads_total{{result=\"{result}\"}}"
        ))
    };
    let upgrades =
        |result: &str| gateway.metric(&format!("wiregate_upgrades_total{{result=\"{result}\"}}"));
    gateway.reload(route);
    gateway.write("routes: [{ name: all, filters: [respond: hello] }]\nwrong: 1\n");
    assert_eq!(gateway.admin("POST", "/reload").status, 422);
    // It may have been noticed by itself as well.
    assert!(reloads("ok") >= 1.0 && reloads("refused") >= 1.0);
    assert_eq!((reloads("broken"), reloads("held_back")), (0.0, 0.0));
    until("the times are as many", || {
        let count = gateway.metric("wiregate_config_reload_duration_seconds_count");
        count == reloads("ok") + reloads("refused")
    });
    let successful = "wiregate_config_last_reload_successful";
    assert_eq!(gateway.metric(successful), 0.0);
    assert_eq!(upgrades("failed"), 0.0);
    exchange(&gateway, "exit 3");
    assert!(upgrade(&gateway, &[]).is_err());
    assert_eq!((upgrades("failed"), upgrades("done")), (1.0, 0.0));
    gateway.write(route);
    restore(&gateway);
    let _new = upgrade(&gateway, &[]).unwrap();
    until("the new process tells that it has taken over", || {
        upgrades("done") == 1.0
    });
    assert_eq!(upgrades("failed"), 0.0);
}

#[test]
fn a_gateway_that_ends_says_so() {
    let gateway = Gateway::start(
        "limits: { drain_delay: 20s }\nroutes: [{ name: all, filters: [respond: hello] }]\n",
    );
    let phase = |phase: &str| gateway.metric(&format!("wiregate_phase{{phase=\"{phase}\"}}"));
    assert_eq!((phase("ready"), phase("draining")), (1.0, 0.0));
    gateway.signal("TERM");
    until("it drains", || {
        (phase("ready"), phase("draining")) == (0.0, 1.0)
    });
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
