//! The metrics as Prometheus and Grafana take them: names, alerts, the dashboard, and the page on what
//! to do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use regex::Regex;
use serde_json::Value;
use wiregate::observe::metrics::{Family, GROUPS};
use wiregate::upstream::Cause;

use super::exposition::Exposition;
use super::featured::Featured;
use crate::fences::fences;

pub const ALERTS: &str = "conf/alerts.yaml";
const CASES: &str = "tests/gateway/observe/alerts.yaml";
pub const DASHBOARD: &str = "conf/dashboard.json";
const PAGE: &str = "docs/alerts.md";

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

pub fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap()
}

/// Runs promtool, in the root of the project.
fn promtool(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of Debian's package prometheus");
    let mut stdin = child.stdin.take().unwrap();
    // What it does not read it does not want.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

pub fn all<'v>(value: &'v Value, path: &[&str]) -> Vec<&'v Value> {
    let Some((first, rest)) = path.split_first() else {
        return vec![value];
    };
    let each = value[first].as_array().into_iter().flatten();
    each.flat_map(|one| all(one, rest)).collect()
}

pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no `{key}` in {value}"))
}

/// The rules by their alerts.
fn alerts(rules: &Value) -> BTreeMap<&str, &Value> {
    let rules = all(rules, &["groups", "rules"]);
    rules
        .into_iter()
        .map(|rule| (text(rule, "alert"), rule))
        .collect()
}

/// Every expression of the dashboard, with values for what Grafana puts in.
fn dashboard() -> Vec<String> {
    let board: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let targets = all(&board, &["panels", "targets"]);
    let mut found: Vec<_> = targets.iter().map(|target| text(target, "expr")).collect();
    found.extend(
        all(&board["annotations"], &["list"])
            .iter()
            .map(|one| text(one, "expr")),
    );
    let variables = all(&board["templating"], &["list"]);
    let queries = variables
        .iter()
        .filter_map(|one| one["definition"].as_str());
    let queries = queries.map(|query| {
        let inside = query
            .strip_prefix("label_values(")
            .unwrap()
            .strip_suffix(')')
            .unwrap();
        inside.rsplit_once(", ").unwrap().0
    });
    found.extend(queries);
    found.into_iter().map(fill_in).collect()
}

/// An expression of the dashboard, with values for what Grafana puts in.
pub fn fill_in(expression: &str) -> String {
    let board: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let variables = all(&board["templating"], &["list"]);
    let names: BTreeSet<_> = variables.iter().map(|one| text(one, "name")).collect();
    let used = Regex::new(r"\$([a-z_]+)").unwrap();
    let filled = used.replace_all(expression, |found: &regex::Captures<'_>| match &found[1] {
        "__rate_interval" => "5m".to_owned(),
        name if names.contains(name) => ".*".to_owned(),
        name => panic!("the dashboard has no variable `{name}`"),
    });
    filled.into_owned()
}

/// The declared metric that a name in an expression is of.
fn family(name: &str) -> Option<&'static Family> {
    let mut all = GROUPS.iter().flat_map(|group| group.families);
    all.find(|family| {
        let rest = name.strip_prefix(family.name);
        rest.is_some_and(|rest| match family.kind {
            "histogram" => ["_bucket", "_sum", "_count"].contains(&rest),
            _ => rest.is_empty(),
        })
    })
}

