//! What was counted goes over to the new process: rate limits, and the number of the configuration.

use super::super::harness::{Gateway, curl};
use super::upgrade;

const ALGORITHMS: [&str; 4] = ["gcra", "token_bucket", "fixed_window", "sliding_window"];

fn routes() -> String {
    let routes = ALGORITHMS.map(|algorithm| {
        // A window of a day may end while the test runs: of a year it hardly does.
        let limit = format!(
            "{{ limit: 5/365d, algorithm: {algorithm}, by: 'request.headers[\"x-who\"]' }}"
        );
        format!(
            "  - {{ name: {algorithm}, match: {{ path: /{algorithm} }}, \
             filters: [rate_limit: {limit}, respond: 204] }}\n"
        )
    });
    format!("routes:\n{}", routes.concat())
}

/// How many of so many requests pass.
fn passing(gateway: &Gateway, algorithm: &str, who: &str, requests: usize) -> usize {
    let url = gateway.url(&format!("/{algorithm}"));
    let who = format!("x-who: {who}");
    let statuses = (0..requests).map(|_| curl(&["-H", &who, &url]).status);
    let passed = statuses.inspect(|status| assert!([204, 429].contains(status), "{status}"));
    passed.filter(|status| *status == 204).count()
}

#[test]
fn what_is_left_of_a_rate_limit_is_left_after_upgrades() {
    let mut gateway = Gateway::start(&routes());
    for algorithm in ALGORITHMS {
        assert_eq!(passing(&gateway, algorithm, "ann", 2), 2, "{algorithm}");
        assert_eq!(passing(&gateway, algorithm, "bob", 6), 5, "{algorithm}");
    }
    let second = upgrade(&gateway, &[]).unwrap();
    assert_eq!(gateway.wait().code(), Some(0));
    for algorithm in ALGORITHMS {
        assert_eq!(passing(&gateway, algorithm, "ann", 1), 1, "{algorithm}");
        assert_eq!(passing(&gateway, algorithm, "bob", 1), 0, "{algorithm}");
    }
    let third = upgrade(&gateway, &[]).unwrap();
    super::super::harness::until("the second has ended", || !second.runs());
    for algorithm in ALGORITHMS {
        assert_eq!(passing(&gateway, algorithm, "ann", 4), 2, "{algorithm}");
        assert_eq!(passing(&gateway, algorithm, "bob", 1), 0, "{algorithm}");
        assert_eq!(passing(&gateway, algorithm, "eve", 6), 5, "{algorithm}");
    }
    assert!(third.runs());
}

#[test]
fn the_number_of_the_configuration_goes_on() {
    let mut gateway = Gateway::start(&routes());
    let generation = |gateway: &Gateway| {
        let answer = gateway.admin("GET", "/readyz?verbose");
        answer.json()["generation"].clone()
    };
    gateway.reload(&routes());
    gateway.reload(&(routes() + "zone: here\n"));
    assert_eq!(generation(&gateway), 3);
    let _second = upgrade(&gateway, &[]).unwrap();
    assert_eq!(gateway.wait().code(), Some(0));
    assert_eq!(generation(&gateway), 4);
    assert_eq!(gateway.metric("wiregate_config_generation"), 4.0);
    gateway.reload(&routes());
    assert_eq!(generation(&gateway), 5);
}
