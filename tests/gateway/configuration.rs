//! What `wiregate check` says of ugly files, and that `run` and the admin API say the same.

mod credentials;
mod mistakes;

use std::fmt::Write;
use std::path::Path;
use std::process::Output;

use self::mistakes::mistakes;
use super::harness::wiregate;

const LISTENER: &str = "version: 1\nlisteners: { public: { bind: \"127.0.0.1:0\" } }\n";
const UPSTREAM: &str = "upstreams: { app: { endpoints: [\"127.0.0.1:9001\"] } }\n";

/// A configuration that is good, but for its last line.
fn with(line: &str) -> Vec<u8> {
    format!("{LISTENER}{UPSTREAM}{line}\n").into()
}

/// A good route with these filters, as the fourth line of a configuration.
fn filters(filters: &str) -> Vec<u8> {
    with(&format!(
        "routes: [{{ name: all, upstream: app, filters: [{filters}] }}]"
    ))
}

/// What a command says of a file in a folder, with the exit code. Paths are relative to it.
fn said(folder: &Path, command: &[&str]) -> (String, Option<i32>) {
    let output = wiregate(command)
        .current_dir(folder)
        .env("WIREGATE_LOG", "off")
        .env_remove("NO_SUCH_VARIABLE")
        .output()
        .unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let said = String::from_utf8(stderr).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    let printed = String::from_utf8(stdout).unwrap();
    (printed + &said, status.code())
}

fn check(folder: &Path) -> (String, Option<i32>) {
    said(folder, &["check", "--config", "w.yaml"])
}

#[test]
fn what_is_to_be_logged_has_to_be_understood() {
    let command = |log: &str| {
        let mut command = wiregate(&["schema"]);
        command.env("WIREGATE_LOG", log).output().unwrap()
    };
    assert!(command("warn,wiregate=debug").status.success());
    let output = command("warn,wiregate=debgu");
    assert_eq!((output.status.code(), output.stdout), (Some(2), Vec::new()));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("wiregate: WIREGATE_LOG: "), "{said}");
    assert!(said.contains("expected one of"), "{said}");
}

/// Each with what it says: the message, its place, and what helps.
#[test]
fn each_mistake_is_told_with_its_place_and_what_helps() {
    let mut wrong = String::new();
    for (text, expected) in mistakes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("w.yaml"), &text).unwrap();
        let (said, code) = check(folder.path());
        let mut missing: Vec<_> = expected.to_vec();
        missing.retain(|expected| !said.contains(expected));
        // A start says the same, word for word, and starts nothing.
        let run = self::said(folder.path(), &["run", "--config", "w.yaml"]);
        if !missing.is_empty()
            || code != Some(78)
            || !said.ends_with(" in 1 file\n")
            || run != (said.clone(), code)
        {
            let shown = String::from_utf8_lossy(&text[..text.len().min(300)]);
            writeln!(wrong, "{missing:?} of\n{shown}\nin\n{said}\n{code:?}\n").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_is_no_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    for (path, why) in [
        ("missing.yaml", "no such file"),
        ("folder", "expected a file, found a directory"),
        (
            "/dev/zero",
            "expected a regular file, found a device or a pipe",
        ),
    ] {
        for command in ["check", "run"] {
            let (said, code) = said(folder.path(), &[command, "--config", path]);
            assert_eq!(code, Some(78), "{said}");
            assert!(
                said.contains(&format!("cannot read `{path}`: {why}")),
                "{said}"
            );
        }
    }
}

const TEN: &str = r#"version: 2
worker: 2
listeners:
  public: { bind: "127.0.0.1:70000" }
  one: { bind: "127.0.0.1:8080" }
  two: { bind: "127.0.0.1:8080" }
upstreams:
  app:
    endpoints: [{ address: "127.0.0.1:9001", weight: 0 }]
  other: { endpoints: [] }
filters:
  office: { ip: { alow: 10.0.0.0/8 } }
  keys: { api_key: { keys: [{ name: a, key: "${env:NO_SUCH_VARIABLE}" }] } }
routes:
  - name: first
    match: { path: /a, methods: [GET], hots: a.example }
    filters: [offce, respond: 204, office]
    upstream: ap
  - name: second
    match: { path: /b }
    filters: [{ ip: { allow: 10.0.0.0/8 }, respond: 204 }]
  - name: second
    match: { path: /c }
    upstream: app
"#;

