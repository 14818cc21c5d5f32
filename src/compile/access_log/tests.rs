//! What an access log may be, and what is said of what it may not.

use serde::Deserialize;
use wiregate_sdk::value::{decode_partly, read};

use super::*;

#[derive(Deserialize)]
struct Config {
    access_log: model::AccessLog,
}

/// The plan of a configuration, or what is wrong with it.
fn built(text: &str) -> Result<Option<Arc<Plan>>, Vec<String>> {
    let text = format!("access_log: {text}\n");
    let value = read(&"file.yaml".into(), &text).unwrap();
    let (config, mut problems) = decode_partly::<Config>(&value);
    let plan = config.and_then(|config| build(Some(&config.access_log), &value, &mut problems));
    match problems.is_empty() {
        true => Ok(plan),
        false => Err(problems.into_iter().map(|it| it.message).collect()),
    }
}

fn plan(text: &str) -> Arc<Plan> {
    built(text).unwrap().unwrap()
}

#[test]
fn one_word_says_where_and_nothing_else() {
    assert!(built("off").unwrap().is_none());
    let stdout = plan("stdout");
    assert_eq!(stdout.output, Output::Stdout);
    assert_eq!(stdout.columns.len(), Fact::ALL.len());
    assert_eq!(plan("{ when: 'true' }").output, Output::Stdout);
    let file = plan("{ file: /a }");
    assert_eq!(file.output, Output::File("/a".into(), None));
    assert!(file.choice.sample.is_none() && file.choice.when.is_none());
}

#[test]
fn a_log_that_is_written_alike_is_the_same() {
    let text = "{ file: /a, when: 'route == \"a\"', sample: 10% }";
    assert_eq!(plan(text), plan(&format!("\n  {text}")));
    for other in [
        "{ file: /a, when: 'route == \"b\"', sample: 10% }",
        "{ file: /b, when: 'route == \"a\"', sample: 10% }",
        "{ file: /a, when: 'route == \"a\"', sample: 11% }",
    ] {
        assert_ne!(plan(text), plan(other));
    }
}

#[test]
fn fields_are_facts_and_expressions_in_their_order() {
    let plan = plan(
        "{ fields: [status, { agent: 'request.headers[\"user-agent\"]' }, time, \
         { auth: 'request.headers.authorization' }, { has: 'has(request.headers.authorization)' }, \
         { where: 'request.target' }, { sid: 'request.cookies.sid' }] }",
    );
    let source = |position, mask| Source::Expression(position, mask);
    let found = plan.columns.iter();
    let found: Vec<_> = found.map(|column| (&*column.name, column.source)).collect();
    let expected = [
        ("status", Source::Fact(Fact::Status)),
        ("agent", source(0, None)),
        ("time", Source::Fact(Fact::Time)),
        ("auth", source(1, Some(Mask::Credentials))),
        ("has", source(2, None)),
        ("where", source(3, Some(Mask::Url))),
        ("sid", source(4, Some(Mask::Whole))),
    ];
    assert_eq!(found, expected);
    assert_eq!(plan.expressions.len(), 5);
    assert!(!plan.asks_response);
    for asks in [
        "{ fields: [{ a: 'response.headers.a' }] }",
        "{ when: 'has(response.headers.a)' }",
    ] {
        assert!(self::plan(asks).asks_response, "{asks}");
    }
}

#[test]
fn the_whole_of_it_is_understood() {
    let plan = plan(
        "{ file: /a, format: text, rotate: { size: 2MiB, every: 1d, keep: 3 }, \
         sample: { share: 5%, statuses: [404, 500-599], slower_than: 250ms }, \
         redact: { fields: [X-Own], query: [user_id], \
         show: { fields: [x-sort-key], query: [page_token], cookies: [theme] } } }",
    );
    let rotation = Rotation {
        size: Some(2 << 20),
        every: Some(std::time::Duration::from_secs(86400)),
        keep: 3,
    };
    assert_eq!(plan.output, Output::File("/a".into(), Some(rotation)));
    assert_eq!(plan.format, Format::Text);
    let sample = plan.choice.sample.as_ref().unwrap();
    assert_eq!(sample.share.to_string(), "5%");
    assert_eq!(sample.statuses.to_string(), "404, 500-599");
    assert_eq!(sample.slow, Some(std::time::Duration::from_millis(250)));
    let redaction = &plan.redaction;
    assert_eq!(redaction.query, ["userid"]);
    assert_eq!(redaction.shown_query, ["pagetoken"]);
    assert_eq!(redaction.shown_cookies, ["theme"]);
    assert_eq!(redaction.fields[0], "x-own");
    assert_eq!(redaction.shown_fields[0], "x-sort-key");
}

