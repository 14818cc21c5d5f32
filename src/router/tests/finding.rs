//! Which route takes a request.

use super::*;

#[test]
fn the_most_specific_path_wins() {
    let router = router(&[
        r#"rest: {"path": "/**"}"#,
        r#"regex: {"host": "b", "path": "~ ^/orders/(?<id>[0-9]+)$"}"#,
        r#"orders: {"path": "/orders/**"}"#,
        r#"order: {"path": "/orders/{id}"}"#,
        r#"items: {"path": "/orders/{id}/items"}"#,
        r#"mine: {"path": "/orders/mine"}"#,
        r#"mine-all: {"path": "/orders/mine/*"}"#,
        r#"deep: {"path": "/orders/{id}/**"}"#,
    ]);
    for (request, name) in [
        ("GET http://a/", "rest"),
        ("GET http://a/order", "rest"),
        ("OPTIONS *", "rest"),
        ("GET http://a/orders", "orders"),
        ("GET http://a/orders/", "orders"),
        ("GET http://a/orders/1", "order"),
        ("GET http://a/orders/mine", "mine"),
        ("GET http://a/orders/mine/items", "mine-all"),
        ("GET http://a/orders/1/items", "items"),
        ("GET http://a/orders/1/", "deep"),
        ("GET http://a/orders/1/items/2", "deep"),
        ("GET http://b/orders/1", "regex"),
        ("GET http://b/orders/x", "order"),
    ] {
        takes(&router, request, name);
    }
}

#[test]
fn the_most_specific_host_wins_whatever_the_path() {
    let router = router(&[
        r#"any: {"path": "/a"}"#,
        r#"below: {"host": "*.example.com", "path": "/**"}"#,
        r#"deeper: {"host": "*.b.example.com", "path": "/**"}"#,
        r#"exact: {"host": "api.example.com"}"#,
    ]);
    for (request, name) in [
        ("GET http://api.example.com/a", "exact"),
        ("GET http://api.example.com./a", "exact"),
        ("GET http://x.example.com/a", "below"),
        ("GET http://x.y.example.com/a", "below"),
        ("GET http://x.b.example.com/a", "deeper"),
        ("GET http://b.example.com/a", "below"),
        ("GET http://example.com/a", "any"),
        ("GET /a", "any"),
        ("GET /b", "-"),
    ] {
        takes(&router, request, name);
    }
}

#[test]
fn where_conditions_fail_the_next_in_order_is_tried() {
    let router = router(&[
        r#"posted: {"host": "a.b", "path": "/x", "methods": ["POST"]}"#,
        r#"beta: {"host": "a.b", "path": "/{any}", "headers": {"x-beta": "1"}}"#,
        r#"prefix: {"host": "a.b", "path": "/x/**", "query": {"v": "2"}}"#,
        r#"wild: {"host": "*.b", "path": "/x", "cookies": {"c": "1"}}"#,
        r#"lan: {"path": "/x", "client": "10.0.0.0/8"}"#,
        r#"rest: {}"#,
    ]);
    let get = || Sent::new("GET http://a.b/x?v=1");
    assert_eq!(
        Sent::new("POST http://a.b/x?v=2").taken_by(&router),
        "posted"
    );
    assert_eq!(get().header("x-beta", "1").taken_by(&router), "beta");
    assert_eq!(
        Sent::new("GET http://a.b/x?v=2").taken_by(&router),
        "prefix"
    );
    assert_eq!(get().header("cookie", "c=1").taken_by(&router), "wild");
    assert_eq!(get().from("10.1.1.1").taken_by(&router), "lan");
    assert_eq!(get().from("::ffff:10.1.1.1").taken_by(&router), "lan");
    assert_eq!(get().taken_by(&router), "rest");
}