const THEY: [(u64, &str); 14] = [
    (1, "expected version 1, found 2"),
    (2, "unknown key `worker`"),
    (
        4,
        "expected an address and a port such as `10.0.0.1:8080`, or `unix:/path`, found `127.0.0.1:70000`",
    ),
    (
        6,
        "the listener `two` and the listener `one` have the same address",
    ),
    (9, "expected a whole number from 1 to 4294967295, found `0`"),
    (10, "upstream `other` has no endpoints"),
    (12, "unknown key `alow`"),
    (
        13,
        "`${env:NO_SUCH_VARIABLE}`: the variable `NO_SUCH_VARIABLE` is not set",
    ),
    (16, "unknown key `hots`"),
    (17, "unknown filter `offce`"),
    (17, "`office` never runs: `respond` answers every request"),
    (18, "unknown upstream `ap`"),
    (21, "expected one filter, found `ip` and `respond`"),
    (22, "two routes are named `second`"),
];

#[test]
fn all_problems_are_told_at_once_and_none_that_only_follows() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("w.yaml"), TEN).unwrap();
    let (text, code) = check(folder.path());
    assert_eq!(code, Some(78));
    let told: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("error: "))
        .collect();
    assert_eq!(told, THEY.map(|(_, message)| message), "{text}");
    assert!(text.ends_with("14 problems in 1 file\n"), "{text}");

    let command = ["check", "--config", "w.yaml", "--format", "json"];
    let output = wiregate(&command)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let problems: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let told: Vec<_> = problems
        .iter()
        .map(|problem| {
            (
                problem["line"].as_u64().unwrap(),
                problem["message"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, THEY);
    for problem in &problems {
        assert_eq!(problem["file"], "w.yaml");
        assert!(problem["column"].as_u64().unwrap() > 0, "{problem}");
    }
    assert_eq!(problems[9]["help"], "did you mean `office`?");

    // A start says the same, word for word.
    let (run, code) = said(folder.path(), &["run", "--config", "w.yaml"]);
    assert_eq!((run, code), (text, Some(78)));
}

#[test]
fn a_typo_in_a_section_is_told_and_not_what_it_defines() {
    let folder = tempfile::tempdir().unwrap();
    for (text, message) in [
        (
            "filter: { office: { ip: { allow: 10.0.0.0/8 } } }\n\
             routes: [{ name: a, upstream: app, filters: [office] }]\n",
            "unknown key `filter`",
        ),
        (
            "filters: { office: { ip: { allow: 10.0.0.0 } } }\nroutes:\n  \
             - { name: a, upstream: app, filters: [office], match: { path: /a } }\n  \
             - { name: b, upstream: app, filters: [office], match: { pat: /b } }\n",
            "unknown key `pat`",
        ),
    ] {
        let text = format!("{LISTENER}{UPSTREAM}{text}");
        std::fs::write(folder.path().join("w.yaml"), text).unwrap();
        let (said, code) = check(folder.path());
        assert_eq!(code, Some(78), "{said}");
        assert!(said.starts_with(&format!("error: {message}\n")), "{said}");
        assert!(said.ends_with("1 problem in 1 file\n"), "{said}");
    }
}

#[test]
fn a_good_file_is_good_and_says_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("w.yaml"),
        filters("ip: { allow: 127.0.0.0/8 }"),
    )
    .unwrap();
    let (said_, code) = check(folder.path());
    assert_eq!(code, Some(0), "{said_}");
    assert_eq!(said_, "w.yaml is good: 1 listener, 1 route, 1 upstream\n");
    let command = ["check", "--config", "w.yaml", "--format", "json"];
    assert_eq!(said(folder.path(), &command), ("[]\n".to_owned(), Some(0)));
}

#[test]
fn a_problem_in_an_included_file_names_that_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    std::fs::write(
        folder.path().join("w.yaml"),
        format!("{LISTENER}{UPSTREAM}include: conf.d/*.yaml\n"),
    )
    .unwrap();
    std::fs::write(
        folder.path().join("conf.d/a.yaml"),
        "routes:\n  - { name: a, upstream: ap }\nupstreams:\n  app: { endpoints: [] }\n",
    )
    .unwrap();
    let (said, code) = check(folder.path());
    assert_eq!(code, Some(78), "{said}");
    for expected in ["conf.d/a.yaml:4:3", "defined twice", "::: w.yaml:3:14"] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
}

#[test]
fn thousands_of_mistakes_are_told_soon_and_not_one_by_one() {
    let mut text = format!("{LISTENER}routes:\n");
    for n in 0..5000 {
        let line = format!("  - {{ name: r{n}, match: {{ path: /p{n} }}, filters: [nope: 1] }}\n");
        text.push_str(&line);
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("w.yaml"), &text).unwrap();
    let begun = std::time::Instant::now();
    let (said, code) = check(folder.path());
    let took = begun.elapsed();
    assert!(took.as_secs() < 20, "{took:?}");
    assert_eq!(code, Some(78));
    assert_eq!(said.matches("unknown filter `nope`").count(), 100);
    // They are told in the order of the file: the routes begin on its fourth line.
    let more = "error: and 4900 more problems, from here on\n   --> w.yaml:104:";
    assert!(said.contains(more), "{said}");
}
