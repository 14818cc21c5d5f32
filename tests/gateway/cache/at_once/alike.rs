//! It is as if there had been an exchange, also where time, limits and configurations are concerned.

use std::time::Instant;

use super::*;

/// A route's name is the first part of a host.
fn ask(gateway: &Gateway, host: &str) -> Got {
    Got::ask(&mut connect(gateway), &with("").replace("{s}", host))
}

#[test]
fn ages_and_times_to_live_go_on() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=600 | age: 100");
    let gateway = Gateway::start(&both_ways(&origin, "{}"));
    ask_both(&gateway, &with(""));
    let figures = |got: &Got| {
        let age: u64 = got.field("age").unwrap().parse().unwrap();
        let told = got.field("cache-status").unwrap();
        let ttl = told.strip_prefix("wiregate; hit; ttl=").unwrap();
        assert!(got.field("date").is_some_and(|date| date.ends_with(" GMT")));
        (age, ttl.parse::<u64>().unwrap())
    };
    for host in ["s", "l"] {
        let (age, ttl) = figures(&ask(&gateway, host));
        assert!((100..130).contains(&age), "{age}");
        assert_eq!(age + ttl, 600);
    }
    let (age, _) = figures(&ask(&gateway, "s"));
    until("it is older", || figures(&ask(&gateway, "s")).0 > age);
    assert!(ask(&gateway, "s").was_at_once());
}

#[test]
fn its_line_in_the_log_has_its_id_and_its_host() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=600");
    let gateway = Gateway::start(&both_ways(&origin, "{}"));
    ask_both(&gateway, &with(""));
    let (short, long) = ask_both(&gateway, &with(""));
    assert!(short.was_at_once());
    let lines = gateway.access_log(4);
    for (got, host) in [(short, "s.example"), (long, "l.example")] {
        let id = got.field("x-request-id").unwrap();
        let own = lines.iter().find(|line| line["request_id"] == id).unwrap();
        assert_eq!((&own["host"], &own["cache"]), (&host.into(), &"hit".into()));
    }
}

#[test]
fn what_is_fresh_for_less_than_a_second_counts_as_a_hit() {
    let origin = Origin::start();
    origin.says("/a", "x: 1");
    let gateway = Gateway::start(&both_ways(&origin, "{ ttl: 900ms, force: true }"));
    for host in ["s", "l"] {
        let mut hit = None;
        until("it is a hit", || {
            hit = Some(ask(&gateway, host)).filter(Got::is_hit);
            hit.is_some()
        });
        let hit = hit.unwrap();
        let id = hit.field("x-request-id").unwrap();
        let mut word = String::new();
        until("it is logged", || {
            let lines = gateway.access_log(1);
            let own = lines.iter().find(|line| line["request_id"] == id);
            word = own.map_or(String::new(), |line| line["cache"].to_string());
            own.is_some()
        });
        assert_eq!(word, "\"hit\"", "{host}");
    }
}

#[test]
fn it_takes_no_longer_than_an_exchange_may() {
    let origin = Origin::start();
    let body = "x".repeat(60_000);
    origin.answers_with("/a", 200, "cache-control: max-age=600", &body);
    for (limits, timeouts, word) in [
        (
            "client_write: 60s",
            "timeouts: { total: 1s }, ",
            "http_response_timeout",
        ),
        ("client_write: 1s", "", "client_too_slow"),
    ] {
        let routes = both_ways(&origin, "{}");
        let routes = routes.replace("upstream: app", &format!("{timeouts}upstream: app"));
        let gateway = Gateway::start(&format!("limits: {{ {limits} }}\n{routes}"));
        ask_both(&gateway, &with(""));
        for host in ["s", "l"] {
            let begun = Instant::now();
            let plain = with("").replace("{s}", host);
            let mut idle = connect(&gateway);
            idle.write_all(plain.repeat(2_000).as_bytes()).unwrap();
            let route = if host == "s" { "short" } else { "long" };
            let given_up = || {
                let mut lines = gateway.access_log(3).into_iter();
                lines.find(|line| line["error"].is_string() && line["route"] == route)
            };
            until("it is given up", || given_up().is_some());
            let line = given_up().unwrap();
            assert_eq!(
                (&line["status"], &line["error"]),
                (&200.into(), &word.into())
            );
            assert!(line["bytes_out"].as_u64().unwrap() <= 60_000, "{line}");
            assert!(begun.elapsed() >= Duration::from_secs(1));
            let in_flight = format!("wiregate_requests_in_flight{{route=\"{route}\"}}");
            until("nothing is under way", || gateway.metric(&in_flight) == 0.0);
        }
    }
}

