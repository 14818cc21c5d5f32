//! The table of defaults in the guide.

/// Adds the values that are their own names, under what they belong to.
macro_rules! add {
    ($all:ident, $under:literal: $($field:ident),+ $(,)?) => {
        $($all.add(concat!($under, ".", stringify!($field)), &$field);)+
    };
}

mod limits;
mod listeners;
mod logs;
mod upstreams;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use serde::de::DeserializeOwned;

#[test]
fn defaults_in_the_guide_are_those_of_the_code() {
    let mut told = table("docs/limits.md", "The table");
    let limits: Vec<_> = told.keys().cloned().collect();
    let others = table("docs/configuration.md", "Defaults");
    assert!(
        limits.iter().all(|key| !others.contains_key(key)),
        "a default is told in one place"
    );
    told.extend(others);
    assert_eq!(told, defaults());
}

#[test]
fn all_that_bounds_clients_is_in_the_table_of_limits() {
    let limits = table("docs/limits.md", "The table");
    let bounds = [
        "limits.",
        "max_connections",
        "proxy_protocol.timeout",
        "tls.handshake_timeout",
    ];
    let all = defaults().into_keys();
    let expected = all.filter(|key| bounds.iter().any(|bound| key.starts_with(bound)));
    assert_eq!(
        limits.into_keys().collect::<Vec<_>>(),
        expected.collect::<Vec<_>>()
    );
}

/// The first two columns of the table in a section of a page.
fn table(page: &str, section: &str) -> BTreeMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let mut cells = line.split('|').skip(1).map(|cell| cell.trim());
        let mut next = || cells.next().unwrap().trim_matches('`').to_owned();
        (next(), next())
    })
    .collect()
}

/// Every default of the model. The patterns are without `..`, so that none is forgotten; only that of an
/// upstream has one, whose parts follow.
fn defaults() -> BTreeMap<String, String> {
    let mut all = Defaults::default();
    limits::add(&mut all);
    listeners::add(&mut all);
    logs::add(&mut all);
    upstreams::add(&mut all);
    all.0
}

/// What stands where nothing is written, by its key.
#[derive(Default)]
struct Defaults(BTreeMap<String, String>);

impl Defaults {
    fn add(&mut self, key: &str, value: &dyn Display) {
        let before = self.0.insert(key.to_owned(), value.to_string());
        assert_eq!(before, None, "{key} is told twice");
    }
}

/// What is made of the least that can be written.
fn decoded<T: DeserializeOwned>(text: &str) -> T {
    let mut value = wiregate::value::read(&"<default>".into(), text).unwrap();
    wiregate::testing::resolve(&mut value);
    wiregate::value::decode(&value).unwrap()
}

fn optional<T: Display>(value: Option<T>) -> String {
    value.map_or("none".to_owned(), |value| value.to_string())
}
