use super::*;
use proptest::prelude::*;
use wiregate_sdk::testing::{Probe, probe, refusal};

/// The target that an upstream sees.
async fn target(filter: &Probe, target: &str) -> String {
    let seen = filter.get(target).send().await;
    assert!(seen.reply.is_none(), "{target}: {:?}", seen.reply);
    seen.request.uri.to_string()
}

async fn refused(filter: &Probe, target: &str) {
    let seen = filter.get(target).send().await;
    assert_eq!(
        (seen.status(), seen.reason()),
        (400, Some("invalid_rewrite")),
        "{target}"
    );
    assert_eq!(seen.request.uri, target, "nothing is done by half");
}

#[tokio::test]
async fn strips_a_prefix_at_the_end_of_a_segment() {
    let filter = probe::<Rewrite>("strip_prefix: /orders");
    for (old, new) in [
        ("/orders/7", "/7"),
        ("/orders/", "/"),
        ("/orders", "/"),
        ("/orders?a=b", "/?a=b"),
        ("/orders/7?a=b%20c", "/7?a=b%20c"),
        ("/orders-old/7", "/orders-old/7"),
        ("/Orders/7", "/Orders/7"),
        ("/x/orders", "/x/orders"),
        ("/", "/"),
    ] {
        assert_eq!(target(&filter, old).await, new, "{old}");
    }
    refused(&filter, "/orders//evil.example").await;
}

#[tokio::test]
async fn a_prefix_is_compared_in_its_encoded_form() {
    let filter = probe::<Rewrite>("strip_prefix: /é x");
    assert_eq!(target(&filter, "/%C3%A9%20x/a").await, "/a");
    let filter = probe::<Rewrite>("strip_prefix: /%61%2fb%7e%c3%a9%");
    assert_eq!(target(&filter, "/a%2Fb~%C3%A9%25/c").await, "/c");
}

#[tokio::test]
async fn a_prefix_is_found_where_a_route_finds_it() {
    for filter in ["strip_prefix: '/@team;v=1'", "strip_prefix: /%40team%3Bv=1"] {
        let filter = probe::<Rewrite>(filter);
        for (old, new) in [
            ("/@team;v=1/x", "/x"),
            ("/%40team;v%3D1/%40x", "/%40x"),
            ("/%40team%3bv=1", "/"),
            ("/%40teams;v=1/x", "/%40teams;v=1/x"),
            ("/%2540team;v=1/x", "/%2540team;v=1/x"),
        ] {
            assert_eq!(target(&filter, old).await, new, "{old}");
        }
    }
    let filter = probe::<Rewrite>("strip_prefix: /a%2Fb/c");
    assert_eq!(target(&filter, "/a%2Fb/c/d").await, "/d");
    assert_eq!(target(&filter, "/a/b/c/d").await, "/a/b/c/d");
}

#[tokio::test]
async fn adds_a_prefix() {
    let filter = probe::<Rewrite>("add_prefix: /v1");
    assert_eq!(target(&filter, "/a%2Fb?x").await, "/v1/a%2Fb?x");
    assert_eq!(target(&filter, "/").await, "/v1/");
    refused(&filter, "*").await;
}

#[tokio::test]
async fn replaces_what_matches() {
    let filter =
        probe::<Rewrite>("regex: { pattern: '^/u/([0-9]+)/(?<what>.+)$', to: /$what/of/$1 }");
    assert_eq!(target(&filter, "/u/7/cart?q=1").await, "/cart/of/7?q=1");
    assert_eq!(target(&filter, "/u/x/cart").await, "/u/x/cart");
    let filter = probe::<Rewrite>("regex: { pattern: _, to: '-' }");
    assert_eq!(target(&filter, "/a_b_c").await, "/a-b-c");
    let filter = probe::<Rewrite>("regex: { pattern: '^/v([0-9])/', to: '/$${1}a $$/' }");
    assert_eq!(target(&filter, "/v1/x").await, "/1a%20$/x");
}

