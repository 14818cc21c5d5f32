//! The Debian package, made of the program under test: what it holds, and how it is installed,
//! upgraded, removed and purged. So is what it brings along: manual pages and completions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::harness::wiregate;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What a command prints; it has to succeed.
fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", all(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn all(output: &Output) -> String {
    let [said, why] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{}\n{said}{why}", output.status)
}

/// The package, in this folder. It is not made as small as one that is released.
fn package(folder: &Path) -> PathBuf {
    let script = Path::new(ROOT).join("scripts/build-deb.sh");
    let mut command = Command::new(script);
    command
        .arg(env!("CARGO_BIN_EXE_wiregate"))
        .arg(folder)
        .args(["--strip", "--fast"]);
    let made = PathBuf::from(said(&mut command).trim());
    assert!(made.starts_with(folder), "{}", made.display());
    made
}

#[test]
fn lintian_lets_it_pass_and_it_is_installed_upgraded_removed_and_purged() {
    let folder = tempfile::tempdir().unwrap();
    let made = package(folder.path());
    let first = folder.path().join("1.deb");
    std::fs::rename(made, &first).unwrap();
    std::thread::scope(|scope| {
        let checked = scope.spawn(|| assert_eq!(lintian(&first), ""));
        if possible() {
            live_with_it(folder.path());
        } else {
            eprintln!("no root of its own can be had here: the package was not installed");
        }
        checked.join().unwrap();
    });
}

/// What Debian's checker finds wrong with a package.
fn lintian(package: &Path) -> String {
    let mut lintian = Command::new("lintian");
    lintian
        .args(["--allow-root", "--no-cfg", "--fail-on", "error,warning"])
        .args(["--tag-display-limit", "0"])
        .arg(package);
    said(&mut lintian)
}

/// Installs it, upgrades it, and so on, in a root of its own.
fn live_with_it(folder: &Path) {
    let scripts = Path::new(ROOT).join("tests/gateway/deb");
    let output = namespaces()
        .arg("sh")
        .arg(scripts.join("root.sh"))
        .env("FOLDER", folder)
        .env("SCRIPTS", scripts)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let expected = include_str!("deb/expected.txt");
    assert!(said == expected, "{}", all(&output));
}

#[test]
fn its_version_and_its_changelog_are_those_of_the_program() {
    let changelog = std::fs::read_to_string(Path::new(ROOT).join("conf/debian/changelog")).unwrap();
    let first = changelog.lines().next().unwrap();
    let version = concat!("wiregate (", env!("CARGO_PKG_VERSION"), "-1) ");
    assert!(first.starts_with(version), "{first}");
}

#[test]
fn its_configuration_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    std::fs::copy(Path::new(ROOT).join("conf/debian/wiregate.yaml"), &file).unwrap();
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    let answer = said(wiregate(&["check", "--config"]).arg(&file));
    assert_eq!(
        answer,
        format!(
            "{} is good: 1 listener, 1 route, 0 upstreams\n",
            file.display()
        )
    );
    // Reached from this machine only, unless somebody says otherwise.
    let text = std::fs::read_to_string(file).unwrap();
    for bind in text.split("bind: ").skip(1) {
        assert!(
            bind.starts_with("\"127.0.0.1:") || bind.starts_with("\"unix:/run/wiregate/"),
            "{bind}"
        );
    }
}

#[test]
fn manual_pages_tell_all_and_formatters_have_no_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    said(
        wiregate(&["man", "--date", "2026-11-26", "--out"])
            .arg(out)
            .env("WIREGATE_CONFIG", "/must/not/matter"),
    );
    let page = |name: &str| {
        std::fs::read_to_string(out.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let mut expected: BTreeSet<String> = BTreeSet::from(["wiregate.yaml.5".to_owned()]);
    commands("wiregate", &[], &mut expected);
    assert!(expected.contains("wiregate-cache-purge.1"), "{expected:?}");
    for filter in wiregate::filters::all().names() {
        expected.insert(format!("wiregate-filter-{filter}.5"));
    }
    let entries = std::fs::read_dir(out).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.collect::<BTreeSet<_>>(), expected);

    // The day is told by whoever builds, or else by the release.
    let dated = |environment: &[(&str, &str)], more: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let mut man = wiregate(&["man", "--out", folder.path().to_str().unwrap()]);
        man.args(more).env_remove("SOURCE_DATE_EPOCH");
        let output = man.envs(environment.iter().copied()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let page = std::fs::read_to_string(folder.path().join("wiregate.1"));
        page.map_err(|_| (output.status.code(), said))
    };
    let epoch = [("SOURCE_DATE_EPOCH", "86400")];
    let released = include_str!("../../conf/debian/changelog");
    let released = released.lines().find(|line| line.starts_with(" -- "));
    let mut words = released.unwrap().rsplit_once(", ").unwrap().1.split(' ');
    let day = format!("-{:0>2}", words.next().unwrap());
    let year = words.nth(1).unwrap();
    let undated = dated(&[], &[]).unwrap();
    let of_release = |word: &str| word.contains(&format!("{year}-")) && word.contains(&day);
    let told = undated.split_whitespace().any(of_release);
    assert!(told, "{released:?}: {undated}");
    assert!(dated(&epoch, &[]).unwrap().contains("1970-01-02"));
    let day = ["--date", "2026-12-24"];
    assert!(dated(&epoch, &day).unwrap().contains("2026-12-24"));
    let (code, said_of_epoch) = dated(&[("SOURCE_DATE_EPOCH", "now")], &[]).unwrap_err();
    assert_eq!(code, Some(1));
    assert_eq!(
        said_of_epoch,
        "wiregate: SOURCE_DATE_EPOCH: expected seconds since 1970, found `now`\n"
    );
    let (code, said_of_day) = dated(&[], &["--date", "today"]).unwrap_err();
    assert_eq!(code, Some(2));
    assert!(said_of_day.contains("expected a day such as `2026-11-26`"));

    let keys = said(&mut wiregate(&["schema"]));
    let keys: serde_json::Value = serde_json::from_str(&keys).unwrap();
    let file = page("wiregate.yaml.5");
    for key in keys["properties"].as_object().unwrap().keys() {
        assert!(file.contains(&format!(".TP\n\\fB{key}\\fR")), "{key}");
    }
    assert!(page("wiregate-filter-rate_limit.5").contains(".TP\n\\fBburst\\fR"));
    assert!(page("wiregate.1").contains("78\nThe configuration is refused"));
    for name in &expected {
        assert!(!page(name).contains("must/not/matter"), "{name}");
        assert_formats(&out.join(name));
    }
}

