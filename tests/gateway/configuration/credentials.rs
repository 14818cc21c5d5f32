//! `${cred:NAME}`: what systemd leaves for the service in `$CREDENTIALS_DIRECTORY`.

use std::path::Path;

use super::super::harness::{Gateway, KEY_OF_ANN, KEY_OF_BOB, complete, curl, until, wiregate};

/// The only key that is let in is the credential `key`.
const GUARDED: &str = "routes:\n  - name: all\n    filters:\n      \
    - api_key: { keys: [{ name: ann, key: \"${cred:key}\" }] }\n      - respond: ok\n";

fn asks_with(gateway: &Gateway, key: &str) -> u16 {
    curl(&["-H", &format!("x-api-key: {key}"), &gateway.url("/")]).status
}

#[test]
fn a_credential_is_read_and_read_again_at_a_reload() {
    let credentials = tempfile::tempdir().unwrap();
    let credential = credentials.path().join("key");
    // As `systemd-creds` and editors leave it: the line's end is no part of the secret.
    std::fs::write(&credential, format!("{KEY_OF_ANN}\n")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    std::fs::write(&file, complete(folder.path(), GUARDED, "{}")).unwrap();
    let gateway = Gateway::start_as(folder, &file, |command| {
        command.env("CREDENTIALS_DIRECTORY", credentials.path());
    });
    assert_eq!(asks_with(&gateway, KEY_OF_ANN), 200);
    assert_eq!(asks_with(&gateway, KEY_OF_BOB), 401);

    std::fs::write(&credential, KEY_OF_BOB).unwrap();
    until("the new credential is live", || {
        asks_with(&gateway, KEY_OF_BOB) == 200
    });
    assert_eq!(asks_with(&gateway, KEY_OF_ANN), 401);

    // One that has gone refuses the reload: what is live stays.
    std::fs::remove_file(&credential).unwrap();
    let answer = gateway.admin("POST", "/reload");
    assert_eq!(answer.status, 422);
    let said = answer.text();
    assert!(said.contains("cannot read `${cred:key}`"), "{said}");
    assert_eq!(asks_with(&gateway, KEY_OF_BOB), 200);
    assert!(!gateway.log().contains(KEY_OF_BOB), "{}", gateway.log());
}

/// What `check` says of the guarded route with this reference in the credential's place.
fn refused(reference: &str, credentials: Option<&Path>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let text = GUARDED.replace("${cred:key}", reference);
    std::fs::write(&file, complete(folder.path(), &text, "{}")).unwrap();
    let mut command = wiregate(&["check", "--config"]);
    command.arg(&file).env_remove("CREDENTIALS_DIRECTORY");
    if let Some(credentials) = credentials {
        command.env("CREDENTIALS_DIRECTORY", credentials);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(78), "{reference}: {said}");
    assert!(said.contains("wiregate.yaml:8:"), "{said}");
    said
}

#[test]
fn what_is_no_credential_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::create_dir_all(credentials.join("folder")).unwrap();
    std::fs::write(folder.path().join("outside"), "0123456789abcdef").unwrap();
    std::fs::write(credentials.join("empty"), "\n").unwrap();
    std::fs::write(credentials.join("bytes"), b"\xff\xfe0123456789abcdef").unwrap();
    std::fs::write(credentials.join("large"), "x".repeat(65 << 10)).unwrap();
    let nowhere = folder.path().join("nowhere");
    let here = Some(credentials.as_path());
    for (reference, credentials, expected) in [
        ("${cred:none}", here, "cannot read `${cred:none}`"),
        (
            "${cred:key}",
            Some(nowhere.as_path()),
            "cannot read `${cred:key}`",
        ),
        ("${cred:folder}", here, "cannot read `${cred:folder}`"),
        ("${cred:large}", here, "cannot read `${cred:large}`"),
        ("${cred:empty}", here, "`${cred:empty}` is empty"),
        ("${cred:bytes}", here, "expected UTF-8, found other bytes"),
        (
            "${cred:../outside}",
            here,
            "expected the name of a credential",
        ),
        (
            "${cred:folder/key}",
            here,
            "expected the name of a credential",
        ),
        (
            "${cred:/etc/hostname}",
            here,
            "expected the name of a credential",
        ),
        ("${cred:..}", here, "expected the name of a credential"),
        ("${cred:key}", None, "there is no credentials directory"),
        (
            "${cred:key}",
            None,
            "`LoadCredential=key:…` in the unit of systemd provides it",
        ),
    ] {
        let said = refused(reference, credentials);
        assert!(said.contains(expected), "{reference}: {said}");
    }
}