#[test]
fn a_receiver_is_an_address_or_more() {
    use crate::observe::access_log::{Facility, Header, Severity};
    let receiver = |text: &str| match &plan(&format!("{{ syslog: {text} }}")).output {
        Output::Syslog(receiver) => receiver.clone(),
        other => panic!("expected a receiver, found {other:?}"),
    };
    let short = receiver("\"unix:/dev/log\"");
    assert_eq!(
        (short.header, short.facility),
        (Header::Rfc5424, Facility::Local0)
    );
    assert_eq!((short.severity, &*short.tag), (Severity::Info, "wiregate"));
    let full = receiver(
        "{ to: \"tcp://a:601\", header: rfc3164, facility: daemon, severity: notice, tag: gw-1 }",
    );
    assert_eq!(
        (full.header, full.facility),
        (Header::Rfc3164, Facility::Daemon)
    );
    assert_eq!((full.severity, &*full.tag), (Severity::Notice, "gw-1"));
}

#[test]
fn every_problem_is_said() {
    for (text, expected) in [
        (
            "nowhere",
            "unknown value `nowhere`, expected one of `stdout`, `off`",
        ),
        (
            "{ file: /a, syslog: \"unix:/b\" }",
            "expected one of `file` and `syslog`, found both",
        ),
        ("{ file: '' }", "expected the path of a file, found ``"),
        ("{ rotate: { size: 1MiB } }", "there is no `file` to rotate"),
        (
            "{ file: /a, rotate: { keep: 1 } }",
            "expected `size`, `every`, or both",
        ),
        (
            "{ file: /a, rotate: { size: 1KiB } }",
            "expected at least `1MiB`, found `1KiB`",
        ),
        (
            "{ file: /a, rotate: { every: 59s } }",
            "expected at least `1m`, found `59s`",
        ),
        (
            "{ file: /a, rotate: { every: 1m, keep: 0 } }",
            "expected 1 to 1000 files, found 0",
        ),
        (
            "{ syslog: \"/dev/log\" }",
            "expected a receiver such as `unix:/dev/log`, `udp://10.0.0.1:514` or \
             `tcp://10.0.0.1:601`, found `/dev/log`",
        ),
        (
            "{ syslog: { to: \"unix:/dev/log\", tag: 'a b' } }",
            "expected 1 to 48 letters, digits, `-`, `_` and `.`, found `a b`",
        ),
        ("{ fields: [] }", "expected 1 to 64 fields, found 0"),
        (
            "{ fields: [status, status] }",
            "the field `status` is there twice",
        ),
        (
            "{ fields: [status, { status: route }] }",
            "the field `status` is there twice",
        ),
        (
            "{ fields: [{ a: route, b: route }] }",
            "expected one name with its expression, such as `agent: \
             request.headers[\"user-agent\"]`, found 2",
        ),
        (
            "{ fields: [{ 'a b': route }] }",
            "expected a name of 1 to 64 letters, digits, `-`, `_` and `.`, found `a b`",
        ),
        (
            "{ format: combined, fields: [status] }",
            "the format `combined` has its own fields",
        ),
        (
            "{ fields: [{ a: \"request.headers['Authorization'].substring(0, 20)\" }] }",
            "the field `authorization` may hold a secret, and cannot be masked in what an expression \
             makes of it",
        ),
        (
            "{ fields: [{ a: \"'x' + request.cookies.sid\" }] }",
            "the cookie `sid` may hold a secret, and cannot be masked in what an expression makes of it",
        ),
        (
            "{ fields: [{ a: \"request.query.token + ''\" }] }",
            "the parameter `token` may hold a secret, and cannot be masked in what an expression \
             makes of it",
        ),
        (
            "{ fields: [{ a: 'request.target.trim()' }] }",
            "the target may hold a secret, and cannot be masked in what an expression makes of it",
        ),
        (
            "{ redact: { fields: ['a b'] } }",
            "expected the name of a header field, found `a b`",
        ),
        (
            "{ redact: { query: ['-'] } }",
            "expected the name of a parameter, found `-`",
        ),
        (
            "{ redact: { show: { fields: [Cookie] } } }",
            "`cookie` is never shown",
        ),
        ("{ sample: 101% }", "expected at most `100%`, found `101%`"),
    ] {
        assert_eq!(built(text).unwrap_err(), [expected], "{text}");
    }
    let wrong = |text: &str| built(text).unwrap_err().concat();
    assert!(wrong("{ fields: [statu] }").contains("`statu`"));
    assert!(wrong("{ fields: [{ a: reqest.path }] }").contains("did you mean"));
    assert!(wrong("{ when: '1 + 1' }").contains("expected a condition"));
    assert!(wrong("{ files: /a }").contains("files"));
}
