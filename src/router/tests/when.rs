//! Routes with an expression.

use super::*;

#[test]
fn an_expression_decides_and_counts_as_more_specific() {
    let router = router(&[
        r#"rest: {"path": "/a"}"#,
        r#"beta: {"path": "/a", "when": "request.headers['x-beta'] == '1'"}"#,
    ]);
    assert_eq!(
        Sent::new("GET /a").header("x-beta", "1").taken_by(&router),
        "beta"
    );
    let plain = Sent::new("GET /a");
    assert_eq!(plain.taken_by(&router), "rest");
    let reason = plain.explain(&router).misses.remove(0).reason;
    assert_eq!(
        reason,
        "`when` is false: `request.headers['x-beta'] == '1'`"
    );
}

#[test]
fn a_request_without_a_value_goes_to_no_other_route() {
    let router = router(&[
        r#"rest: {"path": "/a"}"#,
        r#"n: {"path": "/a", "when": "int(request.headers['n']) > 5"}"#,
    ]);
    assert_eq!(Sent::new("GET /a").header("n", "6").taken_by(&router), "n");
    assert_eq!(
        Sent::new("GET /a").header("n", "5").taken_by(&router),
        "rest"
    );
    let bad = Sent::new("GET /a").header("n", "x");
    let error = bad.find(&router).unwrap_err();
    assert!(
        error.to_string().starts_with("`when` of route `n`: "),
        "{error}"
    );
    let explanation = bad.explain(&router);
    assert_eq!(explanation.winner, None);
    assert_eq!(explanation.error, Some(error.to_string()));
    let reasons: Vec<_> = explanation
        .misses
        .iter()
        .map(|miss| &*miss.reason)
        .collect();
    assert!(
        reasons[0].starts_with("`when` has no value: "),
        "{reasons:?}"
    );
    assert_eq!(
        reasons[1],
        "the request is refused before it is this route's turn"
    );
}

#[test]
fn other_conditions_come_before_the_expression() {
    let router = router(&[
        r#"n: {"path": "/a", "methods": ["PUT"], "when": "int(request.headers['n']) > 5"}"#,
    ]);
    assert_eq!(Sent::new("GET /a").find(&router), Ok(None));
}

#[test]
fn expressions_cannot_be_told_apart() {
    let lines = [
        r#"a: {"path": "/a", "when": "request.method == 'GET'"}"#,
        r#"b: {"path": "/a", "when": "request.method == 'PUT'"}"#,
    ];
    let problems = compile(&lines).unwrap_err();
    assert_eq!(
        problems[0].message,
        "routes `a` and `b` are equally specific, and both match `GET http://1.example/a` \
         where their `when` allow it"
    );
    router(&[lines[0], &lines[1].replace("b: ", "b: 1 ")]);
    let same = compile(&[lines[0], &lines[0].replace("a: {", "b: -1 {")]).unwrap_err();
    assert!(
        same[0].message.starts_with("route `b` can never match"),
        "{}",
        same[0].message
    );
}
