use super::*;
use wiregate_sdk::HeaderMap;
use wiregate_sdk::testing::{probe, refusal};

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let values = headers.get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn sets_adds_removes_and_renames_in_requests() {
    let filter = probe::<Headers>(
        "request: { set: {x-a: new}, add: {x-b: [two, three]}, remove: x-c, rename: {x-d: x-e} }",
    );
    let call = filter.get("/").header("x-a", "old").header("x-a", "old");
    let call = call.header("x-b", "one").header("x-c", "1");
    let call = call.header("x-d", "4").header("x-d", "5");
    let seen = call.header("x-e", "3").send().await;
    let headers = &seen.request.headers;
    assert_eq!(all(headers, "x-a"), ["new"]);
    assert_eq!(all(headers, "x-b"), ["one", "two", "three"]);
    assert_eq!(all(headers, "x-e"), ["3", "4", "5"]);
    assert!(!headers.contains_key("x-c") && !headers.contains_key("x-d"));
    assert!(seen.response.headers.is_empty());
}

#[tokio::test]
async fn edits_responses() {
    let filter = probe::<Headers>(
        "response: { set: {x-a: 'was ${response.status}'}, add: {vary: accept}, \
         remove: [server], rename: {x-d: x-e} }",
    );
    let call = filter.get("/").answer(404).answer_header("server", "x");
    let call = call
        .answer_header("x-d", "1")
        .answer_header("vary", "origin");
    let seen = call.header("server", "stays").send().await;
    assert_eq!(seen.header("x-a"), Some("was 404"));
    assert_eq!(all(&seen.response.headers, "vary"), ["origin", "accept"]);
    assert_eq!(seen.header("server"), None);
    assert_eq!((seen.header("x-d"), seen.header("x-e")), (None, Some("1")));
    assert_eq!(seen.request.headers["server"], "stays");
}

#[tokio::test]
async fn goes_by_the_documented_order_whatever_is_written_first() {
    let filter = probe::<Headers>(
        "request: { add: {x-a: added}, set: {x-a: set}, rename: {x-b: x-a}, remove: [x-a] }",
    );
    let call = filter.get("/").header("x-a", "client").header("x-b", "b");
    let seen = call.send().await;
    assert_eq!(all(&seen.request.headers, "x-a"), ["set", "added"]);

    let filter = probe::<Headers>("request: { rename: {x-b: x-a}, remove: [x-a] }");
    let call = filter.get("/").header("x-a", "client").header("x-b", "b");
    let seen = call.send().await;
    assert_eq!(all(&seen.request.headers, "x-a"), ["b"]);
}

#[tokio::test]
async fn values_see_the_message_as_it_came() {
    let filter = probe::<Headers>(
        "request: { remove: [x-a], set: { x-b: '${request.headers[\"x-a\"]}', \
         x-c: '${request.headers[\"x-b\"]}', x-ip: 'for=${client.address}' } }",
    );
    let call = filter.get("/").header("x-a", "1").header("x-b", "2");
    let seen = call.from("2001:db8::1").send().await;
    let headers = &seen.request.headers;
    assert_eq!(
        (&headers["x-b"], &headers["x-c"]),
        (&"1".parse().unwrap(), &"2".parse().unwrap())
    );
    assert_eq!(headers["x-ip"], "for=2001:db8::1");
}

#[tokio::test]
async fn values_that_vary_stand_among_those_that_do_not() {
    let filter = probe::<Headers>(
        "request: { set: {x-a: a, x-b: '${request.method}', x-c: c, x-d: '${request.query.none}'}, \
         add: {x-e: ['1', '${request.path}', '3'], x-f: '${client.address}', x-g: g} }",
    );
    let seen = filter.get("/p").header("x-d", "old").send().await;
    for (name, values) in [
        ("x-a", &["a"][..]),
        ("x-b", &["GET"]),
        ("x-c", &["c"]),
        ("x-d", &[]),
        ("x-e", &["1", "/p", "3"]),
        ("x-f", &["192.0.2.1"]),
        ("x-g", &["g"]),
    ] {
        assert_eq!(all(&seen.request.headers, name), values, "{name}");
    }
}

#[tokio::test]
async fn what_a_client_sent_never_passes_for_a_value_that_is_missing() {
    let filter = probe::<Headers>(
        "request: { set: {x-user: '${identity.name}'}, add: {x-group: '${identity.name}'} }",
    );
    let forged = || {
        filter
            .get("/")
            .header("x-user", "admin")
            .header("x-group", "g")
    };
    let seen = forged().send().await;
    assert!(!seen.request.headers.contains_key("x-user"));
    assert_eq!(all(&seen.request.headers, "x-group"), ["g"]);
    let seen = forged().identity("bob").send().await;
    assert_eq!(all(&seen.request.headers, "x-user"), ["bob"]);
    assert_eq!(all(&seen.request.headers, "x-group"), ["g", "bob"]);
}