#[tokio::test]
async fn a_replacement_cannot_leave_the_path() {
    let filter = probe::<Rewrite>("regex: { pattern: '^/open/(.*)$', to: $1 }");
    refused(&filter, "/open///evil.example").await;
    refused(&filter, "/open/a").await;
    let filter = probe::<Rewrite>("regex: { pattern: 'dot', to: '.' }");
    refused(&filter, "/a/dotdot/b").await;
}

#[tokio::test]
async fn strips_then_replaces_then_adds() {
    let filter = probe::<Rewrite>(
        "{ add_prefix: /new, regex: { pattern: '^/a', to: /b }, strip_prefix: /old }",
    );
    assert_eq!(target(&filter, "/old/a/c").await, "/new/b/c");
    assert_eq!(target(&filter, "/a").await, "/new/b");
}

#[tokio::test]
async fn puts_another_path_in_place() {
    let filter = probe::<Rewrite>("path: /über uns");
    assert_eq!(target(&filter, "/a?q=1").await, "/%C3%BCber%20uns?q=1");
    let filter = probe::<Rewrite>("path: '/v1${request.path}'");
    assert_eq!(target(&filter, "/a%2Fb/c").await, "/v1/a%2Fb/c");
    let filter = probe::<Rewrite>("path: '/v1/${request.path}'");
    assert_eq!(target(&filter, "/a").await, "/v1/a");
    let filter = probe::<Rewrite>("path: '${request.path.substring(4)}'");
    assert_eq!(target(&filter, "/old/a%20b").await, "/a%20b");
    refused(&filter, "/oldness").await;
}

#[tokio::test]
async fn a_value_stays_one_segment() {
    let filter = probe::<Rewrite>("path: '/items/${params.id}/x'");
    for (id, path) in [
        ("7", "/items/7/x"),
        ("a/b", "/items/a%2Fb/x"),
        ("a?b#c", "/items/a%3Fb%23c/x"),
        ("%2e%2e", "/items/%252e%252e/x"),
        ("a b\r\n", "/items/a%20b%0D%0A/x"),
        ("é", "/items/%C3%A9/x"),
        ("...", "/items/.../x"),
    ] {
        let seen = filter.get("/old?q=1").param("id", id).send().await;
        assert_eq!(seen.request.uri, *format!("{path}?q=1"), "{id}");
    }
    for id in ["..", ".", ""] {
        let seen = filter.get("/old").param("id", id).send().await;
        assert_eq!(seen.reason(), Some("invalid_rewrite"), "{id}");
    }
    refused(&filter, "/without-the-parameter").await;
}

#[tokio::test]
async fn an_expression_that_fails_refuses_the_request() {
    let filter = probe::<Rewrite>("path: '/a/${1 / size(request.query.n)}'");
    refused(&filter, "/x").await;
    assert_eq!(target(&filter, "/x?n=1").await, "/a/1?n=1");
}

#[tokio::test]
async fn edits_the_query() {
    let filter = probe::<Rewrite>(
        "query: { remove: [debug], rename: {q: 'new name'}, set: {tenant: '${identity.name}'}, \
         add: {tag: [a&b, '${request.method}']} }",
    );
    let call = filter
        .get("/p?debug=1&q=x%20y&keep=%7e+1&tenant=evil&debug&flag")
        .identity("bob");
    let seen = call.send().await;
    assert_eq!(
        seen.request.uri,
        "/p?new%20name=x%20y&keep=%7e+1&flag&tenant=bob&tag=a%26b&tag=GET"
    );
}

#[tokio::test]
async fn a_parameter_is_known_however_it_is_written() {
    let filter = probe::<Rewrite>("query: { remove: ['a b'] }");
    assert_eq!(
        target(&filter, "/p?a+b=1&%61%20b=2&a%2Bb=3").await,
        "/p?a%2Bb=3"
    );
    assert_eq!(target(&filter, "/p?a+b=1").await, "/p");
    assert_eq!(target(&filter, "/p").await, "/p");
}

