//! A disk that others have filled: the gateway goes on, and what it finds on it later is right or not there.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::super::harness::{complete, until};
use super::reload::on_disk;
use super::*;

/// What the small disk has room for: less than the `size` of the cache, and than what is asked for.
const ROOM: &str = "size=9m";
const LARGE: usize = 300_000;
const PATHS: usize = 48;

/// A process that keeps a namespace in which a small disk of its own is mounted.
struct SmallDisk {
    child: Child,
    own_user: bool,
}

impl SmallDisk {
    /// Mounts it there; nothing where this machine allows it to nobody like us.
    fn mount(folder: &Path) -> Option<Self> {
        Self::try_mount(folder, false).or_else(|| Self::try_mount(folder, true))
    }

    fn try_mount(folder: &Path, own_user: bool) -> Option<Self> {
        let script = "mount -t tmpfs -o \"$0\" tmpfs \"$1\" && echo mounted && exec sleep 600";
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if own_user {
            command.arg("--map-root-user");
        }
        command.args(["sh", "-c", script, ROOM]).arg(folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().ok()?;
        let mut said = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut said).unwrap();
        let disk = Self { child, own_user };
        (said == "mounted\n").then_some(disk)
    }

    /// A gateway that sees the small disk.
    fn gateway(&self, configuration: &str) -> Gateway {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wiregate.yaml");
        std::fs::write(&file, complete(folder.path(), configuration, "{}")).unwrap();
        let mut command = Command::new("nsenter");
        command.env("NO_COLOR", "1");
        command.arg(format!("--target={}", self.child.id()));
        command.arg("--mount");
        if self.own_user {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg(env!("CARGO_BIN_EXE_wiregate"));
        command.args(["run", "--config"]).arg(&file);
        Gateway::start_command(folder, command, |_| {})
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It is ours, and does nothing but sleep.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn path(number: usize) -> String {
    format!("/{number}")
}

/// A body that is the answer to this path and to no other one.
fn body(number: usize) -> String {
    format!("{number:06}").repeat(LARGE / 6)
}

/// Waits until all is written that is to be: a purge is behind it.
fn settle(gateway: &Gateway) {
    let purged = gateway.admin("POST", "/caches/purge?url=http://example.com/none");
    assert_eq!(purged.status, 200, "{}", purged.text());
}

#[test]
fn a_full_disk_costs_entries_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        eprintln!("skipped: no disk can be mounted here, not even in a namespace");
        return;
    };
    let origin = Origin::start();
    for number in 0..PATHS {
        origin.answers_with(
            &path(number),
            200,
            "cache-control: max-age=600",
            &body(number),
        );
    }
    let configuration = on_disk(&origin, &folder.path().join("cache"));
    let gateway = disk.gateway(&configuration);
    let ask = |gateway: &Gateway, number| get(gateway, &path(number), &["host: example.com"]);
    for number in 0..PATHS {
        let answer = ask(&gateway, number);
        assert_eq!(answer.status, 200);
        assert!(answer.text() == body(number), "{number}");
        if number % 8 == 7 {
            settle(&gateway);
        }
    }
    until("it was told", || gateway.log().contains("gives way"));
    // It goes on, with what is new, and takes what there is.
    let figures = |gateway: &Gateway| gateway.admin("GET", "/caches").json()["caches"]["d"].clone();
    let on_disk = figures(&gateway)["disk"].as_u64().unwrap();
    assert!((1_000_000..9 << 20).contains(&on_disk), "{on_disk}");
    assert!(told(&ask(&gateway, PATHS - 1)).1);
    assert!(
        !gateway.log().contains("in memory alone"),
        "{}",
        gateway.log()
    );
    drop(gateway); // killed

    let gateway = disk.gateway(&configuration);
    let found = |number| {
        let fields = ["host: example.com", "cache-control: only-if-cached"];
        let answer = get(&gateway, &path(number), &fields);
        assert!(
            answer.status == 504 || answer.text() == body(number),
            "{number}"
        );
        answer.status == 200
    };
    until("what was stored last is found", || found(PATHS - 1));
    assert!(!found(0), "what was stored first had to go");
    assert_eq!(figures(&gateway)["corrupt"], 0);
}
