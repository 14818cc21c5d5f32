//! What is changed, what is left alone, and what is refused.

use super::*;

#[tokio::test]
async fn what_has_no_body_to_change_is_left_alone() {
    let filter = response("set: { a: 1 }");
    for status in [101, 204, 304] {
        let seen = answering(&filter, "")
            .answer(status)
            .answer_header("etag", "\"a\"")
            .send()
            .await;
        assert_eq!(
            (seen.status(), seen.header("etag")),
            (status, Some("\"a\""))
        );
    }
    let seen = answering(&filter, "")
        .answer_header("etag", "\"a\"")
        .send()
        .await;
    assert_eq!(
        (seen.header("etag"), &*seen.response_body),
        (Some("\"a\""), &b""[..])
    );
    let call = filter
        .request("HEAD", "/")
        .answer_header("content-type", "application/json");
    let seen = call
        .answer_header("content-length", "7")
        .answer_header("etag", "\"a\"")
        .send()
        .await;
    assert_eq!(
        (
            seen.status(),
            seen.header("content-length"),
            seen.header("etag")
        ),
        (200, None, None)
    );
    let filter = probe::<Json>("request: { set: { a: 1 } }");
    for call in [filter.get("/"), filter.post("/", "")] {
        let seen = call.header("content-type", "application/json").send().await;
        assert_eq!(seen.request_body, "");
        assert!(seen.reply.is_none());
    }
}

#[tokio::test]
async fn only_what_is_meant_is_changed() {
    let usual = response("set: { a: 1 }");
    let own = response("set: { a: 1 }, types: 'text/*', when: response.status < 300");
    let any = response("set: { a: 1 }, types: '*/*'");
    for (content_type, status, usually, by_own) in [
        ("application/json", 200, true, false),
        ("Application/JSON; charset=utf-8", 500, true, false),
        ("application/problem+json", 404, true, false),
        ("text/json", 200, false, true),
        ("text/json", 300, false, false),
        ("application/jsonp", 200, false, false),
    ] {
        for (filter, expected) in [(&usual, usually), (&own, by_own), (&any, true)] {
            let call = filter
                .get("/")
                .answer(status)
                .answer_header("content-type", content_type);
            let seen = call.answer_body(["{}".into()]).send().await;
            assert_eq!(
                seen.response_body == r#"{"a":1}"#,
                expected,
                "{content_type} {status}"
            );
        }
    }
    assert_eq!(
        any.get("/")
            .answer_body(["{}".into()])
            .send()
            .await
            .response_body,
        r#"{"a":1}"#
    );
    assert_eq!(
        usual
            .get("/")
            .answer_body(["{}".into()])
            .send()
            .await
            .response_body,
        "{}"
    );
}