/// The pages that a command and those under it should have, by what `--help` lists.
fn commands(page: &str, words: &[&str], pages: &mut BTreeSet<String>) {
    pages.insert(format!("{page}.1"));
    let help = said(wiregate(words).arg("--help"));
    let listed = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
    let listed = listed.split("\n\n").next().unwrap();
    for line in listed.lines() {
        let Some(name) = line
            .strip_prefix("  ")
            .filter(|rest| !rest.starts_with(' '))
        else {
            continue;
        };
        let name = name.split(' ').next().unwrap();
        if name != "help" {
            let words: Vec<_> = words.iter().copied().chain([name]).collect();
            commands(&format!("{page}-{name}"), &words, pages);
        }
    }
}

/// Neither groff nor mandoc finds anything wrong with a page.
fn assert_formats(page: &Path) {
    let groff = Command::new("man")
        .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
        .arg(page)
        .env("MANROFFSEQ", "")
        .env("MANWIDTH", "80")
        .output()
        .unwrap();
    assert!(groff.status.success(), "{}", all(&groff));
    assert!(
        groff.stderr.is_empty(),
        "{}: {}",
        page.display(),
        all(&groff)
    );
    let mandoc = Command::new("mandoc")
        .args(["-T", "lint", "-W", "error"])
        .arg(page)
        .output()
        .unwrap();
    assert!(mandoc.status.success(), "{}", all(&mandoc));
}

#[test]
fn the_configuration_in_the_manual_is_good() {
    let text = std::fs::read_to_string(Path::new(ROOT).join("src/cli/man/file.md")).unwrap();
    let fences = super::fences::fences(&text);
    assert_eq!(fences.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, &fences[0].text).unwrap();
    let answer = said(wiregate(&["check", "--config"]).arg(&file));
    assert!(
        answer.ends_with("1 listener, 1 route, 1 upstream\n"),
        "{answer}"
    );
}

#[test]
fn completions_are_understood_by_their_shells() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let file = folder.path().join(shell);
        std::fs::write(&file, said(&mut wiregate(&["completions", shell]))).unwrap();
        said(Command::new(shell).arg("-n").arg(&file));
    }
    let bash = ". \"$1\"; COMP_WORDS=(wiregate up); COMP_CWORD=1; _wiregate wiregate up wiregate; \
                echo \"${COMPREPLY[@]}\"";
    let fish = "source $argv[1]; complete --do-complete 'wiregate up'";
    let completed = |shell: &str, script: &str| {
        let mut command = Command::new(shell);
        command.args(["-c", script]);
        if shell == "bash" {
            command.arg("bash");
        }
        // Nothing of whoever runs the test.
        command.env("HOME", folder.path());
        said(command.arg(folder.path().join(shell)))
    };
    assert_eq!(completed("bash", bash).trim(), "upgrade");
    assert!(completed("fish", fish).starts_with("upgrade\t"));
    let unknown = wiregate(&["completions", "sh"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2), "{}", all(&unknown));
}

/// A command in namespaces that end with it.
fn namespaces() -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--pid",
        "--mount",
        "--net",
        "--ipc",
        "--fork",
        "--kill-child",
    ]);
    command
}

/// Whether this is root on a Debian machine, where this machine's files can be overlaid.
fn possible() -> bool {
    let script = "mount --make-rprivate / && mount -t tmpfs none /mnt && cd /mnt && \
                  mkdir upper work root && \
                  mount -t overlay none -o lowerdir=/,upperdir=upper,workdir=work root && \
                  chroot root dpkg-query --show systemd";
    let output = namespaces().args(["sh", "-c", script]).output();
    output.is_ok_and(|output| output.status.success())
}
