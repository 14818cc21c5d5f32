use std::fmt::Write;
use std::sync::Arc;

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use wiregate_sdk::testing::{Probe, Seen, probe, refusal};

use super::*;

const ALICE: &str = "alice-0123456789-abcdef";
const BOB: &str = "bob-0123456789-abcdef-bob";

fn hex(key: &str) -> String {
    let digest = Sha256::digest(key);
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Options with these places, for alice and bob.
fn keys(rest: &str) -> String {
    let bob = hex(BOB);
    format!(
        "{{ keys: [{{ name: alice, key: '${{env:{ALICE}}}', groups: [a, b] }}, {{ name: bob, sha256: {bob} }}]{rest} }}"
    )
}

fn filter(rest: &str) -> Probe {
    probe::<ApiKey>(&keys(rest))
}

fn outcome(seen: &Seen) -> (u16, Option<&'static str>) {
    (seen.status(), seen.reason())
}

#[tokio::test]
async fn lets_known_keys_in_and_names_the_caller() {
    let filter = filter("");
    let seen = filter.get("/").header("x-api-key", ALICE).send().await;
    assert_eq!(seen.status(), 200);
    let identity = seen.exchange.identity.unwrap();
    assert_eq!((&*identity.name, identity.by), ("alice", "api_key"));
    assert_eq!(*identity.groups, ["a", "b"].map(Box::<str>::from));
    let again = filter.get("/").header("x-api-key", ALICE).send().await;
    assert!(Arc::ptr_eq(&identity, &again.exchange.identity.unwrap()));
    let seen = filter.get("/").header("X-API-Key", BOB).send().await;
    assert_eq!(&*seen.exchange.identity.unwrap().name, "bob");
}

#[tokio::test]
async fn refuses_requests_without_a_key() {
    let filter = filter("");
    for call in [filter.get("/"), filter.get("/").header("x-api-key", " ")] {
        let seen = call.send().await;
        assert_eq!(outcome(&seen), (401, Some("missing_api_key")));
        assert_eq!(
            seen.header("www-authenticate"),
            Some("ApiKey realm=\"api\"")
        );
        assert!(seen.exchange.identity.is_none());
    }
}

#[tokio::test]
async fn refuses_unknown_keys_without_repeating_them() {
    let filter = filter("");
    let long = "x".repeat(100_000);
    for key in [
        "alice",
        "alice-0123456789-abcdeF",
        &ALICE[1..],
        &long,
        &hex(BOB),
    ] {
        let seen = filter.get("/").header("x-api-key", key).send().await;
        assert_eq!(outcome(&seen), (401, Some("invalid_api_key")));
        assert!(!format!("{:?}", seen.reply).contains(key));
    }
}

#[tokio::test]
async fn refuses_different_keys_but_not_the_same_twice() {
    let filter = filter(", from: [{ header: x-api-key }, { query: key }]");
    let twice = filter.get("/").header("x-api-key", ALICE);
    let twice = twice.header("x-api-key", ALICE);
    assert_eq!(twice.send().await.status(), 200);
    let differ = filter.get("/").header("x-api-key", ALICE);
    let seen = differ.header("x-api-key", BOB).send().await;
    assert_eq!(outcome(&seen), (401, Some("invalid_api_key")));
    let target = format!("/?key={BOB}");
    let seen = filter.get(&target).header("x-api-key", ALICE).send().await;
    assert_eq!(outcome(&seen), (401, Some("invalid_api_key")));
    let target = format!("/?key={ALICE}");
    let seen = filter.get(&target).header("x-api-key", ALICE).send().await;
    assert_eq!(seen.status(), 200);
}

#[tokio::test]
async fn removes_the_header_field() {
    let seen = filter("").get("/").header("x-api-key", ALICE).send().await;
    assert!(!seen.request.headers.contains_key("x-api-key"));
    let kept = filter(", strip: false");
    let seen = kept.get("/").header("x-api-key", ALICE).send().await;
    assert_eq!(seen.request.headers["x-api-key"], ALICE);
}

#[tokio::test]
async fn finds_and_removes_bearer_tokens() {
    let filter = filter(", from: { bearer: true }, realm: orders");
    let call = filter
        .get("/")
        .header("authorization", &format!("bEARER  {ALICE}"));
    let seen = call.send().await;
    assert_eq!(seen.status(), 200);
    assert!(!seen.request.headers.contains_key("authorization"));
    for other in ["Basic YTpi", "Bearer", "Bearer ", ALICE] {
        let seen = filter.get("/").header("authorization", other).send().await;
        assert_eq!(outcome(&seen), (401, Some("missing_api_key")), "{other}");
        assert_eq!(
            seen.header("www-authenticate"),
            Some("Bearer realm=\"orders\"")
        );
    }
}

#[tokio::test]
async fn leaves_the_authorization_of_another_scheme() {
    let filter = filter(", from: [{ bearer: true }, { header: x-api-key }]");
    let call = filter.get("/").header("x-api-key", ALICE);
    let seen = call.header("authorization", "Basic YTpi").send().await;
    assert_eq!(seen.request.headers["authorization"], "Basic YTpi");
}

#[tokio::test]
async fn finds_and_removes_cookies() {
    let filter = filter(", from: { cookie: key }");
    for (cookies, left) in [
        (format!("key={ALICE}"), None),
        (format!("a=1; key={ALICE}; b=2=3"), Some("a=1; b=2=3")),
        (format!("a=1;key={ALICE};b"), Some("a=1; b")),
        (format!("keys=1; key={ALICE}; Key=2"), Some("keys=1; Key=2")),
    ] {
        let seen = filter.get("/").header("cookie", &cookies).send().await;
        assert_eq!(seen.status(), 200, "{cookies}");
        let cookie = seen.request.headers.get("cookie");
        assert_eq!(cookie.map(|value| value.to_str().unwrap()), left);
    }
    // Quotes are part of a value.
    let quoted = format!("key=\"{ALICE}\"");
    let seen = filter.get("/").header("cookie", &quoted).send().await;
    assert_eq!(seen.reason(), Some("invalid_api_key"));
    let split = filter.get("/").header("cookie", "a=1");
    let seen = split.header("cookie", &format!("key={ALICE}")).send().await;
    let cookies: Vec<_> = seen.request.headers.get_all("cookie").iter().collect();
    assert_eq!(cookies, ["a=1"]);
    for none in ["a=1", "key=", "key", ""] {
        let seen = filter.get("/").header("cookie", none).send().await;
        assert_eq!(seen.reason(), Some("missing_api_key"), "{none}");
    }
}

#[tokio::test]
async fn finds_and_removes_query_parameters() {
    let filter = filter(", from: { query: api key }");
    for (target, left) in [
        (format!("/a?api+key={ALICE}"), "/a"),
        (
            format!("/a?x=1&api%20key={ALICE}&y=%20&z"),
            "/a?x=1&y=%20&z",
        ),
        (format!("/a?api+key={ALICE}&api%20key={ALICE}&x"), "/a?x"),
        (format!("/a?api+key={}&&", ALICE.replace('-', "%2D")), "/a"),
    ] {
        let seen = filter.get(&target).send().await;
        assert_eq!(seen.status(), 200, "{target}");
        assert_eq!(seen.request.uri, *left);
        assert_eq!(seen.exchange.target, *left);
    }
    let seen = filter.get("/a?apikey=1").send().await;
    assert_eq!(outcome(&seen), (401, Some("missing_api_key")));
}

#[tokio::test]
async fn logs_see_no_key_from_the_query_whoever_has_it() {
    for options in [
        ", from: { query: key }",
        ", from: { query: key }, strip: false",
    ] {
        let filter = filter(options);
        for (key, status) in [(ALICE, 200), ("nobodys", 401), ("", 401)] {
            let seen = filter.get(&format!("/a?x=1&key={key}")).send().await;
            assert_eq!(seen.status(), status, "{key}");
            assert_eq!(seen.exchange.target, "/a?x=1", "{key}");
        }
    }
    let filter = filter(", from: { query: key }, strip: false");
    let target = format!("/a?key={ALICE}");
    let seen = filter.get(&target).send().await;
    assert_eq!(seen.request.uri, *target);
}

#[tokio::test]
async fn tells_all_places_and_schemes() {
    let filter =
        filter(", from: [{ bearer: true }, { header: x-token }, { query: k }, { cookie: c }]");
    let seen = filter.get("/").send().await;
    let challenges: Vec<_> = seen
        .response
        .headers
        .get_all("www-authenticate")
        .iter()
        .collect();
    assert_eq!(challenges, ["Bearer realm=\"api\"", "ApiKey realm=\"api\""]);
    let reply = format!("{:?}", seen.reply.unwrap());
    assert!(
        reply.contains(
            "expected an API key in `Authorization: Bearer` or the header field `x-token` \
             or the query parameter `k` or the cookie `c`"
        ),
        "{reply}"
    );
}

#[tokio::test]
async fn a_caller_may_have_several_keys() {
    let options = format!(
        "keys: [{{ name: alice, key: ['${{env:{ALICE}}}', '${{env:{ALICE}-2}}'], sha256: [{}] }}]",
        hex(BOB)
    );
    let filter = probe::<ApiKey>(&options);
    for key in [ALICE, &format!("{ALICE}-2"), BOB] {
        let seen = filter.get("/").header("x-api-key", key).send().await;
        assert_eq!(&*seen.exchange.identity.unwrap().name, "alice");
    }
}

#[test]
fn refuses_keys_that_are_none() {
    for (options, message) in [
        ("{}", "keys"),
        ("keys: []", "1:7: expected at least one key, found none"),
        (
            "keys: [{ name: a }]",
            "1:8: expected `key`, `sha256` or both",
        ),
        (
            "keys: [{ name: a, key: '${env:short}' }]",
            "1:24: expected a key of 16 to 1024 characters, found one of 5",
        ),
        (
            "keys: [{ name: a, key: \"${env:0123456789abcdef\\n}\" }]",
            "1:24: expected a key of visible ASCII characters",
        ),
        (
            "keys: [{ name: a, key: 0123456789abcdef }]",
            "1:24: expected a reference to a secret, found a value that is written out \
             (write `${env:NAME}`, `${file:/path}` or `${cred:name}`)",
        ),
        (
            "keys: [{ name: a, key: ['${env:0123456789abcdef}', 'x${env:0123456789abcdefg}'] }]",
            "1:52: expected a reference to a secret",
        ),
        (
            "keys: [{ name: a, sha256: abc }]",
            "1:27: expected a SHA-256 of 64 hex digits",
        ),
        (
            "keys: [{ name: '', key: '${env:0123456789abcdef}' }]",
            "1:16: expected a name, found nothing",
        ),
        (
            "keys: [{ name: \"a\\nb\", key: '${env:0123456789abcdef}' }]",
            "without control characters",
        ),
        (
            "keys: [{ name: a, key: '${env:0123456789abcdef}' }, { name: a, key: '${env:0123456789abcdefg}' }]",
            "1:61: expected a name of its own, found `a` again",
        ),
        (
            "keys: [{ name: a, key: '${env:0123456789abcdef}' }, { name: b, key: ['${env:0123456789abcdefg}', '${env:0123456789abcdef}'] }]",
            "1:98: expected a key of its own, found that of `a`",
        ),
        ("keys: [{ name: a, kei: 1 }]", "did you mean `key`"),
    ] {
        let refused = refusal::<ApiKey>(options);
        assert!(refused.contains(message), "{options}: {refused}");
        assert!(!refused.contains("0123456789"), "{refused}");
    }
    let same = format!(
        "keys: [{{ name: a, key: '${{env:{BOB}}}' }}, {{ name: b, sha256: {} }}]",
        hex(BOB)
    );
    assert!(refusal::<ApiKey>(&same).contains("found that of `a`"));
}

#[test]
fn tells_all_problems_at_once() {
    let refused = refusal::<ApiKey>(
        "keys: [{ name: a, key: '${env:short}' }, { name: '', key: '${env:tiny}' }]",
    );
    assert_eq!(refused.lines().count(), 3, "{refused}");
}

#[test]
fn refuses_places_where_no_key_can_come() {
    for (from, message) in [
        ("[]", "expected at least one value"),
        ("{ bearer: false }", "expected `bearer: true`"),
        ("{ header: cookie }", "`cookie: name`"),
        ("{ header: Authorization }", "`bearer: true`"),
        ("{ header: 'x y' }", "the name of a header field"),
        ("{ header: content-length }", "set by the gateway"),
        ("{ query: '' }", "the name of a query parameter"),
        ("{ cookie: 'a b' }", "the name of a cookie"),
        (
            "[{ query: a }, { query: a }]",
            "expected another place, found the same again",
        ),
        ("{ path: a }", "path"),
    ] {
        let refused = refusal::<ApiKey>(&keys(&format!(", from: {from}")));
        assert!(refused.contains(message), "{from}: {refused}");
    }
    assert!(refusal::<ApiKey>(&keys(", realm: \"a\\nb\"")).contains("printable ASCII"));
}

proptest! {
    #[test]
    fn never_lets_another_key_in(key in "[ -~]{0,40}", cookie in "[ -~]{0,40}") {
        prop_assume!(key.trim() != ALICE && key.trim() != BOB);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let filter = filter(", from: [{ header: x-api-key }, { cookie: key }]");
        let call = filter.get("/").header("x-api-key", &key);
        let seen = runtime.block_on(call.header("cookie", &cookie).send());
        prop_assert_eq!(seen.status(), 401);
    }

    #[test]
    fn removing_a_parameter_leaves_the_others(
        query in prop::collection::vec(("[a-z%+]{0,3}", "[a-z0-9%=+]{0,4}"), 0..6),
    ) {
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let filter = filter(", from: { query: secret }");
        let target = format!("/?secret={ALICE}&{}", query.join("&"));
        let seen = runtime.block_on(filter.get(&target).send());
        let rest = query.join("&");
        let expected = if rest.is_empty() { "/".to_owned() } else { format!("/?{rest}") };
        prop_assert_eq!(seen.request.uri.to_string(), expected);
    }
}
