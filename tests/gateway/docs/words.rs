//! The words that the gateway has for what goes wrong, on the page and in the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What stands in front of such a word, up to its quote.
const BEFORE: [&str; 8] = [
    "Reply::problem(",
    "reason: ",
    "fault(",
    "Self::new(",
    "REASON: &str = ",
    "refuse(",
    "fault_of_ours(",
    "unavailable(",
];

/// The code at a path, and all that is below it.
fn sources(path: PathBuf, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            sources(entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
        found.push(path);
    }
}

/// The word in front of which this stands: the first text among the arguments, if it is one word.
fn word(rest: &str) -> Option<&str> {
    let end = rest.find([';', '{', '}']).unwrap_or(rest.len());
    let (_, text) = rest[..end].split_once('"')?;
    let word = text.split('"').next()?;
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    (!word.is_empty() && word.chars().all(plain)).then_some(word)
}

fn in_the_code(parts: &[&str]) -> BTreeSet<String> {
    let mut files = Vec::new();
    for part in parts {
        sources(Path::new(ROOT).join(part), &mut files);
    }
    let mut words = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for before in BEFORE {
            let found = code.split(before).skip(1).filter_map(word);
            words.extend(found.map(str::to_owned));
        }
    }
    words
}

fn on_the_page() -> BTreeSet<String> {
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/operating.md")).unwrap();
    column(&page, "| word | status | the request |\n|---|---|---|\n", 1)
}

/// The words that the page of a filter has.
fn on_the_page_of(filter: &str) -> BTreeSet<String> {
    let page = Path::new(ROOT).join(format!("docs/filters/{filter}.md"));
    let page = std::fs::read_to_string(page).unwrap();
    column(
        &page,
        "| what happens | what the client gets |\n|---|---|\n",
        2,
    )
}

/// The words in one column of the table with this head.
fn column(page: &str, head: &str, column: usize) -> BTreeSet<String> {
    let (_, table) = page.split_once(head).unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').nth(column).unwrap());
    let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let words = quoted.filter(|text| !text.contains(' ')); // as fields have
    words.map(str::to_owned).collect()
}

fn assert_same(code: &BTreeSet<String>, page: &BTreeSet<String>) {
    let missing: Vec<_> = code.difference(page).collect();
    let gone: Vec<_> = page.difference(code).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
    assert!(gone.is_empty(), "not in the code: {gone:?}");
}

#[test]
fn the_page_has_all_words_of_the_gateway_and_no_other() {
    let (code, page) = (
        in_the_code(&["src/proxy", "src/listen/http1"]),
        on_the_page(),
    );
    assert!(code.len() > 20, "{code:?}");
    assert_same(&code, &page);
}

#[test]
fn the_pages_of_filters_that_change_bodies_have_all_of_their_words() {
    const OF_ALL: &str = "filters/transform/workers.rs";
    for (filter, parts) in [
        ("json", &["filters/transform/json", OF_ALL][..]),
        (
            "template",
            &[
                "filters/transform/template",
                "filters/transform/json/entity.rs",
                "filters/transform/json/plain.rs",
                OF_ALL,
            ],
        ),
    ] {
        let code = in_the_code(parts);
        assert!(code.len() > 5, "{filter}: {code:?}");
        assert_same(&code, &on_the_page_of(filter));
    }
}
