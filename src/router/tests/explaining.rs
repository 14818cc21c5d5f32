//! Why a route wins, and others do not.

use super::*;

fn told(explanation: &Explanation) -> Vec<String> {
    let misses = explanation.misses.iter();
    misses
        .map(|miss| format!("{}: {}", miss.name, miss.reason))
        .collect()
}

#[test]
fn every_near_miss_has_its_reason() {
    let router = router(&[
        r#"winner: {"host": "a.b", "path": "/orders/x"}"#,
        r#"lower: {"path": "/orders/x"}"#,
        r#"prefix: {"host": "a.b", "path": "/orders/**"}"#,
        r#"pattern: {"host": "a.b", "path": "/orders/{id}"}"#,
        r#"post: {"host": "a.b", "path": "/orders/x", "methods": ["POST", "PUT"]}"#,
        r#"beta: {"host": "a.b", "path": "/orders/x", "headers": {"x-beta": "1", "b": "2"}}"#,
        r#"version: {"host": "a.b", "path": "/orders/x", "query": {"v": {"prefix": "2"}}}"#,
        r#"cookie: {"host": "a.b", "path": "/orders/x", "cookies": {"c": {"present": true}}}"#,
        r#"lan: {"host": "a.b", "path": "/orders/x", "client": "10.0.0.0/8"}"#,
        r#"other: {"host": ["c.d", "e.f"], "path": "/orders/{id}"}"#,
        r#"far: {"host": "a.b", "path": "/elsewhere"}"#,
        r#"equal: -1 {"host": ["a.b", "g"], "path": "/orders/x", "methods": ["PUT", "GET"], "headers": {"x": {"present": false}}}"#,
    ]);
    let explanation = Sent::new("DELETE http://a.b/orders/x?v=1").explain(&router);
    assert_eq!(explanation.winner.as_ref().unwrap().name, "winner");
    assert_eq!(
        told(&explanation),
        [
            "equal: method DELETE is not in [PUT, GET]",
            "post: method DELETE is not in [POST, PUT]",
            "beta: header x-beta is absent, expected `1`",
            "version: query parameter v is `1`, expected `2` at the start",
            "cookie: cookie c is absent, expected any value",
            "lan: client address 192.0.2.1 is not in [10.0.0.0/8]",
            "pattern: less specific: path with parameters `/orders/{id}` against exact path `/orders/x`",
            "prefix: less specific: path prefix `/orders/**` against exact path `/orders/x`",
            "lower: less specific: host `*` against `a.b`",
            "other: host `a.b` is not `c.d`",
        ]
    );
}

#[test]
fn says_which_condition_made_the_difference() {
    let router = router(&[
        r#"a: 2 {"methods": ["GET"], "headers": {"a": "1"}}"#,
        r#"b: 1 {"methods": ["GET"], "headers": {"b": "1"}}"#,
        r#"c: {"methods": ["GET"], "query": {"q": "1"}}"#,
        r#"d: {"methods": ["GET"], "cookies": {"k": "1"}}"#,
        r#"e: {"methods": ["GET"], "client": "192.0.2.0/24"}"#,
        r#"f: {"methods": ["GET"]}"#,
        r#"g: {}"#,
    ]);
    let sent = || {
        Sent::new("GET http://h/x?q=1")
            .header("b", "1")
            .header("cookie", "k=1")
    };
    let explanation = sent().header("a", "1").explain(&router);
    assert_eq!(
        told(&explanation),
        [
            "b: equally specific, but priority 1 against 2",
            "c: less specific: 0 conditions on headers against 1",
            "d: less specific: 0 conditions on headers against 1",
            "e: less specific: 0 conditions on headers against 1",
            "f: less specific: 0 conditions on headers against 1",
            "g: less specific: no `methods`",
        ]
    );
}

#[test]
fn no_winner_still_explains() {
    let router = router(&[
        r#"a: {"host": "a", "path": "/x/{id}"}"#,
        r#"b: {"path": "/y"}"#,
    ]);
    let explanation = Sent::new("GET http://b/x/1").explain(&router);
    assert_eq!(explanation.winner, None);
    assert_eq!(told(&explanation), ["a: host `b` is not `a`"]);
    assert_eq!(
        serde_json::to_value(&explanation).unwrap(),
        serde_json::json!({
            "winner": null,
            "error": null,
            "misses": [{"name": "a", "reason": "host `b` is not `a`"}],
            "omitted": 0
        })
    );
}

#[test]
fn the_winner_shows_what_matched() {
    let router = router(&[r#"a: {"host": "*.b", "path": ["/y", "/x/{id}"]}"#]);
    let winner = Sent::new("GET http://a.b/x/1%3A")
        .explain(&router)
        .winner
        .unwrap();
    assert_eq!(
        serde_json::to_value(&winner).unwrap(),
        serde_json::json!({"name": "a", "host": "*.b", "path": "/x/{id}", "params": [["id", "1:"]]})
    );
}

#[test]
fn tells_twenty_at_most() {
    let lines: Vec<String> = (0..30)
        .map(|at| format!(r#"r{at}: {{"host": "h{at}", "path": "/a"}}"#))
        .collect();
    let router = router(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let explanation = Sent::new("GET http://h7/a").explain(&router);
    assert_eq!((explanation.misses.len(), explanation.omitted), (20, 9));
}
