//! How long looking up a route takes, and compiling all of them.

use std::hint::black_box;

use divan::Bencher;
use pingora_http::RequestHeader;
use wiregate::router::{EncodedSlash, Match, RouteSpec, Router, normalise};
use wiregate_sdk::testing::exchange;
use wiregate_sdk::value::Place;

fn main() {
    divan::main();
}

const COUNTS: [usize; 4] = [1, 10, 1_000, 10_000];

/// As a configuration of an API gateway may look: hosts, prefixes, parameters, exact paths.
fn specs(count: usize) -> Vec<RouteSpec> {
    (0..count).map(spec).collect()
}

fn spec(at: usize) -> RouteSpec {
    let host = format!("api{}.example.com", at % 100);
    let matching = match at % 4 {
        0 => format!(r#"{{"host": "{host}", "path": "/v1/orders{at}/**"}}"#),
        1 => format!(r#"{{"host": "{host}", "path": "/v1/users{at}/{{id}}", "methods": ["GET"]}}"#),
        2 => format!(r#"{{"host": "*.t{at}.example.com", "path": "/**"}}"#),
        _ => format!(r#"{{"path": "/health/{at}"}}"#),
    };
    let place = Place {
        file: "bench".into(),
        line: 1,
        column: 1,
        width: 1,
    };
    RouteSpec {
        written: None,
        name: format!("route{at}").into(),
        matching: serde_json::from_str::<Match>(&matching).expect("a valid match"),
        preflights: false,
        priority: 0,
        place,
    }
}

fn router(count: usize) -> Router {
    Router::compile(specs(count), EncodedSlash::Refuse).expect("routes without problems")
}

fn look_up(bencher: Bencher<'_, '_>, count: usize, kind: usize, host: &str, path: &str) {
    let router = router(count);
    let head = RequestHeader::build("GET", path.as_bytes(), None).expect("a valid head");
    let mut exchange = exchange(&head);
    let found = router.find(&head, &mut exchange, host, path);
    let found = found.expect("no `when`");
    assert_eq!(found.map(|hit| hit.route), (kind < count).then_some(kind));
    bencher.bench_local(|| {
        let head = black_box(&head);
        router.find(head, &mut exchange, black_box(host), black_box(path))
    });
}

#[divan::bench(args = COUNTS)]
fn prefix(bencher: Bencher<'_, '_>, count: usize) {
    look_up(
        bencher,
        count,
        0,
        "api0.example.com",
        "/v1/orders0/12345/items",
    );
}

#[divan::bench(args = COUNTS)]
fn parameter(bencher: Bencher<'_, '_>, count: usize) {
    look_up(bencher, count, 1, "api1.example.com", "/v1/users1/12345");
}

#[divan::bench(args = COUNTS)]
fn wildcard_host(bencher: Bencher<'_, '_>, count: usize) {
    look_up(bencher, count, 2, "a.b.t2.example.com", "/v1/users");
}

#[divan::bench(args = COUNTS)]
fn exact(bencher: Bencher<'_, '_>, count: usize) {
    look_up(bencher, count, 3, "api3.example.com", "/health/3");
}

#[divan::bench(args = COUNTS)]
fn nothing(bencher: Bencher<'_, '_>, count: usize) {
    look_up(
        bencher,
        count,
        usize::MAX,
        "api3.example.com",
        "/nowhere/at/all",
    );
}

#[divan::bench(args = [10_000])]
fn compile(bencher: Bencher<'_, '_>, count: usize) {
    bencher
        .with_inputs(|| specs(count))
        .bench_values(|specs| Router::compile(specs, EncodedSlash::Refuse));
}

#[divan::bench(args = ["/v1/orders/12345/items", "/v1//orders/../%6frders"])]
fn path(bencher: Bencher<'_, '_>, path: &str) {
    bencher.bench(|| normalise(black_box(path), EncodedSlash::Refuse).map(|path| path.len()));
}