/// The metrics that an expression asks for, each with the labels that it names and their values.
pub fn asked(expression: &str) -> Vec<(String, Vec<(String, String)>)> {
    let selector = Regex::new(r#"\b((?:wiregate|process)_\w+|up)\b(?:\{([^}]*)\})?"#).unwrap();
    let matcher = Regex::new(r#"(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)""#).unwrap();
    let found = selector.captures_iter(expression).map(|found| {
        let labels = found.get(2).map_or("", |labels| labels.as_str());
        let labels = matcher.captures_iter(labels);
        let labels = labels.map(|one| (one[1].to_owned(), one[2].to_owned()));
        (found[1].to_owned(), labels.collect())
    });
    found.collect()
}

/// A label and its values can be there.
fn check_label(name: &str, (label, value): &(String, String), expression: &str) {
    if ["job", "instance"].contains(&&**label) {
        return;
    }
    let family = family(name).unwrap_or_else(|| panic!("{name} has no labels: {expression}"));
    assert!(
        family.labels.contains(&&**label),
        "{name} has no `{label}`: {expression}"
    );
    let free = ["route", "upstream", "code"].contains(&&**label);
    for word in value.split('|').filter(|word| !free && *word != ".*") {
        let told = family.help.contains(&format!("`{word}`"));
        let cause = label == "error" && Cause::ALL.iter().any(|cause| cause.word() == word);
        assert!(
            told || cause,
            "{name} has no {label}=\"{word}\": {expression}"
        );
    }
}

#[test]
fn prometheus_finds_nothing_wrong_with_the_metrics_and_the_rules_name_no_others() {
    let featured = Featured::start();
    let scrape = featured.gateway.admin("GET", "/metrics").text();
    Exposition::parse(&scrape);
    let said = promtool(&["check", "metrics"], scrape.as_bytes());
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");

    let samples: BTreeSet<_> = (scrape.lines())
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .collect();
    let rules = yaml(ALERTS);
    let alerts = alerts(&rules);
    let mut expressions = dashboard();
    expressions.extend(alerts.values().map(|rule| text(rule, "expr").to_owned()));
    assert!(expressions.len() > 40, "{}", expressions.len());
    for expression in &expressions {
        let asked = asked(expression);
        assert!(!asked.is_empty(), "{expression}");
        for (name, labels) in asked.iter().filter(|(name, _)| name != "up") {
            assert!(
                samples.contains(&**name),
                "there is no {name}: {expression}"
            );
            labels
                .iter()
                .for_each(|label| check_label(name, label, expression));
        }
    }
    check_types(&scrape);
    check_commands(&featured, &alerts);
}

/// What is declared is what is told.
fn check_types(scrape: &str) {
    let kinds: HashMap<_, _> = (scrape.lines())
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    for family in GROUPS.iter().flat_map(|group| group.families) {
        assert_eq!(
            kinds.get(family.name),
            Some(&family.kind),
            "{}",
            family.name
        );
        let unit = match family.kind {
            "counter" => family.name.ends_with("_total"),
            "histogram" => family.name.ends_with("_seconds"),
            _ => !family.name.ends_with("_total"),
        };
        assert!(unit, "{}", family.name);
    }
    let declared = GROUPS.iter().flat_map(|group| group.families).count();
    assert_eq!(
        kinds.len(),
        declared,
        "something is told that is not declared"
    );
}

/// The commands on the page about alerts find what they look for.
fn check_commands(featured: &Featured, alerts: &BTreeMap<&str, &Value>) {
    let page = read(PAGE);
    let (file, socket) = (
        featured.gateway.file("wiregate.yaml"),
        featured.gateway.file("admin.sock"),
    );
    for alert in alerts.keys() {
        let section = section(&page, alert);
        let commands: Vec<_> = (fences(section).into_iter())
            .filter(|fence| fence.language == "sh")
            .collect();
        assert!(!commands.is_empty(), "{alert} has no command");
        for command in commands {
            let line = (command.text.trim())
                .replace("/etc/wiregate/wiregate.yaml", &file.display().to_string())
                .replace("/run/wiregate/admin.sock", &socket.display().to_string())
                .replace(
                    "wiregate check",
                    &format!("{} check", env!("CARGO_BIN_EXE_wiregate")),
                );
            let said = Command::new("sh").args(["-c", &line]).output().unwrap();
            let heard = !said.stdout.is_empty() || !said.stderr.is_empty();
            assert!(said.status.success() && heard, "{line}: {said:?}");
            check_pattern(&line, &String::from_utf8_lossy(&said.stdout));
        }
    }
}

/// Each name that a command looks for is found.
fn check_pattern(line: &str, found: &str) {
    let Some((_, pattern)) = line.split_once("grep ") else {
        return;
    };
    let pattern = pattern.trim_start_matches("-E ").trim_matches('\'');
    let pattern = pattern.trim_start_matches('^');
    let (head, rest) = pattern.split_once('(').unwrap_or((pattern, ""));
    let (choice, tail) = rest.rsplit_once(')').unwrap_or(("", ""));
    // Choices within choices are for grep alone.
    for one in choice.split('|').filter(|one| !one.contains(['(', ')'])) {
        let wanted = format!("{head}{one}{tail}");
        assert!(found.contains(&wanted), "{line}: no {wanted}");
    }
}

/// What stands under the heading of an alert.
fn section<'p>(page: &'p str, alert: &str) -> &'p str {
    let (_, section) = page
        .split_once(&format!("\n## {alert}\n"))
        .unwrap_or_else(|| panic!("{PAGE} has no section {alert}"));
    section.split("\n## ").next().unwrap()
}

#[test]
fn every_alert_fires_when_it_should_and_not_otherwise_and_leads_to_its_section() {
    for arguments in [["check", "rules", ALERTS], ["test", "rules", CASES]] {
        let said = promtool(&arguments, b"");
        assert!(said.status.success(), "{said:?}");
    }
    let (rules, cases, page) = (yaml(ALERTS), yaml(CASES), read(PAGE));
    let alerts = alerts(&rules);
    let tests = all(&cases, &["tests", "alert_rule_test"]);
    for (alert, rule) in &alerts {
        let of_it = tests
            .iter()
            .filter(|test| text(test, "alertname") == *alert);
        let raised: BTreeSet<bool> = of_it
            .map(|test| !test["exp_alerts"].as_array().unwrap().is_empty())
            .collect();
        assert_eq!(raised, BTreeSet::from([false, true]), "{alert}");
        let annotations = &rule["annotations"];
        let place = format!("{PAGE}#{}", alert.to_lowercase());
        assert_eq!(text(annotations, "runbook"), place);
        assert!(!text(annotations, "summary").is_empty());
        assert!(["critical", "warning"].contains(&text(&rule["labels"], "severity")));
        assert!(
            section(&page, alert).len() > 200,
            "{alert} has no section to speak of"
        );
    }
    let sections = page.lines().filter_map(|line| line.strip_prefix("## "));
    let sections: BTreeSet<_> = sections.collect();
    assert_eq!(sections, alerts.keys().copied().collect());
}

#[test]
fn prometheus_can_read_every_expression_of_the_dashboard() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yaml");
    let rule = |expression: &String| serde_json::json!({ "record": "x", "expr": expression });
    let rules: Vec<_> = dashboard().iter().map(rule).collect();
    assert!(rules.len() > 30);
    let check = |rules: &[Value]| {
        // Two that are alike are found fault with: each stands alone.
        let groups: Vec<_> = (rules.iter().enumerate())
            .map(|(number, rule)| {
                let mut rule = rule.clone();
                rule["record"] = format!("expression:{number}").into();
                serde_json::json!({ "name": format!("g{number}"), "rules": [rule] })
            })
            .collect();
        std::fs::write(&file, serde_json::json!({ "groups": groups }).to_string()).unwrap();
        promtool(&["check", "rules", Path::new(&file).to_str().unwrap()], b"")
    };
    let said = check(&rules);
    assert!(said.status.success(), "{said:?}");
    // It does look at them.
    assert!(
        !check(&[rule(&"sum(rate(x[5m])".to_owned())])
            .status
            .success()
    );
}
