//! The family that says who is calling: api_key, basic_auth.

use serde_json::Value;

use super::{filtering, reason, saw};
use crate::harness::{KEY_OF_ANN as KEY, until, upstream};

#[test]
fn api_key_finds_a_key_in_each_place_and_takes_it_out() {
    let (gateway, _origin) = filtering(
        r#"api_key: { from: [{ header: x-api-key }, { query: key }, { cookie: key }, { bearer: true }],
                      keys: [{ name: ann, key: "${env:KEY_OF_ANN}", groups: [readers] }] },
           headers: { request: { set: { x-user: "${identity.name}" } } }"#,
    );
    let field = |name: &str| format!("{name}{KEY}");
    let (header, cookie, bearer) = (
        field("x-api-key: "),
        field("cookie: a=b; key="),
        field("authorization: Bearer "),
    );
    let query = format!("/?a=b&key={}", KEY.replace('-', "%2D"));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for (path, field) in [
            ("/?a=b", &*header),
            (&*query, "x-x: y"),
            ("/?a=b", &cookie),
            ("/?a=b", &bearer),
        ] {
            let answer = gateway.ask(path, &[version, "-H", field]);
            assert_eq!(saw(&answer, "x-user"), "ann", "{path} {field} {version}");
            assert_eq!(answer.json()["query"], "a=b", "{path} {field}");
            assert!(!answer.text().contains("0123456789"), "{}", answer.text());
        }
        let answer = gateway.ask("/?a=b", &[version, "-H", &cookie]);
        assert_eq!(saw(&answer, "cookie"), "a=b");
    }
    for line in gateway.access_log(10) {
        assert_eq!(line["identity"], "ann");
        assert_eq!(line["target"], "/?a=b");
    }
    let log = std::fs::read_to_string(gateway.file("access.log")).unwrap();
    assert!(!log.contains("0123456789"), "{log}");
}

#[test]
fn api_key_tells_nobody_which_key_was_wrong() {
    let (gateway, _origin) = filtering(
        r#"api_key: { from: [{ query: key }, { bearer: true }], realm: orders, strip: false,
                      keys: [{ name: ann, key: "${env:KEY_OF_ANN}" }] }"#,
    );
    let nearly = format!("/?key={KEY}x");
    for (path, field, said) in [
        ("/", "x-x: y", "missing_api_key"),
        (&*nearly, "x-x: y", "invalid_api_key"),
        (&nearly, "authorization: Bearer other", "invalid_api_key"),
    ] {
        let answer = gateway.ask(path, &["-H", field]);
        assert_eq!((answer.status, &*reason(&answer)), (401, said), "{path}");
        let challenges = "Bearer realm=\"orders\", ApiKey realm=\"orders\"";
        assert_eq!(answer.header("www-authenticate"), challenges);
        assert!(!answer.text().contains(KEY), "{}", answer.text());
    }
    let kept = gateway.ask(&format!("/?key={KEY}"), &[]);
    assert_eq!(kept.json()["query"], format!("key={KEY}"), "`strip` is off");
    for line in gateway.access_log(4) {
        assert_eq!(line["target"], "/");
        let refused = line["status"] == 401;
        assert_eq!(line["refused_by"] == "api_key", refused, "{line}");
        assert_eq!(line["identity"] == "ann", !refused, "{line}");
    }
    gateway.counts("refusals", "all", "api_key", 3.0);
}

/// Of `correct horse`; cheap, and as dear as one should be.
const CHEAP: &str = "$argon2id$v=19$m=16,t=1,p=1$jUuUtrWI+gYkKn0S80ZWlg$FvpJESqrVRS0ebKG98pBXFBep84Wp5IcVbreOGfQ4m8";
const DEAR: &str = "$argon2id$v=19$m=19456,t=2,p=1$/jvgAeJP8eY2yVVnAO19Ag$TM/rk6/nqftEBcp3y92AQ8sRnpQzf+apwnSTDaH1hbE";
/// Of `open sesame`, as `htpasswd -B` makes it.
const BCRYPT: &str = "$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW";

