//! Links between the pages lead somewhere.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::harness::wiregate;

#[test]
fn links_in_the_pages_lead_somewhere() {
    let pages = Pages::new();
    let mut followed = 0;
    for page in ["README.md"].map(PathBuf::from).into_iter().chain(guides()) {
        let text = pages.read(&page).unwrap();
        for link in links(&text) {
            if link.starts_with("https://") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => page.clone(),
                path => tidy(&page.parent().unwrap().join(path)),
            };
            let there = pages.read(&target);
            let there =
                there.unwrap_or_else(|| panic!("{}: `{link}` leads to no file", page.display()));
            assert!(
                heading.is_empty() || headings(&there).contains(heading),
                "{}: `{link}` leads to no heading",
                page.display()
            );
            followed += 1;
        }
    }
    assert!(followed > 20, "only {followed} links were found");
}

#[test]
fn the_readme_lists_every_filter() {
    let readme = Pages::new().read(Path::new("README.md")).unwrap();
    for name in wiregate::filters::all().names() {
        let row = format!("| [`{name}`](docs/filters/{name}.md) |");
        assert!(readme.contains(&row), "{row}");
    }
}

/// The files of the project, with the generated pages as they would be written now.
struct Pages {
    generated: tempfile::TempDir,
}

impl Pages {
    fn new() -> Self {
        let generated = tempfile::tempdir().unwrap();
        let written = wiregate(&["docs", "--out"])
            .arg(generated.path())
            .status()
            .unwrap();
        assert!(written.success());
        Self { generated }
    }

    /// What a file holds; nothing for a folder.
    fn read(&self, path: &Path) -> Option<String> {
        let generated = path
            .strip_prefix("docs")
            .map(|name| self.generated.path().join(name));
        let file = match generated {
            Ok(file) if file.exists() => file,
            _ => root().join(path),
        };
        if file.is_dir() {
            return Some(String::new());
        }
        std::fs::read_to_string(file).ok()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn guides() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    let paths = names.map(|name| Path::new("docs").join(name));
    paths
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"))
        .collect()
}

/// The targets of the links in a page's text; what is in fences is none.
fn links(page: &str) -> Vec<&str> {
    let prose = page.split("\n```").step_by(2);
    prose
        .flat_map(|text| text.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .collect()
}

/// A path without `..` and `.`.
fn tidy(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(tidy.pop(), "{} leads out", path.display()),
            Component::CurDir => {}
            part => tidy.push(part),
        }
    }
    tidy
}

/// The names that links give to the headings of a page.
fn headings(page: &str) -> HashSet<String> {
    let lines = page.lines().filter(|line| line.starts_with('#'));
    let name = |line: &str| {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    lines.map(name).collect()
}
