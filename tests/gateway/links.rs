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

/// Paths in backticks, in the guides and in the house that the page about the architecture shows.
#[test]
fn paths_in_the_guides_exist() {
    let pages = Pages::new();
    let mut looked_at = 0;
    for page in guides() {
        let text = pages.read(&page).unwrap();
        for path in quoted(&text).filter(|path| is_ours(path)) {
            assert!(exists(path), "{}: `{path}` is not there", page.display());
            looked_at += 1;
        }
    }
    assert!(looked_at > 40, "only {looked_at} paths were found");
}

#[test]
fn the_house_is_as_the_page_shows_it() {
    let page = Pages::new()
        .read(Path::new("docs/architecture.md"))
        .unwrap();
    let (_, rest) = page.split_once("## The house\n\n```\n").unwrap();
    let house = rest.split("```").next().unwrap();
    let mut folder = "";
    let mut shown = HashSet::new();
    for line in house.lines().filter(|line| !line.starts_with("    ")) {
        let inside = line.starts_with("  ");
        let name = line.split_whitespace().next().unwrap();
        let path = match inside {
            true => format!("{folder}{name}"),
            false => name.to_owned(),
        };
        assert!(root().join(&path).exists(), "`{path}` is not there");
        if !inside {
            folder = name;
        }
        shown.insert(path.trim_end_matches('/').to_owned());
    }
    for folder in ["", "src"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = Path::new(folder).join(&name).display().to_string();
            let is_folder = entry.file_type().unwrap().is_dir() && !name.starts_with('.');
            let is_made = ["target", "proptest-regressions"].contains(&&*name);
            let told = !is_folder || is_made || shown.iter().any(|it| it.starts_with(&path));
            assert!(told, "the page does not show `{path}`");
        }
    }
}

/// What stands between backticks in a page, fences aside.
fn quoted(page: &str) -> impl Iterator<Item = &str> {
    let prose = page.split("\n```").step_by(2);
    prose.flat_map(|text| text.split('`').skip(1).step_by(2))
}

/// Whether this is a path of the project, as against one of the system, a URL or a word.
fn is_ours(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let first = text.split('/').next().unwrap_or_default();
    let mut folders = HOMES.iter();
    text.contains('/')
        && first != "target" // what is built is there once it is
        && text.chars().all(is_plain)
        && folders.any(|home| root().join(home).join(first).is_dir() && !first.is_empty())
}

/// Where paths in the pages begin: at the top of the project, or where sources are.
const HOMES: [&str; 5] = ["", "src", "filters", "filters/traffic", "src/cache/store"];

fn exists(path: &str) -> bool {
    let mut homes = HOMES.iter();
    homes.any(|home| root().join(home).join(path).exists())
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