#[tokio::test]
async fn a_control_character_makes_no_field() {
    let filter = probe::<Headers>(
        "{ request: { set: {x-q: 'a ${request.query.q}'} }, \
           response: { add: {x-q: '${request.query.q}'} } }",
    );
    for bad in ["%0d%0aset-cookie:%20a=b", "%0a", "%00", "%7f"] {
        let seen = filter.get(&format!("/?q={bad}")).header("x-q", "old");
        let seen = seen.send().await;
        assert!(!seen.request.headers.contains_key("x-q"), "{bad}");
        assert!(seen.response.headers.is_empty(), "{bad}");
    }
    let seen = filter.get("/?q=fine").send().await;
    assert_eq!(seen.request.headers["x-q"], "a fine");
    assert_eq!(seen.header("x-q"), Some("fine"));
}

#[tokio::test]
async fn a_constant_may_be_empty() {
    let filter = probe::<Headers>("request: { set: {x-a: ''} }");
    let seen = filter.get("/").header("x-a", "1").send().await;
    assert_eq!(all(&seen.request.headers, "x-a"), [""]);
}

#[tokio::test]
async fn a_secret_is_not_taken_for_a_template() {
    let filter = probe::<Headers>("request: { set: {authorization: 'Bearer ${env:TOKEN}'} }");
    let seen = filter.get("/").send().await;
    assert_eq!(seen.request.headers["authorization"], "Bearer TOKEN");
}

#[tokio::test]
async fn removes_what_begins_alike_but_nothing_that_frames() {
    let filter = probe::<Headers>("request: { remove: [X-Internal-*, co*] }");
    let call = filter.post("/", "body").header("x-internal-a", "1");
    let call = call.header("X-Internal-B", "1").header("x-internal", "1");
    let seen = call.header("cookie", "a=b").send().await;
    let mut names: Vec<_> = seen
        .request
        .headers
        .keys()
        .map(|name| name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "host", "x-internal"]);
}

#[test]
fn refuses_what_could_not_work() {
    let cases = [
        ("{}", "1:1: expected `request`, `response` or both"),
        (
            "request: {}",
            "1:10: expected at least one of `remove`, `rename`, `set` and `add`",
        ),
        (
            "request: { rename: {X-A: x-b, x-b: x-c} }",
            "1:20: expected a name that is not renamed itself, found `x-b`",
        ),
        (
            "request: { rename: {x-a: x-a} }",
            "1:26: expected another name, found `x-a`",
        ),
        (
            "response: { set: {x-a: 1, X-A: 2} }",
            "1:18: expected each key once, found `x-a` in two spellings",
        ),
        (
            "response: { set: {x-a: \"a\\nb\"} }",
            "1:24: expected the value of a header field, found a control character in it",
        ),
    ];
    for (options, expected) in cases {
        assert_eq!(refusal::<Headers>(options), expected, "{options}");
    }
    for (options, part) in [
        (
            "request: { set: {host: a} }",
            "an option of its own: `host`",
        ),
        (
            "request: { add: {content-length: 1} }",
            "set by the gateway",
        ),
        ("request: { remove: [Connection] }", "set by the gateway"),
        ("request: { rename: {x-a: te} }", "set by the gateway"),
        ("request: { remove: ['*'] }", "such as `x-internal-*`"),
        ("request: { remove: [] }", "at least one value"),
        (
            "request: { set: {x-a: '${clint.address}'} }",
            "unknown name",
        ),
        ("request: { sets: {x-a: 1} }", "did you mean `set`?"),
        ("reqest: { set: {x-a: 1} }", "did you mean `request`?"),
    ] {
        let said = refusal::<Headers>(options);
        assert!(said.contains(part), "{options}: {said}");
    }
}

#[test]
fn values_for_requests_cannot_go_by_the_response() {
    let said = refusal::<Headers>(
        "request:\n  set: { x-a: \"${response.status}\" }\n  \
         add: { x-b: [a, \"${response.headers['a']}\"], x-c: \"${response.status}\" }\n",
    );
    assert_eq!(
        said,
        "2:15: `response.status` is not known here: there is no response yet\n\
         3:19: `response.headers` is not known here: there is no response yet\n\
         3:53: `response.status` is not known here: there is no response yet"
    );
}

#[test]
fn tells_all_problems_of_both_sides() {
    let said = refusal::<Headers>("request: {}\nresponse: { rename: {x-a: x-a} }\n");
    assert_eq!(said.lines().count(), 2, "{said}");
}
