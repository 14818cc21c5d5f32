//! What the guides show is true: their configurations are good, their defaults those of the code.

mod containers;
mod defaults;
mod operating;
mod security;
mod words;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;

use super::fences::{Fence, fences};
use super::harness::wiregate;

/// Its fences are the code and the configuration of a package that tests them.
const TESTED_ELSEWHERE: &str = "writing-a-filter.md";
/// The keys of a route's `match`.
const MATCH: [&str; 8] = [
    "host", "path", "methods", "headers", "query", "cookies", "client", "when",
];

#[test]
fn configurations_in_the_guides_are_good() {
    let checked = check_pages(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"));
    assert!(checked >= 6, "only {checked} configurations were found");
}

#[test]
fn configurations_in_the_pages_of_filters_are_good() {
    let folder = tempfile::tempdir().unwrap();
    let written = wiregate(&["docs", "--out"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(written.status.success(), "{written:?}");
    let checked = check_pages(&folder.path().join("filters"));
    let filters = wiregate::filters::all().names().count();
    assert!(
        checked >= filters,
        "{checked} configurations for {filters} filters"
    );
}

#[test]
fn a_wrong_option_in_a_page_is_noticed() {
    let page = "```yaml\n- rate_limit: 100/min\n- rate_limit: { limits: 1/s }\n```\n";
    let fence = fences(page).remove(0);
    let output = check(&complete(&fence.text).unwrap());
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `limit`?"));
}

/// Checks the configurations in a folder's pages; returns how many there are.
fn check_pages(folder: &Path) -> usize {
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.extension().is_none_or(|kind| kind != "md") || name == TESTED_ELSEWHERE {
            continue;
        }
        let page = std::fs::read_to_string(&path).unwrap();
        for Fence { line, text, .. } in fences(&page).into_iter().filter(is_yaml) {
            let place = format!("{name}:{line}");
            let configuration =
                complete(&text).unwrap_or_else(|| panic!("{place}: what is this part of?\n{text}"));
            let output = check(&configuration);
            let problems = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{place}:\n{problems}");
            checked += 1;
        }
    }
    checked
}

fn is_yaml(fence: &Fence) -> bool {
    fence.language == "yaml"
}

/// A whole configuration out of a part of one: filters of a route, a `match`, or some of the
/// top-level keys. `None` where it is nothing of that.
fn complete(text: &str) -> Option<String> {
    let mut keys = text
        .lines()
        .filter(|line| !line.starts_with([' ', '#']) && !line.is_empty());
    let first = keys.clone().next()?;
    if first.starts_with("- ") {
        return Some(with_what_is_missing(&routes_with(text)));
    }
    let key = |line: &'_ str| line.split(':').next().unwrap_or("").to_owned();
    if keys.all(|line| MATCH.contains(&&*key(line))) {
        let matching = indented(text, 6);
        let route = format!("routes:\n  - name: one\n    upstream: app\n    match:\n{matching}");
        return Some(with_what_is_missing(&route));
    }
    let schema = wiregate::config::schema::schema(&wiregate::filters::all());
    let known = schema["properties"].get(key(first)).is_some();
    known.then(|| with_what_is_missing(text))
}

/// A route with the filters of a list, and another one behind each filter that answers: it leaves nothing to those
/// behind it.
fn routes_with(list: &str) -> String {
    let known = wiregate::filters::all();
    let mut routes = String::from("routes:\n");
    let mut answered = true;
    for (number, line) in list.lines().enumerate() {
        if let Some(filter) = line.strip_prefix("- ") {
            if answered {
                let _ = writeln!(
                    routes,
                    "  - name: r{number}\n    match: {{ path: '/r{number}/{{id}}/**' }}\n    upstream: app\n    filters:"
                );
            }
            let word = filter.split(':').next().unwrap_or(filter);
            answered = known.get(word).is_some_and(|entry| entry.answers);
        }
        let _ = writeln!(routes, "      {line}");
    }
    routes
}

/// Adds the keys that must be there, and the upstreams that routes name.
fn with_what_is_missing(text: &str) -> String {
    let mut whole = text.to_owned();
    let has = |key: &str| {
        text.lines()
            .any(|line| line.starts_with(&format!("{key}:")))
    };
    if !has("version") {
        whole.push_str("version: 1\n");
    }
    if !has("listeners") {
        whole.push_str("listeners: { public: { bind: \"127.0.0.1:8080\" } }\n");
    }
    if !has("routes") {
        whole.push_str("routes: [{ name: all, filters: [{ respond: 204 }] }]\n");
    }
    if !has("upstreams") {
        let lines = || text.lines().map(str::trim);
        let whole_ones = lines().filter_map(|line| line.strip_prefix("upstream: "));
        let split = lines().filter_map(|line| line.strip_prefix("split: {")?.strip_suffix('}'));
        let shares = split.flat_map(|shares| shares.split(','));
        let shared = shares.filter_map(|share| Some(share.split_once(':')?.0.trim()));
        let mut named: Vec<_> = whole_ones.chain(shared).collect();
        named.sort_unstable();
        named.dedup();
        if !named.is_empty() {
            whole.push_str("upstreams:\n");
        }
        for name in named {
            let _ = writeln!(whole, "  {name}: {{ endpoints: [\"127.0.0.1:9001\"] }}");
        }
    }
    whole
}

fn indented(text: &str, by: usize) -> String {
    let lines = text.lines().map(|line| format!("{:by$}{line}\n", ""));
    lines.collect()
}

/// Runs `wiregate check`, with a value for each variable that the configuration asks for.
fn check(configuration: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, configuration).unwrap();
    std::fs::write(folder.path().join("upstreams.yaml"), "").unwrap();
    certificates(folder.path());
    let variables = configuration.split("${env:").skip(1).map(|rest| {
        let name = rest.split('}').next().unwrap();
        (name, format!("value-of-{name}-that-is-long-enough"))
    });
    wiregate(&["check", "--config"])
        .arg(&file)
        .envs(variables)
        .output()
        .unwrap()
}

/// The certificates that the guides name.
fn certificates(folder: &Path) {
    let folder = folder.join("tls");
    std::fs::create_dir(&folder).unwrap();
    for (name, host) in [
        ("site", "example.com"),
        ("partners", "partners.example.com"),
        ("partners-ca", "ca"),
    ] {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), made.cert.pem()).unwrap();
        let key = made.signing_key.serialize_pem();
        std::fs::write(folder.join(format!("{name}.key")), key).unwrap();
    }
}
