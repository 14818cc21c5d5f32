//! Tables of every width, and numbers of every size.

use super::super::figures::{Filter, Route, Upstream};
use super::*;

fn route(name: &str, requests: f64, errors: f64, p99: Option<f64>) -> Route {
    let time = |seconds| Time {
        seconds,
        more: false,
    };
    Route {
        route: name.to_owned(),
        requests_per_second: requests,
        errors_per_second: errors,
        p50_seconds: p99.map(|p99| time(p99 / 2.0)),
        p99_seconds: p99.map(time),
        in_flight: 1,
    }
}

fn endpoint(address: &str, available: bool, errors: u64) -> Endpoint {
    Endpoint {
        upstream: "app".into(),
        endpoint: address.into(),
        available,
        checked: true,
        errors_per_second: 0.0,
        errors,
        in_flight: 1,
    }
}

fn figures() -> Figures {
    Figures {
        version: "1.0".into(),
        generation: 3,
        interval_seconds: 2.0,
        requests_per_second: 111.5,
        errors_per_second: 1.5,
        in_flight: 2,
        connections: 9,
        memory_bytes: 50 << 20,
        log_lines_dropped_per_second: 0.0,
        routes: vec![
            route("alpha", 10.0, 0.0, Some(0.2)),
            route("beta", 100.0, 0.0, Some(0.004)),
            route("gamma", 1.5, 1.5, None),
        ],
        upstreams: vec![Upstream {
            upstream: "app".into(),
            endpoints: 2,
            available: 2,
            checked: 2,
            attempts_per_second: 110.0,
            errors_per_second: 0.0,
            retries_per_second: 0.0,
            p50_seconds: None,
            p99_seconds: Some(Time {
                seconds: 10.0,
                more: true,
            }),
            in_flight: 1,
            waiting: 0,
            circuit_open: false,
        }],
        endpoints: vec![
            endpoint("10.0.0.1:8080", true, 0),
            endpoint("10.0.0.2:8080", true, 3),
        ],
        filters: vec![Filter {
            route: "alpha".into(),
            filter: "jwt".into(),
            runs_per_second: 10.0,
            refusals_per_second: 0.2,
            answers_per_second: 0.0,
            seconds_per_run: Some(0.000_012),
        }],
    }
}

fn order(sort: Sort) -> Vec<String> {
    let lines = Page::of(&figures(), sort).lines(80);
    let names = lines[1..4].iter().map(|line| line.shown(false));
    names
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
fn a_page_has_four_tables_and_a_head() {
    let text = Page::of(&figures(), Sort::Name).text(100, false);
    let expected = "wiregate 1.0  configuration 3  112 req/s  1.5 err/s  2 in flight  9 connections  50 MiB\n\
        \n\
        ROUTE  REQ/S  ERR/S    P50    P99  IN FLIGHT\n\
        alpha     10      0  100ms  200ms          1\n\
        beta     100      0  2.0ms  4.0ms          1\n\
        gamma    1.5    1.5      -      -          1\n\
        \n\
        UPSTREAM    ENDPOINTS  TRIES/S  ERR/S  RETRY/S  P50   P99  IN FLIGHT  WAITING  CIRCUIT\n\
        app       2/2 healthy      110      0        0    -  >10s          1        0        -\n\
        \n\
        UPSTREAM  ENDPOINT         STATE  ERR/S  ERRORS  IN FLIGHT\n\
        app       10.0.0.1:8080  healthy      0       0          1\n\
        app       10.0.0.2:8080  healthy      0       3          1\n\
        \n\
        ROUTE  FILTER  RUNS/S  REFUSED/S  ANSWERED/S  TIME/RUN\n\
        alpha  jwt         10        0.2           0      12µs\n";
    assert_eq!(text, expected);
}

#[test]
fn nobody_is_called_healthy_whom_nobody_checks() {
    let mut figures = figures();
    figures.upstreams[0].checked = 0;
    for endpoint in &mut figures.endpoints {
        endpoint.checked = false;
    }
    let text = Page::of(&figures, Sort::Name).text(120, false);
    assert!(!text.contains("healthy"), "{text}");
    assert!(text.contains("2/2 unchecked"), "{text}");
    assert_eq!(text.matches("  unchecked  ").count(), 2, "{text}");
}

#[test]
fn a_table_without_rows_is_left_out() {
    let mut figures = figures();
    figures.upstreams.clear();
    figures.endpoints.clear();
    figures.filters.clear();
    let text = Page::of(&figures, Sort::Name).text(100, false);
    assert_eq!(text.lines().count(), 2 + 4, "{text}");
}

#[test]
fn rows_are_sorted_as_asked() {
    let mut sort = Sort::Requests;
    for expected in [
        ["beta", "alpha", "gamma"],
        ["gamma", "alpha", "beta"],
        ["alpha", "beta", "gamma"],
        ["alpha", "beta", "gamma"],
    ] {
        assert_eq!(order(sort), expected, "{sort:?}");
        sort = sort.next();
    }
    assert_eq!(sort, Sort::Requests);
}

#[test]
fn long_names_make_way_for_numbers_and_move_no_terminal() {
    let mut figures = figures();
    figures.routes[0].route = format!("\x1b[2J{}", "é".repeat(200));
    let lines = Page::of(&figures, Sort::Name).lines(60);
    let row = lines
        .iter()
        .map(|line| line.shown(false))
        .find(|line| line.contains('é'));
    let row = row.unwrap();
    assert_eq!(row.chars().count(), 60);
    assert!(
        row.starts_with("\u{fffd}[2Jé") && row.contains("…  "),
        "{row}"
    );
    assert!(row.ends_with("  200ms          1"));
    // With too little room for anything, numbers are still whole.
    let lines = Page::of(&figures, Sort::Name).lines(5);
    assert!(lines.iter().any(|line| line.shown(false).contains("200ms")));
}

#[test]
fn what_is_bad_is_red_where_colours_are_wanted() {
    let mut figures = figures();
    figures.upstreams[0].available = 1;
    figures.endpoints[1].available = false;
    let lines = Page::of(&figures, Sort::Name).lines(100);
    let bad: Vec<_> = lines
        .iter()
        .filter(|line| matches!(line, Line::Bad(_)))
        .collect();
    assert_eq!(bad.len(), 3);
    assert!(bad[2].shown(false).contains("10.0.0.2:8080      out"));
    assert!(bad[0].shown(true).starts_with("\x1b[31mgamma"));
    assert!(bad[0].shown(false).starts_with("gamma"));
    figures.log_lines_dropped_per_second = 12.0;
    let head = Page::of(&figures, Sort::Name).head;
    assert!(head.ends_with("12 log lines/s dropped"), "{head}");
}

#[test]
fn numbers_are_short_whatever_their_size() {
    for (value, expected) in [
        (0.0, "0"),
        (0.26, "0.3"),
        (9.94, "9.9"),
        (12.4, "12"),
        (99_999.0, "99999"),
        (123_456.0, "123k"),
        (45_000_000.0, "45M"),
    ] {
        assert_eq!(rate(value), expected);
    }
    for (value, expected) in [
        (0.000_001_2, "1.2µs"),
        (0.000_5, "500µs"),
        (0.001_5, "1.5ms"),
        (0.25, "250ms"),
        (2.5, "2.5s"),
        (75.0, "75s"),
    ] {
        assert_eq!(duration(value), expected);
    }
}
