//! Templates, good and bad.

use proptest::prelude::*;

use super::*;
use crate::expression::testing::Given;

fn asking(query: &str) -> Given {
    let mut given = Given::default();
    given.request.uri = format!("/?{query}").parse().unwrap();
    given
}

fn render(source: &str, query: &str) -> String {
    let template = Template::parse(source).unwrap();
    let given = asking(query);
    template.render(&given.facts()).unwrap().into_owned()
}

#[test]
fn puts_values_into_text() {
    for (source, text) in [
        ("hello ${request.query.name}!", "hello bob!"),
        ("${ request.method }", "GET"),
        ("${request.method}${request.query.name}", "GETbob"),
        ("a ${'b'} c", "a b c"),
        ("${request.query.none}", ""),
        ("", ""),
    ] {
        assert_eq!(render(source, "name=bob"), text, "{source}");
    }
}

#[test]
fn a_dollar_can_be_written() {
    for (source, text) in [
        ("5$", "5$"),
        ("$5", "$5"),
        ("$$", "$"),
        ("$$$$", "$$"),
        ("$${request.method}", "${request.method}"),
        ("$$${request.method}", "$GET"),
        ("$ {x}", "$ {x}"),
    ] {
        assert_eq!(render(source, ""), text, "{source}");
    }
}

#[test]
fn braces_and_quotes_nest() {
    for (source, text) in [
        ("<${{'a': '}'}['a']}>", "<}>"),
        (r#"<${"}" + request.method}>"#, "<}GET>"),
        (r#"<${"\"}" + request.method}>"#, "<\"}GET>"),
        (r"<${r'\' + request.method}>", r"<\GET>"),
        ("<${'''it's }''' + request.method}>", "<it's }GET>"),
        ("<${request.method // not this }\n}>", "<GET>"),
        ("<${{'k': {'a': 1}}['k']['a']}>", "<1>"),
    ] {
        assert_eq!(render(source, ""), text, "{source}");
    }
}

#[test]
fn says_what_is_wrong() {
    for (source, error) in [
        (
            "a ${request.path",
            "expected `}` after `${`, found `request.path`",
        ),
        ("${'}", "expected `}` after `${`, found `'}`"),
        ("${}", "in `${}`: expected an expression, found nothing"),
        (
            "${request.pth}",
            "in `${request.pth}`: unknown name `request.pth`, did you mean `request.path`?",
        ),
        (
            "${{'a': 1}}",
            "in `${{'a': 1}}`: expected something with a text, found a map: `{'a': 1}`",
        ),
    ] {
        assert_eq!(Template::parse(source).unwrap_err(), error, "{source}");
    }
}

#[test]
fn comes_apart_into_pieces() {
    let pieces = |source: &str| {
        let template = Template::parse(source).unwrap();
        let shown = template.pieces().map(|piece| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Expression(expression) => format!("<{}>", expression.source()),
        });
        shown.collect::<Vec<_>>()
    };
    assert_eq!(pieces("a$${b ${ client.port }"), ["a${b ", "<client.port>"]);
    assert_eq!(pieces("a ${'b'}"), ["a b"]);
    assert!(pieces("").is_empty());
}

#[test]
fn constants_and_single_facts_are_not_copied() {
    let given = asking("");
    for source in ["constant", "${request.method}"] {
        let template = Template::parse(source).unwrap();
        let text = template.render(&given.facts()).unwrap();
        assert!(matches!(text, Cow::Borrowed(_)), "{source}");
    }
}

#[test]
fn no_control_character_gets_into_a_header() {
    let template = Template::parse("x ${request.query.name}").unwrap();
    let header = |query: &str| template.render_header(&asking(query).facts());
    assert_eq!(header("name=bob").unwrap(), "x bob");
    assert_eq!(header("name=a%09b").unwrap(), "x a\tb");
    assert_eq!(header("name=%20").unwrap(), "x");
    assert_eq!(header("name=%C3%A9").unwrap().as_bytes(), "x é".as_bytes());
    for bad in ["%0D%0Aset-cookie:a=b", "%0A", "%00", "%7F", "%1B"] {
        assert_eq!(header(&format!("name={bad}")), None, "{bad}");
    }
    let fails = Template::parse("${1 / size(request.query.none)}").unwrap();
    assert_eq!(fails.render_header(&asking("").facts()), None);
}

#[test]
fn a_fixed_text_is_checked_at_load() {
    let check = |source: &str| Template::parse(source).unwrap().check_header();
    assert!(check("a").is_ok());
    assert!(check("a ${consumer}").is_ok());
    assert!(check("a\nb").unwrap_err().contains("control character"));
    assert!(check("a\n${consumer}").is_err());
}

#[test]
fn knows_what_needs_a_response() {
    let check = |source: &str| Template::parse(source).unwrap().check_early();
    assert_eq!(check("a ${request.path} $${response.status}"), Ok(()));
    for (source, name) in [
        ("${request.path} ${response.status}", "response.status"),
        (
            "${response.headers['a'] + request.path}",
            "response.headers",
        ),
    ] {
        let said = format!("`{name}` is not known here: there is no response yet");
        assert_eq!(check(source), Err(said), "{source}");
    }
}

#[test]
fn reads_from_a_configuration_and_keeps_its_text_to_itself() {
    let template: Template = serde_json::from_str(r#""Bearer hunter2""#).unwrap();
    assert_eq!(template.constant(), Some("Bearer hunter2"));
    assert_eq!(format!("{template:?}"), "Template");
    let error = serde_json::from_str::<Template>(r#""${x}""#).unwrap_err();
    assert!(error.to_string().contains("unknown name `x`"), "{error}");
    assert!(serde_json::from_str::<Template>("[]").is_err());
}

/// What a decoder does to text that came from a secret.
fn doubled(secret: &str) -> String {
    secret.replace('$', "$$")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn doubled_dollars_make_any_text_literal(secret in "[${}a-z.'\"]{0,20}|.*") {
        let template = Template::parse(&doubled(&secret)).unwrap();
        prop_assert_eq!(template.constant(), Some(&*secret));
    }

    #[test]
    fn never_panics(source in "(\\$|\\{|\\}|'|\"|r|\\\\|/|é|a|request\\.path|\n){0,20}|.*") {
        if let Ok(template) = Template::parse(&source) {
            let given = asking("name=%0d%0a");
            let _ = template.render(&given.facts());
            let _ = template.render_header(&given.facts());
        }
    }
}
