//! What it costs to count one request: all that is counted of one that goes to an endpoint and comes back.

use std::sync::Arc;
use std::time::Duration;

use divan::{Bencher, black_box};
use http::{Method, StatusCode};
use wiregate::observe::metrics::{Ended, Metrics, RouteMetrics, UpstreamMetrics};

fn main() {
    divan::main();
}

#[divan::bench]
fn one_request(bencher: Bencher<'_, '_>) {
    let metrics = Metrics::new();
    let route = RouteMetrics::new(metrics.clone(), Arc::from("orders"));
    let upstream = UpstreamMetrics::new(metrics, Arc::from("app"));
    let took = Duration::from_micros(700);
    bencher.bench(|| {
        route.begin();
        upstream.begin();
        upstream.reused();
        upstream.answered(black_box(StatusCode::OK), black_box(took));
        upstream.end(true);
        route.end(black_box(&Ended {
            method: &Method::GET,
            status: Some(StatusCode::OK),
            error: None,
            duration: Some(took),
            received: 0,
            sent: 13,
        }));
    });
}