#[tokio::test]
async fn no_form_of_its_type_lets_a_body_pass_unchanged() {
    let removing = probe::<Json>("request: { remove: admin }");
    let passing = probe::<Json>("request: { remove: admin, invalid: pass }");
    let body = r#"{"admin":true}"#;
    // What stands in parameters does not matter.
    for value in [
        "application/json;charset=utf-8; x=\"a, text/plain\"",
        "Application/JSON ;x",
        ", application/json,",
        "application/json; x=\"\\\", application/json\"",
    ] {
        let call = removing.post("/", body).header("content-type", value);
        assert_eq!(call.send().await.request_body, "{}", "{value}");
    }
    // Whoever gets several types may go by any of them.
    let several = [
        &["text/plain", "application/json"][..],
        &["application/json", "text/plain"],
        &["application/json, text/plain"],
        &["text/plain, application/json"],
        &["application/json", "application/json"],
        // Not everybody knows where quotes begin and end.
        &["text/plain; x=\"\\\"\", application/json"],
        &["text/plain; x=\", application/json"],
        &["text/plain; x=\"a, application/json\""],
        &["text/plain; x=\", application/json; y=\""],
        &["text/plain; x=', application/json'"],
        &["; x=\", application/json"],
        &["application/json; x=\"\\\"\", text/plain"],
    ];
    for lines in several {
        for (filter, passes) in [(&removing, false), (&passing, true)] {
            let mut call = filter.post("/", body);
            for line in lines {
                call = call.header("content-type", line);
            }
            let seen = call.send().await;
            match passes {
                true => assert_eq!(seen.request_body, body, "{lines:?}"),
                false => assert_eq!(
                    (seen.status(), seen.reason()),
                    (400, Some("invalid_json")),
                    "{lines:?}"
                ),
            }
        }
    }
    for other in [
        "text/plain",
        "application/jsonp",
        "text/plain; x=\"application/json\"",
    ] {
        let seen = removing
            .post("/", body)
            .header("content-type", other)
            .send()
            .await;
        assert_eq!(seen.request_body, body, "{other}");
    }
    let hiding = response("remove: secret");
    let call = hiding.get("/").answer_header("content-type", "text/plain");
    let call = call.answer_header("content-type", "application/json");
    let seen = call.answer_body([r#"{"secret":1}"#.into()]).send().await;
    assert_eq!((seen.status(), seen.reason()), (502, Some("invalid_json")));
}

#[tokio::test]
async fn no_charset_that_others_may_go_by_lets_a_body_pass_unchanged() {
    let removing = probe::<Json>("request: { remove: is_admin }");
    let passing = probe::<Json>("request: { remove: is_admin, invalid: pass }");
    let body = r#"{"+AGkAcwBfAGEAZABtAGkAbg-": true}"#;
    for lines in [
        &[&b"application/json; charset=utf-7"[..]][..],
        &[b"application/json; charset=utf-8; charset=utf-7"],
        &[b"application/json; charset=utf-7; charset=utf-8"],
        &[b"application/json; charset=utf-8; Charset = \"UTF-7\""],
        &[b"application/json; charset=utf-7; x=\"\xe9\""],
        &[b"application/json; x=\"; charset=utf-7\""],
        &[b"application/json; x=\"a;charset=utf-8\"; charset=utf-7"],
        &[b"application/json; x=y charset=utf-7"],
        &[b"application/json; charset*=us-ascii''utf-7"],
        &[b"application/json; charset=\xe9"],
        &[b"application/json; charset=utf-8; charset=utf-16"],
        &[b"application/json,; charset=utf-7"],
        &[b"application/json", b"; charset=utf-7"],
    ] {
        for (filter, passes) in [(&removing, false), (&passing, true)] {
            let mut call = filter.post("/", body);
            for line in lines {
                call = call.header_bytes("content-type", line);
            }
            let seen = call.send().await;
            let said = lines[0].escape_ascii();
            match passes {
                true => assert_eq!(seen.request_body, body, "{said}"),
                false => assert_eq!(
                    (seen.status(), seen.reason()),
                    (400, Some("invalid_json")),
                    "{said}"
                ),
            }
        }
    }
    for line in [
        &b"application/json; charset=utf-8; Charset=\"UTF-8\""[..],
        b"application/json; x=\"charset=utf-8\"; y=\xe9",
        b"application/json; profile=\"https://a.example/charset\"",
    ] {
        let call = removing.post("/", r#"{"is_admin":true}"#);
        let seen = call.header_bytes("content-type", line).send().await;
        assert_eq!(seen.request_body, "{}", "{}", line.escape_ascii());
    }
}

#[tokio::test]
async fn an_invalid_body_is_refused_or_passes_as_it_is() {
    let refusing = response("set: { a.b: 1 }");
    let passing = response("set: { a.b: 1 }, invalid: pass");
    let deep = "[".repeat(4_000_000);
    for (name, content_type, coding, body) in [
        ("no JSON", "application/json", "", Bytes::from("{")),
        ("deep", "application/json", "", Bytes::from(deep)),
        (
            "no UTF-8",
            "application/json",
            "",
            Bytes::from_static(b"\"\xff\""),
        ),
        (
            "another form",
            "application/json",
            "",
            Bytes::from(r#"{"a":"text"}"#),
        ),
        ("another form", "application/json", "", Bytes::from("[]")),
        (
            "charset",
            "application/json; charset=koi8-r",
            "",
            Bytes::from("{}"),
        ),
        (
            "UTF-16",
            "application/json; charset=utf-16",
            "",
            Bytes::from("{"),
        ),
        ("coding", "application/json", "gzip", Bytes::from("{}")),
        (
            "unknown coding",
            "application/json",
            "compress",
            Bytes::from("{}"),
        ),
    ] {
        for (filter, passes) in [(&refusing, false), (&passing, true)] {
            let mut call = filter.get("/").answer_header("content-type", content_type);
            if !coding.is_empty() {
                call = call.answer_header("content-encoding", coding);
            }
            let seen = call
                .answer_header("etag", "\"a\"")
                .answer_body([body.clone()])
                .send()
                .await;
            if passes {
                assert_eq!(
                    (seen.status(), seen.header("etag")),
                    (200, Some("\"a\"")),
                    "{name}"
                );
                assert!(seen.response_body == body, "{name}");
            } else {
                assert_eq!(
                    (seen.status(), seen.reason()),
                    (502, Some("invalid_json")),
                    "{name}"
                );
            }
        }
    }
    let seen = probe::<Json>("request: { set: { a: 1 } }")
        .post("/", "{")
        .header("content-type", "application/json")
        .send()
        .await;
    assert_eq!((seen.status(), seen.reason()), (400, Some("invalid_json")));
    let seen = answering(&refusing, "{}").answer(206).send().await;
    assert_eq!((seen.status(), seen.reason()), (502, Some("invalid_json")));
    let seen = answering(&passing, "{}").answer(206).send().await;
    assert_eq!((seen.status(), &*seen.response_body), (206, &b"{}"[..]));
}