#[tokio::test]
async fn a_parameter_without_a_value_is_not_there() {
    let filter = probe::<Rewrite>(
        "query: { set: {user: '${identity.name}', empty: ''}, add: {x: '${1 / size(params.x)}'} }",
    );
    assert_eq!(target(&filter, "/p?user=admin").await, "/p?empty=");
}

#[tokio::test]
async fn the_query_goes_by_the_documented_order() {
    let filter = probe::<Rewrite>("query: { remove: [a], rename: {b: a} }");
    assert_eq!(target(&filter, "/?a=1&b=2").await, "/?a=2");
    let filter = probe::<Rewrite>("query: { set: {a: x}, rename: {b: a}, add: {a: y} }");
    assert_eq!(target(&filter, "/?a=1&b=2").await, "/?a=x&a=y");
}

#[tokio::test]
async fn templates_see_the_request_as_it_came() {
    let filter = probe::<Rewrite>(
        "{ path: '/new/${request.query.id}', query: {remove: id, set: {was: '${request.path}'}}, \
         host: '${request.query.id}.internal' }",
    );
    let seen = filter.get("/old?id=7").send().await;
    assert_eq!(seen.request.uri, "/new/7?was=%2Fold");
    assert_eq!(seen.request.headers["host"], "7.internal");
}

#[tokio::test]
async fn sets_the_host() {
    let filter = probe::<Rewrite>("host: 'orders.internal:8080'");
    let seen = filter.get("/a").send().await;
    assert_eq!(seen.request.headers["host"], "orders.internal:8080");
    assert_eq!(seen.request.uri, "/a");
    let filter = probe::<Rewrite>("host: '${request.headers[\"x-tenant\"]}.internal'");
    let seen = filter.get("/").header("x-tenant", "acme").send().await;
    assert_eq!(seen.request.headers["host"], "acme.internal");
    for bad in ["", "a/b", "a@b", "a b", "a?b", "é", "a:1:2"] {
        let seen = filter.get("/").header("x-tenant", bad).send().await;
        assert_eq!(seen.reason(), Some("invalid_rewrite"), "{bad}");
        assert_eq!(seen.request.headers["host"], "example.com", "{bad}");
    }
}

#[tokio::test]
async fn keeps_a_host_that_only_the_target_tells() {
    let filter = probe::<Rewrite>("strip_prefix: /a");
    let call = filter.get("/").rewritten("http://other.example:81/a/b");
    let seen = call.without_header("host").send().await;
    assert_eq!(seen.request.headers["host"], "other.example:81");
    assert_eq!(seen.request.uri, "/b");
}

#[tokio::test]
async fn changes_the_method_but_not_that_of_head() {
    let filter = probe::<Rewrite>("method: PUT");
    let seen = filter.post("/", "body").send().await;
    assert_eq!(
        (seen.request.method.clone(), &*seen.request_body),
        (Method::PUT, &b"body"[..])
    );
    assert_eq!(seen.exchange.method, Method::POST);
    let seen = filter.request("HEAD", "/").send().await;
    assert_eq!(seen.request.method, Method::HEAD);
}

#[test]
fn nothing_in_it_can_go_by_a_response() {
    let early = "`response.status` is not known here: there is no response yet";
    for (options, place) in [
        ("path: '/${response.status}'", "1:7"),
        ("host: 'h${response.status}'", "1:7"),
        ("query: { set: { a: '${response.status}' } }", "1:20"),
        ("query: { add: { a: [b, '${response.status}'] } }", "1:24"),
    ] {
        assert_eq!(refusal::<Rewrite>(options), format!("{place}: {early}"));
    }
}

