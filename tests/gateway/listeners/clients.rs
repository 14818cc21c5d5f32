//! Certificates of clients, by the name that they come for.

use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::super::harness::Gateway;
use super::super::origin;
use super::pki::{Authority, s_client};
use super::tls::{failed, folder, get, listener};
use super::{ask, connect, reload, start_in};

const WHO: &str = "routes: [{ name: all, filters: [respond: \"${client.certificate.subject}|\
                   ${client.certificate.names}|${client.certificate.sha256}\"] }]\n";

const THREE: &str = "certificates: [{ certificate: open.pem, key: open.key }, \
     { certificate: closed.pem, key: closed.key, client_certificates: { ca: clients.pem } }, \
     { certificate: maybe.pem, key: maybe.key, \
       client_certificates: { ca: clients.pem, required: false } }]";

/// A gateway for three names, and two clients: one of the right authority, one of another.
fn gateway() -> Gateway {
    let (folder, _) = folder(&[
        ("open", &["open.example"]),
        ("closed", &["closed.example"]),
        ("maybe", &["maybe.example"]),
    ]);
    let clients = Authority::new("clients");
    clients.save(folder.path(), "clients.pem");
    clients.issue(folder.path(), "alice", &["alice.example"]);
    let others = Authority::new("others");
    others.save(folder.path(), "others.pem");
    others.issue(folder.path(), "mallory", &["alice.example"]);
    start_in(folder, &listener(THREE), WHO)
}

fn with(gateway: &Gateway, client: &str) -> [String; 4] {
    let path = |end| {
        gateway
            .file(&format!("{client}.{end}"))
            .display()
            .to_string()
    };
    ["--cert".into(), path("pem"), "--key".into(), path("key")]
}

fn get_as(gateway: &Gateway, client: &str, host: &str, more: &[&str]) -> (u16, String) {
    let identity = with(gateway, client);
    let mut arguments: Vec<&str> = identity.iter().map(String::as_str).collect();
    arguments.extend(more);
    let answer = get(gateway, host, &arguments);
    (answer.status, answer.text())
}

#[test]
fn certificates_are_asked_for_by_name() {
    let gateway = gateway();
    for tls in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
        assert_eq!(get(&gateway, "open.example", tls).text(), "||");
        assert_eq!(get(&gateway, "closed.example", tls).status, 0);
        assert_eq!(get(&gateway, "maybe.example", tls).text(), "||");
        // Nobody asks for it there, so it is not shown.
        assert_eq!(get_as(&gateway, "alice", "open.example", tls).1, "||");
        for host in ["closed.example", "maybe.example"] {
            let (status, who) = get_as(&gateway, "alice", host, tls);
            assert_eq!(status, 200, "{host}");
            let parts: Vec<_> = who.split('|').collect();
            assert_eq!(parts[..2], ["CN=alice", "alice.example"], "{host}");
            assert_eq!(parts[2].len(), 64);
            // Optional means none, and not any.
            assert_eq!(get_as(&gateway, "mallory", host, tls).0, 0, "{host}");
        }
    }
    assert_eq!(failed(&gateway, "client_certificate"), 6.0);
}

#[test]
fn a_connection_for_one_name_is_no_way_to_another() {
    let gateway = gateway();
    for version in ["--http1.1", "--http2"] {
        for (host, asked, status) in [
            ("open.example", "closed.example", 421),
            ("open.example", "CLOSED.example.:443", 421),
            ("open.example", "maybe.example", 421),
            ("open.example", "unknown.example", 200),
            ("maybe.example", "closed.example", 421),
            ("maybe.example", "open.example", 200),
        ] {
            let field = format!("host: {asked}");
            let answer = get(&gateway, host, &[version, "-H", &field]);
            assert_eq!(
                answer.status,
                status,
                "{version} {host} {asked}: {}",
                answer.text()
            );
            if status == 421 {
                assert!(answer.text().contains("urn:wiregate:misdirected_request"));
            }
        }
        // Whoever has shown the certificate may ask for the other name of the same authority.
        let more = [version, "-H", "host: maybe.example"];
        assert_eq!(get_as(&gateway, "alice", "closed.example", &more).0, 200);
    }
}

