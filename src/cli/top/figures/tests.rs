//! Rates and quantiles out of two expositions.

use std::time::{Duration, Instant};

use super::*;

fn looks(before: &str, now: &str, seconds: u64) -> (Look, Look) {
    let at = Instant::now();
    let look = |text: &str, at| Look {
        at,
        metrics: Exposition::read(text),
    };
    (
        look(before, at),
        look(now, at + Duration::from_secs(seconds)),
    )
}

fn figures(before: &str, now: &str) -> Figures {
    let (before, now) = looks(before, now, 2);
    Figures::between(&before, &now)
}

#[test]
fn routes_have_rates_errors_and_times() {
    let before = "wiregate_requests_total{route=\"a\",method=\"GET\",code=\"200\"} 100\n\
        wiregate_request_duration_seconds_bucket{route=\"a\",le=\"0.1\"} 100\n\
        wiregate_request_duration_seconds_bucket{route=\"a\",le=\"+Inf\"} 100\n";
    let now = "wiregate_requests_total{route=\"a\",method=\"GET\",code=\"200\"} 110\n\
        wiregate_requests_total{route=\"a\",method=\"POST\",code=\"503\"} 4\n\
        wiregate_requests_total{route=\"a\",method=\"POST\",code=\"0\"} 2\n\
        wiregate_requests_total{route=\"b\",method=\"GET\",code=\"404\"} 6\n\
        wiregate_requests_in_flight{route=\"a\"} 3\n\
        wiregate_request_duration_seconds_bucket{route=\"a\",le=\"0.1\"} 116\n\
        wiregate_request_duration_seconds_bucket{route=\"a\",le=\"+Inf\"} 116\n\
        wiregate_build_info{version=\"1.2\"} 1\nwiregate_config_generation 7\n\
        wiregate_connections{listener=\"x\"} 5\nwiregate_connections{listener=\"y\"} 6\n";
    let figures = figures(before, now);
    assert_eq!((&*figures.version, figures.generation), ("1.2", 7));
    assert_eq!((figures.connections, figures.in_flight), (11, 3));
    assert_eq!(figures.requests_per_second, 11.0);
    assert_eq!(figures.errors_per_second, 3.0);
    let [a, b] = &figures.routes[..] else {
        panic!("expected two routes, found {:?}", figures.routes);
    };
    assert_eq!((a.requests_per_second, a.errors_per_second), (8.0, 3.0));
    let time = |seconds| {
        Some(Time {
            seconds,
            more: false,
        })
    };
    assert_eq!((a.p50_seconds, a.in_flight), (time(0.05), 3));
    assert_eq!((b.requests_per_second, b.p99_seconds), (3.0, None));
}

#[test]
fn upstreams_are_there_without_traffic() {
    let now = "wiregate_endpoint_healthy{upstream=\"app\",endpoint=\"1\"} 1\n\
        wiregate_endpoint_healthy{upstream=\"app\",endpoint=\"2\"} 0\n\
        wiregate_endpoint_checked{upstream=\"app\",endpoint=\"2\"} 1\n\
        wiregate_endpoint_errors_total{upstream=\"app\",endpoint=\"2\"} 6\n\
        wiregate_endpoint_requests_in_flight{upstream=\"app\",endpoint=\"2\"} 5\n\
        wiregate_upstream_retries_total{upstream=\"app\",outcome=\"made\"} 8\n\
        wiregate_upstream_retries_total{upstream=\"app\",outcome=\"no_budget\"} 9\n\
        wiregate_upstream_circuit_open{upstream=\"app\"} 1\n";
    let figures = figures("", now);
    let app = &figures.upstreams[0];
    assert_eq!((app.available, app.checked, app.endpoints), (1, 1, 2));
    assert_eq!((app.retries_per_second, app.circuit_open), (4.0, true));
    let [one, two] = &figures.endpoints[..] else {
        panic!("expected two endpoints, found {:?}", figures.endpoints);
    };
    assert_eq!((&*one.upstream, &*one.endpoint), ("app", "1"));
    assert!(one.available && !one.checked && !two.available && two.checked);
    assert_eq!((one.errors, one.errors_per_second), (0, 0.0));
    assert_eq!((two.errors, two.errors_per_second), (6, 3.0));
    assert_eq!(two.in_flight, 5);
}

#[test]
fn filters_have_the_time_of_all_their_hooks() {
    let labels = "route=\"a\",filter=\"jwt\"";
    let now = format!(
        "wiregate_filter_runs_total{{{labels}}} 10\nwiregate_filter_refusals_total{{{labels}}} 4\n\
         wiregate_filter_seconds_total{{{labels},hook=\"request\"}} 0.02\n\
         wiregate_filter_seconds_total{{{labels},hook=\"response\"}} 0.03\n\
         wiregate_filter_runs_total{{route=\"b\",filter=\"jwt\"}} 0\n"
    );
    let figures = figures("", &now);
    let filter = &figures.filters[0];
    assert_eq!(
        (filter.runs_per_second, filter.refusals_per_second),
        (5.0, 2.0)
    );
    assert!((filter.seconds_per_run.unwrap() - 0.005).abs() < 1e-9);
    assert_eq!(figures.filters[1].seconds_per_run, None);
}

#[test]
fn the_time_of_few_runs_is_that_of_all_so_far() {
    let text = |runs, seconds| {
        format!(
            "wiregate_filter_runs_total{{route=\"a\",filter=\"b\"}} {runs}\n\
             wiregate_filter_seconds_total{{route=\"a\",filter=\"b\",hook=\"request\"}} {seconds}\n"
        )
    };
    for (before, now, expected) in [
        ((1000, 1), (1010, 1), Some(1.0 / 1010.0)),
        ((1000, 1), (3000, 5), Some(0.002)),
        ((0, 0), (10, 0), None),
    ] {
        let figures = figures(&text(before.0, before.1), &text(now.0, now.1));
        let found = figures.filters[0].seconds_per_run;
        assert_eq!(found.is_some(), expected.is_some(), "{now:?}");
        let difference = found.unwrap_or_default() - expected.unwrap_or_default();
        assert!(difference.abs() < 1e-9, "{now:?}: {found:?}");
    }
}

#[test]
fn counters_of_another_process_begin_at_zero() {
    let text = |count| format!("wiregate_requests_total{{route=\"a\",code=\"200\"}} {count}\n");
    let figures = figures(&text(1000), &text(10));
    assert_eq!(figures.routes[0].requests_per_second, 5.0);
}

#[test]
fn quantiles_lie_between_the_bounds_or_beyond_the_last() {
    let buckets = [(0.1, 50.0), (0.2, 90.0), (f64::INFINITY, 100.0)];
    let at = |share| {
        let time = quantile(&buckets, share).unwrap();
        ((time.seconds * 1000.0).round(), time.more)
    };
    assert_eq!(at(0.5), (100.0, false));
    assert_eq!(at(0.25), (50.0, false));
    assert_eq!(at(0.7), (150.0, false));
    assert_eq!(at(0.99), (200.0, true));
    assert_eq!(quantile(&[(0.1, 0.0), (f64::INFINITY, 0.0)], 0.5), None);
    assert_eq!(quantile(&[], 0.5), None);
}
