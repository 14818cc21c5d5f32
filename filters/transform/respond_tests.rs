use super::*;
use wiregate_sdk::testing::{Seen, probe, refusal};

fn answer(seen: &Seen) -> (u16, Option<&str>, &str) {
    let body = std::str::from_utf8(&seen.response_body).unwrap();
    (seen.status(), seen.header("content-type"), body)
}

const TEXT: Option<&str> = Some("text/plain; charset=utf-8");

#[tokio::test]
async fn a_scalar_is_a_status_or_a_body() {
    let seen = probe::<Respond>("204").get("/").send().await;
    assert_eq!(answer(&seen), (204, None, ""));
    assert!(seen.reply.is_some());
    let seen = probe::<Respond>("hello").get("/").send().await;
    assert_eq!(answer(&seen), (200, TEXT, "hello"));
    let seen = probe::<Respond>("'hello ${client.address}'")
        .get("/")
        .send()
        .await;
    assert_eq!(answer(&seen), (200, TEXT, "hello 192.0.2.1"));
    let seen = probe::<Respond>("body: '204'").get("/").send().await;
    assert_eq!(answer(&seen), (200, TEXT, "204"));
    let seen = probe::<Respond>("1234").get("/").send().await;
    assert_eq!(answer(&seen), (200, TEXT, "1234"));
}

#[tokio::test]
async fn answers_with_status_and_fields() {
    let filter = probe::<Respond>(
        "{ status: 503, headers: { Retry-After: 120, x-path: '${request.path}', \
         x-user: '${identity.name}', x-q: '${request.query.q}' } }",
    );
    let seen = filter.get("/a?q=%0d%0aset-cookie:a").send().await;
    assert_eq!(answer(&seen), (503, None, ""));
    assert_eq!(seen.header("retry-after"), Some("120"));
    assert_eq!(seen.header("x-path"), Some("/a"));
    assert_eq!(seen.header("content-length"), Some("0"));
    assert_eq!(seen.response.headers.len(), 3);
    let seen = probe::<Respond>("{}").get("/").send().await;
    assert_eq!(answer(&seen), (200, None, ""));
}

#[tokio::test]
async fn writes_json_with_templates_in_it() {
    let filter = probe::<Respond>(
        "json: { path: '${request.path}', q: 'a \"${request.query.q}\"', n: [1, -2.5, true, null], \
         'k\"': '5', none: '${request.query.none}' }",
    );
    let seen = filter.get("/x?q=%22,%22admin%22:%22%5C%0a").send().await;
    let (status, media, body) = answer(&seen);
    assert_eq!((status, media), (200, Some("application/json")));
    let expected = serde_json::json!({
        "path": "/x", "q": "a \"\",\"admin\":\"\\\n\"", "n": [1, -2.5, true, null],
        "k\"": "5", "none": "",
    });
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(body).unwrap(),
        expected
    );
    assert!(
        body.starts_with("{\"path\":\"/x\"") && body.ends_with("}\n"),
        "{body}"
    );
}

#[tokio::test]
async fn json_may_be_anything() {
    for (options, body) in [
        ("json: [a, 1]", "[\"a\",1]\n"),
        ("json: 7", "7\n"),
        ("json: 'x'", "\"x\"\n"),
        ("json: {}", "{}\n"),
        ("json: 'Bearer ${env:TOKEN}'", "\"Bearer TOKEN\"\n"),
        ("json: '$${x}'", "\"${x}\"\n"),
    ] {
        let seen = probe::<Respond>(options).get("/").send().await;
        assert_eq!(answer(&seen).2, body, "{options}");
    }
}

#[tokio::test]
async fn values_are_escaped_as_the_type_demands() {
    for (media, body) in [
        (
            "text/html; charset=utf-8",
            "<p>&lt;b&gt;&quot;&amp;&#39;</p>",
        ),
        ("image/svg+xml", "<p>&lt;b&gt;&quot;&amp;&#39;</p>"),
        ("application/problem+json", "<p><b>\\\"&'</p>"),
        ("text/plain", "<p><b>\"&'</p>"),
    ] {
        let options = format!("{{ body: '<p>${{request.query.q}}</p>', content_type: {media} }}");
        let seen = probe::<Respond>(&options)
            .get("/?q=%3Cb%3E%22%26'")
            .send()
            .await;
        assert_eq!(answer(&seen), (200, Some(media), body));
    }
}

#[tokio::test]
async fn an_expression_that_fails_is_an_error() {
    for options in [
        "'${1 / size(request.query.n)}'",
        "json: ['${1 / size(request.query.n)}']",
    ] {
        let filter = probe::<Respond>(options);
        let seen = filter.get("/").send().await;
        assert_eq!(
            (seen.status(), seen.reason()),
            (500, Some("respond_failed"))
        );
        assert_eq!(filter.get("/?n=1").send().await.status(), 200);
    }
}

#[tokio::test]
async fn a_head_request_gets_the_same_head() {
    let seen = probe::<Respond>("hello").request("HEAD", "/").send().await;
    assert_eq!(answer(&seen), (200, TEXT, ""));
}

#[test]
fn nothing_in_it_can_go_by_a_response() {
    let early = "`response.status` is not known here: there is no response yet";
    for (options, place) in [
        ("'${response.status}'", "1:1"),
        ("body: '${response.status}'", "1:7"),
        ("headers: { x-a: 'a ${response.status}' }", "1:17"),
        ("json: { a: [b, '${response.status}'] }", "1:16"),
    ] {
        assert_eq!(refusal::<Respond>(options), format!("{place}: {early}"));
    }
}

#[test]
fn refuses_what_could_not_work() {
    for (options, expected) in [
        (
            "{ body: a, json: b }",
            "1:18: expected `body` or `json`, found both",
        ),
        (
            "{ status: 204, body: a }",
            "1:22: expected no body with the status 204",
        ),
        (
            "{ status: 304, json: {} }",
            "1:22: expected no body with the status 304",
        ),
        (
            "content_type: text/html",
            "1:15: expected a `body` or `json` of this type, found neither",
        ),
        (
            "headers: { content-type: text/html }",
            "1:26: expected no `content-type`, which is the option `content_type`",
        ),
        (
            "999",
            "1:1: expected a status code from 200 to 599, found `999`",
        ),
        (
            "status: 100",
            "1:9: expected the status of a final response, 200 to 599, found `100`",
        ),
        (
            "json: { a: [1, .inf] }",
            "1:16: expected a number that JSON can write, found one that is not finite",
        ),
    ] {
        assert_eq!(refusal::<Respond>(options), expected, "{options}");
    }
    let said = refusal::<Respond>("json: { a: ['${x}', '${y}'] }");
    assert!(
        said.starts_with("1:13: ") && said.contains("\n1:21: "),
        "{said}"
    );
    for (options, part) in [
        ("headers: { content-length: 1 }", "set by the gateway"),
        ("content_type: html", "expected a media type"),
        ("{ boddy: a }", "did you mean `body`?"),
        ("'${x}'", "unknown name"),
    ] {
        let said = refusal::<Respond>(options);
        assert!(said.contains(part), "{options}: {said}");
    }
}
