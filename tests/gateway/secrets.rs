//! What references in a `match` resolve to is shown nowhere, whatever is wrong with its route.

use std::process::Output;

use super::harness::{Gateway, complete, wiregate};

/// Each with a value that its key takes.
const SECRETS: [(&str, &str); 8] = [
    ("S_HOST", "s3cr3t-host.example"),
    ("S_PATH", "s3cr3tpath"),
    ("S_METHOD", "S3CR3TMETHOD"),
    ("S_TEXT", "s3cr3tvalue"),
    ("S_SHORT", "q7"),
    ("S_BAD", " s3cr3tbad"),
    ("S_CLIENT", "203.0.113.77"),
    ("S_JUNK", "s3cr3t (junk"),
];

/// One for each key of a match, and each form of a condition.
const MATCHES: [&str; 16] = [
    "host: '${env:S_HOST}'",
    "host: ['*.${env:S_HOST}', a.test]",
    "path: '/${env:S_PATH}'",
    "path: '/${env:S_PATH}/{id}/**'",
    "path: '~ /${env:S_PATH}[0-9]+'",
    "methods: ['${env:S_METHOD}']",
    "headers: { X-Token: '${env:S_TEXT}' }",
    "headers: { x-token: 'Bearer ${env:S_SHORT}' }",
    "headers: { x-token: { prefix: '${env:S_TEXT}' } }",
    "headers: { x-token: { regex: '${env:S_TEXT}[0-9]+' } }",
    "headers: { x-token: { any_of: [a, '${env:S_TEXT}'] } }",
    "query: { token: '${env:S_TEXT}' }",
    "query: { token: '${env:S_SHORT}' }",
    "cookies: { k: '${env:S_TEXT}' }",
    "client: ['${env:S_CLIENT}', 10.0.0.0/8]",
    "when: 'request.query.token == \"${env:S_TEXT}\"'",
];

/// Matches that are wrong by themselves.
const WRONG: [&str; 9] = [
    "headers: { x-token: '${env:S_BAD}' }",
    "host: ['${env:S_HOST}', '${env:S_HOST}']",
    "path: ['/${env:S_PATH}', '/${env:S_PATH}']",
    "path: '/${env:S_PATH}/a%2Fb'",
    "host: '${env:S_JUNK}'",
    "methods: '${env:S_JUNK}'",
    "client: '${env:S_JUNK}'",
    "headers: { x-token: { regex: '${env:S_JUNK}' } }",
    "when: 'request.query.a == ${env:S_JUNK}'",
];

fn route(name: &str, matching: &str, more: &str) -> String {
    format!("  - {{ name: {name}, match: {{ {matching} }}, filters: [respond: ok]{more} }}\n")
}

#[track_caller]
fn shows_nothing(what: &str, said: &str) {
    for (name, secret) in SECRETS {
        // Two letters may stand anywhere.
        let shown = match secret {
            "q7" => said.contains("=q7") || said.contains(" q7") || said.contains("`q7"),
            secret => said.to_lowercase().contains(&secret.trim().to_lowercase()),
        };
        assert!(!shown, "{name} in what {what} says:\n{said}");
    }
    assert!(!said.to_lowercase().contains("s3cr3t"), "{what}: {said}");
}

fn all(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn no_problem_of_a_route_shows_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let path = file.display().to_string();
    std::fs::write(
        &file,
        complete(
            folder.path(),
            "routes: [{ name: a, filters: [respond: ok] }]",
            "{}",
        ),
    )
    .unwrap();
    let gateway = Gateway::start_as(folder, &file, |command| {
        command.envs(SECRETS);
    });
    let mut cases = Vec::new();
    for matching in MATCHES {
        let a = route("a", matching, "");
        cases.push((a.clone() + &route("b", matching, ""), "equally specific"));
        cases.push((
            a + &route("b", matching, ", priority: 1"),
            "can never match",
        ));
    }
    cases.extend(WRONG.map(|matching| (route("a", matching, ""), "error: ")));
    for (routes, expected) in &cases {
        gateway.write(&format!("routes:\n{routes}"));
        let config = ["--config", &path];
        for format in ["text", "json"] {
            let command = [&["check"], &config[..], &["--format", format]].concat();
            let output = wiregate(&command).envs(SECRETS).output().unwrap();
            assert_eq!(output.status.code(), Some(78), "{routes}");
            let said = all(&output);
            assert!(format == "json" || said.contains(expected), "{said}");
            // The lines of the file show references.
            shows_nothing(routes, &said);
        }
        let answer = gateway.admin("POST", "/reload");
        assert_eq!(answer.status, 422, "{}", answer.text());
        shows_nothing(routes, &answer.text());
    }
    gateway.tells("ERROR");
    shows_nothing("the log", &gateway.log());
}

