//! Several limits, limits of plans, and costs.

use std::sync::Arc;
use std::time::Duration;

use wiregate_sdk::testing::{Probe, Seen, probe};
use wiregate_sdk::{Consumer, Identity};

use super::fields::{item, items};
use super::{RateLimit, get};

pub(super) fn caller(name: &str, plan: Option<&str>) -> Identity {
    Identity {
        name: name.into(),
        consumer: Some(Arc::new(Consumer {
            name: name.into(),
            plan: plan.map(Into::into),
            ..Consumer::default()
        })),
        ..Identity::default()
    }
}

async fn passing(filter: &Probe, who: &Identity) -> usize {
    let mut passed = 0;
    for _ in 0..20 {
        let seen = filter.get("/").caller(who.clone()).send().await;
        passed += usize::from(seen.status() == 200);
    }
    passed
}

#[tokio::test]
async fn the_consumers_plan_says_how_much() {
    let filter = probe::<RateLimit>(
        "{ limit: { plans: { free: 3/h, pro: [4/s, 10/h] }, otherwise: 1/h }, by: consumer }",
    );
    for (name, plan, most) in [
        ("ann", Some("free"), 3),
        ("bob", Some("free"), 3),
        ("kim", Some("pro"), 4),
        ("eve", Some("gold"), 1),
        ("joe", None, 1),
    ] {
        assert_eq!(passing(&filter, &caller(name, plan)).await, most, "{name}");
    }
    filter.clock().advance(Duration::from_secs(1));
    assert_eq!(passing(&filter, &caller("kim", Some("pro"))).await, 4);
    let nobody = filter.get("/").send().await;
    assert_eq!(
        nobody.header("ratelimit-policy"),
        Some("\"rate_limit\";q=1;w=3600")
    );
    assert_eq!(get(&filter).await.status(), 429);
}

#[tokio::test]
async fn several_limits_hold_at_once_and_each_is_told() {
    let filter = probe::<RateLimit>("[2/s, 3/h]");
    assert_eq!(get(&filter).await.status(), 200);
    let seen = get(&filter).await;
    assert_eq!(
        items(seen.header("ratelimit-policy").unwrap()),
        [
            item("rate_limit 2/s", &[("q", 2), ("w", 1)]),
            item("rate_limit 3/h", &[("q", 3), ("w", 3600)])
        ]
    );
    assert_eq!(
        items(seen.header("ratelimit").unwrap()),
        [
            item("rate_limit 2/s", &[("r", 0), ("t", 1)]),
            item("rate_limit 3/h", &[("r", 1), ("t", 1200)])
        ]
    );
    let violated = |seen: &Seen| match &seen.reply.as_ref().unwrap().body {
        wiregate_sdk::reply::ReplyBody::Problem(problem) => (
            problem.members["violated-policies"].to_string(),
            problem.detail.clone().unwrap(),
        ),
        other => panic!("{other:?}"),
    };
    let seen = get(&filter).await;
    assert_eq!(seen.header("retry-after"), Some("1"));
    let (names, detail) = violated(&seen);
    assert_eq!(names, "[\"rate_limit 2/s\"]");
    assert_eq!(detail, "the limit of 2/s is used up, try again in 1 s");
    filter.clock().advance(Duration::from_secs(1));
    assert_eq!(get(&filter).await.status(), 200);
    assert_eq!(get(&filter).await.header("retry-after"), Some("1199"));
    let (names, _) = violated(&get(&filter).await);
    assert_eq!(names, "[\"rate_limit 3/h\"]");
}

#[tokio::test]
async fn the_older_fields_tell_the_strictest_of_several() {
    let filter = probe::<RateLimit>("{ limit: [5/s, 3/h], headers: legacy }");
    let seen = get(&filter).await;
    assert_eq!(seen.header("x-ratelimit-limit"), Some("3"));
    assert_eq!(seen.header("x-ratelimit-remaining"), Some("2"));
    assert_eq!(seen.header("x-ratelimit-reset"), Some("1200"));
}

#[tokio::test]
async fn a_request_costs_what_its_expression_says() {
    let filter = probe::<RateLimit>(
        r#"{ limit: 10/h, cost: 'request.method == "POST" ? 6 : int(request.headers["x-cost"])' }"#,
    );
    let post = async || filter.request("POST", "/").send().await;
    let seen = post().await;
    assert_eq!(seen.header("ratelimit"), Some("\"rate_limit\";r=4;t=360"));
    assert_eq!(post().await.status(), 429);
    let cost = async |cost: &str| filter.get("/").header("x-cost", cost).send().await;
    assert_eq!(cost("4").await.status(), 200);
    assert_eq!(cost("0").await.status(), 200);
    assert_eq!(cost("1").await.status(), 429);
    let never = cost("11").await;
    assert_eq!((never.status(), never.header("retry-after")), (429, None));
    for nonsense in ["-1", "many", "4294967296"] {
        let seen = cost(nonsense).await;
        assert_eq!(
            (seen.status(), seen.reason()),
            (500, Some("condition_failed")),
            "{nonsense}"
        );
    }
}

#[tokio::test]
async fn an_observed_limit_counts_and_blocks_nobody() {
    let filter = probe::<RateLimit>("{ limit: 1/h, mode: observe }");
    assert_eq!(get(&filter).await.observed, None);
    let seen = get(&filter).await;
    assert_eq!((seen.status(), seen.observed), (200, Some("rate_limited")));
    assert_eq!(seen.header("ratelimit"), None);
}
