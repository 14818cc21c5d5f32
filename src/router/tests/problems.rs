//! What is refused at load.

use super::*;

/// The problems of routes, as `line: message (line of the other)`.
fn problems(lines: &[&str]) -> Vec<String> {
    let told = |problem: &Problem| {
        let related: Vec<_> = problem
            .related
            .iter()
            .map(|(place, _)| place.line.to_string())
            .collect();
        format!(
            "{}: {} ({})",
            problem.place.line,
            problem.message,
            related.join(", ")
        )
    };
    match compile(lines) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(told).collect(),
    }
}

#[test]
fn a_tie_names_both_routes_and_a_request() {
    assert_eq!(
        problems(&[
            r#"a: {"host": "api.example.com", "path": "/orders/{id}"}"#,
            r#"b: {"host": "api.example.com", "path": "/orders/{order}"}"#,
        ]),
        [
            "2: routes `a` and `b` are equally specific, and both match \
          `GET http://api.example.com/orders/1` (1)"
        ]
    );
    assert_eq!(
        problems(&[
            r#"a: {"path": "/a/**", "methods": ["POST", "PUT"], "headers": {"x-a": {"prefix": "v"}},
                "query": {"q": {"any_of": ["a b", "c"]}}, "client": "10.0.0.0/8"}"#,
            r#"b: {"path": "/a/**", "methods": ["GET", "PUT"], "headers": {"x-a": {"regex": "v[0-9]"}},
                "query": {"q": {"prefix": "a"}}, "client": ["10.2.0.0/16", "10.0.0.0/8"]}"#,
        ]),
        [
            "2: routes `a` and `b` are equally specific, and both match \
          `PUT http://1.example/a/1?q=a%20b` with `x-a: v1` from 10.2.0.0 (1)"
        ]
    );
    assert_eq!(
        problems(&[
            r#"a: {"path": "/", "headers": {"x-a": "1"}}"#,
            r#"b: {"path": "/", "headers": {"x-b": {"present": true}}}"#,
            r#"c: {"path": "/", "cookies": {"k": "v"}}"#,
            r#"d: {"path": "/", "cookies": {"k": {"present": true}}}"#,
        ]),
        [
            "2: routes `a` and `b` are equally specific, and both match \
             `GET http://1.example/` with `x-a: 1`, `x-b: 1` (1)",
            "4: routes `c` and `d` are equally specific, and both match \
             `GET http://1.example/` with `cookie: k=v` (3)",
        ]
    );
}

#[test]
fn the_witness_of_a_tie_avoids_more_specific_routes() {
    assert_eq!(
        problems(&[
            r#"one: {"path": "/a/1"}"#,
            r#"get: {"path": "/a/x", "methods": ["POST"]}"#,
            r#"a: {"path": "/a/{id}"}"#,
            r#"b: {"path": "/a/*"}"#,
        ]),
        [
            "4: routes `a` and `b` are equally specific, and both match \
          `PUT http://wiregate.example/a/wiregate` (3)"
        ]
    );
}

