//! The commands of the page about operating do what it says.

use std::path::Path;
use std::process::Command;

use crate::fences::fences;
use crate::harness::{Gateway, echo, upstream};
use crate::upgrade::{Process, who};

#[test]
fn the_commands_of_the_page_about_operating_work() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md");
    let page = std::fs::read_to_string(page).unwrap();
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
