use std::time::Duration;

use wiregate_sdk::cache::Plan;
use wiregate_sdk::testing::{Call, probe, refusal};

use super::http::Cache;

async fn plan(call: Call) -> Option<Box<Plan>> {
    let seen = call.send().await;
    assert!(seen.reply.is_none(), "{:?}", seen.reply);
    seen.exchange.cache
}

fn ttl(plan: &Plan, status: u16) -> Option<u64> {
    let ttl = plan.policy.ttl(status.try_into().unwrap());
    ttl.map(|ttl| ttl.as_secs())
}

#[tokio::test]
async fn plans_for_every_request() {
    let plan = plan(probe::<Cache>("{}").get("/")).await.unwrap();
    assert!(plan.key.is_empty() && plan.caller.is_none());
    assert_eq!(ttl(&plan, 200), None);
    assert_eq!(plan.policy.patience, Duration::from_secs(5));
}

#[tokio::test]
async fn one_time_holds_for_what_is_cacheable_by_default() {
    let plan = plan(probe::<Cache>("60s").get("/")).await.unwrap();
    assert_eq!((ttl(&plan, 200), ttl(&plan, 404)), (Some(60), Some(60)));
    assert_eq!((ttl(&plan, 403), ttl(&plan, 500)), (None, None));
}

#[tokio::test]
async fn the_most_exact_status_counts() {
    let options = "ttl: { any: 1s, 4xx: 2s, 404: 3s }";
    let plan = plan(probe::<Cache>(options).get("/")).await.unwrap();
    assert_eq!(ttl(&plan, 404), Some(3));
    assert_eq!(ttl(&plan, 403), Some(2));
    assert_eq!(ttl(&plan, 500), Some(1));
}

#[tokio::test]
async fn a_bypass_makes_no_plan() {
    let filter = probe::<Cache>("bypass: '\"session\" in request.cookies'");
    assert!(plan(filter.get("/")).await.is_some());
    let with = filter.get("/").header("cookie", "session=1");
    assert!(plan(with).await.is_none());
    // A change drops what is stored, whoever makes it.
    let change = filter.post("/", "x").header("cookie", "session=1");
    assert!(plan(change).await.is_some());
}

#[tokio::test]
async fn expressions_are_parts_of_the_key() {
    let filter = probe::<Cache>("key: ['request.headers[\"x-a\"]', client.address]");
    let plan = plan(filter.get("/").header("x-a", "1")).await.unwrap();
    assert_eq!(plan.key, ["1", "192.0.2.1"]);
}

#[tokio::test]
async fn each_caller_has_its_own_or_none() {
    let filter = probe::<Cache>("per_caller: true");
    assert!(plan(filter.get("/")).await.is_none());
    let ann = plan(filter.get("/").identity("ann")).await.unwrap();
    let bob = plan(filter.get("/").identity("bob")).await.unwrap();
    assert!(ann.caller.is_some() && ann.caller != bob.caller);
}

#[test]
fn says_where_options_are_wrong() {
    assert_eq!(
        refusal::<Cache>("{ store: big, force: true }"),
        "1:10: there is no store `big` under `caches`; there is `default`\n\
         1:22: expected together with a `ttl`"
    );
    assert_eq!(
        refusal::<Cache>("ttl: { 206: 1s }"),
        "1:8: expected the status of a whole response, found `206`, which is never stored"
    );
    let own = "age cache-control cache-status content-type date \
               retry-after vary via x-request-id";
    for own in own.split_ascii_whitespace() {
        assert_eq!(
            refusal::<Cache>(&format!("tags: {own}")),
            format!(
                "1:7: expected a field that lists tags, found `{own}`, which the gateway sets itself"
            )
        );
    }
    for options in [
        "bypass: response.status == 200",
        "key: response.headers['a']",
    ] {
        let wrong = refusal::<Cache>(options);
        assert!(wrong.contains("there is no response yet"), "{wrong}");
    }
    let wrong = refusal::<Cache>("ttl: { 6xx: 1s }");
    assert!(wrong.contains("a class such as `4xx`"), "{wrong}");
}
