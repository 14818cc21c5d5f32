//! `template` in a running gateway.

use super::{forwarding, reason};
use crate::harness::curl_with;

const VERSIONS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

#[test]
fn whole_bodies_are_made_in_both_directions() {
    let (gateway, _origin) = forwarding(
        r#"
routes:
  - name: order
    match: { path: /order }
    filters:
      - template:
          request: { xml: "<order id='{{ body.id }}'>{{ body.text }}</order>" }
          response: { html: "<p>{{ body.body }}</p><i>{{ body.headers['content-type'] }}</i>" }
    upstream: app
  - name: missing
    match: { path: /missing }
    filters:
      - template: { response: { when: response.status == 404, json: '{"missing": {{ request.path }}, "status": {{ response.status }}}' } }
      - respond: 404
  - name: broken
    match: { path: /broken }
    filters: [template: { response: { json: "{{ request.path }}x" } }]
    upstream: app
"#,
    );
    for version in VERSIONS {
        let json = ["-H", "content-type: application/json", "-d", "@-", version];
        let answer = curl_with(
            &[&json[..], &[&gateway.url("/order")]].concat(),
            br#"{"id":7,"text":"a & b"}"#,
        );
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(
            answer.text(),
            "<p>&lt;order id=&#x27;7&#x27;&gt;a &amp;amp; b&lt;&#x2f;order&gt;</p><i>application&#x2f;xml</i>"
        );
        assert_eq!(
            answer.header("content-length"),
            answer.body.len().to_string()
        );
        let missing = gateway.ask("/missing", &[version]);
        assert_eq!(
            (missing.status, &*missing.text()),
            (404, r#"{"missing": "/missing", "status": 404}"#)
        );
        let broken = gateway.ask("/broken", &[version]);
        assert_eq!((broken.status, &*reason(&broken)), (500, "template_failed"));
        let head = gateway.ask("/missing", &[version, "-I"]);
        assert_eq!(
            (
                head.status,
                head.header("content-type"),
                head.header("content-length")
            ),
            (404, "application/json", "")
        );
    }
}
