use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use super::*;
use crate::config::report;

/// A directory with these files in it.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn environment() -> Environment {
    Environment::new(|name| (name == "SET").then(|| "secret".into()), None)
}

fn load(directory: &tempfile::TempDir) -> (Sources, Result<Value, Vec<Problem>>) {
    result(read_all(
        &directory.path().join("main.yaml"),
        &environment(),
    ))
}

fn result(read: Read) -> (Sources, Result<Value, Vec<Problem>>) {
    let value = read.value.filter(|_| read.problems.is_empty());
    (read.sources, value.ok_or(read.problems))
}

/// The report, with the directory as `DIR`.
fn refused(directory: &tempfile::TempDir) -> String {
    let (sources, result) = load(directory);
    let shown = report::text(&result.expect_err("it was read"), &sources, false);
    shown.replace(&directory.path().display().to_string(), "DIR")
}

#[test]
fn included_files_are_merged_in_the_order_of_their_names() {
    let directory = directory(&[
        (
            "main.yaml",
            "version: 1\ninclude: [conf.d/*.yaml, more.yaml]\nupstreams: { a: 1 }\nroutes: [m]\n",
        ),
        ("conf.d/2.yaml", "routes: [two]\nfilters: { f: ~ }\n"),
        (
            "conf.d/1.yaml",
            "routes: [one]\nupstreams: { b: 2 }\ninclude: ../deep/x.yaml\n",
        ),
        ("conf.d/.hidden.yaml", "a: ["),
        ("conf.d/notes.txt", "a: ["),
        ("deep/x.yaml", "routes: [deep]\n"),
        ("more.yaml", ""),
    ]);
    let (sources, result) = load(&directory);
    let value = result.unwrap();
    let Node::Map(entries) = &value.node else {
        panic!("{value:?}");
    };
    let keys: Vec<_> = entries.iter().map(|(key, _)| key.name.as_str()).collect();
    assert_eq!(keys, ["version", "upstreams", "routes", "filters"]);
    let routes: Vec<String> = wiregate_sdk::value::decode(value.at("routes")).unwrap();
    assert_eq!(routes, ["m", "one", "deep", "two"]);
    let b = value.at("upstreams.b");
    assert!(b.place.file.ends_with("conf.d/1.yaml"));
    assert_eq!((b.place.line, sources.texts.len()), (2, 5));
    for name in [
        "main.yaml",
        "conf.d",
        "conf.d/1.yaml",
        "conf.d/../deep/x.yaml",
        "more.yaml",
    ] {
        let path = directory.path().join(name);
        let path = path.components().as_path();
        assert!(
            sources.watch.contains(path),
            "{path:?} in {:?}",
            sources.watch
        );
    }
}

#[test]
fn a_pattern_may_stand_for_nothing_and_never_for_its_own_file() {
    let directory = directory(&[
        (
            "main.yaml",
            "version: 1\ninclude: ['*.yaml', 'none.d/*.yaml']\n",
        ),
        ("other.yaml", "routes: [x]\n"),
    ]);
    let (sources, result) = load(&directory);
    assert!(result.unwrap().get("routes").is_some());
    assert!(sources.watch.contains(&directory.path().join("none.d")));
}

#[test]
fn a_file_that_is_meant_and_has_no_name_is_told_of() {
    let directory = directory(&[("main.yaml", "version: 1\ninclude: 'more/*.yaml'\n")]);
    let more = directory.path().join("more");
    fs::create_dir(&more).unwrap();
    let latin = |name: &[u8]| more.join(OsStr::from_bytes(name));
    fs::write(latin(b"gr\xf6\xdfe.txt"), "").unwrap();
    assert!(load(&directory).1.is_ok(), "nobody means that one");
    fs::write(latin(b"gr\xf6\xdfe.yaml"), "routes: [x]\n").unwrap();
    let said = refused(&directory);
    assert!(
        said.contains("the name of `DIR/more/gr\u{fffd}\u{fffd}e.yaml` is not UTF-8"),
        "{said}"
    );
    assert!(said.contains("main.yaml:2:"), "{said}");
}

#[test]
fn a_duplicate_name_shows_both_places() {
    let directory = directory(&[
        ("main.yaml", "include: b.yaml\nupstreams:\n  app: 1\n"),
        (
            "b.yaml",
            "version: 1\nroutes: { x: 1 }\nupstreams:\n  other: 1\n  app: 2\n",
        ),
    ]);
    assert_eq!(
        refused(&directory),
        "\
error: `version` is only possible in the main file
 --> DIR/b.yaml:1:1
  |
1 | version: 1
  | ^^^^^^^

error: `app` under `upstreams` is defined twice
 --> DIR/b.yaml:5:3
  |
5 |   app: 2
  |   ^^^
 ::: DIR/main.yaml:3:3
  |
3 |   app: 1
  |   --- first here

2 problems in 1 file
"
    );
}

#[test]
fn sections_of_two_files_must_be_of_one_kind() {
    let directory = directory(&[
        ("main.yaml", "include: b.yaml\nroutes: []\n"),
        ("b.yaml", "routes: {}\n"),
    ]);
    let shown = refused(&directory);
    assert!(
        shown.starts_with(
            "error: expected a list under `routes` as in the other file, found a map\n"
        )
    );
}

#[test]
fn circles_are_shown() {
    let directory = directory(&[
        ("main.yaml", "include: a.yaml\n"),
        ("a.yaml", "include: b.yaml\n"),
        ("b.yaml", "routes: []\ninclude:\n  - a.yaml\n"),
    ]);
    assert_eq!(
        refused(&directory),
        "\
error: files include each other: DIR/a.yaml -> DIR/b.yaml -> DIR/a.yaml
 --> DIR/b.yaml:3:5
  |
3 |   - a.yaml
  |     ^^^^^^

1 problem in 1 file
"
    );
}