#[test]
fn a_reload_changes_what_is_given_over_an_open_connection() {
    let origin = Origin::start();
    let fields = "cache-control: max-age=600 | surrogate-key: tenant";
    origin.answers_with("/a", 200, fields, "the same");
    let gateway = Gateway::start(&both_ways(&origin, "{}"));
    ask_both(&gateway, &with(""));
    let mut open = ["s", "l"].map(|host| (host, connect(&gateway)));
    let mut ask = || {
        let each = open
            .each_mut()
            .map(|(host, stream)| Got::ask(stream, &with("").replace("{s}", host)));
        assert_eq!(each[0].same(), each[1].same());
        each
    };
    let [short, _] = ask();
    assert!(short.was_at_once() && short.field("surrogate-key").is_some());
    // It was stored before it was known that this is for nobody.
    gateway.reload(&both_ways(&origin, "{ tags: surrogate-key }"));
    let [short, _] = ask();
    assert!(short.was_at_once() && short.field("surrogate-key").is_none());
    gateway.reload(&both_ways(&origin, "{ cache_status: false }"));
    let [short, _] = ask();
    assert!(short.was_at_once() && short.field("cache-status").is_none());
    gateway.reload(&both_ways(&origin, "{ bypass: \"true\" }"));
    let [short, _] = ask();
    assert!(!short.is_hit() && !short.was_at_once());
}

#[test]
fn a_gateway_that_leaves_says_so() {
    let origin = Origin::start();
    origin.says("/a", "cache-control: max-age=600");
    let mut gateway = Gateway::start(&both_ways(&origin, "{}"));
    ask_both(&gateway, &with(""));
    let mut open = ["s", "l"].map(|host| (host, connect(&gateway)));
    for (host, stream) in &mut open {
        Got::ask(stream, &with("").replace("{s}", host));
    }
    gateway.signal("TERM");
    for (host, stream) in &mut open {
        let mut last = None;
        until("it says that it is the last one", || {
            let got = Got::ask(stream, &with("").replace("{s}", host));
            last = Some(got.clone());
            got.field("connection") == Some("close")
        });
        let last = last.unwrap();
        assert!(
            last.is_hit() && last.was_at_once() == (*host == "s"),
            "{last:?}"
        );
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "{host}");
    }
    assert!(gateway.wait().success());
}

#[test]
fn a_place_is_given_back_before_the_connection_lingers() {
    let origin = Origin::start();
    let body = "x".repeat(60_000);
    origin.answers_with("/a", 200, "cache-control: max-age=600", &body);
    for host in ["l", "s"] {
        let routes = both_ways(&origin, "{}");
        let routes = routes.replace("upstream: app", "timeouts: { total: 1s }, upstream: app");
        let gateway = Gateway::start(&format!(
            "limits: {{ requests: 1, client_write: 60s }}\n{routes}"
        ));
        ask_both(&gateway, &with(""));
        let plain = with("").replace("{s}", host);
        let mut idle = connect(&gateway);
        idle.write_all(plain.repeat(2_000).as_bytes()).unwrap();
        let given_up = || {
            let mut lines = gateway.access_log(3).into_iter();
            lines.any(|line| line["error"].is_string() && line["status"] == 200)
        };
        until("it is given up", given_up);
        let begun = Instant::now();
        let other = if host == "s" { "l" } else { "s" };
        until("there is a place", || {
            Got::ask(&mut connect(&gateway), &with("").replace("{s}", other))
                .line
                .contains(" 200 ")
        });
        assert!(begun.elapsed() < Duration::from_millis(1_750), "{host}"); // it lingers for two seconds
    }
}
