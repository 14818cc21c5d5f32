//! The callers that a configuration knows, in front of the filters that let them in.

use std::fmt::Write as _;

use serde_json::Value;

use super::filters::{forwarding, saw};
use super::harness::{Gateway, KEY_OF_ANN, KEY_OF_BOB, complete, echo, upstream, wiregate};

/// Of `open sesame`, as `htpasswd -B` makes it.
const BCRYPT: &str = "$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW";
const TOLD: &str = r#"headers: { request: { set: { x-consumer: "${consumer}", x-name: "${identity.name}", x-plan: "${identity.plan}", x-groups: "${identity.groups}" } } }"#;

fn told(answer: &super::harness::Answer) -> [Value; 4] {
    ["x-consumer", "x-name", "x-plan", "x-groups"].map(|field| saw(answer, field))
}

#[test]
fn are_let_in_by_what_they_show() {
    let (gateway, _origin) = forwarding(&format!(
        r#"consumers:
  acme:
    plan: gold
    groups: [partners, eu]
    credentials:
      api_key: {{ key: "${{env:KEY_OF_ANN}}" }}
      basic_auth: {{ name: bot, password_hash: "{BCRYPT}" }}
  umbrella: {{ credentials: {{ basic_auth: [{{ password: "${{env:KEY_OF_BOB}}" }}] }} }}
routes:
  - {{ name: keys, match: {{ path: /keys }}, filters: [api_key, {TOLD}], upstream: app }}
  - {{ name: users, match: {{ path: /users }}, filters: [basic_auth, {TOLD}], upstream: app }}
"#
    ));
    let key = format!("x-api-key: {KEY_OF_ANN}");
    let answer = gateway.ask("/keys", &["-H", &key]);
    assert_eq!(told(&answer), ["acme", "acme", "gold", "partners,eu"]);
    let answer = gateway.ask("/users", &["-u", "bot:open sesame"]);
    assert_eq!(told(&answer), ["acme", "bot", "gold", "partners,eu"]);
    let answer = gateway.ask("/users", &["-u", &format!("umbrella:{KEY_OF_BOB}")]);
    let [consumer, name, plan, _] = told(&answer);
    assert_eq!([consumer, name], ["umbrella", "umbrella"]);
    assert!(plan == "" || plan == Value::Null, "{plan}");
    for (path, arguments) in [
        ("/keys", ["-H", "x-api-key: bobs-key-0123456789"]),
        ("/users", ["-u", "acme:open sesame"]),
        ("/users", ["-u", "bot:open sesamee"]),
        ("/users", ["-u", "umbrella:open sesame"]),
    ] {
        assert_eq!(gateway.ask(path, &arguments).status, 401, "{arguments:?}");
    }
    let log = gateway.access_log(7);
    let logged = |line: usize| (log[line]["identity"].clone(), log[line]["consumer"].clone());
    assert_eq!(logged(0), ("acme".into(), "acme".into()));
    assert_eq!(logged(1), ("bot".into(), "acme".into()));
    assert_eq!(logged(3), (Value::Null, Value::Null));
}

#[test]
fn a_filter_with_a_list_of_its_own_lets_them_in_only_when_it_says_so() {
    let (gateway, _origin) = forwarding(
        r#"consumers: { acme: { credentials: { api_key: { key: "${env:KEY_OF_ANN}" } } } }
routes:
  - { name: own, match: { path: /own }, upstream: app,
      filters: [api_key: { keys: [{ name: bob, key: "${env:KEY_OF_BOB}" }] }] }
  - { name: both, match: { path: /both }, upstream: app,
      filters: [api_key: { consumers: true, keys: [{ name: bob, key: "${env:KEY_OF_BOB}" }] }] }
"#,
    );
    for (path, key, status) in [
        ("/own", KEY_OF_BOB, 200),
        ("/own", KEY_OF_ANN, 401),
        ("/both", KEY_OF_BOB, 200),
        ("/both", KEY_OF_ANN, 200),
    ] {
        let field = format!("x-api-key: {key}");
        assert_eq!(gateway.ask(path, &["-H", &field]).status, status, "{path}");
    }
}