#[test]
fn what_is_stored_for_one_name_is_for_nobody_who_may_not_ask_for_it() {
    let stored = "HTTP/1.1 200 OK\r\ncache-control: max-age=600\r\ncontent-length: 6\r\n\r\nsecret";
    let origin = origin::answers(|_| stored.to_owned());
    let cached = format!(
        "upstreams: {{ app: {{ endpoints: [\"{origin}\"] }} }}\n\
         routes: [{{ name: all, filters: [cache], upstream: app }}]\n"
    );
    let gateway = gateway();
    let answer = reload(&gateway, &listener(THREE), &cached);
    assert_eq!(answer.status, 200, "{}", answer.text());
    for version in ["--http1.1", "--http2"] {
        for _ in 0..2 {
            let got = get_as(&gateway, "alice", "closed.example", &[version]);
            assert_eq!(got, (200, "secret".to_owned()));
        }
        let answer = get(
            &gateway,
            "open.example",
            &[version, "-H", "host: closed.example"],
        );
        assert_eq!(answer.status, 421, "{version}: {}", answer.text());
    }
}

/// A connection of HTTP/1.1 over TLS that stays open.
pub fn open(gateway: &Gateway, name: &str) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(gateway.file("ca.pem")).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, connect(gateway.address()))
}

#[test]
fn what_a_reload_asks_of_clients_holds_for_connections_that_are_open() {
    let gateway = gateway();
    let mut before = open(&gateway, "open.example");
    let answer = ask(&mut before);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // The request is for `a.example`, which the first certificate stands for.
    let stricter = THREE.replace(
        "key: open.key }",
        "key: open.key, client_certificates: { ca: clients.pem } }",
    );
    let answer = reload(&gateway, &listener(&stricter), WHO);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = ask(&mut before);
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    assert!(ask(&mut before).is_empty());

    // So does another authority.
    assert_eq!(get_as(&gateway, "alice", "closed.example", &[]).0, 200);
    let others = THREE.replace("clients.pem", "others.pem");
    assert_eq!(reload(&gateway, &listener(&others), WHO).status, 200);
    assert_eq!(get_as(&gateway, "alice", "closed.example", &[]).0, 0);
    assert_eq!(get_as(&gateway, "mallory", "closed.example", &[]).0, 200);
}

#[test]
fn a_listener_that_begins_to_speak_tls_serves_no_more_without() {
    let (folder, _) = folder(&[("open", &["open.example"])]);
    let gateway = start_in(folder, "{ public: { bind: \"127.0.0.1:0\" } }", WHO);
    let mut plain = connect(gateway.address());
    assert!(ask(&mut plain).starts_with("HTTP/1.1 200"));
    let tls = listener("certificates: { certificate: open.pem, key: open.key }");
    assert_eq!(reload(&gateway, &tls, WHO).status, 200);
    assert!(ask(&mut plain).starts_with("HTTP/1.1 421"));
    assert_eq!(get(&gateway, "open.example", &[]).status, 200);
}

#[test]
fn the_listener_asks_for_all_names_unless_one_is_off() {
    let gateway = gateway();
    let tls = "certificates: [{ certificate: closed.pem, key: closed.key }, \
               { certificate: open.pem, key: open.key, client_certificates: off }], \
               client_certificates: { ca: clients.pem }";
    let answer = reload(&gateway, &listener(tls), WHO);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(get(&gateway, "closed.example", &[]).status, 0);
    assert_eq!(get_as(&gateway, "alice", "closed.example", &[]).0, 200);
    assert_eq!(get(&gateway, "open.example", &[]).status, 200);
    let answer = get(&gateway, "open.example", &["-H", "host: nobody.example"]);
    assert_eq!(answer.status, 421); // the first certificate is for all other names
}

#[test]
fn a_client_shows_its_certificate_on_each_connection() {
    let gateway = gateway();
    let file = gateway.file("session");
    let (pem, key) = (gateway.file("alice.pem"), gateway.file("alice.key"));
    let name = [
        "-tls1_2",
        "-servername",
        "closed.example",
        "-cert",
        pem.to_str().unwrap(),
        "-key",
        key.to_str().unwrap(),
    ];
    let session = file.to_str().unwrap();
    let first = s_client(
        gateway.address(),
        &[&name[..], &["-sess_out", session]].concat(),
    );
    assert!(first.contains("New, TLSv1.2"), "{first}");
    assert!(!file.exists(), "there is nothing to resume");
}