#[test]
fn basic_auth_knows_users_by_both_kinds_of_hashes() {
    let (gateway, _origin) = filtering(&format!(
        r#"basic_auth: {{ realm: metrics, users: [
             {{ name: ann, password_hash: "{CHEAP}", groups: [admins] }},
             {{ name: bob, password_hash: "{BCRYPT}" }}] }},
           headers: {{ request: {{ set: {{ x-user: "${{identity.name}}" }} }} }}"#
    ));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for (user, password) in [("ann", "correct horse"), ("bob", "open sesame")] {
            let answer = gateway.ask("/", &[version, "-u", &format!("{user}:{password}")]);
            assert_eq!(saw(&answer, "x-user"), user, "{version}");
            assert_eq!(saw(&answer, "authorization"), Value::Null, "{version}");
        }
        for (user, said) in [
            ("ann:open sesame", "invalid_credentials"),
            ("bob:correct horse", "invalid_credentials"),
            ("eve:correct horse", "invalid_credentials"),
            ("ann:", "invalid_credentials"),
        ] {
            let answer = gateway.ask("/", &[version, "-u", user]);
            assert_eq!((answer.status, &*reason(&answer)), (401, said), "{user}");
            let challenge = "Basic realm=\"metrics\", charset=\"UTF-8\"";
            assert_eq!(answer.header("www-authenticate"), challenge);
        }
        let answer = gateway.ask("/", &[version]);
        assert_eq!(
            (answer.status, &*reason(&answer)),
            (401, "missing_credentials")
        );
    }
    let log = gateway.access_log(14);
    let of = |name: &str| log.iter().filter(|line| line["identity"] == name).count();
    assert_eq!((of("ann"), of("bob")), (2, 2));
    let refused = log.iter().filter(|line| line["refused_by"] == "basic_auth");
    assert_eq!(refused.count(), 10);
}

#[test]
fn basic_auth_verifies_a_user_once_in_a_while_only() {
    let (gateway, _origin) = filtering(&format!(
        r#"basic_auth: {{ users: [{{ name: ann, password_hash: "{DEAR}" }}] }}"#
    ));
    let spent = |password: fn(usize) -> String, status: u16| {
        let before = gateway.metric("process_cpu_seconds_total");
        for turn in 0..10 {
            let login = format!("ann:{}", password(turn));
            assert_eq!(gateway.ask("/", &["-u", &login]).status, status);
        }
        gateway.metric("process_cpu_seconds_total") - before
    };
    let first = ["-u", "ann:correct horse"];
    assert_eq!(gateway.ask("/", &first).status, 200);
    let again = spent(|_| "correct horse".to_owned(), 200);
    let others = spent(|turn| format!("wrong {turn}"), 401);
    assert!(again * 2.0 < others, "{again} s and {others} s");
    // What is remembered is one password, not the user.
    assert_eq!(gateway.ask("/", &["-u", "ann:another"]).status, 401);
}

#[test]
fn a_file_of_users_that_comes_after_the_configuration_is_read() {
    let (gateway, origin) = filtering("respond: ok");
    let file = gateway.folder().join("users");
    gateway.write(&format!(
        "{}routes: [{{ name: all, filters: [basic_auth: {{ htpasswd: {} }}], upstream: app }}]",
        upstream(&origin),
        file.display()
    ));
    let refused = |times: usize| {
        until("it is refused", || {
            gateway.log().matches("the running one stays").count() >= times
        });
    };
    refused(1);
    std::fs::write(&file, "ann;x\n").unwrap();
    refused(2);
    std::fs::write(&file, format!("ann:{BCRYPT}\n")).unwrap();
    let status = |user| gateway.ask("/", &["-u", user]).status;
    until("the users are asked for", || status("ann:x") == 401);
    assert_eq!(status("ann:open sesame"), 200);
}