#[test]
fn what_differs_does_not_tie() {
    for lines in [
        [r#"a: {"path": "/a"}"#, r#"b: {"path": "/b"}"#],
        [r#"a: {"path": "/a/{x}"}"#, r#"b: {"path": "/{x}/a"}"#],
        [
            r#"a: {"path": "/a", "methods": ["GET"]}"#,
            r#"b: {"path": "/a", "methods": ["PUT"]}"#,
        ],
        [
            r#"a: {"headers": {"e": "1"}}"#,
            r#"b: {"headers": {"e": "2"}}"#,
        ],
        [
            r#"a: {"headers": {"e": "1"}}"#,
            r#"b: {"headers": {"e": {"regex": "[2-9]"}}}"#,
        ],
        [
            r#"a: {"query": {"e": {"present": false}}}"#,
            r#"b: {"query": {"e": {"present": true}}}"#,
        ],
        [
            r#"a: {"cookies": {"e": {"prefix": "x"}}}"#,
            r#"b: {"cookies": {"e": {"prefix": "y"}}}"#,
        ],
        [
            r#"a: {"client": "10.0.0.0/8"}"#,
            r#"b: {"client": "11.0.0.0/8"}"#,
        ],
        [
            r#"a: {"path": "~ /a/[0-9]+"}"#,
            r#"b: {"path": "~ /b/[0-9]+"}"#,
        ],
        [
            r#"a: {"host": "a", "path": "/**"}"#,
            r#"b: {"host": "b", "path": "/**"}"#,
        ],
        [
            r#"a: {"host": "*.a", "path": "/**"}"#,
            r#"b: {"host": "*.b", "path": "/**"}"#,
        ],
        [
            r#"a: {"path": "/a"}"#,
            r#"b: 1 {"path": "/a", "methods": ["GET"]}"#,
        ],
    ] {
        assert_eq!(problems(&lines), [""; 0], "{lines:?}");
    }
}

#[test]
fn regular_expressions_that_cannot_be_told_apart_need_a_priority() {
    let told = problems(&[
        r#"a: {"host": "h", "path": "~ /a/x[0-9]*7"}"#,
        r#"b: {"host": "h", "path": "~ /a/x[0-9]*8"}"#,
    ]);
    assert_eq!(
        told,
        [
            "2: routes `a` and `b` are equally specific, and whether their regular \
                       expressions can match the same request cannot be told (1)"
        ]
    );
    let told = problems(&[
        r#"a: {"path": "~ /a/[0-9]+"}"#,
        r#"b: {"path": "~ /a/[0-9]*"}"#,
    ]);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("both match `GET http://1.example/a/1`"),
        "{told:?}"
    );
    router(&[
        r#"a: {"host": "h", "path": "~ /a/x[0-9]*7"}"#,
        r#"b: 1 {"host": "h", "path": "~ /a/x[0-9]*8"}"#,
    ]);
}

#[test]
fn a_route_that_another_always_wins_over_is_refused() {
    assert_eq!(
        problems(&[
            r#"a: 10 {"path": "/a/{x}", "methods": ["GET", "PUT"]}"#,
            r#"b: {"path": "/a/{y}", "methods": ["GET"]}"#,
        ]),
        [
            "2: route `b` can never match: route `a` always wins over it, as for \
          `GET http://1.example/a/1` (1)"
        ]
    );
    assert_eq!(
        problems(&[
            r#"regex: {"host": "h", "path": ["/ok", "~ ^/a/b[0-9]+$"], "methods": ["GET"]}"#,
            r#"prefix: {"host": "h", "path": "/a/**"}"#,
        ]),
        [
            "1: `~ ^/a/b[0-9]+$` on host `h` of route `regex` can never match: route `prefix` \
          always wins over it, as for `GET http://h/a/b1` (2)"
        ]
    );
    assert_eq!(
        problems(&[r#"all: {"path": "/**"}"#, r#"rest: {}"#]),
        [
            "2: route `rest` can never match: route `all` always wins over it, as for \
          `GET http://1.example/1` (1)"
        ]
    );
}

#[test]
fn a_route_that_is_left_something_stands() {
    for lines in [
        [
            r#"a: 1 {"path": "/a", "methods": ["GET"]}"#,
            r#"b: {"path": "/a", "methods": ["GET", "PUT"]}"#,
        ],
        [r#"a: {"path": "/**", "methods": ["GET"]}"#, r#"b: {}"#],
        [
            r#"a: {"path": "/a/**", "query": {"x": "1"}}"#,
            r#"b: {"path": "~ /a/.*"}"#,
        ],
        [r#"a: {"path": "/a/b/**"}"#, r#"b: {"path": "~ /a/.*"}"#],
        [
            r#"a: {"path": "/**", "host": "h"}"#,
            r#"b: {"path": "~ /a/.*"}"#,
        ],
        [
            r#"a: 1 {"client": "10.0.0.0/8"}"#,
            r#"b: {"client": "9.0.0.0/8"}"#,
        ],
    ] {
        assert_eq!(problems(&lines), [""; 0], "{lines:?}");
    }
}

#[test]
fn what_can_never_match_by_itself_is_refused() {
    assert_eq!(
        problems(&[
            r#"a: {"path": "/a%2Fb"}"#,
            r#"b: {"path": ["/b/{x}", "/b/{y}"]}"#,
            r#"c: {"host": ["c", "C"]}"#,
            r#"d: {"headers": {"x": {"any_of": ["a", " b"]}}}"#,
            r#"a: {"path": "/e"}"#,
        ]),
        [
            "5: two routes are named `a` (1)",
            "1: path `/a%2Fb` can never match: paths with encoded slashes are refused ()",
            "2: path `/b/{y}` is written twice in route `b` ()",
            "3: host `c` is written twice in route `c` ()",
            "4: header `x` can never be ` b`: a value has no control characters, and no spaces \
             at its ends ()",
        ]
    );
    let kept = Router::compile(routes(&[r#"a: {"path": "/a%2Fb"}"#]), EncodedSlash::Keep).unwrap();
    assert_eq!(kept.normalise("/a%2fb").as_deref(), Ok("/a%2Fb"));
}

#[test]
fn thousands_of_equal_routes_are_told_in_brief() {
    let lines: Vec<String> = (0..5_000)
        .map(|at| format!(r#"r{at}: {{"path": "/same/{{id}}"}}"#))
        .collect();
    let told = problems(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(told.len(), 100);
}

/// With thousands of routes on one path, each of which only one condition tells from the others.
#[test]
fn thousands_of_routes_on_one_path_are_compared_in_no_time() {
    for (number, kind) in [
        (8_000, r#""headers": {"t": {"prefix": "t@-"}}"#),
        (
            8_000,
            r#""headers": {"e": "prod", "t": {"any_of": ["t@", "u@"]}}"#,
        ),
        (2_000, r#""headers": {"t": {"regex": "t@-[0-9]+"}}"#),
        (8_000, r#""client": "10.#.0/24""#),
    ] {
        let line = |at: u32| {
            let net = format!("{}.{}", at / 250, at % 250);
            let matching = kind.replace('@', &at.to_string()).replace('#', &net);
            format!(r#"r{at}: {{"path": "/same", {matching}}}"#)
        };
        let lines: Vec<String> = (0..number).map(line).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let routes = routes(&lines);
        let start = std::time::Instant::now();
        assert!(Router::compile(routes, EncodedSlash::Refuse).is_ok());
        // All pairs took a minute and more.
        let took = start.elapsed();
        assert!(
            took < std::time::Duration::from_secs(10),
            "{kind}: {took:?}"
        );
    }
}

#[test]
fn a_match_reads_strictly() {
    let wrong = |json: &str| serde_json::from_str::<Match>(json).unwrap_err().to_string();
    assert!(wrong(r#"{"paht": "/a"}"#).contains("unknown field `paht`"));
    assert!(wrong(r#"{"path": "/a//b"}"#).contains("write `/a/b`"));
    assert!(wrong(r#"{"methods": ["get"]}"#).contains("did you mean `GET`"));
    assert!(wrong(r#"{"host": "a:80"}"#).contains("write `a`"));
    assert!(wrong(r#"{"path": []}"#).contains("at least one value"));
    let schema = serde_json::to_string(&schemars::schema_for!(Match)).unwrap();
    for key in [
        "host", "path", "methods", "headers", "query", "cookies", "client", "when",
    ] {
        assert!(schema.contains(&format!("\"{key}\":{{")), "{key}: {schema}");
    }
}
