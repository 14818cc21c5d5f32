//! The family that keeps out: cors, ip, body_limit.

use super::{curl, curl_with, filtering, forwarding, raw, reason, saw};
use crate::harness::{Gateway, echo, upstream, wiregate};

const PAGE: [&str; 2] = ["-H", "origin: https://app.test"];

#[test]
fn cors_answers_preflights_and_lets_pages_read_refusals() {
    let (gateway, _origin) = filtering(
        r#"cors: { origins: "https://app.test", methods: [GET, PUT], headers: x-api-key, expose: x-request-id, max_age: 1h, credentials: true },
           api_key: { keys: [{ name: ann, key: "${env:KEY_OF_ANN}" }] }"#,
    );
    let preflight = ["-X", "OPTIONS", "-H", "access-control-request-method: PUT"];
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = gateway.ask("/", &[&[version][..], &PAGE, &preflight].concat());
        assert_eq!((answer.status, &*answer.body), (204, &b""[..]), "{version}");
        for (field, value) in [
            ("access-control-allow-origin", "https://app.test"),
            ("access-control-allow-methods", "GET, PUT"),
            ("access-control-allow-headers", "x-api-key"),
            ("access-control-allow-credentials", "true"),
            ("access-control-max-age", "3600"),
            ("content-length", ""),
        ] {
            assert_eq!(answer.header(field), value, "{field} {version}");
        }
        let answer = gateway.ask("/", &[&[version][..], &PAGE].concat());
        assert_eq!((answer.status, &*reason(&answer)), (401, "missing_api_key"));
        assert_eq!(
            answer.header("access-control-allow-origin"),
            "https://app.test"
        );
        assert_eq!(
            answer.header("access-control-expose-headers"),
            "x-request-id"
        );
        let wish = "/?header=access-control-allow-origin:*";
        let answer = gateway.ask(
            wish,
            &[
                &[version, "-H", "x-api-key: anns-key-0123456789"][..],
                &PAGE,
            ]
            .concat(),
        );
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("access-control-allow-origin"),
            "https://app.test"
        );
        assert_eq!(answer.header("vary"), "origin");
    }
    let other = ["-H", "origin: https://evil.test"];
    let answer = gateway.ask("/", &[&other[..], &preflight].concat());
    assert_eq!((answer.status, &*reason(&answer)), (403, "cors_denied"));
    let answer = gateway.ask("/", &other);
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (401, "")
    );
    gateway.counts("answers", "all", "cors", 2.0);
    gateway.counts("refusals", "all", "cors", 1.0);
    gateway.counts("refusals", "all", "api_key", 3.0);
}