/// What is said about a configuration that is refused.
fn refused(configuration: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.yaml");
    let origin = echo();
    let text = format!("{}{configuration}", upstream(&origin));
    std::fs::write(&file, complete(folder.path(), &text, "{}")).unwrap();
    let output = wiregate(&["check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_credential_that_is_given_twice_is_an_error_with_both_places() {
    let route = "routes: [{ name: all, filters: [api_key], upstream: app }]\n";
    for (credentials, other) in [
        (r#"api_key: { key: "${env:KEY_OF_ANN}" }"#, ""),
        (
            r#"basic_auth: { name: bot, password: "${env:KEY_OF_ANN}" }"#,
            "",
        ),
        (r#"jwt: { issuer: "https://a.example", subject: s }"#, ""),
    ] {
        let said = refused(&format!(
            "consumers:\n  a: {{ credentials: {{ {credentials} }} }}\n  b: {{ credentials: {{ {credentials} }} }}\n\
             {route}{other}"
        ));
        assert!(said.contains("found that of consumer `a`"), "{said}");
        assert!(said.contains("c.yaml:8:"), "the second: {said}");
        assert!(said.contains("c.yaml:7:"), "the first: {said}");
        assert!(!said.contains(KEY_OF_ANN), "{said}");
    }
    for (filter, credentials) in [
        (
            r#"api_key: { consumers: true, keys: [{ name: x, key: "${env:KEY_OF_ANN}" }] }"#,
            r#"api_key: { key: "${env:KEY_OF_ANN}" }"#,
        ),
        (
            r#"basic_auth: { consumers: true, users: [{ name: bot, password: "${env:KEY_OF_ANN}" }] }"#,
            r#"basic_auth: { name: bot, password: "${env:KEY_OF_BOB}" }"#,
        ),
    ] {
        let said = refused(&format!(
            "consumers:\n  a: {{ credentials: {{ {credentials} }} }}\n\
             routes:\n  - name: all\n    upstream: app\n    filters:\n      - {filter}\n"
        ));
        assert!(said.contains("found that of consumer `a`"), "{said}");
        assert!(said.contains("c.yaml:12:"), "the filter's: {said}");
        assert!(said.contains("c.yaml:7:"), "the consumer's: {said}");
    }
}

#[test]
fn a_filters_own_caller_has_no_consumers_name() {
    for filter in [
        r#"api_key: { keys: [{ name: ann, key: "${env:KEY_OF_BOB}" }] }"#,
        r#"api_key: { consumers: true, keys: [{ name: ann, key: "${env:KEY_OF_BOB}" }] }"#,
        r#"basic_auth: { users: [{ name: ann, password: "${env:KEY_OF_BOB}" }] }"#,
    ] {
        let said = refused(&format!(
            "consumers:\n  ann: {{ credentials: {{ api_key: {{ key: \"${{env:KEY_OF_ANN}}\" }} }} }}\n\
             routes:\n  - name: all\n    upstream: app\n    filters:\n      - {filter}\n"
        ));
        let why = "expected a name of its own, found that of consumer `ann`";
        assert!(said.contains(why), "{said}");
        assert!(said.contains("c.yaml:12:"), "the filter's: {said}");
        assert!(said.contains("c.yaml:7:"), "the consumer's: {said}");
        assert!(said.ends_with("1 problem in 1 file\n"), "{said}");
    }
}

#[test]
fn what_is_no_credential_is_refused_at_its_place() {
    let said = refused(
        "consumers:\n  a: { credentials: { api_key: { key: plain-0123456789 } } }\n  \
         b: { credentials: { api_key: {} } }\n  c: { credentials: { basic_auth: { name: 'x:y', password: '${env:KEY_OF_ANN}' } } }\n  \
         d: { credentials: { basic_auth: { password_hash: abc } } }\n  e: { credentials: { basic_auth: { name: e } } }\n  \
         f: { credential: {} }\n\
         routes: [{ name: all, filters: [basic_auth], upstream: app }]\n",
    );
    for why in [
        "expected a reference to a secret",
        "did you mean `credentials`?",
    ] {
        assert!(said.contains(why), "{why}: {said}");
    }
    let said = refused(
        "consumers:\n  b: { credentials: { api_key: {} } }\n  c: { credentials: { basic_auth: { name: 'x:y', password: '${env:KEY_OF_ANN}' } } }\n  \
         d: { credentials: { basic_auth: { password_hash: abc } } }\n  e: { credentials: { basic_auth: { name: e } } }\n\
         routes: [{ name: all, filters: [api_key], upstream: app }]\n",
    );
    for why in [
        "c.yaml:7:",
        "expected `key`, `sha256` or both",
        "expected a name without a colon",
        "expected a hash that begins with",
        "expected either `password_hash` or `password`",
    ] {
        assert!(said.contains(why), "{why}: {said}");
    }
    // There was to be a key.
    assert!(!said.contains("expected `keys`"), "{said}");
}

#[test]
fn a_filter_that_finds_nobody_is_refused_unless_the_reason_is_told_already() {
    let filters = "routes: [{ name: all, filters: [api_key, basic_auth], upstream: app }]\n";
    let nobody = [
        "expected `keys`, or `consumers:` in the configuration with an `api_key`",
        "expected `users`, `htpasswd`, or `consumers:` in the configuration with a `basic_auth`",
    ];
    for whole in ["", "consumers: { a: { plan: gold } }\n"] {
        let said = refused(&format!("{whole}{filters}"));
        for why in nobody {
            assert!(said.contains(why), "{why}: {said}");
        }
        assert!(said.ends_with("2 problems in 1 file\n"), "{said}");
    }
    for cut in [
        "consumers: { a: { credentials: { api_key: { key: '${env:NOT_SET}' } } } }\n",
        "consumers: { a: { credentials: { api_key: { sha256: abc } } } }\n",
        "consumers: { a: { credentials: { basic_auth: {} } } }\n",
        "consumer: { a: { credentials: { api_key: { key: '${env:KEY_OF_ANN}' } } } }\n",
    ] {
        let said = refused(&format!("{cut}{filters}"));
        assert!(said.ends_with("1 problem in 1 file\n"), "{said}");
        assert!(said.contains("c.yaml:"), "{said}");
    }
}

#[test]
fn many_are_known_from_several_files() {
    let folder = tempfile::tempdir().unwrap();
    let origin = echo();
    // Digests of nothing; the one key is of the last one.
    for file in 0..4 {
        let mut text = String::from("consumers:\n");
        for number in file * 5_000..(file + 1) * 5_000 {
            writeln!(
                text,
                "  c{number}: {{ plan: p, credentials: {{ api_key: {{ sha256: {number:016x}{:048} }} }} }}",
                0
            )
            .unwrap();
        }
        std::fs::write(folder.path().join(format!("c{file}.yaml")), text).unwrap();
    }
    let text = format!(
        "include: c*.yaml\n{}consumers: {{ ann: {{ credentials: {{ api_key: {{ key: '${{env:KEY_OF_ANN}}' }} }} }} }}\n\
         routes: [{{ name: all, filters: [api_key], upstream: app }}]\n",
        upstream(&origin)
    );
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, complete(folder.path(), &text, "{}")).unwrap();
    let gateway = Gateway::start_file(folder, &file);
    let field = format!("x-api-key: {KEY_OF_ANN}");
    assert_eq!(gateway.ask("/", &["-H", &field]).status, 200);
    assert_eq!(gateway.ask("/", &[]).status, 401);
}
