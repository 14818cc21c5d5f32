mod algorithms;
mod fields;
mod local;
mod parity;
mod plans;
mod portable;
mod redis;

use std::time::Duration;

use wiregate_sdk::testing::{Probe, Seen, probe, refusal};

use super::algorithm::Algorithm;
use super::*;

async fn get(filter: &Probe) -> Seen {
    filter.get("/").send().await
}

/// How many of so many requests pass.
async fn passing(filter: &Probe, requests: usize) -> usize {
    let mut passed = 0;
    for _ in 0..requests {
        passed += usize::from(get(filter).await.status() == 200);
    }
    passed
}

#[tokio::test]
async fn refuses_the_hundred_and_first_and_recovers() {
    let filter = probe::<RateLimit>("100/min");
    assert_eq!(passing(&filter, 100).await, 100);
    let seen = get(&filter).await;
    assert_eq!((seen.status(), seen.reason()), (429, Some("rate_limited")));
    assert_eq!(seen.header("retry-after"), Some("1"));
    filter.clock().advance(Duration::from_millis(599));
    assert_eq!(get(&filter).await.status(), 429);
    filter.clock().advance(Duration::from_millis(1));
    assert_eq!(passing(&filter, 2).await, 1);
    filter.clock().advance(Duration::from_secs(60));
    assert_eq!(passing(&filter, 101).await, 100);
}

#[tokio::test]
async fn refused_requests_are_not_counted() {
    let filter = probe::<RateLimit>("1/10s");
    assert_eq!(passing(&filter, 50).await, 1);
    filter.clock().advance(Duration::from_secs(10));
    assert_eq!(passing(&filter, 50).await, 1);
}