#[test]
fn refuses_what_could_not_work() {
    for (options, expected) in [
        (
            "strip_prefix: /",
            "1:15: expected a path such as `/orders`, found `/`",
        ),
        (
            "strip_prefix: /a/",
            "1:15: expected a path such as `/orders`, found a `/` at its end",
        ),
        (
            "add_prefix: /a?b",
            "1:13: expected a path such as `/orders`, found a `?` in it",
        ),
        (
            "add_prefix: a",
            "1:13: expected a path that begins with `/`",
        ),
        (
            "add_prefix: /a/../b",
            "1:13: expected a path without the segments `.` and `..`",
        ),
        (
            "{ path: /a, add_prefix: /b }",
            "1:25: expected no `add_prefix` beside `path`, which takes the place of the whole path",
        ),
        (
            "path: /a?b=c",
            "1:7: expected a path such as `/v1${request.path}`, found a `?` in it",
        ),
        (
            "path: ''",
            "1:7: expected a path such as `/v1${request.path}`, found nothing",
        ),
        ("path: a", "1:7: expected a path that begins with `/`"),
        (
            "path: //a",
            "1:7: expected a path that begins with a single `/`, found two",
        ),
        (
            "path: '${params.id}'",
            "1:7: expected a path such as `/v1${request.path}`, found `${params.id}` at its \
             beginning",
        ),
        (
            "path: 'a/${params.id}'",
            "1:7: expected a path such as `/v1${request.path}`, found `a/` at its beginning",
        ),
        (
            "regex: { pattern: '(a)', to: $2 }",
            "1:30: expected a group of the pattern, found `$2`",
        ),
        (
            "regex: { pattern: '(a)', to: $1b }",
            "1:30: expected a group of the pattern, found `$1b`, did you mean `$${1}b`?",
        ),
        (
            "regex: { pattern: '(?<x>a)', to: '$$ $x $y' }",
            "1:34: expected a group of the pattern, found `$y`",
        ),
        (
            "regex: { pattern: a, to: '?' }",
            "1:26: expected a path, found a `?` in it",
        ),
        (
            "host: 'http://a'",
            "1:7: expected a host such as `example.com` or `example.com:8080`, found `http://a`",
        ),
        (
            "method: get",
            "1:9: expected a method in capitals such as `GET`, found `get`",
        ),
        (
            "method: HEAD",
            "1:9: expected a method other than `CONNECT`, `HEAD` and `TRACE`, found `HEAD`",
        ),
        (
            "query: {}",
            "1:8: expected at least one of `remove`, `rename`, `set` and `add`",
        ),
        (
            "query: { rename: {a: b, b: a} }",
            "1:22: expected a name that is not renamed itself, found `b`\n\
             1:28: expected a name that is not renamed itself, found `a`",
        ),
    ] {
        assert_eq!(refusal::<Rewrite>(options), expected, "{options}");
    }
    for (options, part) in [
        ("{}", "expected at least one of `strip_prefix`"),
        ("regex: { pattern: '(', to: a }", "unclosed group"),
        (
            "regex: { pattern: a, to: '${1}' }",
            "only possible in templates",
        ),
        ("regex: { pattern: a }", "missing `to`"),
        ("path: '/${nothing}'", "unknown name"),
        ("striprefix: /a", "did you mean `strip_prefix`?"),
    ] {
        let said = refusal::<Rewrite>(options);
        assert!(said.contains(part), "{options}: {said}");
    }
    let all = refusal::<Rewrite>("path: a\nhost: ''\nquery: {}\n");
    assert_eq!(all.lines().count(), 3, "{all}");
}

proptest! {
    /// Whatever the values are, the upstream gets a target of the form that was written.
    #[test]
    fn values_do_not_leave_their_place(id in "[./%?#&a\\\\é\u{0}-\u{20}]{0,6}|.*") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let filter = probe::<Rewrite>(
            "{ path: '/a/${params.id}/b', query: {set: {q: '${params.id}'}} }",
        );
        let seen = runtime.block_on(filter.get("/?x=1").param("id", &id).send());
        if id.is_empty() || id == "." || id == ".." {
            prop_assert_eq!(seen.reason(), Some("invalid_rewrite"));
        } else {
            let uri = &seen.request.uri;
            let segments: Vec<_> = uri.path().split('/').collect();
            prop_assert_eq!(segments.len(), 4);
            prop_assert_eq!((segments[1], segments[3]), ("a", "b"));
            let query: Vec<_> = uri.query().unwrap().split('&').collect();
            prop_assert_eq!(query.len(), 2);
            prop_assert_eq!(&query[1][2..], segments[2]);
        }
    }
}
