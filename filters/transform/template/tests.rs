use wiregate_sdk::testing::{probe, refusal};
use wiregate_sdk::{Consumer, Identity};

use super::*;

fn text(seen: &wiregate_sdk::testing::Seen) -> &str {
    std::str::from_utf8(&seen.response_body).unwrap()
}

async fn made(body: &str, target: &str) -> String {
    let seen = probe::<Template>(&format!("response: {{ {body} }}"))
        .get(target)
        .send()
        .await;
    assert_eq!(seen.status(), 200, "{body}: {:?}", seen.reply);
    text(&seen).to_owned()
}

#[tokio::test]
async fn makes_each_kind_of_body_and_says_which_it_is() {
    for (kind, source, content_type, expected) in [
        (
            "json",
            r#"{"a": {{ request.query.q }}}"#,
            "application/json",
            r#"{"a": "<1>"}"#,
        ),
        (
            "html",
            "<b>{{ request.query.q }}</b>",
            "text/html; charset=utf-8",
            "<b>&lt;1&gt;</b>",
        ),
        (
            "xml",
            "<b>{{ request.query.q }}</b>",
            "application/xml",
            "<b>&lt;1&gt;</b>",
        ),
        (
            "text",
            "{{ request.query.q }}",
            "text/plain; charset=utf-8",
            "<1>",
        ),
    ] {
        let filter = probe::<Template>(&format!("response: {{ {kind}: '{source}' }}"));
        let call = filter.get("/?q=%3C1%3E").answer_header("etag", "\"a\"");
        let call = call
            .answer_header("content-encoding", "gzip")
            .answer_header("digest", "x");
        let seen = call.answer_body(["old".into()]).send().await;
        assert_eq!(text(&seen), expected);
        assert_eq!(seen.header("content-type"), Some(content_type));
        assert_eq!(
            seen.header("content-length"),
            Some(&*expected.len().to_string())
        );
        for name in ["etag", "content-encoding", "digest"] {
            assert_eq!(seen.header(name), None, "{name}");
        }
    }
    let own = probe::<Template>("response: { text: a, content_type: text/csv }");
    assert_eq!(
        own.get("/").send().await.header("content-type"),
        Some("text/csv")
    );
}

