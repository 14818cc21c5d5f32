//! `wiregate cert self-signed`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::harness::{curl, wiregate};
use super::{WHO, start_in};

fn run(folder: &Path, arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = wiregate(&["cert", "self-signed"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

#[test]
fn a_certificate_for_development_works_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (said, error, code) = run(folder.path(), &[]);
    assert_eq!(code, Some(0), "{error}");
    assert!(
        said.contains("- { certificate: ./cert.pem, key: ./key.pem }"),
        "{said}"
    );
    let key = folder.path().join("key.pem");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // What it prints is what belongs into the configuration.
    let printed = said.split_once("public:\n").unwrap().1.replace("8443", "0");
    let listeners = format!("\n  public:\n{printed}");
    let gateway = start_in(folder, &listeners, WHO);
    let (file, port) = (gateway.file("cert.pem"), gateway.address().port());
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}/");
        let answer = curl(&["--cacert", file.to_str().unwrap(), "-4", &url]);
        assert!(
            answer.text().ends_with(" https"),
            "{host}: {}",
            answer.text()
        );
    }
}

#[test]
fn files_are_never_overwritten_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let cert = folder.path().join("cert.pem");
    std::fs::write(&cert, "precious").unwrap();
    let (_, error, code) = run(folder.path(), &["--name", "a.example"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        error,
        "wiregate: ./cert.pem is there already; `--force` overwrites it\n"
    );
    assert!(!folder.path().join("key.pem").exists());
    assert_eq!(std::fs::read(&cert).unwrap(), b"precious");
    let (_, error, code) = run(folder.path(), &["--name", "a.example", "--force"]);
    assert_eq!(code, Some(0), "{error}");
    let text = std::fs::read_to_string(&cert).unwrap();
    assert!(text.starts_with("-----BEGIN CERTIFICATE-----"));
    let mode = std::fs::metadata(folder.path().join("key.pem")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let (_, error, code) = run(folder.path(), &["--out", "no/such/folder"]);
    assert_eq!(code, Some(1), "{error}");
}
