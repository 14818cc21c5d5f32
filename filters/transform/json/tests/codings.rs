//! Charsets and content codings.

use super::*;

#[tokio::test]
async fn charsets_become_utf_8() {
    let filter = response("set: { a: é }");
    let utf16: Vec<u8> = "\u{feff}{}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (content_type, body, left) in [
        (
            "application/json; charset=utf-16; v=1",
            Bytes::from(utf16),
            "application/json; v=1",
        ),
        (
            "application/json; charset=utf-8",
            Bytes::from("\u{feff}{}"),
            "application/json; charset=utf-8",
        ),
    ] {
        let call = filter.get("/").answer_header("content-type", content_type);
        let seen = call.answer_body([body]).send().await;
        assert_eq!(seen.response_body, r#"{"a":"é"}"#);
        assert_eq!(seen.header("content-type"), Some(left));
    }
}

#[tokio::test]
async fn what_nothing_is_changed_in_is_read_by_others_as_it_was_here() {
    let filter = probe::<Json>("request: { remove: is_admin }");
    for (charset, body, left) in [
        ("utf-16", &b"\x00{\x00}"[..], "{}"),
        ("iso-8859-1", b"\"\xe9\"", "\"é\""),
        ("utf-8", b"\xef\xbb\xbf{}", "{}"),
        ("us-ascii", b"{ }", "{ }"),
    ] {
        let content_type = format!("application/json; charset={charset}");
        let call = filter.post("/", body).header("content-type", &content_type);
        let seen = call.send().await;
        assert_eq!(seen.request_body, left, "{charset}");
        let named = seen.request.headers["content-type"].to_str().unwrap();
        let stays = matches!(charset, "utf-8" | "us-ascii");
        assert_eq!(named.contains("charset"), stays, "{charset}");
    }
    let call = filter.post("/", "\"é\"");
    let call = call.header("content-type", "application/json; charset=us-ascii");
    assert_eq!(call.send().await.reason(), Some("invalid_json"));
}

const BOUNDS: Bounds = Bounds {
    limit: 1 << 24,
    ratio: 10_000,
};

#[tokio::test]
async fn codings_are_undone_and_done_again_where_the_client_takes_them() {
    let filter = response("set: { a: 1 }");
    for name in ["gzip", "br", "zstd", "deflate"] {
        for (accepted, again) in [
            ("gzip, br, zstd, deflate", name != "deflate"),
            ("identity", false),
            ("", false),
        ] {
            let coded = coding(name).encode(b"{}").unwrap();
            let call = answering(&filter, coded).answer_header("content-encoding", name);
            let seen = call.header("accept-encoding", accepted).send().await;
            assert_eq!(
                seen.header("content-encoding"),
                again.then_some(name),
                "{name}"
            );
            assert_eq!(seen.header("vary"), Some("accept-encoding"), "{name}");
            let body = match again {
                true => coding(name).decode(&seen.response_body, BOUNDS).unwrap(),
                false => seen.response_body.to_vec(),
            };
            assert_eq!(body, br#"{"a":1}"#, "{name}");
            assert_eq!(
                seen.header("content-length"),
                Some(&*seen.response_body.len().to_string())
            );
        }
        let filter = probe::<Json>("request: { set: { a: 1 } }");
        let call = filter.post("/", coding(name).encode(b"{}").unwrap());
        let seen = call
            .header("content-type", "application/json")
            .header("content-encoding", name)
            .send()
            .await;
        assert_eq!(
            coding(name).decode(&seen.request_body, BOUNDS).unwrap(),
            br#"{"a":1}"#
        );
        assert_eq!(seen.request.headers["content-encoding"], name);
    }
}

#[tokio::test]
async fn a_body_that_grows_too_much_is_refused_even_where_invalid_ones_pass() {
    let bomb = format!("[{}1]", " ".repeat(1 << 20));
    for options in ["ratio: 20", "limit: 100KiB, ratio: 10000"] {
        let filter = response(&format!("set: {{ a: 1 }}, invalid: pass, {options}"));
        let coded = coding("gzip").encode(bomb.as_bytes()).unwrap();
        let seen = answering(&filter, coded)
            .answer_header("content-encoding", "gzip")
            .send()
            .await;
        assert_eq!(
            (seen.status(), seen.reason()),
            (502, Some("response_too_large")),
            "{options}"
        );
        let filter = probe::<Json>(&format!(
            "request: {{ set: {{ a: 1 }}, invalid: pass, {options} }}"
        ));
        let coded = coding("br").encode(bomb.as_bytes()).unwrap();
        let call = filter
            .post("/", coded)
            .header("content-type", "application/json");
        let seen = call.header("content-encoding", "br").send().await;
        assert_eq!(
            (seen.status(), seen.reason()),
            (413, Some("body_too_large")),
            "{options}"
        );
    }
    let seen = answering(&response("set: { a: 1 }, limit: 3"), "{    }")
        .send()
        .await;
    assert_eq!(
        (seen.status(), seen.reason()),
        (502, Some("response_too_large"))
    );
}
