//! The page about security: its commands do what it says, and the tests that it names exist.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::fences::fences;
use crate::harness::{Gateway, complete, until, wiregate};
use crate::listeners::pki::Authority;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A part of each command, in the order of the page, and what it has to say.
const SAYS: [(&str, &str); 8] = [
    ("wiregate check", "is good"),
    ("chmod", ""),
    ("/config", "key: ${env:KEY_OF_ANN}"),
    ("systemd-analyze", "OK"),
    ("-brief", "TLSv1.3"),
    ("AES128-SHA", ""),
    ("telnet", "HTTP/1.1 400 "),
    (
        "/metrics",
        "wiregate_requests_shed_total{reason=\"delay\"} 0",
    ),
];

fn page() -> String {
    std::fs::read_to_string(Path::new(ROOT).join("docs/security.md")).unwrap()
}

/// A gateway with TLS beside, and with a secret.
fn gateway() -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    Authority::new("ca").issue(folder.path(), "site", &["localhost"]);
    let routes = "filters: { key: { api_key: { keys: [{ name: ann, key: \"${env:KEY_OF_ANN}\" }] } } }\n\
                  routes: [{ name: all, filters: [key, respond: ok] }]\n";
    let secure = "listeners: { public: { bind: \"127.0.0.1:0\" }, secure: { bind: \"127.0.0.1:0\", \
                  tls: { certificates: { certificate: site.pem, key: site.key } } } }";
    let text = complete(folder.path(), routes, "{}");
    let text = text.replacen(
        "listeners: { public: { bind: \"127.0.0.1:0\" } }",
        secure,
        1,
    );
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let gateway = Gateway::start_file(folder, &file);
    until("both listen", || {
        gateway.log().matches(" listening ").count() >= 2
    });
    gateway
}

/// The group of a folder: that of the service is not on every machine.
fn group(folder: &str) -> u32 {
    std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(folder).unwrap())
}

#[test]
fn the_commands_of_the_page_about_security_work() {
    let gateway = gateway();
    let folder = gateway.folder().display().to_string();
    let unit = Path::new(ROOT).join("conf/wiregate.service");
    let commands: Vec<_> = (fences(&page()).into_iter())
        .filter(|fence| fence.language == "sh")
        .collect();
    assert_eq!(
        commands.len(),
        SAYS.len(),
        "another command needs another test"
    );
    let program = wiregate(&[]).get_program().to_owned();
    for (command, (part, says)) in commands.iter().zip(SAYS) {
        let written = command.text.trim();
        assert!(written.contains(part), "{written}");
        let line = written
            .replace(
                "/etc/systemd/system/wiregate.service",
                &unit.display().to_string(),
            )
            .replace("/etc/wiregate", &folder)
            .replace("/run/wiregate/admin.sock", &format!("{folder}/admin.sock"))
            .replace("127.0.0.1:8443", &gateway.listener("secure").to_string())
            .replace("127.0.0.1:8080", &gateway.listener("public").to_string())
            .replace("wiregate check", &format!("{} check", program.display()))
            .replace("chgrp wiregate", &format!("chgrp {}", group(&folder)));
        let shell = Command::new("sh")
            .args(["-c", &line])
            .envs(
                wiregate(&[])
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            )
            .output()
            .unwrap();
        let said = [shell.stdout, shell.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(shell.status.success(), "{line}: {}\n{said}", shell.status);
        assert!(said.contains(says), "{line}:\n{said}");
        assert!(part != "chmod" || said.is_empty(), "{line}:\n{said}");
        assert!(
            !said.contains(crate::harness::KEY_OF_ANN),
            "{line}:\n{said}"
        );
    }
    let file = std::fs::metadata(gateway.file("wiregate.yaml")).unwrap();
    assert_eq!(file.permissions().mode() & 0o007, 0);
}

#[test]
fn the_tests_that_it_names_exist() {
    let page = page();
    let named = page.split('`').filter(|word| word.ends_with(".rs"));
    let mut count = 0;
    for path in named {
        let text = std::fs::read_to_string(Path::new(ROOT).join(path));
        let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(
            text.contains("#[test]") || text.contains("::test]"),
            "{path}"
        );
        count += 1;
    }
    assert!(count > 20, "{count}");
}
