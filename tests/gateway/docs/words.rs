//! The words that the gateway has for what goes wrong, on the page and in the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What stands in front of such a word, up to its quote.
const BEFORE: [&str; 5] = [
    "Reply::problem(",
    "reason: ",
    "fault(",
    "Self::new(",
    "REASON: &str = ",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
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

fn in_the_code() -> BTreeSet<String> {
    let mut files = Vec::new();
    for part in ["src/proxy", "src/listen/http1"] {
        sources(&Path::new(ROOT).join(part), &mut files);
    }
    let mut words = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for before in BEFORE {
            let found = code.split(before).skip(1).filter_map(word);
            words.extend(found.map(str::to_owned));
        }
    }
    words
}

fn on_the_page() -> BTreeSet<String> {
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/operating.md")).unwrap();
    let (_, table) = page
        .split_once("| word | status | the request |\n|---|---|---|\n")
        .unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap().to_owned());
    let words = cells.flat_map(|cell| {
        let words = cell.split('`').skip(1).step_by(2);
        words.map(str::to_owned).collect::<Vec<_>>()
    });
    words.collect()
}

#[test]
fn the_page_has_all_words_of_the_gateway_and_no_other() {
    let (code, page) = (in_the_code(), on_the_page());
    assert!(code.len() > 20, "{code:?}");
    let missing: Vec<_> = code.difference(&page).collect();
    let gone: Vec<_> = page.difference(&code).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
    assert!(gone.is_empty(), "not in the code: {gone:?}");
}
