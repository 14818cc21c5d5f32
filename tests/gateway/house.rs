//! The arrows of the house run one way, as docs/architecture.md shows them.

use std::path::{Path, PathBuf};

/// Parts of `src/`, and what else in there they may name.
const ARROWS: [(&str, &[&str]); 7] = [
    ("router", &[]),
    ("cache", &[]),
    ("echo", &[]),
    ("config", &["router", "upstream", "observe"]),
    ("upstream", &["config", "observe"]),
    (
        "compile",
        &[
            "admin", "cache", "config", "listen", "observe", "overload", "router", "upstream",
        ],
    ),
    (
        "proxy",
        &[
            "cache", "compile", "config", "listen", "observe", "overload", "router", "upstream",
        ],
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

/// The parts of this crate that a source file names.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split("crate::").skip(1);
    parts.map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[test]
fn parts_know_nothing_that_stands_above_them() {
    let src = root().join("src");
    let mut all = Vec::new();
    sources(&src, &mut all);
    assert!(all.len() > 100, "{}", all.len());
    let mut seen = 0;
    for file in all {
        let shown = file.strip_prefix(&src).unwrap();
        let part = shown.components().next().unwrap().as_os_str();
        let part = part.to_str().unwrap().trim_end_matches(".rs");
        let text = std::fs::read_to_string(&file).unwrap();
        let may = ARROWS.iter().find(|(name, _)| *name == part);
        for name in named(&text).filter(|name| src.join(name).exists()) {
            let own = name == part;
            assert!(
                name != "cli" || own,
                "src/{}: nobody knows `cli`",
                shown.display()
            );
            let Some((_, may)) = may else { continue };
            assert!(
                own || may.contains(&name),
                "src/{}: `{name}`",
                shown.display()
            );
            seen += 1;
        }
        let compiles = part == "proxy" && text.contains("compile::compile");
        assert!(!compiles, "src/{}: it never compiles", shown.display());
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn filters_know_the_contract_and_nothing_of_pingora() {
    let manifest = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let sdk = manifest("filters/sdk/Cargo.toml");
    let filters = manifest("filters/Cargo.toml");
    let needs = |text: &str, name: &str| text.lines().any(|line| line.starts_with(name));
    for name in ["pingora", "wiregate-filters", "wiregate."] {
        assert!(!needs(&sdk, name), "filters/sdk needs {name}");
    }
    assert!(needs(&filters, "wiregate-sdk"));
    for name in ["pingora", "wiregate."] {
        assert!(!needs(&filters, name), "filters needs {name}");
    }
}
