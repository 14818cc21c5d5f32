//! The folder of a cache that cannot be had: a start and a reload are refused, and `wiregate check` warns.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use super::super::harness::{until, wiregate};
use super::reload::on_disk;
use super::*;

/// A configuration in a folder, whose cache has this disk.
fn configuration(folder: &Path, disk: &str) -> Command {
    let file = folder.join("wiregate.yaml");
    let text = format!(
        "version: 1\nlisteners: {{ public: {{ bind: \"127.0.0.1:0\" }} }}\n\
         caches:\n  pages: {{ disk: {{ {disk} }} }}\nroutes: [{{ name: all, filters: [respond: hello] }}]\n"
    );
    fs::write(&file, text).unwrap();
    checks(&file)
}

fn checks(file: &Path) -> Command {
    let mut command = wiregate(&["check", "--config"]);
    command.arg(file);
    command
}

/// Checks it, which is a warning, and starts it, which is refused; both say why.
fn is_refused_at_the_start(folder: &Path, disk: &str, why: &str) {
    let output = configuration(folder, disk).output().unwrap();
    let warned = said(&output);
    assert_eq!(output.status.code(), Some(0), "{disk}: {warned}");
    let warning = "wiregate: warning: the cache `pages` cannot have this folder: ";
    assert!(warned.contains(warning) && warned.contains(why), "{warned}");
    let output = wiregate(&["run", "--config"])
        .arg(folder.join("wiregate.yaml"))
        .output()
        .unwrap();
    let refused = said(&output);
    assert_eq!(output.status.code(), Some(78), "{disk}: {refused}");
    for expected in [
        "wiregate.yaml:4:26",
        "the cache `pages` cannot have this folder: ",
        why,
    ] {
        assert!(refused.contains(expected), "{expected} in {refused}");
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_folder_that_cannot_be_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    symlink("nowhere", folder.path().join("link")).unwrap();
    for (path, why) in [
        ("file", "file: not a directory"),
        ("file/pages", "file/pages: Not a directory"),
        ("link", "link: No such file or directory"),
        ("link/pages", "link: No such file or directory"),
    ] {
        is_refused_at_the_start(folder.path(), &format!("path: {path}, size: 1GiB"), why);
    }
    let output = configuration(folder.path(), "path: a, size: 15MiB").output();
    let said = said(&output.unwrap());
    assert!(
        said.contains("expected at least 16MiB, found 15MiB"),
        "{said}"
    );
    assert!(said.contains("wiregate.yaml:4:35"), "{said}");
}

#[test]
fn a_folder_that_can_be_made_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["a", "a/b/c", "./a/"] {
        let output = configuration(folder.path(), &format!("path: {path}, size: 1GiB")).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{path}: {}", said(&output));
        assert!(!folder.path().join("a").exists());
    }
}

/// The same command by somebody who is not above all permissions.
fn by_somebody(mut command: Command) -> Output {
    if rustix::process::geteuid().is_root() {
        // What is built may lie where nobody else looks.
        let program = fs::File::open(command.get_program()).unwrap();
        let path = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&program)
        );
        let mut other = Command::new(path);
        other.args(command.get_args()).uid(65534).gid(65534);
        return other.output().unwrap();
    }
    command.output().unwrap()
}

#[test]
fn a_folder_that_is_somebody_elses_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("pages");
    fs::create_dir(&pages).unwrap();
    let may = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    may(folder.path(), 0o555);
    let ask = |path: &str| {
        may(folder.path(), 0o755);
        let command = configuration(folder.path(), &format!("path: {path}, size: 1GiB"));
        may(folder.path(), 0o555);
        let output = by_somebody(command);
        (output.status.code(), said(&output))
    };
    let refused = |path: &str, why: &str| {
        let (code, said) = ask(path);
        let why = format!(
            "warning: the cache `pages` cannot have this folder: {}{why}: Permission denied",
            folder.path().display()
        );
        assert!(code == Some(0) && said.contains(&why), "{why} in {said}");
    };
    refused("other", "");
    refused("other/pages", "");
    may(&pages, 0o555);
    refused("pages", "/pages");
    refused("pages/more", "/pages");
    may(&pages, 0o777);
    assert_eq!(ask("pages"), (Some(0), String::new()));
    for name in ["lock", "00000001.segment"] {
        let file = pages.join(name);
        fs::write(&file, "").unwrap();
        may(&file, 0);
        refused("pages", &format!("/pages/{name}"));
        fs::remove_file(&file).unwrap();
    }
    may(folder.path(), 0o755);
}

#[test]
fn who_has_the_folder_keeps_it() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    origin.says("/a", "cache-control: max-age=600");
    let gateway = Gateway::start(&on_disk(&origin, folder.path()));
    get(&gateway, "/a", &["host: example.com"]);
    let disk = || gateway.admin("GET", "/caches").json()["caches"]["d"]["disk"].as_u64();
    until("it is written", || disk() > Some(0));
    let files = || {
        let files = fs::read_dir(folder.path()).unwrap();
        let mut files: Vec<_> = files
            .map(|file| {
                (
                    file.as_ref().unwrap().file_name(),
                    file.unwrap().metadata().unwrap(),
                )
            })
            .map(|(name, file)| (name, file.len(), file.modified().unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = files();
    let output = wiregate(&["check", "--config"])
        .arg(gateway.file("wiregate.yaml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(files(), before);
    // And a reload does not mind that it is there.
    gateway.reload(&on_disk(&origin, folder.path()));
    assert!(told(&get(&gateway, "/a", &["host: example.com"])).1);
}

#[test]
fn a_reload_tells_it_in_the_same_way() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&on_disk(&origin, folder.path()));
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    gateway.write(&on_disk(&origin, &file));
    let answer = gateway.admin("POST", "/reload");
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(
        answer.text().contains("cannot have this folder"),
        "{}",
        answer.text()
    );
}