#[test]
fn explain_shows_references_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let path = file.display().to_string();
    for (at, matching) in MATCHES.iter().enumerate() {
        let routes = route("a", matching, "") + &route("b", "", "");
        let text = complete(folder.path(), &format!("routes:\n{routes}"), "{}");
        std::fs::write(&file, text).unwrap();
        // One that it does not take, where its path can be had without the secret, and one that
        // it takes.
        let urls = [
            "http://x.test/s/1",
            "http://s3cr3t-host.example/s3cr3tpath/1?token=s3cr3tvalue",
        ];
        for format in ["text", "json"] {
            let command = [
                "explain", "--config", &path, "--format", format, "GET", urls[0],
            ];
            let output = wiregate(&command).envs(SECRETS).output().unwrap();
            let said = all(&output);
            shows_nothing(matching, &said);
            if !(2..=4).contains(&at) {
                assert!(said.contains("${env:S_"), "{matching}: {said}");
            }
        }
        let command = [
            "explain", "--config", &path, "--format", "json", "GET", urls[1],
        ];
        let output = wiregate(&command).envs(SECRETS).output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        // What was asked for is the caller's own; what the routes say is not.
        let misses = told["near_misses"].to_string();
        let misses = misses.replace("host `s3cr3t-host.example` is not", "");
        shows_nothing(matching, &misses.replace("token is `s3cr3tvalue`", ""));
        for part in ["name", "host", "path"] {
            shows_nothing(matching, &told["route"][part].to_string());
        }
    }
}

/// The hashes of a password and of a key, with a mistake beside them on demand.
fn hashes(mistake: &str) -> String {
    format!(
        "consumers: {{ ann: {{ credentials: {{ basic_auth: {{ password_hash: \"{ARGON2}\" }}, api_key: {{ sha256: {SHA256} }}{mistake} }} }} }}\n\
         routes:\n  - {{ name: all, filters: [\n      basic_auth: {{ users: [{{ name: bob, password_hash: \"{BCRYPT}\"{mistake} }}] }},\n      \
         api_key: {{ keys: [{{ name: eve, sha256: {SHA256}{mistake} }}] }}, respond: ok] }}\n"
    )
}

const ARGON2: &str =
    "$argon2id$v=19$m=32,t=1,p=1$c29tZXNhbHQ$5zx/jyoRMtGMqnHPNG4/zX0ga7sQc3SBqZsrhnbLP3Y";
const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuuv1uPsmDSDoBmnHzpfFQ6Smfn7GwYk1i";
const SHA256: &str = "bbdf631a00750a8d62cd7ffb016df9f58cf2cc4e31928005978769ee0adbb74f";

#[test]
fn hashes_of_passwords_and_keys_are_not_shown_again() {
    let gateway = Gateway::start(&hashes(""));
    let shown = gateway.admin("GET", "/config").json();
    let user = &shown["config"]["consumers"]["ann"]["credentials"]["basic_auth"];
    assert_eq!(user["password_hash"], "[hidden]");
    let mut said = vec![
        gateway.admin("GET", "/config").text(),
        gateway.admin("GET", "/config?format=yaml").text(),
    ];
    gateway.write(&hashes(", nmae: x"));
    let refused = gateway.admin("POST", "/reload");
    assert_eq!(refused.status, 422);
    assert!(
        refused.text().matches("unknown key `nmae`").count() >= 3,
        "{}",
        refused.text()
    );
    said.push(refused.text());
    let file = gateway.file("wiregate.yaml");
    let output = wiregate(&["check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("password_hash: ****"), "{told}");
    said.extend([told, gateway.log()]);
    for text in said {
        for hash in [ARGON2, BCRYPT, SHA256] {
            let part = &hash[hash.len() - 12..];
            assert!(!text.contains(part), "{part} in {text}");
        }
    }
}

#[test]
fn hashes_are_not_shown_where_nothing_decodes_them() {
    let gateway = Gateway::start(&hashes(""));
    for (mistake, told) in [
        // The quote is not closed.
        (
            "filters: [basic_auth: { users: [{ name: bob, password_hash: \"HASH }] }]",
            "error",
        ),
        (
            "filters: [basic_auht: { users: [{ name: bob, password_hash: \"HASH\" }] }]",
            "basic_auht",
        ),
        (
            "filters: [api_key: { kyes: [{ name: eve, sha256: HASH }] }]",
            "kyes",
        ),
        (
            "filters: [api_key: { keys: [{ name: eve, sha526: HASH }] }]",
            "sha526",
        ),
    ] {
        for hash in [ARGON2, BCRYPT, SHA256] {
            let line = mistake.replace("HASH", hash);
            gateway.write(&format!("routes:\n  - {{ name: all, {line} }}\n"));
            let refused = gateway.admin("POST", "/reload");
            assert_eq!(refused.status, 422, "{line}");
            let output = wiregate(&["check", "--config"])
                .arg(gateway.file("wiregate.yaml"))
                .output()
                .unwrap();
            let report = String::from_utf8(output.stderr).unwrap();
            assert!(report.contains(told), "{report}");
            assert!(report.contains(": ********"), "its line is shown: {report}");
            for text in [refused.text(), report, gateway.log()] {
                for part in [&hash[30..42], &hash[hash.len() - 12..]] {
                    assert!(!text.contains(part), "{part} in {text}");
                }
            }
        }
    }
}
