use std::sync::Arc;

use proptest::prelude::*;

use super::testing::{Given, full};
use super::*;

pub(super) fn text(given: &Given, source: &str) -> String {
    let expression = Expression::parse(source).unwrap_or_else(|e| panic!("{source}: {e}"));
    let text = expression.text(&given.facts());
    text.unwrap_or_else(|e| panic!("{source}: {e}"))
        .into_owned()
}

pub(super) fn refusal(source: &str) -> String {
    match Expression::parse(source) {
        Ok(_) => panic!("{source} was accepted"),
        Err(error) => error,
    }
}

#[test]
fn reads_every_fact() {
    let given = full();
    for (source, value) in [
        ("request.method", "POST"),
        ("request.path", "/orders/7%20"),
        ("request.query.a", "1"),
        (r#"request.query["b"]"#, "x y"),
        ("request.host", "api.example.com"),
        ("request.scheme", "https"),
        (r#"request.headers["X-Tenant"]"#, "acme"),
        ("request.headers['x-tenant']", "acme"),
        ("request.cookies.sid", "42"),
        ("request.id", "0190"),
        ("request.target", "/x/../orders/7%20?a=1"),
        ("request.time", "2026-11-20T10:04:01.000Z"),
        ("client.address", "10.1.2.3"),
        ("client.peer", "192.0.2.1"),
        ("client.port", "4711"),
        ("route", "orders"),
        ("params.id", "7 "),
        ("identity.name", "alice"),
        ("identity.groups", "admin,dev"),
        ("identity.by", "jwt"),
        ("consumer", "alice"),
        ("response.status", "404"),
        (r#"response.headers["x-cache"]"#, "hit"),
    ] {
        assert_eq!(text(&given, source), value, "{source}");
        // The same, by way of CEL.
        assert_eq!(text(&given, &format!("[{source}]")), value, "[{source}]");
    }
}

#[test]
fn a_whole_number_is_read_and_all_else_refused() {
    let given = full();
    let number = |source: &str| {
        let expression = Expression::parse(source).unwrap();
        expression.check_number()?;
        expression.number(&given.facts())
    };
    for (source, value) in [
        ("5", 5),
        ("-1", -1),
        ("client.port", 4711),
        ("response.status + 1", 405),
        ("int(request.query.a)", 1),
        ("size(identity.groups)", 2),
        ("uint(7)", 7),
    ] {
        assert_eq!(number(source), Ok(value), "{source}");
    }
    for (source, why) in [
        ("route", "expected a whole number, found text: `route`"),
        ("\"5\"", "expected a whole number, found text"),
        ("1.5", "expected a whole number, found a decimal number"),
        ("int(route)", "`int` cannot take this value"),
        ("1 / (client.port - 4711)", "division by zero"),
        ("[1, \"x\"][1]", "expected a whole number, found string"),
        (
            "uint(18446744073709551615u)",
            "expected a whole number, found uint",
        ),
    ] {
        let refused = number(source).unwrap_err();
        assert!(refused.starts_with(why), "{source}: {refused}");
    }
}

#[test]
fn the_certificate_of_a_client_is_a_fact() {
    let mut given = Given::default();
    let facts = [
        ("client.certificate.subject", "CN=alice"),
        ("client.certificate.names", "a.example,b.example"),
        ("client.certificate.sha256", "00ff"),
        ("has(client.certificate.subject)", "true"),
        ("'b.example' in client.certificate.names", "true"),
    ];
    for (source, _) in facts {
        let missing = text(&given, source);
        assert!(missing.is_empty() || missing == "false", "{source}");
    }
    given.exchange.client.tls = Some(std::sync::Arc::new(crate::Tls {
        certificate: Some(crate::Certificate {
            subject: "CN=alice".into(),
            names: ["a.example".into(), "b.example".into()].into(),
            sha256: "00ff".into(),
        }),
        ..Default::default()
    }));
    for (source, value) in facts {
        assert_eq!(text(&given, source), value, "{source}");
    }
}

#[test]
fn what_is_missing_is_empty() {
    let given = Given::default();
    for source in [
        "request.query.a",
        "request.host",
        "request.headers.x",
        "request.cookies.sid",
        "route",
        "params.id",
        "identity.name",
        "identity.groups",
        "identity.by",
        "consumer",
        "response.headers.x",
    ] {
        assert_eq!(text(&given, source), "", "{source}");
    }
    assert_eq!(text(&given, "response.status"), "0");
}

#[test]
fn a_caller_that_the_configuration_does_not_know_is_no_consumer() {
    let mut given = full();
    assert_eq!(text(&given, "consumer"), "alice");
    let identity = given.exchange.identity.as_mut().unwrap();
    Arc::get_mut(identity).unwrap().consumer = None;
    assert_eq!(text(&given, "identity.name"), "alice");
    assert_eq!(text(&given, "consumer"), "");
    assert_eq!(text(&given, "consumer == identity.name"), "false");
}

#[test]
fn a_plain_name_costs_no_copy() {
    let given = full();
    let facts = given.facts();
    for source in [
        "request.path",
        "params.id",
        "consumer",
        "'all'",
        "request.headers['x-tenant']",
    ] {
        let expression = Expression::parse(source).unwrap();
        let text = expression.text(&facts).unwrap();
        assert!(matches!(text, Cow::Borrowed(_)), "{source}");
    }
}

#[test]
fn computes() {
    let given = full();
    for (source, value) in [
        (
            "request.method == 'POST' && request.path.startsWith('/orders')",
            "true",
        ),
        ("'admin' in identity.groups", "true"),
        ("identity.groups.exists(g, g.endsWith('ev'))", "true"),
        ("identity.groups.filter(g, g != 'dev')", "admin"),
        ("identity.groups.map(g, g + '!')", "admin!,dev!"),
        ("identity.groups[1]", "dev"),
        ("size(identity.groups) + 1", "3"),
        ("consumer + '@' + request.host", "alice@api.example.com"),
        ("response.status >= 400 ? 'bad' : 'good'", "bad"),
        ("!(request.query.a == '2')", "true"),
        ("int(request.query.a) * 2", "2"),
        ("string(client.port) == '4711'", "true"),
        ("{'alice': 'gold'}[consumer]", "gold"),
        ("[1, 2].all(request, request > 0)", "true"),
        (
            "request.headers['x-tenant'].upperAscii().substring(1, 3)",
            "CM",
        ),
        ("type(route) == string", "true"),
        ("1u + 2u", "3"),
        ("1.5", "1.5"),
        ("null", ""),
    ] {
        assert_eq!(text(&given, source), value, "{source}");
    }
}

#[test]
fn tells_missing_from_empty() {
    let mut given = full();
    (given.request.headers).insert("x-empty", "".parse().unwrap());
    for (source, value) in [
        ("has(request.headers.host)", "true"),
        ("has(request.headers.nope)", "false"),
        ("'X-Empty' in request.headers", "true"),
        ("'x-nope' in request.headers", "false"),
        ("'a' in request.query && !('z' in request.query)", "true"),
        (
            "has(params.id) && has(identity.name) && has(response.status)",
            "true",
        ),
        ("'sid' in request.cookies", "true"),
    ] {
        assert_eq!(text(&given, source), value, "{source}");
    }
    assert_eq!(text(&Given::default(), "has(identity.name)"), "false");
    assert_eq!(
        refusal("has(request.method)"),
        "`request.method` is always there"
    );
}

#[test]
fn knows_networks() {
    let mut given = full();
    for (source, value) in [
        ("in_cidr(client.address, '10.0.0.0/8')", "true"),
        ("in_cidr(client.address, '10.2.0.0/16')", "false"),
        ("in_cidr(client.peer, ['::1', '192.0.2.0/24'])", "true"),
        (
            "in_cidr(request.headers['x-real-ip'], '0.0.0.0/0')",
            "false",
        ),
        ("in_cidr(client.address + '', '10.0.0.0/8')", "true"),
        ("!in_cidr(client.address, '10.0.0.0/8')", "false"),
    ] {
        assert_eq!(text(&given, source), value, "{source}");
    }
    given.exchange.client.address = "::ffff:10.9.9.9".parse().unwrap();
    assert_eq!(
        text(&given, "in_cidr(client.address, '10.0.0.0/8')"),
        "true"
    );
    assert!(refusal("in_cidr(client.address, '10.0.0.1/8')").contains("did you mean `10.0.0.0/8`"));
    assert!(refusal("in_cidr(client.address, request.path)").contains("text literals"));
    assert!(refusal("in_cidr(client.port, '::1')").contains("found a number"));
}

#[test]
fn compiles_patterns_at_load() {
    let given = full();
    assert_eq!(
        text(&given, "request.path.matches('^/orders/[0-9]')"),
        "true"
    );
    assert_eq!(text(&given, "matches(request.path, r'\\d{2}$')"), "true");
    assert_eq!(text(&given, "request.path.matches('^/users')"), "false");
    assert!(refusal("request.path.matches('(')").contains("unclosed group"));
    assert!(refusal("request.path.matches(request.headers.x)").contains("text literal"));
}

#[test]
fn knows_the_time() {
    let given = full();
    for (source, value) in [
        ("request.time > timestamp('2026-01-01T00:00:00Z')", "true"),
        (
            "request.time < timestamp('2026-11-20T10:04:01+01:00')",
            "false",
        ),
        (
            "request.time.getHours() >= 8 && request.time.getDayOfWeek() == 5",
            "true",
        ),
        (
            "request.time.getFullYear() * 100 + request.time.getMonth()",
            "202610",
        ),
        ("int(request.time)", "1795169041"),
        (
            "timestamp('2026-01-01T00:00:00Z')",
            "2026-01-01T00:00:00.000Z",
        ),
    ] {
        assert_eq!(text(&given, source), value, "{source}");
    }
    assert!(refusal("timestamp('tomorrow')").contains("expected a time such as"));
}

#[test]
fn reads_from_a_configuration() {
    let expression: Expression = serde_json::from_str(r#""client.address""#).unwrap();
    assert_eq!(expression.source(), "client.address");
    let error = serde_json::from_str::<Expression>(r#""clint.address""#).unwrap_err();
    assert!(
        error.to_string().contains("did you mean `client.address`?"),
        "{error}"
    );
    assert!(serde_json::from_str::<Condition>(r#""client.address""#).is_err());
}

/// Pieces that expressions are made of, put together at random: many parse.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "request.path",
        "request.headers",
        "['x']",
        ".x",
        "identity.groups",
        "client.port",
        "in_cidr(client.address, '10.0.0.0/8')",
        "has(params.id)",
        "matches",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "'a'",
        "\"",
        "1",
        "1u",
        "2.5",
        "true",
        "null",
        "b'x'",
        "==",
        "!=",
        "<",
        "+",
        "-",
        "*",
        "/",
        "%",
        "&&",
        "||",
        "!",
        "?",
        ":",
        " in ",
        ",",
        ".",
        ".exists(x, x == 'a')",
        ".map(x, x)",
        ".size()",
        "size(",
        "string(",
        "x",
        "@",
        "\n",
        "//",
        "é",
        "\\",
    ]);
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn never_panics(source in prop_oneof![4 => pieces(), 1 => ".{0,40}".boxed()]) {
        if let Ok(expression) = Expression::parse(&source) {
            for given in [full(), Given::default()] {
                let _ = expression.text(&given.facts());
                let _ = expression.test(&given.facts());
            }
        }
    }

    #[test]
    fn a_plain_name_means_the_same_as_in_cel(name in "[a-z_]{0,3}[a-z0-9-]{0,5}", quoted: bool) {
        let source = if quoted { format!("request.query['{name}']") } else { format!("request.query.{name}") };
        let target = format!("/?{name}=1");
        let given = Given {
            request: crate::testing::request_head("GET", &target),
            ..Given::default()
        };
        let plain = Expression::parse(&source).map(|e| e.text(&given.facts()).unwrap().into_owned());
        let full = Expression::parse(&format!("{source} + ''"));
        if let (Ok(plain), Ok(full)) = (plain, full) {
            prop_assert_eq!(plain, full.text(&given.facts()).unwrap().into_owned());
        }
    }
}