#[test]
fn values_are_decoded_and_the_first_one_counts() {
    let router = router(&[
        r#"query: {"path": "/q", "query": {"a b": "c d"}}"#,
        r#"empty: {"path": "/e", "query": {"flag": ""}}"#,
        r#"cookie: {"path": "/c", "cookies": {"s": "x=y"}}"#,
        r#"header: {"path": "/h", "headers": {"X-Env": "prod"}}"#,
    ]);
    for query in ["a%20b=c+d", "x=1&a+b=c%20d", "a+b=c+d&a+b=e"] {
        takes(&router, &format!("GET /q?{query}"), "query");
    }
    takes(&router, "GET /q?a+b=e&a+b=c+d", "-");
    takes(&router, "GET /e?flag", "empty");
    for cookie in ["s=x=y", "a=1; s=x=y", "a; s = x=y ; s=z"] {
        assert_eq!(
            Sent::new("GET /c")
                .header("cookie", cookie)
                .taken_by(&router),
            "cookie"
        );
    }
    let split = Sent::new("GET /c")
        .header("cookie", "a=1")
        .header("cookie", "s=x=y");
    assert_eq!(split.taken_by(&router), "cookie");
    for other in ["S=x=y", "s=\"x=y\"", "s=z; s=x=y", "s"] {
        let sent = Sent::new("GET /c").header("cookie", other);
        assert_eq!(sent.taken_by(&router), "-", "{other}");
    }
    let twice = Sent::new("GET /h")
        .header("x-env", "test")
        .header("x-env", "prod");
    assert_eq!(twice.taken_by(&router), "-");
}

#[test]
fn priority_decides_between_equals() {
    let router = router(&[
        r#"a: {"path": "/a/**", "methods": ["GET", "PUT"]}"#,
        r#"b: 5 {"path": "/a/**", "methods": ["GET", "POST"]}"#,
    ]);
    takes(&router, "GET /a", "b");
    takes(&router, "PUT /a", "a");
    takes(&router, "POST /a", "b");
    takes(&router, "DELETE /a", "-");
}

#[test]
fn a_hit_has_the_parameters() {
    let router = router(&[
        r#"a: {"host": ["x", "*.y"], "path": ["/a/{id}", "/b/{name}/**", "~ /c/(?<rest>.*)"]}"#,
    ]);
    let params = |request: &str| -> Vec<String> {
        let hit = Sent::new(request).find(&router).unwrap().unwrap();
        hit.params
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    };
    assert_eq!(params("GET http://x/a/1%3A"), ["id=1:"]);
    assert_eq!(params("GET http://z.y/b/n/x"), ["name=n"]);
    assert_eq!(params("GET http://x/c/d/e"), ["rest=d/e"]);
}

