//! How the gateway's own replies leave over HTTP/2.

use std::process::Command;

use super::wire::*;
use crate::harness::Gateway;
use crate::origin;

#[test]
fn rfc9113_8_1_the_head_of_a_response_without_content_ends_its_stream() {
    let origin = origin::answers(|_| {
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 0\r\n\r\n".to_owned()
    });
    let gateway = Gateway::start(&format!(
        "upstreams: {{ app: {{ endpoints: [\"{origin}\"] }} }}\nroutes:\n\
         - {{ name: cached, match: {{ path: /cached }}, filters: [cache: {{}}], upstream: app }}\n\
         - {{ name: none, match: {{ path: /none }}, filters: [respond: {{ status: 204 }}] }}\n\
         - {{ name: moved, match: {{ path: /moved }}, filters: [redirect: {{ to: /none, status: 301 }}] }}\n\
         - {{ name: text, match: {{ path: /text }}, filters: [respond: {{ body: text }}] }}\n"
    ));
    let mut client = Client::open(gateway.address());
    let asked = [
        (get("/none"), true),
        (get("/moved"), true),
        (head("/text"), true),
        (head("/nothing-here"), true),
        (get("/cached"), true),
        (get("/cached"), true),
        (get("/text"), false),
    ];
    for (stream, (fields, alone)) in (1..).step_by(2).zip(asked) {
        client.write(&headers(stream, END_HEADERS | END_STREAM, &fields));
        let answer = client.next_of(HEADERS).expect("an answer");
        assert_eq!(answer.stream, stream);
        assert_eq!(answer.flags & END_STREAM != 0, alone, "stream {stream}");
        if !alone {
            let body = client.next_of(DATA).expect("a body");
            assert_eq!((&*body.payload, body.flags), (&b"text"[..], END_STREAM));
        }
    }
}

/// curl 7.88 waits for ever where it sends a body, has its answer, and no reset comes.
#[test]
fn an_upload_that_nobody_wants_is_reset_with_its_answer() {
    let gateway = Gateway::start(
        "routes:\n\
         - { name: yes, match: { path: /yes }, filters: [respond: { body: text }] }\n\
         - { name: no, match: { path: /no }, filters: [respond: { status: 403, body: text }] }\n",
    );
    let mut client = Client::open(gateway.address());
    client.write(&headers(1, END_HEADERS, &post("/yes")));
    let body = client.next_of(DATA).expect("a body");
    assert_eq!((body.stream, body.flags), (1, END_STREAM));
    let reset = client.next_of(RST_STREAM).expect("a reset");
    assert_eq!((reset.stream, reset.number(0)), (1, NO_ERROR));
    let large = tempfile::NamedTempFile::new().unwrap();
    large.as_file().set_len(5 << 20).unwrap();
    for (path, refused) in [("/yes", false), ("/no", true)] {
        let upload = Command::new("curl")
            .args(["-sS", "--max-time", "30", "--http2-prior-knowledge", "-T"])
            .arg(large.path())
            .arg(gateway.url(path))
            .output()
            .unwrap();
        assert_ne!(
            upload.status.code(),
            Some(28),
            "{path}: it has waited in vain"
        );
        assert!(!refused || upload.stdout == b"text", "{path}: {upload:?}");
    }
}
