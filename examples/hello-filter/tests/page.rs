//! What `docs/writing-a-filter.md` shows is the code of this package.

use std::fs;
use std::path::Path;
use std::process::Command;

const HERE: &str = env!("CARGO_MANIFEST_DIR");
const SHOWN: [&str; 6] = [
    "Cargo.toml",
    "wiregate.yaml",
    "src/main.rs",
    "src/api_version.rs",
    "src/daily_quota.rs",
    "src/redact.rs",
];

/// The fenced blocks of a page: language, text.
fn fences(page: &str) -> Vec<(String, String)> {
    let mut fences: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(language) => {
                open = true;
                fences.push((language.to_owned(), String::new()));
            }
            None if open => {
                let (_, text) = fences.last_mut().expect("one is open");
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    assert!(!open, "a fence is not closed");
    fences
}

/// Moves all lines in by so many spaces.
fn indented(text: &str, by: usize) -> String {
    let lines = text.lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("{:by$}{line}\n", ""),
    });
    lines.collect()
}

#[test]
fn the_page_shows_this_code() {
    let page = fs::read_to_string(Path::new(HERE).join("../../docs/writing-a-filter.md")).unwrap();
    let files = SHOWN.map(|file| fs::read_to_string(Path::new(HERE).join(file)).unwrap());
    let mut checked = 0;
    for (language, text) in fences(&page) {
        if language == "sh" {
            continue;
        }
        let found = [0, 4, 8].into_iter().any(|by| {
            let text = indented(&text, by);
            files
                .iter()
                .any(|file| file.starts_with(&text) || file.contains(&format!("\n{text}")))
        });
        assert!(found, "this is in no file of the example:\n{text}");
        checked += 1;
    }
    assert!(checked > 10, "the page shows {checked} pieces of code only");
}

#[test]
fn the_configuration_is_good() {
    let checked = Command::new(env!("CARGO_BIN_EXE_hello-filter"))
        .args(["check", "--config", &format!("{HERE}/wiregate.yaml")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
}