#[tokio::test]
async fn no_value_gets_out_of_its_place() {
    let hostile = "%22,%22admin%22:true,%22x%22:%22%3Cscript%3E%27%26%00";
    let target = format!("/?q={hostile}");
    let body = made(
        r#"json: '{"a": {{ request.query.q }}, "b": [{{ request.query.q|upper }}]}'"#,
        &target,
    )
    .await;
    let value: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(value["a"], "\",\"admin\":true,\"x\":\"<script>'&\0");
    assert_eq!(value.as_object().unwrap().len(), 2);
    for kind in ["html", "xml"] {
        let body = made(
            &format!("{kind}: '<a b=\"{{{{ request.query.q }}}}\">{{{{ request.query.q }}}}</a>'"),
            &target,
        )
        .await;
        assert_eq!(body.matches('<').count(), 2, "{body}");
        assert_eq!(body.matches('"').count(), 2, "{body}");
        assert_eq!(body.contains('\0'), kind == "html", "{body}");
        // What is made by `tojson` as well, in both kinds of quotes.
        for quote in ['"', '\''] {
            let source = format!(
                "<a b={quote}{{{{ request.query.q|tojson }}}}{quote}>{{{{ [request.query.q]|tojson(2) }}}}</a>"
            );
            let body = made(&format!("{kind}: {source:?}"), &target).await;
            assert_eq!(body.matches('<').count(), 2, "{body}");
            assert_eq!(body.matches(quote).count(), 2, "{body}");
        }
    }
    for (kind, source) in [
        ("json", r#"{"a": "{{ request.query.q }}"}"#),
        ("json", "{{ request.query.q|escape }}x"),
    ] {
        let filter = probe::<Template>(&format!("response: {{ {kind}: '{source}' }}"));
        let seen = filter.get(&target).send().await;
        assert_eq!(
            (seen.status(), seen.reason()),
            (500, Some("template_failed")),
            "{source}"
        );
    }
}

#[tokio::test]
async fn finds_what_is_known_of_the_exchange() {
    let filter = probe::<Template>(
        "response: { text: '{{ request.method }} {{ request.host }} {{ request.path }} {{ request.headers[\"X-A\"] }} \
         {{ request.cookies.c }} {{ client.address }} {{ route }} {{ params.id }} {{ identity.name }} \
         {{ response.status }} {{ response.headers.server }} {{ identity.groups|join(\"+\") }}|{{ request.query.none.deeper }}{{ body }}' }",
    );
    let call = filter
        .get("/p?q=1")
        .header("x-a", "field")
        .header("cookie", "a=b; c=d");
    let call = call
        .param("id", "7")
        .identity("ann")
        .answer(404)
        .answer_header("server", "s");
    let seen = call.send().await;
    assert_eq!(
        text(&seen),
        "GET example.com /p field d 192.0.2.1 probe 7 ann 404 s |"
    );
    assert_eq!(seen.status(), 404);
}

#[tokio::test]
async fn finds_the_plan_of_a_consumer() {
    let filter = probe::<Template>("response: { text: '{{ identity.plan }}' }");
    let consumer = Consumer {
        plan: Some("gold".into()),
        ..Consumer::default()
    };
    let identity = Identity {
        consumer: Some(Arc::new(consumer)),
        ..Identity::default()
    };
    let seen = filter.get("/").caller(identity).send().await;
    assert_eq!(text(&seen), "gold");
    assert_eq!(text(&filter.get("/").identity("ann").send().await), "");
}

#[tokio::test]
async fn finds_the_body_whose_place_it_takes() {
    let filter = probe::<Template>(
        "{ request: { xml: '{% for item in body.items %}<i>{{ item.id }}</i>{% endfor %}' }, response: { json: '[{{ body }}]' } }",
    );
    let call = filter.post("/", r#"{"items":[{"id":1},{"id":"<"}]}"#);
    let call = call
        .header("content-type", "application/json")
        .header("content-md5", "x");
    let call = call
        .answer_header("content-type", "text/plain")
        .answer_body(["te".into(), "xt".into()]);
    let seen = call.send().await;
    assert_eq!(seen.request_body, "<i>1</i><i>&lt;</i>");
    assert_eq!(seen.request.headers["content-type"], "application/xml");
    assert_eq!(seen.request.headers["content-length"], "19");
    assert!(!seen.request.headers.contains_key("content-md5"));
    assert_eq!(text(&seen), "[\"text\"]");
    let seen = filter
        .post("/", "{")
        .header("content-type", "application/json")
        .send()
        .await;
    assert_eq!((seen.status(), seen.reason()), (400, Some("invalid_json")));
    let call = filter
        .post("/", "")
        .answer_header("content-type", "application/json");
    let seen = call.answer_body(["{".into()]).send().await;
    assert_eq!((seen.status(), seen.reason()), (502, Some("invalid_json")));
}

#[tokio::test]
async fn leaves_alone_what_has_no_body_and_what_is_not_meant() {
    let filter = probe::<Template>(
        "response: { when: response.status >= 400 || response.status < 300, text: new }",
    );
    for status in [101, 204, 205, 302, 304] {
        let seen = filter
            .get("/")
            .answer(status)
            .answer_header("etag", "\"a\"")
            .send()
            .await;
        assert_eq!(seen.header("etag"), Some("\"a\""), "{status}");
        assert_eq!(seen.response_body, "", "{status}");
    }
    let seen = filter
        .request("HEAD", "/")
        .answer_header("content-length", "7")
        .send()
        .await;
    assert_eq!(
        (seen.header("content-length"), &*seen.response_body),
        (None, &b""[..])
    );
    assert_eq!(
        seen.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
}

#[tokio::test]
async fn a_part_of_the_body_that_was_never_passes_in_place_of_the_one_that_is_made() {
    for options in ["text: new", "text: '{{ body }}'", "text: new, when: 'true'"] {
        let filter = probe::<Template>(&format!("response: {{ {options} }}"));
        let call = filter.get("/").header("range", "bytes=0-").answer(206);
        let seen = call.answer_body(["old".into()]).send().await;
        let found = (seen.status(), seen.reason());
        assert_eq!(found, (502, Some("partial_body")), "{options}");
    }
    let filter = probe::<Template>("response: { text: new, when: response.status == 404 }");
    let call = filter.get("/").header("range", "bytes=0-").answer(206);
    let seen = call.answer_body(["old".into()]).send().await;
    assert_eq!((seen.status(), text(&seen)), (206, "old"));
}

#[tokio::test]
async fn as_much_can_be_made_as_output_says() {
    let target = format!("/{}", "x".repeat(8_000));
    let source = "text: '{% for a in range(1000) %}{{ request.path }}{% endfor %}'";
    let body = made(&format!("output: 9MiB, {source}"), &target).await;
    assert_eq!(body.len(), 8_001_000);
    assert!(body.starts_with("/xxx") && body.ends_with("xxx"));
}

#[tokio::test]
async fn what_takes_too_long_or_too_much_is_ended() {
    for options in [
        "text: '{{ route }}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}'",
        "text: '{% macro m(a) %}{{ m(a) }}{% endmacro %}{{ m(route) }}'",
        "{ output: 10, text: '{{ route }}{% for a in range(99) %}{{ a }}{% endfor %}' }",
        "text: '{{ 1 / params|length }}'",
        "text: '{{ \"x\" * (9999999999 + client.port) }}'",
        "json: '{ \"a\": {{ route }}'",
    ] {
        let options = options.trim_matches(['{', '}']);
        let filter = probe::<Template>(&format!("response: {{ {options} }}"));
        let seen = filter.get("/").send().await;
        assert_eq!(
            (seen.status(), seen.reason()),
            (500, Some("template_failed")),
            "{options}"
        );
    }
}

#[test]
fn what_fails_for_everybody_is_refused_at_load() {
    for (options, error) in [
        (
            "text: '{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}'",
            "1:19: the template takes more steps than it has",
        ),
        (
            "text: '{% macro m(a) %}{{ m(a) }}{% endmacro %}{{ m(1) }}'",
            "1:19: invalid operation, in line 1 of the template",
        ),
        (
            "text: '{% for a in range(99) %}{{ a }}{% endfor %}', output: 10",
            "1:19: the body is larger than `output`",
        ),
        (
            "text: '{{ 1 / 0 }}'",
            "1:19: invalid operation, in line 1 of the template",
        ),
        (
            "json: '{ \"a\": nope }'",
            "1:19: the template makes no JSON: expected a value at byte 7",
        ),
        (
            "json: ''",
            "1:19: the template makes no JSON: expected a value at byte 0",
        ),
        (
            "json: '{ \"a\": {{ 1 }}'",
            "1:19: the template makes no JSON: expected `,` or the end of a list at byte 8",
        ),
    ] {
        let said = refusal::<Template>(&format!("response: {{ {options} }}"));
        assert!(said.starts_with(error), "{options}: {said}");
    }
    for options in [
        "json: '{ \"a\": {{ [1, 2] }} }'",
        "text: ''",
        "html: '{{ 1 }}'",
    ] {
        let _accepted = probe::<Template>(&format!("response: {{ {options} }}"));
    }
}

#[test]
fn says_what_it_expects() {
    for (options, error) in [
        ("{}", "1:1: expected `request` or `response`, found neither"),
        (
            "response: {}",
            "1:11: expected one of `json`, `html`, `xml` and `text`",
        ),
        (
            "response: { text: a, json: b }",
            "1:11: expected one of `json`, `html`, `xml` and `text`",
        ),
        (
            "response: { text: '{{ a }}' }",
            "1:19: unknown name `a`, expected one of `body`, `client`, `identity`, `params`, `request`, `response`, `route`",
        ),
        (
            "response: { text: '{{ identity.nam }}' }",
            "1:19: unknown name `identity.nam`, expected one of `name`, `by`, `plan`, `groups`, `scopes`, `claims` of `identity`",
        ),
        (
            "response: { text: '{% if request.pth.a %}{% endif %}' }",
            "1:19: unknown name `request.pth`, expected one of `method`, `scheme`, `host`, `path`, `target`, `id`, `time`, `headers`, `cookies`, `query` of `request`",
        ),
        (
            "response: { text: '{{ body|safe }}' }",
            "1:19: unknown filter `safe`, in line 1 of the template",
        ),
        (
            "response: { text: '{% if route is good %}{% endif %}' }",
            "1:19: unknown test `good`, in line 1 of the template",
        ),
        (
            "response: { html: '{% autoescape false %}{{ route }}{% endautoescape %}' }",
            "1:19: expected no `autoescape`: the kind of the body says how to escape, in line 1 of the template",
        ),
    ] {
        assert_eq!(refusal::<Template>(options), error, "{options}");
    }
    assert!(
        refusal::<Template>("response: { text: '{{ a' }").contains("in line 1 of the template")
    );
    assert!(refusal::<Template>("response: { text: '{% include \"a\" %}' }").contains("in line 1"));
}
