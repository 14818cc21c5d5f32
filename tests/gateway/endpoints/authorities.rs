//! The system's certificates of authorities: where there are none, and when they are read.

use super::https_server::{Authority, Nginx, free, secure};
use super::{get, to};
use crate::harness::{Gateway, complete};

#[test]
fn a_system_that_trusts_nobody_is_no_reason_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let ours = Authority::new("ours");
    std::fs::write(path.join("ca.pem"), ours.pem()).unwrap();
    std::fs::write(path.join("broken.pem"), "-----BEGIN CERTIFICATE-----\nno\n").unwrap();
    ours.write(&path, "good", "app.internal", 4000);
    let good = free();
    let _nginx = Nginx::start(&path, &secure(good, "good", ""), &good.to_string());
    let own = format!("{}/ca.pem", path.display());
    let upstream = |ca: &str| {
        to(&format!(
            "{{ endpoints: [\"{good}\"], tls: {{ {ca}server_name: app.internal }} }}"
        ))
    };
    let file = path.join("wiregate.yaml");
    let text = complete(&path, &upstream(&format!("ca: {own}, ")), "{}");
    std::fs::write(&file, text).unwrap();
    let gateway = Gateway::start_as(folder, &file, |command| {
        command.env("SSL_CERT_FILE", path.join("broken.pem"));
        command.env("SSL_CERT_DIR", path.join("none"));
    });
    assert_eq!(get(&gateway).status, 200, "it has an authority of its own");
    // Who would have to be trusted is not known.
    gateway.write(&upstream(""));
    let answer = gateway.admin("POST", "/reload");
    assert_eq!(answer.status, 422);
    let text = answer.json()["text"].as_str().unwrap().to_owned();
    let told = "the system's certificates of authorities cannot be read: ";
    assert!(text.contains(told) && text.contains("write `ca`"), "{text}");
    assert_eq!(get(&gateway).status, 200, "the last good one goes on");
}

#[test]
fn they_are_read_at_the_start_and_never_for_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let (ours, trusted) = (Authority::new("ours"), path.join("trusted.pem"));
    std::fs::write(&trusted, ours.pem()).unwrap();
    ours.write(&path, "good", "app.internal", 4000);
    let good = free();
    let _nginx = Nginx::start(&path, &secure(good, "good", ""), &good.to_string());
    let upstream = |hedge: &str| {
        to(&format!(
            "{{ endpoints: [\"{good}\"], tls: {{ server_name: app.internal }}{hedge} }}"
        ))
    };
    let file = path.join("wiregate.yaml");
    std::fs::write(&file, complete(&path, &upstream(""), "{}")).unwrap();
    let gateway = Gateway::start_as(folder, &file, |command| {
        command.env("SSL_CERT_FILE", &trusted);
        command.env("SSL_CERT_DIR", path.join("none"));
    });
    std::fs::write(&trusted, "-----BEGIN CERTIFICATE-----\nno\n").unwrap();
    assert_eq!(get(&gateway).status, 200);
    gateway.reload(&upstream(", hedge: { after: 59s, at_most: 50% }"));
    assert_eq!(get(&gateway).status, 200, "{}", gateway.log());
}
