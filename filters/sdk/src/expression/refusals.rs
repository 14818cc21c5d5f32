//! What expressions refuse, at load and when they are evaluated.

use super::testing::{Given, full};
use super::tests::{refusal, text};
use super::*;

#[test]
fn refuses_unknown_names_and_functions() {
    for (source, part) in [
        ("request.hedaers['x']", "did you mean `request.headers.x`?"),
        (
            "request.hedaers['x'] == ''",
            "did you mean `request.headers.x`?",
        ),
        ("request.path.startswith('/')", "did you mean `startsWith`?"),
        ("banana(1)", "unknown function `banana`"),
        (
            "request.headers[request.path]",
            "expected a name in `request.headers`, written out",
        ),
        (
            "size(request.headers)",
            "expected a name in `request.headers`",
        ),
        ("[1].exists(x, y == x)", "unknown name `y`"),
        ("[1].exists(x, true) && x == 1", "unknown name `x`"),
        (".request.path == ''", "unknown name `.request.path`"),
        ("Message{a: 1}", "unknown type `Message`"),
        (
            "request.path.replace('', 'aaaa')",
            "unknown function `replace`",
        ),
        (
            "request.method == 'GET' &&",
            "expected an expression, at column 27: found the end",
        ),
        (
            "request.headers.x-user == 'a'",
            "; a name with `-` in it is written `request.headers['x-user']`",
        ),
        ("@result", "expected an expression, at column"),
        ("#0", "expected an expression, at column"),
    ] {
        assert!(
            refusal(source).contains(part),
            "{source}: {}",
            refusal(source)
        );
    }
}

#[test]
fn refuses_operands_that_do_not_go_together() {
    for (source, part) in [
        (
            "response.status == '200'",
            "`==` does not go with a number and text, write `string(…)`",
        ),
        ("request.path + 1", "`+` does not go with text and a number"),
        (
            "request.path && true",
            "`&&` expects a condition, found text",
        ),
        ("!client.port", "`!` expects a condition, found a number"),
        (
            "request.path ? 1 : 2",
            "`?` expects a condition, found text",
        ),
        ("request.path < 1", "`<` does not go with"),
        ("'a' in request.path", "`in` does not go with text and text"),
        (
            "identity.groups['a']",
            "`identity.groups` has nothing inside",
        ),
        ("request.path.size(1)", "expected `size(text)`"),
        (
            "request.path.exists(x, true)",
            "expected a list to look through, found text",
        ),
        ("-request.path", "`-` does not go with text"),
        (
            "request.time == 1",
            "`==` does not go with a time and a number",
        ),
    ] {
        assert!(
            refusal(source).contains(part),
            "{source}: {}",
            refusal(source)
        );
    }
}

#[test]
fn refuses_bad_syntax_on_one_line() {
    for source in [
        "", " ", "a b", "request.", "(", "'", "a?.b", "[?a]", "\u{0}", "${a}", "1 +",
    ] {
        let error = refusal(source);
        assert!(
            error.starts_with("expected an expression"),
            "{source:?}: {error}"
        );
        assert!(!error.contains('\n'), "{source:?}: {error}");
    }
}

/// On a thread with the stack that the gateway's workers have.
#[test]
fn is_bounded_in_length_and_depth() {
    let within = format!("{}1{}", "(".repeat(30), ")".repeat(30));
    assert_eq!(text(&Given::default(), &within), "1");
    let sum = vec!["1"; 39].join("+");
    assert_eq!(text(&Given::default(), &sum), "39");
    let many = vec!["request.path == 'x'"; 150].join(" || ");
    assert_eq!(text(&Given::default(), &many), "false");

    for deep in [
        "(".repeat(4000),
        "1+".repeat(2000) + "1",
        format!("{}1{}", "(".repeat(2000), ")".repeat(2000)),
        format!("{}1{}", "[".repeat(2000), "]".repeat(2000)),
        format!("[1]{}", "[0]".repeat(1300)),
        format!("dyn(1){}", ".a".repeat(2000)),
        "true?1:".repeat(580) + "1",
        "1==".repeat(1300) + "1",
        "a[b(c{".repeat(680),
    ] {
        let error = refusal(&deep);
        assert!(error.starts_with("expected "), "{error}");
        assert!(error.len() < 400, "{error}");
    }
    assert!(refusal(&" ".repeat(4097)).contains("at most 4096 bytes"));
}

#[test]
fn loops_cannot_make_much_of_little() {
    let deep = "[1].exists(a, [1].exists(b, [1].exists(c, true)))";
    assert_eq!(
        refusal(deep),
        "expected at most 2 loops inside each other, found more"
    );
    let doubling = format!("['ab']{}", ".map(x, x + x)".repeat(30));
    let indexed = "[['ab'].map(x, x + x)[0]].map(x, x + x)";
    let inner = "[1].all(y, ['ab'].map(x, x + x).map(x, x + x) == [])";
    for source in [&doubling, indexed, inner] {
        assert!(
            refusal(source).contains("what another loop made"),
            "{source}"
        );
    }
    let given = full();
    for source in [
        "['a'].exists(x, x == 'a') && ['b'].exists(x, x == 'b')",
        "size(identity.groups.filter(g, g != 'dev')) == 1",
        "identity.groups.all(g, ['admin', 'dev'].exists(x, x == g))",
    ] {
        assert_eq!(text(&given, source), "true", "{source}");
    }
}

#[test]
fn failures_of_an_evaluation_show_nothing_of_the_request() {
    let mut given = full();
    (given.request.headers).insert("x-secret", "hunter2".parse().unwrap());
    for (source, why) in [
        ("int(request.headers['x-secret'])", "cannot take this value"),
        (
            "{'a': 1}[request.headers['x-secret']]",
            "there is no such key",
        ),
        ("identity.groups[9]", "out of bounds"),
        ("1 / size(request.query.none)", "division by zero"),
        ("9223372036854775807 + client.port", "out of range"),
        ("identity.groups[0] + 1", "do not go together"),
        ("identity.groups.exists(g, g)", "does not go with"),
        ("dyn({'a': 1})", "expected a text, found map"),
    ] {
        let expression = Expression::parse(source).unwrap();
        let error = expression.text(&given.facts()).unwrap_err();
        assert!(error.contains(why), "{source}: {error}");
        assert!(!error.contains("hunter2"), "{source}: {error}");
    }
}

#[test]
fn a_condition_is_checked_at_load() {
    let given = full();
    let condition = Condition::parse("client.port > 1024").unwrap();
    assert_eq!(condition.test(&given.facts()), Ok(true));
    let within = Condition::parse("in_cidr(client.address, '127.0.0.1')").unwrap();
    assert_eq!(within.test(&given.facts()), Ok(false));
    let any = Condition::parse("{'a': client.port}['a']").unwrap();
    assert!(
        any.test(&given.facts())
            .unwrap_err()
            .contains("expected a condition, found int")
    );
    for source in ["request.path", "'true'", "1", "identity.groups"] {
        let error = Condition::parse(source).unwrap_err();
        assert!(error.starts_with("expected a condition such as"), "{error}");
        let expression = Expression::parse(source).unwrap();
        assert!(expression.test(&given.facts()).is_err(), "{source}");
    }
    assert!(Expression::parse("{'a': 1}").unwrap().check_text().is_err());
}