#[test]
fn a_file_is_included_once() {
    let directory = directory(&[
        ("main.yaml", "include: [a.yaml, link.yaml]\n"),
        ("a.yaml", "routes: []\n"),
    ]);
    symlink(
        directory.path().join("a.yaml"),
        directory.path().join("link.yaml"),
    )
    .unwrap();
    let shown = refused(&directory);
    assert!(
        shown.starts_with("error: the file `DIR/link.yaml` is included twice\n"),
        "{shown}"
    );
    assert!(shown.contains("first here"));
}

#[test]
fn includes_cannot_go_down_for_ever() {
    let files: Vec<_> = (0..40)
        .map(|n| (format!("{n}.yaml"), format!("include: {}.yaml\n", n + 1)))
        .collect();
    let mut files: Vec<_> = files
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    files.push(("main.yaml", "include: 0.yaml\n"));
    let shown = refused(&directory(&files));
    assert!(shown.starts_with("error: expected at most 32 levels of files, found more\n"));
}

#[test]
fn bad_includes_are_told_where_they_are_written() {
    let directory = directory(&[
        (
            "main.yaml",
            "include:\n  - gone.yaml\n  - sub\n  - '*/x.yaml'\n  - { a: 1 }\n  - ${env:SET}.yaml\n",
        ),
        ("sub/x.yaml", ""),
    ]);
    let (_, result) = load(&directory);
    let found: Vec<_> = result
        .unwrap_err()
        .into_iter()
        .map(|p| {
            (
                p.place.line,
                p.message
                    .replace(&directory.path().display().to_string(), "DIR"),
            )
        })
        .collect();
    let expected = [
        (
            5,
            "expected a file such as `conf.d/*.yaml`, or a list of them",
        ),
        (2, "cannot read `DIR/gone.yaml`: no such file"),
        (
            3,
            "cannot read `DIR/sub`: expected a file, found a directory",
        ),
        (4, "`*` is only possible in the name of the file"),
        (6, "a reference is not possible in `include`"),
    ];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
}

#[test]
fn problems_of_all_files_come_together() {
    let directory = directory(&[
        ("main.yaml", "include: ['*.yaml']\ntoken: ${env:GONE}\n"),
        ("a.yaml", "routes: [\n"),
        ("b.yaml", "x: { a: 1, a: 2 }\n"),
    ]);
    let shown = refused(&directory);
    assert!(shown.contains("the variable `GONE` is not set"), "{shown}");
    assert!(shown.contains("`[` is never closed"));
    assert!(shown.contains("the key `a` is written twice"));
    assert!(shown.ends_with("3 problems in 3 files\n"));
}

/// The ugly files: each gives one clear problem.
#[test]
fn ugly_files_are_refused_in_words() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    let aliases = format!("a: &a x\nb:\n{}", "- *a\n".repeat((10 << 20) / 5 - 10));
    let long = "# x\n".repeat((10 << 20) / 4 + 1);
    let cases: [(&[u8], &str, &str); 11] = [
        (b"", "main.yaml\n", "the configuration is empty"),
        (b"# nothing\n", "main.yaml\n", "the configuration is empty"),
        (
            b"[1]\n",
            "main.yaml:1:1\n",
            "expected a map of `listeners`, `routes` and the like at the top",
        ),
        (
            b"a:\n\tb: 1\n",
            "main.yaml:2:1\n",
            "expected spaces, found a tab in the indentation",
        ),
        (
            b"\x7fELF\x02\x01\x01\0\0",
            "main.yaml:1:1\n",
            "expected text, found the control character U+007F",
        ),
        (
            b"a: 1\nb: \xc3\x28\n",
            "main.yaml:2:4\n",
            "expected UTF-8, found the byte 0xC3",
        ),
        (
            b"\xff\xfea\0",
            "main.yaml\n",
            "expected UTF-8, found UTF-16",
        ),
        (
            b"a: ${file:/no/such/file}\n",
            "main.yaml:1:4\n",
            "cannot read `${file:/no/such/file}`: no such file",
        ),
        (
            laughs.as_bytes(),
            "",
            "expected at most 2,000,000 values in a file, found more",
        ),
        (
            aliases.as_bytes(),
            "",
            "expected at most 2,000,000 values in a file, found more",
        ),
        (
            long.as_bytes(),
            "main.yaml\n",
            "cannot read `DIR/main.yaml`: expected at most 10 MiB, found more",
        ),
    ];
    for (bytes, place, message) in cases {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("main.yaml"), bytes).unwrap();
        let shown = refused(&directory);
        assert!(shown.starts_with(&format!("error: {message}\n")), "{shown}");
        assert!(shown.contains(place), "{place:?} is not in {shown}");
        assert!(shown.ends_with("1 problem in 1 file\n"), "{shown}");
    }
}

#[test]
fn what_is_no_file_is_refused() {
    for (path, why) in [
        ("/no/such/file.yaml", "no such file"),
        (
            "/dev/zero",
            "expected a regular file, found a device or a pipe",
        ),
        ("/", "expected a file, found a directory"),
    ] {
        let (sources, result) = result(read_all(Path::new(path), &environment()));
        let shown = report::text(&result.unwrap_err(), &sources, false);
        let expected = format!("error: cannot read `{path}`: {why}\n --> {path}\n");
        assert!(shown.starts_with(&expected), "{shown}");
        assert!(sources.watch.contains(Path::new(path)));
    }
}

proptest::proptest! {
    #[test]
    fn never_panics_on_any_bytes(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("main.yaml"), bytes).unwrap();
        let (sources, result) = load(&directory);
        if let Err(problems) = result {
            assert!(report::text(&problems, &sources, true).contains("error"));
        }
    }
}
