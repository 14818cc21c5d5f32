mod codings;
mod meant;

use proptest::prelude::*;
use wiregate_sdk::header::CONTENT_ENCODING;
use wiregate_sdk::testing::{Call, Probe, probe, refusal};
use wiregate_sdk::{Bytes, HeaderValue};

use super::Json;
use super::coding::{Bounds, Coding};

/// Any JSON value; numbers that Rust and JSON write alike.
pub(super) fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        ".{0,8}|[\"\\\\{}\\[\\],:]{0,4}".prop_map(|text: String| text.into()),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::hash_map("[a-c]{1,2}|\"", inner, 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A filter for responses, its options within braces.
fn response(options: &str) -> Probe {
    probe::<Json>(&format!("response: {{ {options} }}"))
}

fn answering(filter: &Probe, body: impl Into<Bytes>) -> Call {
    let call = filter.get("/?q=a%22b").identity("ann");
    let call = call.answer_header("content-type", "application/json");
    call.answer_body([body.into()])
}

async fn changed(options: &str, body: &str) -> String {
    let seen = answering(&response(options), body.to_owned()).send().await;
    assert_eq!(seen.status(), 200, "{options}: {:?}", seen.reply);
    String::from_utf8(seen.response_body.to_vec()).unwrap()
}

#[tokio::test]
async fn sets_by_path_and_makes_what_is_missing() {
    for (set, body, expected) in [
        ("a: 1", "{}", r#"{"a":1}"#),
        ("a: 1", r#"{"b":2}"#, r#"{"b":2,"a":1}"#),
        ("a: x", r#"{"a":[1,2],"b":2}"#, r#"{"a":"x","b":2}"#),
        ("a.b.c: true", r#"{"a":null}"#, r#"{"a":{"b":{"c":true}}}"#),
        (
            "a.b: { c: [1, '${identity.name}', ~] }",
            "{}",
            r#"{"a":{"b":{"c":[1,"ann",null]}}}"#,
        ),
        ("a: '${request.query.q}'", "{}", r#"{"a":"a\"b"}"#),
        ("a: '1'", "{}", r#"{"a":"1"}"#),
        ("'a[0]': 9", r#"{"a":[1,2]}"#, r#"{"a":[9,2]}"#),
        ("'a[2]': 9", r#"{"a":[1,2]}"#, r#"{"a":[1,2,9]}"#),
        (
            "'a[*].b': 9",
            r#"{"a":[{"b":1},{},null]}"#,
            r#"{"a":[{"b":9},{"b":9},{"b":9}]}"#,
        ),
        ("'[*].b': 9", r#"[{"b":1}]"#, r#"[{"b":9}]"#),
        ("'a[*].b': 9", "{}", r#"{"a":null}"#),
        (r#"'["a.b"]': 9"#, r#"{"a.b":1}"#, r#"{"a.b":9}"#),
        (r#"'["a\"b"]': 9"#, r#"{"a\u0022b":1}"#, r#"{"a\u0022b":9}"#),
        ("a: 9", r#"{"a":1,"b":2,"a":3}"#, r#"{"b":2,"a":9}"#),
        ("x: ''", "{\"b\" :  [ 1 ,2 ] }", r#"{"b":[ 1 ,2 ],"x":""}"#),
    ] {
        assert_eq!(
            changed(&format!("set: {{ {set} }}"), body).await,
            expected,
            "{set} in {body}"
        );
    }
}

#[tokio::test]
async fn removes_renames_and_moves_by_path() {
    for (options, body, expected) in [
        ("remove: a", r#"{"a":1,"b":2,"a":3}"#, r#"{"b":2}"#),
        (
            "remove: [a.b, 'c[0]', 'd[*].e']",
            r#"{"a":{"b":1},"c":[1,2],"d":[{"e":1,"f":2},3]}"#,
            r#"{"a":{},"c":[2],"d":[{"f":2},3]}"#,
        ),
        ("remove: 'a[*]'", r#"{"a":[1,2]}"#, r#"{"a":[]}"#),
        (
            "remove: a.b",
            r#"{"a":{"b":1},"a":{"b":2,"c":3}}"#,
            r#"{"a":{},"a":{"c":3}}"#,
        ),
        ("remove: '\u{65}'", r#"{"\u0065":1}"#, "{}"),
        (
            "rename: { a: b }",
            r#"{"x":0,"a":1,"b":2,"z":3}"#,
            r#"{"x":0,"b":1,"z":3}"#,
        ),
        ("rename: { a: a }", r#"{"a":1}"#, r#"{"a":1}"#),
        (
            "rename: { 'l[*].id': 'the \"id\"' }",
            r#"{"l":[{"id":1},{"id":2}]}"#,
            r#"{"l":[{"the \"id\"":1},{"the \"id\"":2}]}"#,
        ),
        (
            "move: { a.b: c.d }",
            r#"{"a":{"b":[1.0]}}"#,
            r#"{"a":{},"c":{"d":[1.0]}}"#,
        ),
        (
            "move: { 'a[0]': b }",
            r#"{"a":[1,2]}"#,
            r#"{"a":[2],"b":1}"#,
        ),
        (
            "move: { a: 'b[1]' }",
            r#"{"a":1,"b":[0]}"#,
            r#"{"b":[0,1]}"#,
        ),
        ("move: { a: b }", r#"{"a":1,"a":2,"b":0}"#, r#"{"b":2}"#),
        (
            "{ remove: a, rename: { b: a }, move: { a: c }, set: { a: 1 } }",
            r#"{"a":0,"b":2}"#,
            r#"{"c":2,"a":1}"#,
        ),
    ] {
        let options = options
            .strip_prefix('{')
            .and_then(|o| o.strip_suffix('}'))
            .unwrap_or(options);
        assert_eq!(changed(options, body).await, expected, "{options}");
    }
}

#[tokio::test]
async fn what_is_not_touched_stays_byte_for_byte() {
    let body = "{ \"big\":12345678901234567890123,\"tiny\" : 1e-400, \"huge\":1e400,\"d\":0.10,\n\"z\":-0,\"s\":\"\\u00e9\\/é\",\"n\":{ \"a\" : 1.0, \"a\":2 },\"x\":1}";
    let expected = "{\"big\":12345678901234567890123,\"tiny\":1e-400,\"huge\":1e400,\"d\":0.10,\"z\":-0,\"s\":\"\\u00e9\\/é\",\"n\":{ \"a\" : 1.0, \"a\":2 }}";
    assert_eq!(changed("remove: x", body).await, expected);
    assert_eq!(changed("remove: none", body).await, body);
    assert_eq!(changed("move: { none: x }", body).await, body);
}

#[tokio::test]
async fn a_program_changes_the_rest() {
    let options = "set: { who: '${identity.name}' }, jq: { program: '.who += $x', args: { x: '-${request.method}' } }";
    assert_eq!(changed(options, "{}").await, r#"{"who":"ann-GET"}"#);
    assert_eq!(
        changed("jq: '[.[] | .id]'", r#"[{"id":1e2},{"id":"x"}]"#).await,
        r#"[1e2,"x"]"#
    );
    let seen = answering(&response("jq: .a.b"), "[]").send().await;
    assert_eq!((seen.status(), seen.reason()), (502, Some("jq_failed")));
    let seen = answering(
        &response("jq: { program: 'def f: f; f', time: 20ms }"),
        "[]",
    )
    .send()
    .await;
    assert_eq!((seen.status(), seen.reason()), (500, Some("jq_exhausted")));
    let filter = probe::<Json>("request: { jq: error }");
    let seen = filter
        .post("/", "[]")
        .header("content-type", "application/json")
        .send()
        .await;
    assert_eq!((seen.status(), seen.reason()), (400, Some("jq_failed")));
}

#[tokio::test]
async fn a_program_takes_a_name_out_in_any_case() {
    let options = r#"jq: 'with_entries(select(.key | test("^i[s\u017f]_admin$"; "i") | not))'"#;
    let body = r#"{"Is_Admin":1,"is_admin":2,"i\u017f_admin":3,"IS\u005fADMIN":4,"a":5}"#;
    assert_eq!(changed(options, body).await, r#"{"a":5}"#);
}

#[tokio::test]
async fn the_fields_of_a_changed_body_come_out_right() {
    let filter = response("set: { a: 1 }");
    let mut call = answering(&filter, "{}");
    for name in [
        "etag",
        "last-modified",
        "accept-ranges",
        "content-digest",
        "repr-digest",
        "digest",
        "content-md5",
    ] {
        call = call.answer_header(name, "x");
    }
    let seen = call.answer_header("x-other", "y").send().await;
    assert_eq!(seen.header("content-length"), Some("7"));
    assert_eq!(
        seen.response.headers.len(),
        3,
        "{:?}",
        seen.response.headers
    );
    let filter = probe::<Json>("request: { set: { a: 1 } }");
    let call = filter
        .post("/", "{}")
        .header("content-type", "application/json");
    let seen = call
        .header("digest", "x")
        .header("content-md5", "x")
        .send()
        .await;
    assert_eq!(seen.request_body, r#"{"a":1}"#);
    assert_eq!(seen.request.headers["content-length"], "7");
    assert!(!seen.request.headers.contains_key("digest"));
    assert!(!seen.request.headers.contains_key("content-md5"));
}

#[tokio::test]
async fn the_upstream_is_asked_for_a_whole_that_can_be_read() {
    let filter = response("set: { a: 1 }");
    let call = filter
        .get("/")
        .header("accept-encoding", "dcb, gzip")
        .header("range", "bytes=0-1");
    let seen = call.header("if-range", "\"a\"").send().await;
    assert_eq!(seen.request.headers["accept-encoding"], "gzip");
    assert!(!seen.request.headers.contains_key("range"));
    assert!(!seen.request.headers.contains_key("if-range"));
    let filter = probe::<Json>("request: { set: { a: 1 } }");
    let seen = filter.get("/").header("range", "bytes=0-1").send().await;
    assert_eq!(seen.request.headers["range"], "bytes=0-1");
}

#[tokio::test]
async fn large_bodies_are_worked_on_elsewhere_with_the_same_outcome() {
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(100_000));
    let expected = long.replace("\"}", "\",\"a\":1}");
    assert!(changed("set: { a: 1 }", &long).await == expected);
}

#[tokio::test]
async fn what_is_set_in_many_places_is_not_made_where_it_would_be_too_much() {
    let filter = probe::<Json>(
        "request: { set: { 'items[*].tenant': '${request.headers[\"x-tenant\"]}' } }",
    );
    let send = async |count: usize, tenant: usize| {
        let body = format!("{{\"items\":[{}{{}}]}}", "{},".repeat(count - 1));
        let call = filter
            .post("/", body)
            .header("x-tenant", &"t".repeat(tenant));
        call.header("content-type", "application/json").send().await
    };
    // Ten gigabytes, and half of one.
    for count in [350_000, 20_000] {
        let seen = send(count, 30_000).await;
        let said = (seen.status(), seen.reason());
        assert_eq!(said, (413, Some("body_too_large")), "{count}");
    }
    let seen = send(20_000, 300).await;
    assert_eq!(seen.request_body.len(), 11 + 20_000 * (300 + 14));
}

#[tokio::test]
async fn an_expression_without_a_value_is_no_reason_to_let_a_body_pass() {
    for options in [
        "set: { a: '${1 / size(request.query.none)}' }",
        "set: { a: 1 }, when: '1 / size(request.query.none) > 0'",
        "jq: { program: ., args: { a: '${1 / size(request.query.none)}' } }",
    ] {
        let seen = answering(&response(options), "{}").send().await;
        assert_eq!(seen.status(), 500, "{options}");
        let filter = probe::<Json>(&format!("request: {{ {options} }}"));
        let seen = filter
            .post("/", "{}")
            .header("content-type", "application/json")
            .send()
            .await;
        assert_eq!(seen.status(), 500, "{options}");
    }
}

#[test]
fn says_what_it_expects() {
    for (options, error) in [
        ("{}", "1:1: expected `request` or `response`, found neither"),
        (
            "request: {}",
            "1:10: expected something to do: `remove`, `rename`, `move`, `set` or `jq`",
        ),
        (
            "request: { rename: { 'a[0]': b } }",
            "1:30: expected the path of a member, found `a[0]`",
        ),
        (
            "request: { move: { a: a.b } }",
            "1:23: expected another place than `a`, found `a.b`",
        ),
        (
            "request: { move: { 'a[*]': b } }",
            "1:28: expected one place to move from and to, found `[*]`",
        ),
        ("request: { jq: 'foo' }", "1:16: unknown filter `foo`"),
        (
            "request: { remove: a, ratio: 0 }",
            "1:30: expected a ratio from 1 to 10000, found `0`",
        ),
    ] {
        assert_eq!(refusal::<Json>(options), error, "{options}");
    }
    assert!(
        refusal::<Json>("request: { remove: a..b }").contains("expected a path such as `user.id`")
    );
    assert!(refusal::<Json>("request: { set: { a: '${nope}' } }").contains("unknown name `nope`"));
    assert!(refusal::<Json>("request: { delete: a }").contains("delete"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn where_the_body_is_cut_does_not_matter(value in any_json(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6), coded in any::<bool>()) {
        let text = value.to_string();
        let name = if coded { "gzip" } else { "identity" };
        let body = if coded { coding("gzip").encode(text.as_bytes()).unwrap() } else { text.into_bytes() };
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.sort_unstable();
        let bounds: Vec<_> = [0].into_iter().chain(cuts).chain([body.len()]).collect();
        let pieces: Vec<_> = bounds.windows(2).map(|pair| Bytes::copy_from_slice(&body[pair[0]..pair[1]])).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let filter = probe::<Json>("{ request: { remove: 'a', set: { n: 1 }, invalid: pass }, response: { remove: 'a', set: { n: 1 }, invalid: pass } }");
        let send = |pieces: Vec<Bytes>| {
            let call = filter.request("POST", "/").stream(pieces.clone()).header("content-type", "application/json");
            let call = call.header("content-encoding", name).header("transfer-encoding", "chunked");
            let call = call.answer_header("content-type", "application/json").answer_header("content-encoding", name);
            let seen = runtime.block_on(call.answer_body(pieces).send());
            (seen.request_body, seen.response_body)
        };
        let whole = Bytes::from(body);
        prop_assert_eq!(send(pieces), send(vec![whole]));
    }

    #[test]
    fn a_document_is_as_long_as_it_says(value in any_json()) {
        let text = value.to_string();
        let mut document = super::document::Node::read(text.as_bytes()).unwrap();
        let path: super::path::Path = "[*][*].a".parse().unwrap();
        let _ = document.set(&path.steps, "\"b\"");
        let mut written = Vec::new();
        document.write(&mut written);
        prop_assert_eq!(document.length(), written.len() as u64);
    }

    #[test]
    fn does_what_another_editor_does(value in any_json()) {
        let text = value.to_string();
        let mut expected = value.clone();
        let is_object = expected.is_object();
        if let Some(members) = expected.as_object_mut() {
            let taken = members.shift_remove("a");
            if let Some(taken) = taken {
                members.insert("moved".into(), taken);
            }
            members.insert("n".into(), 1.into());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let filter = response("move: { a: moved }, set: { n: 1 }, invalid: pass");
        let seen = runtime.block_on(answering(&filter, text.clone()).send());
        let made: serde_json::Value = serde_json::from_slice(&seen.response_body).unwrap();
        prop_assert_eq!(made, if is_object { expected } else if value.is_null() { serde_json::json!({"n": 1}) } else { value });
    }
}

fn coding(name: &str) -> Coding {
    let headers = [(CONTENT_ENCODING, HeaderValue::from_str(name).unwrap())];
    Coding::of(&headers.into_iter().collect()).unwrap().unwrap()
}
