//! What responses tell of the limit.

use sfv::{List, ListEntry, Parser};

use super::super::fields::{Fields, Headers};
use super::*;

/// The items of a field after the draft: a policy's name, with integers as parameters.
pub(super) fn items(field: &str) -> Vec<(String, Vec<(String, i64)>)> {
    let list: List = Parser::new(field).parse().unwrap();
    let items = list.into_iter().map(|entry| {
        let ListEntry::Item(item) = entry else {
            panic!("an inner list in {field}");
        };
        let name = item.bare_item.as_string().unwrap().as_str().to_owned();
        let parameters = item.params.iter().map(|(key, value)| {
            let value = i64::from(value.as_integer().unwrap());
            assert!(value >= 0, "{field}");
            (key.as_str().to_owned(), value)
        });
        (name, parameters.collect())
    });
    items.collect()
}

pub(super) fn item(name: &str, parameters: &[(&str, i64)]) -> (String, Vec<(String, i64)>) {
    let parameters = parameters
        .iter()
        .map(|(key, value)| ((*key).to_owned(), *value));
    (name.to_owned(), parameters.collect())
}

#[tokio::test]
async fn responses_tell_where_the_client_stands_as_the_draft_has_it() {
    let filter = probe::<RateLimit>("3/min");
    for remaining in [2, 1, 0] {
        let seen = get(&filter).await;
        let policy = items(seen.header("ratelimit-policy").unwrap());
        assert_eq!(policy, [item("rate_limit", &[("q", 3), ("w", 60)])]);
        let current = items(seen.header("ratelimit").unwrap());
        assert_eq!(
            current,
            [item("rate_limit", &[("r", remaining), ("t", 20)])]
        );
    }
    let seen = get(&filter).await;
    assert_eq!(seen.status(), 429);
    let current = items(seen.header("ratelimit").unwrap());
    assert_eq!(current, [item("rate_limit", &[("r", 0), ("t", 20)])]);
    assert_eq!(seen.header("retry-after"), Some("20"));
    assert_eq!(seen.header("x-ratelimit-limit"), None);
}

#[tokio::test]
async fn a_policy_has_whole_seconds_and_tells_another_burst() {
    let policy = async |options: &str| {
        let seen = get(&probe::<RateLimit>(options)).await;
        items(seen.header("ratelimit-policy").unwrap())
    };
    assert_eq!(
        policy("{ limit: 1000/h, burst: 5 }").await,
        [item(
            "rate_limit",
            &[("q", 1000), ("w", 3600), ("wiregate-burst", 5)]
        )]
    );
    assert_eq!(
        policy("5/100ms").await,
        [item("rate_limit", &[("q", 50), ("w", 1)])]
    );
    assert_eq!(
        policy("10/1500ms").await,
        [item("rate_limit", &[("q", 13), ("w", 2)])]
    );
}

#[test]
fn a_policy_is_named_by_the_filter() {
    let limits = algorithms::limits(Algorithm::Gcra, &["1/s"], None, local::TICKS);
    let fields = |label: &str| Fields::new(Headers::Draft, label, &limits);
    let policy = |label: &str| {
        let fields = fields(label).ok().unwrap();
        fields.policy().unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(items(&policy("a \"b\" \\c"))[0].0, "a \"b\" \\c");
    let invalid = fields("größe").err().unwrap();
    assert!(invalid.to_string().contains("printable ASCII"));
    assert!(Fields::new(Headers::Legacy, "größe", &limits).is_ok());
}

#[tokio::test]
async fn the_older_fields_count_in_the_burst() {
    let filter = probe::<RateLimit>("{ limit: 3/min, headers: legacy }");
    get(&filter).await;
    let seen = get(&filter).await;
    assert_eq!(seen.header("x-ratelimit-limit"), Some("3"));
    assert_eq!(seen.header("x-ratelimit-remaining"), Some("1"));
    assert_eq!(seen.header("x-ratelimit-reset"), Some("40"));
    assert_eq!(seen.header("ratelimit"), None);
    let uneven = get(&probe::<RateLimit>(
        "{ limit: 7/min, headers: legacy, burst: 1 }",
    ))
    .await;
    assert_eq!(uneven.header("x-ratelimit-reset"), Some("9"));
}

#[tokio::test]
async fn both_or_none_of_them_can_be_had() {
    let names = ["ratelimit", "ratelimit-policy", "x-ratelimit-limit"];
    let both = get(&probe::<RateLimit>("{ limit: 1/s, headers: both }")).await;
    assert!(names.iter().all(|name| both.header(name).is_some()));
    let filter = probe::<RateLimit>("{ limit: 1/s, headers: none }");
    let none = get(&filter).await;
    assert!(names.iter().all(|name| none.header(name).is_none()));
    assert_eq!(get(&filter).await.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn fields_of_the_upstream_stay_where_they_are_stricter() {
    let filter = probe::<RateLimit>("{ limit: 10/min, headers: both }");
    let call = filter.get("/").answer_header("ratelimit", "\"up\";r=1");
    let call = call.answer_header("x-ratelimit-remaining", "1");
    let seen = call.send().await;
    let fields = seen.response.headers.get_all("ratelimit");
    assert_eq!(fields.iter().count(), 2);
    assert_eq!(seen.header("x-ratelimit-remaining"), Some("1"));
    assert_eq!(seen.header("x-ratelimit-limit"), None);
    let call = filter.get("/").answer_header("x-ratelimit-remaining", "50");
    let seen = call.send().await;
    assert_eq!(seen.header("x-ratelimit-remaining"), Some("8"));
}