#[tokio::test]
async fn tells_how_long_to_wait_rounded_up() {
    let filter = probe::<RateLimit>("1/10s");
    get(&filter).await;
    filter.clock().advance(Duration::from_millis(2_500));
    assert_eq!(get(&filter).await.header("retry-after"), Some("8"));
    let fast = probe::<RateLimit>("1/10ms");
    get(&fast).await;
    assert_eq!(get(&fast).await.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_burst_may_differ_from_the_limit() {
    let filter = probe::<RateLimit>("{ limit: 1/s, burst: 5 }");
    assert_eq!(passing(&filter, 9).await, 5);
    filter.clock().advance(Duration::from_secs(2));
    assert_eq!(passing(&filter, 9).await, 2);
    let one_by_one = probe::<RateLimit>("{ limit: 100/s, burst: 1 }");
    assert_eq!(passing(&one_by_one, 9).await, 1);
}

#[tokio::test]
async fn addresses_do_not_disturb_each_other() {
    let filter = probe::<RateLimit>("2/min");
    assert_eq!(passing(&filter, 5).await, 2);
    for expected in [200, 200, 429] {
        let seen = filter.get("/").from("192.0.2.2").send().await;
        assert_eq!(seen.status(), expected);
    }
}

#[tokio::test]
async fn a_network_of_ipv6_is_one_client() {
    let filter = probe::<RateLimit>("1/min");
    for (address, expected) in [
        ("2001:db8::1", 200),
        ("2001:db8::ffff:1", 429),
        ("2001:db8:0:1::1", 200),
        ("::ffff:10.0.0.1", 200),
        ("::ffff:10.0.0.2", 200),
        ("10.0.0.1", 429),
    ] {
        let seen = filter.get("/").from(address).send().await;
        assert_eq!(seen.status(), expected, "{address}");
    }
    let narrow = probe::<RateLimit>("{ limit: 1/min, by: client.address, ipv6_prefix: 128 }");
    for address in ["2001:db8::1", "2001:db8::2"] {
        assert_eq!(narrow.get("/").from(address).send().await.status(), 200);
    }
}

#[tokio::test]
async fn counts_by_header_consumer_or_for_everybody() {
    let by_header = probe::<RateLimit>(r#"{ limit: 1/min, by: 'request.headers["x-key"]' }"#);
    for (key, expected) in [("a", 200), ("a", 429), ("b", 200)] {
        let seen = by_header.get("/").header("x-key", key).send().await;
        assert_eq!(seen.status(), expected, "{key}");
    }
    let by_consumer = probe::<RateLimit>("{ limit: 1/min, by: consumer }");
    for (name, expected) in [("ann", 200), ("bob", 200), ("ann", 429)] {
        let caller = plans::caller(name, None);
        let seen = by_consumer.get("/").caller(caller).send().await;
        assert_eq!(seen.status(), expected, "{name}");
    }
    // Of those who are none it knows no names.
    for (name, expected) in [("ann", 200), ("kim", 429)] {
        let seen = by_consumer.get("/").identity(name).send().await;
        assert_eq!(seen.status(), expected, "{name}");
    }
    let everybody = probe::<RateLimit>(r#"{ limit: 1/min, by: '"all"' }"#);
    for (address, expected) in [("10.0.0.1", 200), ("10.0.0.2", 429)] {
        let seen = everybody.get("/").from(address).send().await;
        assert_eq!(seen.status(), expected, "{address}");
    }
}

#[tokio::test]
async fn whoever_the_key_is_empty_for_shares_a_limit() {
    let filter = probe::<RateLimit>("{ limit: 2/min, by: consumer }");
    let anonymous = |address| filter.get("/").from(address).send();
    assert_eq!(anonymous("10.0.0.1").await.status(), 200);
    assert_eq!(anonymous("10.0.0.2").await.status(), 200);
    assert_eq!(anonymous("10.0.0.3").await.status(), 429);
}

#[tokio::test]
async fn whoever_finds_no_room_is_told_of() {
    let filter = probe::<RateLimit>("{ limit: 2/min, by: client.address, keys: 1 }");
    for (address, status, degraded) in [
        ("10.0.0.1", 200, None),
        ("10.0.0.2", 200, Some("keys_full")),
        ("10.0.0.3", 200, Some("keys_full")),
        ("10.0.0.4", 429, Some("keys_full")),
        ("10.0.0.1", 200, None),
    ] {
        let seen = filter.get("/").from(address).send().await;
        assert_eq!(
            (seen.status(), seen.degraded),
            (status, degraded),
            "{address}"
        );
    }
}

#[tokio::test]
async fn a_key_without_value_ends_the_request() {
    let filter = probe::<RateLimit>(r"{ limit: 1/min, by: 'string(1 / (client.port - 40000))' }");
    let seen = get(&filter).await;
    assert_eq!(
        (seen.status(), seen.reason()),
        (500, Some("condition_failed"))
    );
    assert_eq!(seen.header("ratelimit"), None);
}

#[tokio::test]
async fn a_reload_keeps_the_count_unless_the_limit_is_another() {
    let filter = probe::<RateLimit>("3/min");
    assert_eq!(passing(&filter, 2).await, 2);
    let filter = filter.reload::<RateLimit>("{ limit: 3/min, headers: legacy }");
    assert_eq!(passing(&filter, 2).await, 1);
    let filter = filter.reload::<RateLimit>("4/min");
    assert_eq!(passing(&filter, 5).await, 4);
    let filter = filter.reload::<RateLimit>("{ limit: 4/min, burst: 2 }");
    assert_eq!(passing(&filter, 5).await, 2);
    let filter = filter.reload::<RateLimit>("{ limit: 4/min, burst: 2, by: route }");
    assert_eq!(passing(&filter, 5).await, 2);
}

#[tokio::test]
async fn a_reload_neither_grants_nor_takes_anything_whatever_the_algorithm() {
    for algorithm in ["gcra", "token_bucket", "fixed_window", "sliding_window"] {
        let options = format!("{{ limit: 7/365d, algorithm: {algorithm} }}");
        let mut filter = probe::<RateLimit>(&options);
        let mut passed = Vec::new();
        for _ in 0..9 {
            passed.push(passing(&filter, 1).await);
            filter = filter.reload::<RateLimit>(&options);
        }
        assert_eq!(passed, [1, 1, 1, 1, 1, 1, 1, 0, 0], "{algorithm}");
    }
}

#[test]
fn refuses_options_out_of_bounds() {
    for (options, message) in [
        ("100", "expected a rate"),
        ("{}", "limit"),
        (
            "{ limit: 2000000/s }",
            "expected at most 1000000 requests per second, found `2000000/s`",
        ),
        (
            "{ limit: 1/day, burst: 40000 }",
            "1:24: expected a burst that `1/day` fills within 36500d",
        ),
        ("{ limit: 1/s, burst: 0 }", "1:22: "),
        (
            "{ limit: 1/s, keys: 0 }",
            "1:21: expected 1 to 10000000, found `0`",
        ),
        ("{ limit: 1/s, keys: 10000001 }", "expected 1 to 10000000"),
        (
            "{ limit: 1/s, ipv6_prefix: 0 }",
            "1:28: expected 1 to 128, found `0`",
        ),
        ("{ limit: 1/s, ipv6_prefix: 129 }", "expected 1 to 128"),
        (
            "{ limit: 1/s, by: consumer, ipv6_prefix: 64 }",
            "expected with `by: client.address` only",
        ),
        (
            "{ limit: 1/s, by: clint.address }",
            "did you mean `client.address`",
        ),
        (
            "{ limit: [1/s, 2/s, 1/s] }",
            "1:21: expected limits that differ, found `1/s` twice",
        ),
        (
            "{ limit: [1/s,2/s,3/s,4/s,5/s,6/s,7/s,8/s,9/s] }",
            "1:10: expected at most 8 limits, found 9",
        ),
        (
            "{ limit: [1/s, 2/s], burst: 3 }",
            "1:29: expected with a single limit only, found it with 2",
        ),
        (
            "{ limit: 1/s, burst: 3, algorithm: fixed_window }",
            "1:22: expected with `gcra` and `token_bucket` only, found it with `fixed_window`",
        ),
        (
            "{ limit: { plans: { a: [1/s, 2000000/s] }, otherwise: 1/s } }",
            "1:30: expected at most 1000000 requests per second",
        ),
        ("{ limit: { plans: { a: 1/s } } }", "missing `otherwise`"),
        (
            "{ limit: 1/s, cost: request.path }",
            "1:21: expected a whole number, found text: `request.path`",
        ),
        (
            "{ limit: 1/s, store: redis }",
            "1:22: missing `at` (write `{ redis: { at: … } }`)",
        ),
        (
            "{ limit: 1/s, store: redis, on_store_error: local }",
            "1:45: missing `gateways` (write `{ local: { gateways: … } }`)",
        ),
        (
            "{ limit: 1/s, cost: -1 }",
            "1:21: expected a number from 0 to 4294967295, found `-1`",
        ),
        (
            "{ limit: 1/s, cost: 2 * 2147483648 }",
            "1:21: expected a number from 0 to 4294967295, found `4294967296`",
        ),
        (
            "{ limit: 1/s, cost: 0.5 }",
            "1:21: expected a whole number, found a decimal number: `0.5`",
        ),
        (
            "{ limit: 1/s, cost: '[1, \"a\"][1]' }",
            "1:21: expected a whole number, found string: `[1, \"a\"][1]`",
        ),
        (
            "{ limit: 1/s, cost: 1 / 0 }",
            "1:21: division by zero: `1 / 0`",
        ),
        (
            "{ limit: 1/s, by: 'int(\"a\")' }",
            "1:19: `int` cannot take this value: `int(\"a\")`",
        ),
        (
            "{ limit: 1/s, on_store_error: allow }",
            "1:31: expected with a `store` only",
        ),
        (
            "{ limit: 5/s, store: { redis: 'redis://a' }, on_store_error: { local: { gateways: 6 } } }",
            "1:10: expected something for each of 6 gateways, found `5/s`",
        ),
        (
            "{ limit: 1/s, store: { redis: 'redis://:pw@a' } }",
            "1:31: expected an address without a user and a password",
        ),
        (
            "{ limit: 1/s, store: { redis: 'http://a' } }",
            "1:31: expected an address such as `redis://10.0.0.5:6379`, found `http://a`",
        ),
        (
            "{ limit: 1/s, store: { redis: { at: 'redis://a', kind: sentinel } } }",
            "1:56: expected a `master` with `kind: sentinel`",
        ),
        (
            "{ limit: 1/s, store: { redis: { at: ['redis://a', 'redis://b'] } } }",
            "1:37: expected one address, or `kind: cluster` or `sentinel`",
        ),
        (
            "{ limit: 1/s, store: { redis: { at: 'redis://a', password: secret } } }",
            "1:60: expected a reference",
        ),
        (
            "{ limit: 1/s, store: { redis: { at: ['redis://a', 'rediss://b?x'], kind: cluster } } }",
            "1:51: expected an address such as",
        ),
        (
            "{ limit: 1/s, keys: 5, store: { redis: 'redis://a' } }",
            "1:21: expected without a `store`, or with `on_store_error: local`",
        ),
        (
            "{ limit: 1/s, store: { redis: { at: 'redis://a', deadline: 11s } } }",
            "1:60: expected at most 10s, found `11s`",
        ),
        (
            "{ limit: 1/s, by: 'response.headers[\"a\"]' }",
            "1:19: `response.headers` is not known here: there is no response yet",
        ),
        (
            "{ limit: 1/s, cost: response.status }",
            "1:21: `response.status` is not known here: there is no response yet",
        ),
        (
            "{ limit: 1/s, headers: all }",
            "1:24: unknown value `all`, expected one of `draft`",
        ),
    ] {
        let refused = refusal::<RateLimit>(options);
        assert!(refused.contains(message), "{options}: {refused}");
    }
}
