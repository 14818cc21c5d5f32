//! Bodies that an endpoint compresses.

use super::{VERSIONS, before};
use crate::harness::curl;
use crate::nginx::origin::Nginx;

#[test]
fn what_nginx_compresses_is_changed_and_compressed_again() {
    let nginx = Nginx::start(
        "gzip on; gzip_proxied any; gzip_min_length 10; gzip_types application/json; gzip_vary on; \
         types { application/json json; text/plain txt; }",
    );
    let items: Vec<_> = (0..500)
        .map(|id| serde_json::json!({ "id": id, "secret": id }))
        .collect();
    let text = serde_json::json!({ "items": items }).to_string();
    nginx.put("items.json", &text);
    nginx.put("items.txt", &text);
    nginx.put("empty.json", "");
    let gateway = before(
        nginx.address(),
        "json: { response: { remove: 'items[*].secret', set: { n: 500 } } }",
    );
    for version in VERSIONS {
        for (asked, coded) in [
            ("gzip", "gzip"),
            ("gzip;q=0.5, br", "gzip"),
            ("br", ""),
            ("identity", ""),
        ] {
            let field = format!("accept-encoding: {asked}");
            let ask = |more: &[&str]| {
                curl(&[&[version, "-H", &field, &gateway.url("/items.json")], more].concat())
            };
            let answer = ask(&["--compressed"]);
            assert_eq!(answer.status, 200, "{asked} {version}");
            assert_eq!(
                answer.header("content-encoding"),
                coded,
                "{asked} {version}"
            );
            let json = answer.json();
            assert_eq!(
                (json["n"].as_u64(), &json["items"][499]),
                (Some(500), &serde_json::json!({ "id": 499 }))
            );
            let plain = ask(&["--raw"]);
            assert_eq!(plain.header("content-length"), plain.body.len().to_string());
            for name in ["etag", "last-modified", "accept-ranges"] {
                assert_eq!(plain.header(name), "", "{name}");
            }
        }
        // A range is of a body that the client does not know: it gets the whole.
        let part = curl(&[version, "-r", "0-9", &gateway.url("/items.json")]);
        assert_eq!((part.status, part.json()["n"].as_u64()), (200, Some(500)));
        let head = curl(&[version, "-I", &gateway.url("/items.json")]);
        assert_eq!(
            (
                head.status,
                head.header("content-length"),
                head.header("etag")
            ),
            (200, "", "")
        );
        let empty = curl(&[version, &gateway.url("/empty.json")]);
        assert_eq!((empty.status, empty.header("content-length")), (200, "0"));
        let other = curl(&[version, &gateway.url("/items.txt")]);
        assert_eq!(other.text(), text);
        assert_ne!(other.header("etag"), "");
        let field = format!("if-none-match: {}", other.header("etag"));
        let same = curl(&[version, "-H", &field, &gateway.url("/items.txt")]);
        assert_eq!(
            (same.status, same.header("etag")),
            (304, other.header("etag"))
        );
    }
}
