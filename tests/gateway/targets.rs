//! What of a request's target is matched and sent on: one form, whatever the client wrote.

use serde_json::Value;

use super::harness::{Echo, Gateway, echo, raw, upstream};
use super::routing::{VERSIONS, ask};

/// A gateway that sends everything that these routes take to an echo server.
fn forwarding(rest: &str) -> (Gateway, Echo) {
    let origin = echo();
    let gateway = Gateway::start(&format!("{}{rest}", upstream(&origin)));
    (gateway, origin)
}

/// What a path becomes; `None` where it is refused.
const PATHS: [(&str, Option<&str>); 30] = [
    ("/a/b", Some("/a/b")),
    ("/", Some("/")),
    ("//a//b//", Some("/a/b/")),
    ("/a/./b", Some("/a/b")),
    ("/a/../b", Some("/b")),
    ("/a/b/..", Some("/a/")),
    ("/a/%2e/b", Some("/a/b")),
    ("/a/%2E%2e/b", Some("/b")),
    ("/a/.%2e/b", Some("/b")),
    ("/a/...", Some("/a/...")),
    ("/%61%2Db%7e", Some("/a-b~")),
    ("/a%3ab%40", Some("/a%3Ab%40")),
    ("/a%20b", Some("/a%20b")),
    ("/a%252fb", Some("/a%252fb")),
    ("/a;x=1,b/c", Some("/a;x=1,b/c")),
    ("/{a}", Some("/%7Ba%7D")),
    ("/..", None),
    ("/a/../../b", None),
    ("/%2e%2e/b", None),
    ("/a/..;/b", None),
    ("/a/%2e%2E%3bx=1/b", None),
    ("/a/.;x/b", None),
    ("/a%", None),
    ("/a%4g", None),
    ("/a%00", None),
    ("/a%2fb", None),
    ("/a%2Fb", None),
    ("/a%5Cb", None),
    ("/a/..%2fb", None),
    ("/a\\b", None),
];

#[test]
fn what_was_matched_is_what_the_upstream_gets() {
    let (gateway, _origin) = forwarding(
        "routes: [{ name: all, filters: [headers: { request: { set: { x-path: \"${request.path}\" } } }], upstream: app }]\n",
    );
    for version in VERSIONS {
        for (path, becomes) in PATHS {
            let url = format!("http://x.test{path}?q=/../%2f");
            // curl takes braces for a list of its own.
            let answer = ask(&gateway, &url, &[version, "--globoff"]);
            let Some(becomes) = becomes else {
                assert_eq!(answer.status, 400, "{path} {version}");
                continue;
            };
            assert_eq!(answer.status, 200, "{path} {version}");
            let seen = answer.json();
            assert_eq!(seen["path"], becomes, "{path} {version}");
            assert_eq!(seen["headers"]["x-path"], becomes, "{path} {version}");
            assert_eq!(seen["query"], "q=/../%2f", "{path} {version}");
            assert_eq!(seen["authority"], "x.test", "{path} {version}");
        }
    }
}

#[test]
fn encoded_slashes_stay_in_their_segment_where_they_are_kept() {
    let (gateway, _origin) = forwarding(
        r#"
encoded_slash: keep
routes:
  - { name: one, match: { path: "/a/{id}" }, filters: [headers: { request: { set: { x-id: "${params.id}" } } }], upstream: app }
  - { name: two, match: { path: "/a/{id}/c" }, filters: [respond: two] }
"#,
    );
    for version in VERSIONS {
        for (path, becomes, id) in [
            ("/a/b%2fc", "/a/b%2Fc", "b/c"),
            ("/a/b%2Fc", "/a/b%2Fc", "b/c"),
            ("/a/b%5cc", "/a/b%5Cc", "b\\c"),
            ("/a/..%2fc", "/a/..%2Fc", "../c"),
        ] {
            let answer = ask(&gateway, &format!("http://x.test{path}"), &[version]);
            let seen = answer.json();
            assert_eq!(seen["path"], becomes, "{path} {version}");
            assert_eq!(seen["headers"]["x-id"], id, "{path} {version}");
        }
        let answer = ask(&gateway, "http://x.test/a/b/c", &[version]);
        assert_eq!(answer.text(), "two", "{version}");
    }
}

#[test]
fn a_guarded_path_has_no_way_around_it() {
    let (gateway, _origin) = forwarding(
        r#"
routes:
  - { name: admin, match: { path: /admin/** }, filters: [ip: { allow: 10.0.0.0/8 }], upstream: app }
  - { name: rest, upstream: app }
"#,
    );
    for version in VERSIONS {
        for path in [
            "/admin",
            "/admin/x",
            "//admin/x",
            "/./admin/x",
            "/x/../admin/x",
            "/x/%2e%2e/admin/x",
            "/%61dmin/x",
            "/%61%64%6d%69%6E",
            "/admin//x",
        ] {
            let answer = ask(&gateway, &format!("http://x.test{path}"), &[version]);
            assert_eq!(answer.status, 403, "{path} {version}");
        }
        let answer = ask(&gateway, "http://x.test/admin%2Fx", &[version]);
        assert_eq!(answer.status, 400, "{version}");
        let answer = ask(&gateway, "http://x.test/Admin/x", &[version]);
        assert_eq!(answer.json()["path"], "/Admin/x", "{version}");
    }
}

/// The status and the JSON that came with it.
fn parts(answer: &str) -> (u16, Value) {
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (start, end) = (answer.find('{').unwrap(), answer.rfind('}').unwrap());
    (
        status,
        serde_json::from_str(&answer[start..=end]).expect(answer),
    )
}

#[test]
fn targets_of_other_forms_are_understood() {
    let (gateway, _origin) = forwarding(
        r#"
routes:
  - { name: orders, match: { host: shop.test, path: /orders/** }, upstream: app }
  - { name: server, match: { methods: OPTIONS }, filters: [headers: { request: { set: { x-route: server } } }], upstream: app }
"#,
    );
    let send = |head: &str| {
        raw(
            gateway.address(),
            format!("{head}\r\nconnection: close\r\n\r\n").as_bytes(),
        )
    };
    let answer = send("GET http://shop.test/x/../orders//1?a=b HTTP/1.1\r\nhost: shop.test");
    let (status, seen) = parts(&answer);
    assert_eq!(status, 200);
    assert_eq!(
        (&seen["path"], &seen["query"]),
        (&"/orders/1".into(), &"a=b".into())
    );
    assert_eq!(seen["authority"], "shop.test");
    // What the target says takes the place of the field (RFC 9112, 3.2.2).
    let answer = send("GET http://shop.test/orders/1 HTTP/1.1\r\nhost: other.test");
    let (status, seen) = parts(&answer);
    assert_eq!((status, &seen["authority"]), (200, &"shop.test".into()));
    let answer = send("OPTIONS * HTTP/1.1\r\nhost: any.test");
    let (status, seen) = parts(&answer);
    assert_eq!(
        (status, &seen["path"], &seen["method"]),
        (200, &"*".into(), &"OPTIONS".into())
    );
    assert_eq!(seen["headers"]["x-route"], "server");
    let answer = send("GET * HTTP/1.1\r\nhost: shop.test");
    assert_ne!(parts(&answer).0, 200, "{answer}");
    let star = [
        "-X",
        "OPTIONS",
        "--request-target",
        "*",
        "--http2-prior-knowledge",
    ];
    let answer = ask(&gateway, "http://any.test/", &star);
    assert_eq!(answer.json()["path"], "*");
}