#[test]
fn cors_answers_the_preflights_for_the_methods_of_its_route() {
    let (gateway, _origin) = forwarding(
        r#"routes:
  - name: orders
    match: { path: /orders/**, methods: [GET, POST] }
    filters: [cors: { origins: "https://app.test", methods: [GET, POST] }]
    upstream: app
  - { name: rest, filters: [respond: rest] }"#,
    );
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for (wish, status, origin) in [
            ("GET", 204, "https://app.test"),
            ("POST", 204, "https://app.test"),
            ("DELETE", 200, ""),
        ] {
            let wish = format!("access-control-request-method: {wish}");
            let options = [version, "-X", "OPTIONS", "-H", &wish];
            let answer = gateway.ask("/orders/1", &[&options[..], &PAGE].concat());
            let allowed = answer.header("access-control-allow-origin");
            assert_eq!((answer.status, allowed), (status, origin), "{wish}");
        }
    }
    let config = gateway.file("wiregate.yaml");
    let explained = wiregate(&["explain", "--config", config.to_str().unwrap()])
        .args(["OPTIONS", "/orders/1", "-H", "origin: https://app.test"])
        .args(["-H", "access-control-request-method: POST"])
        .output()
        .unwrap();
    let said = String::from_utf8(explained.stdout).unwrap();
    assert!(said.contains("taken by route orders"), "{said}");
    assert!(said.contains("preflight  asks for POST"), "{said}");
}

#[test]
fn ip_goes_by_the_address_that_trusted_proxies_tell() {
    let origin = echo();
    let configuration = format!(
        "{}routes: [{{ name: all, filters: [ip: {{ allow: [10.0.0.0/8, 127.0.0.1], deny: 10.0.0.66 }}], upstream: app }}]\n",
        upstream(&origin)
    );
    let behind = Gateway::start_with(&configuration, "{ trusted_proxies: [127.0.0.1] }");
    let direct = Gateway::start(&configuration);
    for (forwarded, status) in [
        ("10.1.2.3", 200),
        ("10.0.0.66", 403),
        ("192.0.2.1", 403),
        ("10.1.2.3, 192.0.2.1", 403),
        ("192.0.2.1, 10.1.2.3", 200),
    ] {
        let field = format!("x-forwarded-for: {forwarded}");
        let answer = behind.ask("/", &["-H", &field]);
        assert_eq!(answer.status, status, "{forwarded}");
        assert_eq!(direct.ask("/", &["-H", &field]).status, 200, "{forwarded}");
    }
    let answer = behind.ask("/", &["-H", "x-forwarded-for: 10.0.0.66"]);
    assert_eq!(reason(&answer), "ip_denied");
    let line = behind.access_log(6).pop().unwrap();
    assert_eq!(
        (&line["client"], &line["refused_by"]),
        (&"10.0.0.66".into(), &"ip".into())
    );
}

#[test]
fn no_client_is_taken_for_a_proxy_in_front_of_it() {
    let origin = echo();
    let believing = |fields: &str| {
        Gateway::start_with(
            &format!(
                "{}routes: [{{ name: all, filters: [ip: {{ allow: [127.0.0.0/8, 10.0.0.0/8] }}], \
                 upstream: app }}]\n",
                upstream(&origin)
            ),
            &format!("{{ trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]{fields} }}"),
        )
    };
    let (gateway, rfc7239) = (believing(""), believing(", trusted_fields: rfc7239"));
    let denied = (403, "ip_denied");
    let invalid = (400, "forwarded_for_invalid");
    let far = ["10.0.0.1"; 33].join(",");
    let far = format!("x-forwarded-for: 203.0.113.9,{far}");
    for (fields, expected) in [
        (&b"x-forwarded-for: 203.0.113.9"[..], denied),
        (b"x-forwarded-for: 203.0.113.9:5555", denied),
        (b"x-forwarded-for: \xe9, 203.0.113.9", denied),
        (
            b"x-forwarded-for: \xe9, 203.0.113.9\r\nforwarded: for=10.6.6.6",
            denied,
        ),
        (
            b"x-forwarded-for: \xe9\r\nx-forwarded-for: 203.0.113.9",
            denied,
        ),
        (b"x-forwarded-for: [2001:db8::1]:99", denied),
        (b"x-forwarded-for: 203.0.113.9,", denied),
        (b"forwarded: for=\", for=203.0.113.9", denied),
        (
            b"x-forwarded-for: 203.0.113.9\r\nconnection: x-forwarded-for",
            denied,
        ),
        (b"x-forwarded-for: \xe9\r\nforwarded: for=10.6.6.6", invalid),
        (b"x-forwarded-for:\r\nforwarded: for=10.6.6.6", invalid),
        (b"x-forwarded-for: 10.0.0.2, unknown, 10.0.0.1", invalid),
        (b"forwarded: for=unknown", invalid),
        (b"forwarded: for=10.6.6.6, proto=https", invalid),
        (far.as_bytes(), invalid),
    ] {
        let head = [
            b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n",
            fields,
            b"\r\n\r\n",
        ];
        let gateway = match fields.starts_with(b"forwarded") {
            true => &rfc7239,
            false => &gateway,
        };
        let answer = raw(gateway.address(), &head.concat());
        let (status, reason) = expected;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} "))
                && answer.contains(&format!("urn:wiregate:{reason}\"")),
            "{}: {answer}",
            fields.escape_ascii()
        );
    }
    let refused = 12;
    assert_eq!(gateway.access_log(refused).len(), refused);
    assert_eq!(rfc7239.access_log(3).len(), 3);
    for (lines, (field, client)) in (refused + 1..).zip([
        (
            "x-forwarded-for: 203.0.113.9, 10.0.0.2:80, ,",
            "203.0.113.9",
        ),
        ("x-forwarded-for: 10.0.0.2:80", "10.0.0.2"),
        // Of a field that these proxies do not set.
        ("forwarded: for=203.0.113.9", "127.0.0.1"),
    ]) {
        gateway.ask("/", &["-H", field]);
        let line = gateway.access_log(lines).pop().unwrap();
        assert_eq!(line["client"], client, "{field}");
    }
    let element = "forwarded: for=\"10.0.0.3:80\";proto=https";
    rfc7239.ask("/", &["-H", element, "-H", "x-forwarded-for: 203.0.113.9"]);
    assert_eq!(rfc7239.access_log(4)[3]["client"], "10.0.0.3");
}

#[test]
fn body_limit_refuses_by_length_and_while_the_body_comes() {
    let (gateway, _origin) = filtering("body_limit: 64KiB");
    let fits = vec![b'x'; 64 << 10];
    let url = gateway.url("/");
    for framing in [
        &["--http1.1"][..],
        &["--http1.1", "-H", "transfer-encoding: chunked"],
        &["--http2-prior-knowledge"],
        &["--http2-prior-knowledge", "-H", "content-length:"],
    ] {
        let arguments = [framing, &["-H", "expect:", "--data-binary", "@-", &url]].concat();
        let answer = curl_with(&arguments, &fits);
        assert_eq!(answer.status, 200, "{framing:?}");
        assert_eq!(answer.json()["body_bytes"], fits.len(), "{framing:?}");
        // One that is sent when the refusal comes, and one that is not.
        for length in [(64 << 10) + 1, 4 << 20] {
            let answer = curl_with(&arguments, &vec![b'x'; length]);
            assert_eq!(answer.status, 413, "{framing:?} {length}");
            assert_eq!(reason(&answer), "body_too_large", "{framing:?}");
        }
    }
    let line = gateway
        .access_log(12)
        .into_iter()
        .rfind(|line| line["status"] == 413);
    let line = line.unwrap();
    assert_eq!(line["refused_by"], "body_limit");
    assert_eq!(line["error"], "body_too_large");
    gateway.counts("refusals", "all", "body_limit", 8.0);
}

#[test]
fn body_limit_ends_a_body_that_has_been_sent_on_in_part() {
    let (gateway, origin) = filtering("body_limit: 100");
    let head =
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let chunk = format!("40\r\n{}\r\n", "x".repeat(64));
    let answer = raw(
        gateway.address(),
        format!("{head}{chunk}{chunk}").as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // No upstream counts as asked whose request broke off; the gateway goes on.
    let stats = curl(&[&format!("http://{}/__stats", origin.addresses()[0])]).json();
    assert!(stats["requests"].as_u64().unwrap() <= 1, "{stats}");
    let (other, _origin) = forwarding("routes: [{ name: all, upstream: app }]");
    assert_eq!(saw(&other.ask("/", &["-H", "x-a: b"]), "x-a"), "b");
    assert_eq!(gateway.ask("/", &["-d", "small"]).status, 200);
}
