//! The commands of the page about operating do what it says.

use std::path::Path;
use std::process::Command;

use crate::fences::fences;
use crate::harness::{Gateway, echo, upstream, wiregate};
use crate::upgrade::{Process, who};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Commands that are about a whole machine, or take minutes: what runs the same elsewhere, in the tests, and
/// how it is written there. What is between lines, in backquotes, is among them.
const ELSEWHERE: [(&str, &str, &str); 9] = [
    (
        "make deb",
        "Makefile",
        "scripts/build-deb.sh $(TARGET)/release/wiregate $(TARGET)/debian",
    ),
    ("make deb", "tests/gateway/deb.rs", "scripts/build-deb.sh"),
    (
        "sudo apt install ./target/debian/wiregate_*.deb",
        "tests/gateway/deb/steps.sh",
        "apt-get $quietly install /mnt/1.deb",
    ),
    (
        "curl -s http://127.0.0.1:8080/",
        "tests/gateway/deb/steps.sh",
        "curl -s $url\n",
    ),
    (
        "systemctl status wiregate",
        "tests/gateway/systemd/real.sh",
        "told started",
    ),
    (
        "systemctl reload wiregate",
        "tests/gateway/systemd/real.sh",
        "systemctl --user reload wiregate.service",
    ),
    (
        "systemd-analyze security",
        "tests/gateway/systemd.rs",
        "\"security\", \"--offline=true\", \"--threshold=20\"",
    ),
    ("make soak", "Makefile", "-E 'test(=upgrade::soak::soak)'"),
    (
        "SOAK_MINUTES=30 make soak",
        "tests/gateway/upgrade/soak.rs",
        "std::env::var(\"SOAK_MINUTES\")",
    ),
];
/// Words with which commands begin.
const BEGIN: [&str; 7] = [
    "make ",
    "sudo ",
    "curl ",
    "systemctl ",
    "systemd-analyze ",
    "man wiregate",
    "SOAK_MINUTES",
];

fn page() -> String {
    std::fs::read_to_string(Path::new(ROOT).join("docs/operating.md")).unwrap()
}

#[test]
fn commands_that_are_not_run_here_are_run_elsewhere() {
    let page = page();
    let mut shown: Vec<String> = Vec::new();
    for fence in fences(&page)
        .iter()
        .filter(|fence| fence.language == "console")
    {
        let commands = fence
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("$ "));
        shown.extend(commands.map(str::to_owned));
    }
    // `wiregate top` is run below.
    shown.retain(|command| !command.starts_with("wiregate "));
    let within = page.split('`').skip(1).step_by(2);
    let within = within.filter(|code| BEGIN.iter().any(|begin| code.starts_with(begin)));
    shown.extend(within.map(|code| code.trim_end_matches('`').to_owned()));
    for command in &shown {
        if let Some(name) = command.strip_prefix("man ") {
            let mut man = wiregate(&["man", "--date", "2026-11-26", "--out"]);
            let folder = tempfile::tempdir().unwrap();
            assert!(man.arg(folder.path()).status().unwrap().success());
            let there = |section| folder.path().join(format!("{name}.{section}")).exists();
            assert!(there(1) || there(5), "there is no page {name}");
            continue;
        }
        let mut places = ELSEWHERE.iter().filter(|(known, _, _)| known == command);
        assert!(places.clone().count() > 0, "who runs `{command}`?");
        assert!(
            places.all(|(_, file, text)| {
                let file = std::fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
                file.contains(text)
            }),
            "`{command}` is not run where it was"
        );
    }
    for (command, _, _) in ELSEWHERE {
        assert!(
            shown.iter().any(|one| one == command),
            "`{command}` is not on the page"
        );
    }
    // The target of the Makefile can be made.
    let made = Command::new("make")
        .args(["-n", "deb"])
        .current_dir(ROOT)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stdout);
    assert!(
        made.status.success() && said.contains("scripts/build-deb.sh"),
        "{made:?}"
    );
}

#[test]
fn live_figures_are_shown_as_the_page_shows_them() {
    let page = page();
    let fences = fences(&page);
    let mut top = fences
        .iter()
        .filter(|fence| fence.language == "console" && fence.text.starts_with("$ wiregate top"));
    let (fence, None) = (top.next().unwrap(), top.next()) else {
        panic!("another block needs another test");
    };
    let origin = echo();
    let gateway = Gateway::start(
        &(upstream(&origin)
            + "routes: [{ name: orders, filters: [ip: { deny: 10.0.0.0/8 }], upstream: app }]\n"),
    );
    assert_eq!(crate::harness::curl(&[&gateway.url("/")]).status, 200);
    let line = fence
        .text
        .lines()
        .next()
        .unwrap()
        .strip_prefix("$ wiregate ")
        .unwrap();
    let words: Vec<_> = line.split(' ').collect();
    let file = gateway.file("wiregate.yaml").display().to_string();
    let words: Vec<_> = (words.iter())
        .map(|word| word.replace("/etc/wiregate/wiregate.yaml", &file))
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = wiregate(&words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    // The same tables, with the same columns.
    let heads = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| line.starts_with("ROUTE") || line.starts_with("UPSTREAM"));
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    assert_eq!(heads(&said), heads(&fence.text), "{said}");
    assert_eq!(heads(&said).len(), 3);
}

#[test]
fn the_commands_of_the_page_about_operating_work() {
    let page = page();
    let origin = echo();
    let mut gateway =
        Gateway::start(&(upstream(&origin) + "routes: [{ name: all, upstream: app }]\n"));
    let (file, socket) = (gateway.file("wiregate.yaml"), gateway.file("admin.sock"));
    let mut outputs = Vec::new();
    for fence in fences(&page)
        .into_iter()
        .filter(|fence| fence.language == "sh")
    {
        let line = (fence.text.trim())
            .replace("/etc/wiregate/wiregate.yaml", &file.display().to_string())
            .replace("/run/wiregate/admin.sock", &socket.display().to_string())
            .replace(
                "wiregate upgrade",
                &format!("{} upgrade", env!("CARGO_BIN_EXE_wiregate")),
            );
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}: {output:?}");
        outputs.push(said);
    }
    let new = Process(who(&gateway));
    let [upgraded, ready] = &outputs[..] else {
        panic!("another command needs another test: {outputs:?}");
    };
    let expected = format!("has taken over from process {} ", gateway.pid());
    assert!(upgraded.contains(&expected), "{upgraded}");
    let ready: serde_json::Value = serde_json::from_str(ready).unwrap();
    assert_eq!(
        (&ready["ready"], &ready["pid"]),
        (&true.into(), &new.0.into())
    );
    assert_eq!(gateway.wait().code(), Some(0));
}
