//! Which route takes a request, over real connections.

mod when;

use std::process::Output;

use super::harness::{Answer, Gateway, curl, echo, raw, upstream, wiregate};

pub const VERSIONS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

/// A gateway with these routes.
fn answering(routes: &str) -> Gateway {
    Gateway::start(&format!("routes:\n{routes}"))
}

/// Asks for a URL whose host is looked up at the gateway, whatever it is.
pub fn ask(gateway: &Gateway, url: &str, arguments: &[&str]) -> Answer {
    let to = format!("::{}", gateway.address());
    curl(&[&["--path-as-is", "--connect-to", &to, url], arguments].concat())
}

fn check(routes: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let head = "version: 1\nlisteners: { public: { bind: \"127.0.0.1:0\" } }\nroutes:\n";
    std::fs::write(&file, format!("{head}{routes}")).unwrap();
    let file = file.to_str().unwrap();
    wiregate(&["check", "--config", file]).output().unwrap()
}

#[test]
fn hosts_exact_then_below_a_domain_then_any() {
    let gateway = answering(
        r#"
  - { name: exact, match: { host: api.example.com }, filters: [respond: exact] }
  - { name: near, match: { host: "*.eu.example.com" }, filters: [respond: near] }
  - { name: far, match: { host: "*.example.com" }, filters: [respond: far] }
  - { name: two, match: { host: [one.test, two.test] }, filters: [respond: two] }
  - { name: any, filters: [respond: any] }
"#,
    );
    for version in VERSIONS {
        for (host, route) in [
            ("api.example.com", "exact"),
            ("API.EXAMPLE.com:8080", "exact"),
            ("x.example.com", "far"),
            ("x.y.example.com", "far"),
            ("x.eu.example.com", "near"),
            ("x.y.eu.example.com:1", "near"),
            ("eu.example.com", "far"),
            ("example.com", "any"),
            ("notexample.com", "any"),
            ("one.test", "two"),
            ("two.test", "two"),
            ("127.0.0.1", "any"),
        ] {
            let answer = ask(&gateway, &format!("http://{host}/"), &[version]);
            assert_eq!(answer.text(), route, "{host} {version}");
            let expected = if version == "--http1.1" { "1.1" } else { "2" };
            assert_eq!(answer.version, expected);
        }
    }
    for (host, route) in [
        ("api.example.com.", "exact"),
        ("[::1]:80", "any"),
        ("", "any"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = raw(gateway.address(), request.as_bytes());
        assert!(
            answer.ends_with(&format!("\r\n\r\n{route}")),
            "{host}: {answer}"
        );
    }
    let old = raw(gateway.address(), b"GET / HTTP/1.0\r\n\r\n");
    assert!(old.ends_with("\r\n\r\nany"), "{old}");
}

#[test]
fn paths_and_what_their_parameters_stand_for() {
    let gateway = answering(
        r#"
  - { name: exact, match: { path: /a/b }, filters: [respond: exact] }
  - { name: param, match: { path: "/a/{id}" }, filters: [respond: "param ${params.id}"] }
  - { name: two, match: { path: "/a/{x}/of/{y}" }, filters: [respond: "two ${params.x} ${params.y}"] }
  - { name: star, match: { path: /s/*/t }, filters: [respond: star] }
  - { name: prefix, match: { path: /p/** }, filters: [respond: "prefix ${request.path}"] }
  - { name: tail, match: { path: "/u/{id}/**" }, filters: [respond: "tail ${params.id}"] }
  - { name: regex, match: { path: "~ ^/v(?<major>[0-9]+)/(?<rest>.*)$" }, filters: [respond: "v${params.major} ${params.rest}"] }
"#,
    );
    for version in VERSIONS {
        for (path, said) in [
            ("/a/b", "exact"),
            ("/a/c", "param c"),
            ("/a/b%20c", "param b c"),
            ("/a/%C3%A9", "param é"),
            ("/a/%24%7Bx%7D", "param ${x}"),
            ("/a/1/of/2", "two 1 2"),
            ("/s/x/t", "star"),
            ("/p", "prefix /p"),
            ("/p/", "prefix /p/"),
            ("/p/q/r?s", "prefix /p/q/r"),
            ("/u/7", "tail 7"),
            ("/u/7/x/y", "tail 7"),
            ("/v12/a/b", "v12 a/b"),
        ] {
            let answer = ask(&gateway, &format!("http://x.test{path}"), &[version]);
            assert_eq!(
                (answer.status, &*answer.text()),
                (200, said),
                "{path} {version}"
            );
        }
        for path in [
            "/", "/a", "/a/", "/a/b/", "/a/b/c", "/A/b", "/s//t", "/px", "/u/", "/v/a", "/va/b",
        ] {
            let answer = ask(&gateway, &format!("http://x.test{path}"), &[version]);
            assert_eq!(answer.status, 404, "{path} {version}");
            assert_eq!(answer.json()["type"], "urn:wiregate:no_route", "{path}");
        }
    }
}

#[test]
fn every_other_condition_counts() {
    let origin = echo();
    let gateway = Gateway::start_with(
        &format!(
            r#"{}
routes:
  - {{ name: method, match: {{ path: /m, methods: [POST, PATCH] }}, filters: [respond: yes] }}
  - {{ name: exact, match: {{ path: /h, headers: {{ x-env: test }} }}, filters: [respond: yes] }}
  - {{ name: prefix, match: {{ path: /hp, headers: {{ authorization: {{ prefix: "Bearer " }} }} }}, filters: [respond: yes] }}
  - {{ name: absent, match: {{ path: /ha, headers: {{ x-a: {{ present: false }} }} }}, filters: [respond: yes] }}
  - {{ name: any_of, match: {{ path: /ho, headers: {{ x-a: {{ any_of: [one, two] }} }} }}, filters: [respond: yes] }}
  - {{ name: query, match: {{ path: /q, query: {{ q: "a b" }} }}, filters: [respond: yes] }}
  - {{ name: regex, match: {{ path: /qr, query: {{ v: {{ regex: "[0-9]+" }} }} }}, filters: [respond: yes] }}
  - {{ name: cookie, match: {{ path: /c, cookies: {{ beta: "1" }} }}, filters: [respond: yes] }}
  - {{ name: quoted, match: {{ path: /cq, cookies: {{ beta: '"1"' }} }}, filters: [respond: yes] }}
  - {{ name: either, match: {{ path: /ce, cookies: {{ beta: {{ regex: '"?1"?' }} }} }}, filters: [respond: yes] }}
  - {{ name: cookie_when, match: {{ path: /cw, when: 'request.cookies["beta"] == "1"' }}, filters: [respond: yes] }}
  - {{ name: quoted_when, match: {{ path: /cqw, when: "request.cookies['beta'] == '\\\"1\\\"'" }}, filters: [respond: yes] }}
  - {{ name: client, match: {{ path: /n, client: [10.0.0.0/8, "2001:db8::/32"] }}, filters: [respond: yes] }}
  - {{ name: when, match: {{ path: /w, when: "request.query.a == request.headers['x-b']" }}, filters: [respond: yes] }}
"#,
            upstream(&origin)
        ),
        "{ trusted_proxies: [127.0.0.1] }",
    );
    let cases: &[(&str, &[&str], bool)] = &[
        ("/m", &["-X", "POST"], true),
        ("/m", &["-X", "PATCH"], true),
        ("/m", &[], false),
        ("/m", &["-X", "post"], false),
        ("/h", &["-H", "X-Env: test"], true),
        ("/h", &["-H", "x-env: Test"], false),
        ("/h", &["-H", "x-env: other", "-H", "x-env: test"], false),
        ("/h", &[], false),
        ("/hp", &["-H", "authorization: Bearer x"], true),
        ("/hp", &["-H", "authorization: bearer x"], false),
        ("/ha", &[], true),
        ("/ha", &["-H", "x-a: 1"], false),
        ("/ho", &["-H", "x-a: two"], true),
        ("/ho", &["-H", "x-a: three"], false),
        ("/q?q=a+b", &[], true),
        ("/q?x=1&q=a%20b", &[], true),
        ("/q?%71=a%20b", &[], true),
        ("/q?q=a&q=a+b", &[], false),
        ("/q", &[], false),
        ("/qr?v=12", &[], true),
        ("/qr?v=1a", &[], false),
        ("/c", &["-H", "cookie: a=2; beta=1"], true),
        ("/c", &["-H", "cookie: beta=\"1\""], false),
        ("/c", &["-H", "cookie: betas=1; xbeta=1"], false),
        ("/c", &["-H", "cookie: beta=1; beta=2"], true),
        ("/c", &["-H", "cookie: beta=2; beta=1"], false),
        ("/cq", &["-H", "cookie: beta=\"1\""], true),
        ("/cq", &["-H", "cookie: beta=1"], false),
        ("/ce", &["-H", "cookie: beta=\"1\""], true),
        ("/ce", &["-H", "cookie: beta=1"], true),
        ("/cw", &["-H", "cookie: a=2; beta=1"], true),
        ("/cw", &["-H", "cookie: beta=\"1\""], false),
        ("/cqw", &["-H", "cookie: beta=\"1\""], true),
        ("/cqw", &["-H", "cookie: beta=1"], false),
        ("/n", &["-H", "x-forwarded-for: 10.1.2.3"], true),
        ("/n", &["-H", "x-forwarded-for: 2001:db8::1"], true),
        ("/n", &["-H", "x-forwarded-for: 192.0.2.1"], false),
        ("/n", &["-H", "x-forwarded-for: 10.1.2.3, 192.0.2.1"], false),
        ("/n", &[], false),
        ("/w?a=1", &["-H", "x-b: 1"], true),
        ("/w?a=1", &["-H", "x-b: 2"], false),
    ];
    for version in VERSIONS {
        for (target, arguments, taken) in cases {
            let answer = ask(
                &gateway,
                &format!("http://x.test{target}"),
                &[&[version], *arguments].concat(),
            );
            let expected = if *taken { 200 } else { 404 };
            assert_eq!(answer.status, expected, "{target} {arguments:?} {version}");
        }
    }
}

#[test]
fn the_next_candidate_takes_what_a_more_specific_one_does_not() {
    let gateway = answering(
        r#"
  - { name: any, filters: [respond: any] }
  - { name: host, match: { host: a.test }, filters: [respond: host] }
  - { name: prefix, match: { host: a.test, path: /x/** }, filters: [respond: prefix] }
  - { name: param, match: { host: a.test, path: "/x/{id}" }, filters: [respond: param] }
  - { name: exact, match: { host: a.test, path: /x/y, methods: GET }, filters: [respond: exact] }
  - { name: header, match: { host: a.test, path: /x/y, methods: GET, headers: { x-a: "1" } }, filters: [respond: header] }
  - { name: low, match: { host: a.test, path: /x/y, methods: GET, headers: { x-a: "1", x-b: "1" } }, filters: [respond: low] }
  - { name: high, match: { host: a.test, path: /x/y, methods: GET, headers: { x-a: "1", x-c: "1" } }, priority: 5, filters: [respond: high] }
  - { name: wild, match: { host: "*.test", path: /x/y, headers: { x-a: "1" } }, filters: [respond: wild] }
"#,
    );
    let ask = |url: &str, arguments: &[&str]| ask(&gateway, url, arguments).text();
    let (a, b, c) = ("x-a: 1", "x-b: 1", "x-c: 1");
    assert_eq!(
        ask("http://a.test/x/y", &["-H", a, "-H", b, "-H", c]),
        "high"
    );
    assert_eq!(ask("http://a.test/x/y", &["-H", a, "-H", b]), "low");
    assert_eq!(ask("http://a.test/x/y", &["-H", a]), "header");
    assert_eq!(ask("http://a.test/x/y", &[]), "exact");
    assert_eq!(ask("http://a.test/x/y", &["-X", "POST", "-H", a]), "param");
    assert_eq!(ask("http://a.test/x/z", &[]), "param");
    assert_eq!(ask("http://a.test/x/y/z", &[]), "prefix");
    assert_eq!(ask("http://a.test/z", &[]), "host");
    assert_eq!(ask("http://b.test/x/y", &["-H", a]), "wild");
    assert_eq!(ask("http://b.test/x/y", &[]), "any");
}

#[test]
fn ties_and_unreachable_routes_are_refused_with_a_request_that_shows_it() {
    let one =
        r#"  - { name: one, match: { host: a.test, path: "/x/{id}" }, filters: [respond: one] }"#;
    let tie =
        r#"  - { name: two, match: { host: a.test, path: "/x/{name}" }, filters: [respond: two] }"#;
    let output = check(&format!("{one}\n{tie}\n"));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{error}");
    let start = "routes `one` and `two` are equally specific, and both match `GET http://a.test/x/";
    assert!(error.contains(start), "{error}");
    assert!(error.contains("1 problem in 1 file"), "{error}");

    let hidden = r#"  - { name: two, match: { host: a.test, path: "/x/{name}" }, priority: 1, filters: [respond: two] }"#;
    let output = check(&format!("{one}\n{hidden}\n"));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{error}");
    let start = "route `one` can never match: route `two` always wins over it, as for `GET ";
    let witness = error
        .split_once(start)
        .expect(&error)
        .1
        .split('`')
        .next()
        .unwrap();

    // The winner takes the very request that the message shows.
    let gateway = answering(&format!("{hidden}\n"));
    assert_eq!(ask(&gateway, witness, &[]).text(), "two", "{witness}");
    let gateway = answering(&format!("{one}\n"));
    assert_eq!(ask(&gateway, witness, &[]).text(), "one", "{witness}");
}

#[test]
fn escaping_what_need_not_be_escaped_leads_around_no_rule() {
    let origin = echo();
    let gateway = Gateway::start(&format!(
        "{}routes:
  - {{ name: exact, match: {{ path: '/exact:x' }}, filters: [respond: exact] }}
  - {{ name: below, match: {{ path: '/at@x/**' }}, filters: [respond: below] }}
  - {{ name: escaped, match: {{ path: '/esc%3Bx/{{id}}' }}, filters: [respond: '${{params.id}}'] }}
  - {{ name: star, match: {{ path: '/star/%2A' }}, filters: [respond: star] }}
  - {{ name: regex, match: {{ path: '~ /re/[(]x[)]' }}, filters: [respond: regex] }}
  - {{ name: written, match: {{ path: '/t/**' }}, filters: [respond: '${{request.path}}'] }}
  - {{ name: when, match: {{ when: 'request.path.startsWith(\"/w=x\")' }}, filters: [respond: when] }}
  - {{ name: rest, upstream: app }}
",
        upstream(&origin)
    ));
    for version in VERSIONS {
        for (path, body) in [
            ("/exact:x", "exact"),
            ("/exact%3ax", "exact"),
            ("/at@x/1", "below"),
            ("/at%40x/1", "below"),
            ("/%61t%40x", "below"),
            ("/esc;x/a%3Bb%20c", "a;b c"),
            ("/esc%3bx/1", "1"),
            ("/star/*", "star"),
            ("/star/%2A", "star"),
            ("/re/(x)", "regex"),
            ("/re/%28x%29", "regex"),
            ("/w=x", "when"),
            ("/w%3Dx/1", "when"),
            ("/t/%3D", "/t/%3D"),
        ] {
            let answer = ask(&gateway, &format!("http://a.test{path}"), &["-g", version]);
            assert_eq!(answer.text(), body, "{path} {version}");
        }
        // What is sent on stays as it was received.
        for path in ["/other%40x/%3A", "/other@x/:", "/star/a%2A"] {
            let answer = ask(&gateway, &format!("http://a.test{path}"), &["-g", version]);
            assert_eq!(answer.json()["path"], path, "{version}");
        }
    }
    let config = gateway.file("wiregate.yaml");
    let command = ["explain", "--config", config.to_str().unwrap(), "GET"];
    for (path, route) in [("/at%40x/1", "below"), ("/w%3dx", "when")] {
        let output = wiregate(&[&command[..], &[path]].concat())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let taken = format!("taken by route {route} ");
        assert!(said.contains(&taken), "{path}: {said}");
    }
    let same = check(
        "  - { name: a, match: { path: /a@b }, filters: [respond: a] }
  - { name: b, match: { path: /a%40b }, filters: [respond: b] }
",
    );
    let said = String::from_utf8_lossy(&same.stderr);
    assert!(said.contains("`a` and `b` are equally specific"), "{said}");
    let different = check(
        "  - { name: a, match: { path: /a/%2A }, filters: [respond: a] }
  - { name: b, match: { path: '/a/*' }, filters: [respond: b] }
  - { name: c, match: { path: '/a/%2A/*' }, filters: [respond: a] }
  - { name: d, match: { path: '/a/*/*' }, filters: [respond: b] }
",
    );
    assert!(different.status.success(), "{different:?}");
}
