//! The files that the program writes about itself are as the program would write them now.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::harness::wiregate;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn schema() -> String {
    let output = wiregate(&["schema"]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The files of a folder by name.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|_| panic!("{}", folder.display()));
    let each = entries.map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    });
    each.collect()
}

#[test]
fn who_has_seen_enough_of_the_schema_may_stop_reading() {
    let mut command = wiregate(&["schema"]);
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut line).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_schema_in_conf_is_the_programs() {
    let written = std::fs::read_to_string(root().join("conf/schema.json")).unwrap_or_default();
    assert!(
        written == schema(),
        "conf/schema.json is not up to date: run `make schema`"
    );
}

#[test]
fn the_pages_in_docs_are_the_programs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    assert!(
        wiregate(&["docs", "--out", out])
            .status()
            .unwrap()
            .success()
    );
    let metrics = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap_or_default();
    assert!(
        std::fs::read_to_string(folder.path().join("metrics.md")).unwrap() == metrics,
        "docs/metrics.md is not up to date: run `make docs`"
    );
    let now = files(&folder.path().join("filters"));
    let written = files(&root().join("docs/filters"));
    assert_eq!(
        now.keys().collect::<Vec<_>>(),
        written.keys().collect::<Vec<_>>(),
        "docs/filters has other pages: run `make docs`"
    );
    for (name, text) in now {
        assert!(
            text == written[&name],
            "docs/filters/{name} is not up to date: run `make docs`"
        );
    }
}

#[test]
fn who_asks_for_pages_says_where_they_go() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["docs", "man"] {
        let output = wiregate(&[command]).current_dir(&folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("--out <OUT>"), "{said}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{command}");
    }
}

#[test]
fn every_filter_has_a_page_with_an_example_and_every_option_a_meaning() {
    let pages = files(&root().join("docs/filters"));
    let list = &pages["README.md"];
    for entry in wiregate::filters::all().entries() {
        let name = entry.name;
        let page = &pages[&format!("{name}.md")];
        assert!(page.starts_with(&format!("# `{name}`\n\n")), "{page}");
        assert!(page.contains("```yaml\n"), "{name} has no example");
        assert!(list.contains(&format!("[`{name}`]({name}.md): ")), "{list}");
        for row in page.lines().filter(|line| line.starts_with("| `")) {
            let meaning = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            assert!(meaning.len() > 3, "{name}: {row}");
        }
        for link in page.split("](#").skip(1) {
            let anchor = &link[..link.find(')').unwrap()];
            let heading = |line: &str| {
                let heading = line.strip_prefix("## ")?;
                Some(heading.to_lowercase().replace(' ', "-"))
            };
            let found = page
                .lines()
                .filter_map(heading)
                .any(|heading| heading == anchor);
            assert!(found, "{name} has no section {anchor}");
        }
    }
}

/// The examples on the pages: each is a list of filters. That they are good is tested elsewhere.
#[test]
fn the_examples_on_the_pages_fit_the_schema() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let mut seen = 0;
    for (name, page) in files(&root().join("docs/filters")) {
        for example in examples(&page) {
            let filters: serde_json::Value = serde_yaml::from_str(example).unwrap();
            let config = serde_json::json!({
                "version": 1,
                "listeners": { "public": { "bind": "127.0.0.1:0" } },
                "upstreams": { "app": { "endpoints": ["127.0.0.1:9001"] } },
                "routes": [{ "name": "all", "filters": filters, "upstream": "app" }],
            });
            let problems = validator.iter_errors(&config).map(|e| e.to_string());
            let problems: Vec<_> = problems.collect();
            assert!(problems.is_empty(), "{name}: {config:#} {problems:?}");
            seen += 1;
        }
    }
    assert!(seen >= wiregate::filters::all().names().count());
}

fn examples(page: &str) -> impl Iterator<Item = &str> {
    let blocks = page.split("```yaml\n").skip(1);
    blocks.map(|block| &block[..block.find("```").unwrap()])
}

/// Whether a configuration is good.
fn is_good(file: &Path) -> bool {
    let output = wiregate(&["check", "--config"]).arg(file).output().unwrap();
    output.status.success()
}

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn the_schema_is_valid_and_accepts_what_the_gateway_accepts() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let mut found = Vec::new();
    for folder in ["conf", "benches"] {
        yaml_files(&root().join(folder), &mut found);
    }
    // Rules for Prometheus, and what Kubernetes reads.
    found.retain(|file| !file.ends_with("alerts.yaml") && !file.ends_with("kubernetes.yaml"));
    assert!(!found.is_empty());
    for file in found {
        let text = std::fs::read_to_string(&file).unwrap();
        let config: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let problems: Vec<_> = validator
            .iter_errors(&config)
            .map(|e| e.to_string())
            .collect();
        assert!(problems.is_empty(), "{}: {problems:?}", file.display());
    }
}

#[test]
fn the_schema_refuses_what_the_gateway_refuses() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let good = "version: 1\nlisteners: { public: { bind: \"127.0.0.1:8080\" } }\n\
                upstreams: { app: { endpoints: [\"127.0.0.1:9001\"] } }\n\
                routes: [{ name: all, filters: [ip: { allow: 10.0.0.0/8 }], upstream: app }]\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.yaml");
    let both = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let config: serde_json::Value = serde_yaml::from_str(text).unwrap();
        (validator.is_valid(&config), is_good(&file))
    };
    assert_eq!(both(good), (true, true));
    for (from, to) in [
        ("version: 1", "version: one"),
        ("version: 1\n", ""),
        ("routes:", "route:"),
        ("name: all", "nam: all"),
        ("name: all, ", ""),
        ("upstream: app }]", "upstream: [app] }]"),
        ("ip: { allow", "ipp: { allow"),
        ("ip: { allow", "ip: { alow"),
        ("allow: 10.0.0.0/8", "allow: { net: 10.0.0.0/8 }"),
        (
            "[ip: { allow: 10.0.0.0/8 }]",
            "[{ ip: { allow: 10.0.0.0/8 }, respond: 204 }]",
        ),
        ("endpoints: [\"127.0.0.1:9001\"]", "endpoints: 5"),
        (
            "endpoints: [\"127.0.0.1:9001\"]",
            "endpoint: [\"127.0.0.1:9001\"]",
        ),
        (
            "endpoints: [\"127.0.0.1:9001\"]",
            "endpoints: [{ address: \"127.0.0.1:9001\", weight: 0 }]",
        ),
        ("\"127.0.0.1:8080\"", "[8080]"),
        ("version: 1", "version: 1\nworkers: 0"),
        ("version: 1", "version: 1\nlimits: { drain_deadline: [5] }"),
        ("version: 1", "version: 1\naccess_log: nowhere"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good);
        assert_eq!(both(&text), (false, false), "schema and gateway on\n{text}");
    }
}
