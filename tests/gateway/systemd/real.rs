//! The unit under a real systemd: a user's instance that is started for it, in namespaces of its own,
//! with nothing but this unit. It keeps all of the unit's sandbox, but for the user.

use std::process::{Command, Stdio};

use super::UNIT;

/// A folder of every Debian machine that is nobody's; in the namespaces it is the test's.
const THERE: &str = "/mnt";

#[test]
fn the_unit_starts_reloads_upgrades_restarts_and_stops() {
    if !possible() {
        eprintln!("no systemd can be started here: the unit was not run");
        return;
    }
    // The unit has a /tmp of its own and sees no home: what it works with is mounted at THERE.
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["units", "run", "credentials"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    std::fs::write(at("wiregate"), "").unwrap();
    std::fs::write(at("credentials/zone"), "here").unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let configuration = format!(
        "version: 1\nzone: \"${{cred:wiregate_zone}}\"\n\
         listeners: {{ public: {{ bind: \"{address}\" }} }}\n\
         admin: {{ bind: \"unix:{THERE}/run/wiregate/admin.sock\" }}\n\
         routes: [{{ name: all, filters: [respond: 204] }}]\n"
    );
    std::fs::write(at("wiregate.yaml"), configuration).unwrap();
    let unit = std::fs::read_to_string(UNIT).unwrap();
    let unit: Vec<String> = (unit.lines())
        .filter(|line| !line.starts_with("User=") && !line.starts_with("Group="))
        .filter(|line| !line.contains("network-online.target"))
        .map(|line| {
            line.replace("/usr/bin/", &format!("{THERE}/"))
                .replace("/etc/wiregate/", &format!("{THERE}/"))
        })
        .collect();
    std::fs::write(at("units/wiregate.service"), unit.join("\n")).unwrap();
    for target in ["default", "basic", "shutdown", "exit"] {
        let text = "[Unit]\nDefaultDependencies=no\n";
        std::fs::write(at(&format!("units/{target}.target")), text).unwrap();
    }
    let output = namespaces()
        .arg("sh")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/gateway/systemd/real.sh"
        ))
        .env("FOLDER", folder.path())
        .env("PROGRAM", env!("CARGO_BIN_EXE_wiregate"))
        .env("THERE", THERE)
        .env("URL", format!("http://{address}/"))
        .env("HOME", THERE)
        .env("XDG_RUNTIME_DIR", format!("{THERE}/run"))
        .env("SYSTEMD_UNIT_PATH", format!("{THERE}/units"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let expected = "refused 78 0\n\
                    started running configuration 1, 0 connections\n\
                    answers 204\n\
                    reloaded running configuration 2, 0 connections\n\
                    reload refused, running\n\
                    upgraded running configuration 3, 0 connections\n\
                    answers 204\n\
                    restarted, answers 204\n\
                    stopped dead success\n";
    assert_eq!(said, expected, "{errors}");
}

/// A command in namespaces that end with it.
fn namespaces() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]);
    command
}

/// Whether this is root, where namespaces and systemd's own groups of processes are to be had.
fn possible() -> bool {
    let systemd = std::path::Path::new("/lib/systemd/systemd").is_file();
    let groups = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/cgroup.procs"];
    let groups = groups
        .iter()
        .any(|path| std::path::Path::new(path).exists());
    let allowed = namespaces()
        .args(["mount", "--make-rprivate", "/"])
        .output();
    systemd && groups && allowed.is_ok_and(|output| output.status.success())
}
