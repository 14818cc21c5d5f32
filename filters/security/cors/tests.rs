use wiregate_sdk::testing::{Call, Probe, Seen, probe, refusal};

use super::*;

const APP: &str = "https://app.example.com";

fn preflight(filter: &Probe, origin: &str, method: &str) -> Call {
    filter
        .request("OPTIONS", "/orders")
        .header("origin", origin)
        .header("access-control-request-method", method)
}

/// The fields of the protocol that left.
fn fields(seen: &Seen) -> Vec<(String, String)> {
    let fields = seen.response.headers.iter();
    let own = fields.filter(|(name, _)| name.as_str().starts_with("access-control-"));
    let mut own: Vec<_> = own
        .map(|(name, value)| {
            (
                name.as_str()[15..].to_owned(),
                value.to_str().unwrap().to_owned(),
            )
        })
        .collect();
    own.sort();
    own
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn answers_a_preflight_itself() {
    let filter = probe::<Cors>("origins: 'https://app.example.com'");
    let seen = preflight(&filter, APP, "PUT").send().await;
    assert_eq!(seen.status(), 204);
    assert!(seen.reply.is_some());
    assert_eq!(
        fields(&seen),
        pairs(&[
            ("allow-methods", "GET, HEAD, POST"),
            ("allow-origin", APP),
            ("max-age", "600")
        ])
    );
    assert_eq!(
        seen.header("vary"),
        Some(
            "origin, access-control-request-method, access-control-request-headers, \
             access-control-request-private-network"
        )
    );
}

#[tokio::test]
async fn tells_what_a_page_may_use() {
    let filter = probe::<Cors>(
        "{ origins: ['https://app.example.com', 'https://*.test'], methods: [GET, PUT], \
         headers: [Authorization, content-type], expose: [x-request-id, content-length], \
         max_age: 2h }",
    );
    let seen = preflight(&filter, "https://a.b.test", "PUT").send().await;
    assert_eq!(
        fields(&seen),
        pairs(&[
            ("allow-headers", "authorization, content-type"),
            ("allow-methods", "GET, PUT"),
            ("allow-origin", "https://a.b.test"),
            ("max-age", "7200"),
        ])
    );
    let seen = filter.get("/").header("origin", APP).send().await;
    assert_eq!(
        fields(&seen),
        pairs(&[
            ("allow-origin", APP),
            ("expose-headers", "x-request-id, content-length")
        ])
    );
}

#[tokio::test]
async fn refuses_a_preflight_from_elsewhere() {
    let filter = probe::<Cors>("{ origins: 'https://app.example.com', credentials: true }");
    for origin in [
        "https://evil.test",
        "null",
        "https://app.example.com.evil.test",
    ] {
        let seen = preflight(&filter, origin, "GET").send().await;
        assert_eq!((seen.status(), seen.reason()), (403, Some("cors_denied")));
        assert_eq!(fields(&seen), []);
        assert!(seen.header("vary").unwrap().starts_with("origin, "));
    }
}

#[tokio::test]
async fn lets_other_options_requests_pass() {
    let filter = probe::<Cors>("origins: 'https://app.example.com'");
    let plain = filter
        .request("OPTIONS", "/")
        .header("origin", APP)
        .send()
        .await;
    assert!(plain.reply.is_none());
    assert_eq!(fields(&plain), pairs(&[("allow-origin", APP)]));
    let no_origin = filter
        .request("OPTIONS", "/")
        .header("access-control-request-method", "PUT");
    assert!(no_origin.send().await.reply.is_none());
    let get = filter
        .get("/")
        .header("origin", APP)
        .header("access-control-request-method", "PUT");
    assert!(get.send().await.reply.is_none());
}

#[tokio::test]
async fn other_origins_pass_without_fields() {
    let filter =
        probe::<Cors>("{ origins: 'https://app.example.com', credentials: true, expose: etag }");
    let seen = filter
        .get("/")
        .header("origin", "https://evil.test")
        .answer(201)
        .send()
        .await;
    assert!(seen.reply.is_none());
    assert_eq!((seen.status(), fields(&seen)), (201, Vec::new()));
    assert_eq!(seen.header("vary"), Some("origin"));
}

#[tokio::test]
async fn replaces_what_the_upstream_says() {
    let filter = probe::<Cors>("origins: 'https://app.example.com'");
    let foreign = |call: Call| {
        call.answer_header("access-control-allow-origin", "*")
            .answer_header("access-control-allow-origin", "https://other.test")
            .answer_header("access-control-allow-credentials", "true")
            .answer_header("access-control-expose-headers", "x-secret")
            .answer_header("access-control-allow-private-network", "true")
    };
    let seen = foreign(filter.get("/").header("origin", "https://evil.test"))
        .send()
        .await;
    assert_eq!(fields(&seen), []);
    let seen = foreign(filter.get("/").header("origin", APP)).send().await;
    assert_eq!(fields(&seen), pairs(&[("allow-origin", APP)]));
}

#[tokio::test]
async fn says_that_the_response_depends_on_the_origin_once() {
    let filter = probe::<Cors>("origins: 'https://app.example.com'");
    let seen = filter.get("/").answer_header("vary", "Accept").send().await;
    assert_eq!(seen.header("vary"), Some("Accept, origin"));
    let seen = filter
        .get("/")
        .header("origin", APP)
        .answer_header("vary", "Origin")
        .send()
        .await;
    assert_eq!(seen.header("vary"), Some("Origin"));
    assert_eq!(seen.response.headers.get_all("vary").iter().count(), 1);
}

#[tokio::test]
async fn all_origins_get_one_and_the_same_response() {
    let filter = probe::<Cors>("{ origins: '*', expose: '*' }");
    for call in [filter.get("/"), filter.get("/").header("origin", APP)] {
        let seen = call.send().await;
        assert_eq!(
            fields(&seen),
            pairs(&[("allow-origin", "*"), ("expose-headers", "*")])
        );
        assert_eq!(seen.header("vary"), None);
    }
    assert_eq!(
        preflight(&filter, "null", "GET")
            .send()
            .await
            .header("access-control-allow-origin"),
        Some("*")
    );
}

#[tokio::test]
async fn any_method_and_field_is_what_was_asked_for() {
    let filter = probe::<Cors>(
        "{ origins: 'https://app.example.com', credentials: true, methods: '*', headers: ['*'] }",
    );
    let seen = preflight(&filter, APP, "PURGE")
        .header("access-control-request-headers", "authorization,x-a")
        .send()
        .await;
    assert_eq!(
        fields(&seen),
        pairs(&[
            ("allow-credentials", "true"),
            ("allow-headers", "authorization,x-a"),
            ("allow-methods", "PURGE"),
            ("allow-origin", APP),
            ("max-age", "600"),
        ])
    );
    let seen = preflight(&filter, APP, "GET").send().await;
    assert_eq!(seen.header("access-control-allow-headers"), None);
}

#[tokio::test]
async fn credentials_are_told_on_every_response() {
    let filter = probe::<Cors>("{ origins: 'https://*.example.com', credentials: true }");
    let seen = filter.get("/").header("origin", APP).send().await;
    assert_eq!(
        fields(&seen),
        pairs(&[("allow-credentials", "true"), ("allow-origin", APP)])
    );
}

#[tokio::test]
async fn a_private_network_opens_only_where_it_says_so() {
    let ask = |filter: &Probe, value| {
        preflight(filter, APP, "GET").header("access-control-request-private-network", value)
    };
    let field = "access-control-allow-private-network";
    let open = probe::<Cors>("{ origins: 'https://app.example.com', private_network: true }");
    assert_eq!(ask(&open, "true").send().await.header(field), Some("true"));
    assert_eq!(ask(&open, "1").send().await.header(field), None);
    assert_eq!(
        preflight(&open, APP, "GET").send().await.header(field),
        None
    );
    let closed = probe::<Cors>("origins: 'https://app.example.com'");
    assert_eq!(ask(&closed, "true").send().await.header(field), None);
}

#[test]
fn never_combines_all_origins_with_credentials() {
    assert_eq!(
        refusal::<Cors>("{ credentials: true, origins: '*' }"),
        "1:31: expected the origins by name, as `credentials` are allowed, found `*`"
    );
    let said =
        refusal::<Cors>("{ credentials: true, origins: ['https://a.test', 'https://*.com'] }");
    assert!(
        said.starts_with("1:50: expected a domain of your own after `*.`"),
        "{said}"
    );
    let said = refusal::<Cors>("{ credentials: true, origins: 'https://a.test', expose: '*' }");
    assert!(
        said.starts_with("1:57: expected the fields by name, found `*`"),
        "{said}"
    );
}

#[test]
fn refuses_a_star_among_others() {
    assert_eq!(
        refusal::<Cors>("origins: ['https://a.test', '*']"),
        "1:29: expected `*` alone, as it means the other origins too"
    );
    for option in [
        "methods: [GET, '*']",
        "headers: [x-a, '*']",
        "expose: [x-a, '*']",
    ] {
        let said = refusal::<Cors>(&format!("origins: 'https://a.test'\n{option}\n"));
        assert!(said.starts_with("2:1"), "{said}");
        assert!(
            said.ends_with("expected `*` alone, as it means the others too"),
            "{said}"
        );
    }
}

#[test]
fn refuses_what_is_no_word() {
    let with =
        |option: &str| refusal::<Cors>(&format!("{{ origins: 'https://a.test', {option} }}"));
    assert!(with("methods: put").contains("found `put`: methods are case-sensitive"));
    assert!(with("methods: TRACE").contains("which browsers never send"));
    assert!(with("methods: 'A B'").contains("expected a method such as `PUT`, found `A B`"));
    assert!(with("headers: 'a b'").contains("expected the name of a header field"));
    assert!(with("expose: ''").contains("expected the name of a header field"));
    assert!(with("max_age: 1500ms").contains("expected whole seconds, found `1500ms`"));
    assert!(refusal::<Cors>("origins: example.com").contains("expected an origin such as"));
    assert!(refusal::<Cors>("credentials: true").contains("origins"));
}

#[test]
fn reports_every_problem() {
    let said = refusal::<Cors>("{ origins: '*', credentials: true, expose: '*', max_age: 1ms }");
    assert_eq!(said.lines().count(), 3, "{said}");
}