#[test]
fn any_path_takes_the_whole_server_too() {
    let router = router(&[r#"a: {"host": "h", "path": "/a/**"}"#, r#"rest: {}"#]);
    takes(&router, "OPTIONS *", "rest");
}

#[test]
fn ten_thousand_routes_are_told_apart() {
    let lines: Vec<String> = (0..10_000)
        .map(|at| match at % 5 {
            0 => format!(r#"r{at}: {{"host": "h{at}.example.com", "path": "/**"}}"#),
            1 => format!(r#"r{at}: {{"host": "*.d{at}.example.com", "path": "/x/{{id}}"}}"#),
            2 => format!(r#"r{at}: {{"path": "/exact/{at}"}}"#),
            3 => format!(r#"r{at}: {{"path": "/under/{at}/{{id}}/**"}}"#),
            _ => format!(r#"r{at}: {{"path": "/tenant/**", "headers": {{"x-tenant": "t{at}"}}}}"#),
        })
        .collect();
    let router = router(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    for at in 0..10_000 {
        let request = match at % 5 {
            0 => Sent::new(&format!("GET http://h{at}.example.com/a/b")),
            1 => Sent::new(&format!("GET http://a.b.d{at}.example.com/x/1")),
            2 => Sent::new(&format!("GET http://other/exact/{at}")),
            3 => Sent::new(&format!("GET http://other/under/{at}/1/2/3")),
            _ => Sent::new("GET http://other/tenant/1").header("x-tenant", &format!("t{at}")),
        };
        assert_eq!(request.taken_by(&router), format!("r{at}"));
    }
}

fn preflight(url: &str, asks_for: &str) -> Sent {
    Sent::new(&format!("OPTIONS {url}"))
        .header("origin", "https://a.test")
        .header("access-control-request-method", asks_for)
}

#[test]
fn a_preflight_goes_where_the_request_will_go_that_it_asks_for() {
    let router = router(&[
        r#"get+: {"path": "/a", "methods": ["GET", "HEAD"]}"#,
        r#"post+: {"path": "/a", "methods": ["POST"]}"#,
        r#"delete: {"path": "/a", "methods": ["DELETE"]}"#,
        r#"get-b+: {"path": "/b", "methods": ["GET"]}"#,
        r#"options-b: {"path": "/b", "methods": ["OPTIONS", "PUT"]}"#,
        r#"rest: {"path": "/**"}"#,
    ]);
    for (url, asks_for, name) in [
        ("http://a/a", "GET", "get+"),
        ("http://a/a", "HEAD", "get+"),
        ("http://a/a", "POST", "post+"),
        ("http://a/a", "post", "rest"),
        ("http://a/a", "DELETE", "rest"), // nobody there answers preflights
        ("http://a/a", "PUT", "rest"),
        ("http://a/b", "GET", "options-b"), // it names the method of the request itself
        ("http://a/c", "GET", "rest"),
    ] {
        let sent = preflight(url, asks_for);
        assert_eq!(sent.taken_by(&router), name, "{asks_for} {url}");
        let explained = sent.explain(&router).winner.unwrap();
        assert_eq!(explained.name, name, "{asks_for} {url}");
        let by_wish = name.ends_with('+').then(|| asks_for.to_owned());
        assert_eq!(explained.preflight, by_wish, "{asks_for} {url}");
    }
    // An OPTIONS that is no preflight is like any other request.
    takes(&router, "OPTIONS http://a/a", "rest");
    let reasons = preflight("http://a/a", "PUT").explain(&router).misses;
    assert_eq!(
        reasons[0].reason,
        "method OPTIONS is not in [GET, HEAD], nor is `PUT`, which the preflight asks for"
    );
}

#[test]
fn what_host_path_and_method_decide_alone_is_found_without_a_head() {
    let router = router(&[
        r#"plain: {"host": "a.example", "path": "/x/{id}"}"#,
        r#"methods: {"host": "a.example", "path": "/m", "methods": ["GET", "PUT"]}"#,
        r#"others: {"host": "a.example", "path": "/m", "methods": "DELETE"}"#,
        r#"header: {"host": "a.example", "path": "/h", "headers": {"x": "1"}}"#,
        r#"behind: {"host": "a.example", "path": "/**"}"#,
    ]);
    let found = |method: Method, path: &str| {
        let at = router.find_plainly(&method, "a.example", path)?;
        let hit = router.found(at, path);
        assert_eq!(hit.route, router.route_of(at));
        Some((router.routes()[hit.route].name.to_string(), hit.params))
    };
    let (name, params) = found(Method::GET, "/x/7").unwrap();
    assert_eq!((&*name, &*params[0].1), ("plain", "7"));
    for (method, path, expected) in [
        (Method::GET, "/m", Some("methods")),
        (Method::DELETE, "/m", Some("others")),
        (Method::POST, "/m", Some("behind")),
        (Method::GET, "/else", Some("behind")),
        // Whether it is for the one before depends on a header.
        (Method::GET, "/h", None),
    ] {
        let name = found(method, path).map(|(name, _)| name);
        assert_eq!(name.as_deref(), expected, "{path}");
    }
    assert_eq!(router.find_plainly(&Method::GET, "b.example", "/m"), None);
}
