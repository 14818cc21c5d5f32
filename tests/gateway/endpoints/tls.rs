//! TLS and HTTP/2 towards endpoints.

use std::net::SocketAddr;
use std::path::Path;

use super::dns_server::DnsServer;
use super::https_server::{Authority, Nginx, secure, several_free, telling};
use super::{get, problem, to};
use crate::harness::{Gateway, complete, curl, until, wiregate};

/// nginx with a server for each case, and the files around it.
struct Origins {
    folder: tempfile::TempDir,
    good: SocketAddr,
    http1: SocketAddr,
    expired: SocketAddr,
    other_name: SocketAddr,
    other_authority: SocketAddr,
    demanding: SocketAddr,
    by_address: SocketAddr,
    plain: SocketAddr,
    _nginx: Nginx,
}

impl Origins {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let (ours, others) = (Authority::new("ours"), Authority::new("others"));
        std::fs::write(path.join("ca.pem"), ours.pem()).unwrap();
        std::fs::write(path.join("others.pem"), others.pem()).unwrap();
        ours.write(path, "good", "app.internal", 4000);
        ours.write(path, "expired", "app.internal", 2020);
        ours.write(path, "other_name", "other.internal", 4000);
        ours.write(path, "client", "gateway.internal", 4000);
        ours.write(path, "address", "127.0.0.1", 4000);
        others.write(path, "other_authority", "app.internal", 4000);
        let [
            good,
            http1,
            expired,
            other_name,
            other_authority,
            demanding,
            by_address,
            plain,
        ] = several_free();
        let demand = "ssl_client_certificate ca.pem; ssl_verify_client on;";
        let servers = [
            telling(
                &format!("{good} ssl http2"),
                "ssl_certificate good.pem; ssl_certificate_key good.key;",
            ),
            secure(http1, "good", ""),
            telling(
                &format!("{expired} ssl http2"),
                "ssl_certificate expired.pem; ssl_certificate_key expired.key;",
            ),
            secure(other_name, "other_name", ""),
            secure(other_authority, "other_authority", ""),
            secure(demanding, "good", demand),
            secure(by_address, "address", ""),
            telling(&plain.to_string(), ""),
        ];
        let _nginx = Nginx::start(path, &servers.concat(), &good.to_string());
        Self {
            folder,
            good,
            http1,
            expired,
            other_name,
            other_authority,
            demanding,
            by_address,
            plain,
            _nginx,
        }
    }

    /// An upstream of this endpoint with these TLS options, and more.
    fn upstream(&self, endpoint: SocketAddr, tls: &str, more: &str) -> String {
        let folder = self.folder.path().display();
        let tls = tls.replace("ca.pem", &format!("{folder}/ca.pem"));
        let tls = tls.replace("others.pem", &format!("{folder}/others.pem"));
        let tls = tls.replace("client.", &format!("{folder}/client."));
        format!("{{ endpoints: [\"{endpoint}\"], tls: {{ {tls} }}{more} }}")
    }

    fn to(&self, endpoint: SocketAddr, tls: &str, more: &str) -> String {
        to(&self.upstream(endpoint, tls, more))
    }
}

const OURS: &str = "ca: ca.pem, server_name: app.internal";

fn told(gateway: &Gateway) -> Vec<String> {
    let answer = get(gateway);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().split('|').map(str::to_owned).collect()
}

#[test]
fn verifies_with_its_own_authority_and_sends_the_name() {
    let origins = Origins::start();
    let gateway = Gateway::start(&origins.to(origins.good, OURS, ""));
    assert_eq!(told(&gateway)[..2], ["HTTP/1.1", "app.internal"]);
    // Several files of authorities; the name of the endpoint as SNI.
    let both = "ca: [others.pem, ca.pem], server_name: app.internal";
    gateway.reload(&origins.to(origins.other_authority, both, ""));
    told(&gateway);
    gateway.reload(&origins.to(origins.by_address, "ca: ca.pem, server_name: 127.0.0.1", ""));
    assert_eq!(told(&gateway)[1], "", "an address is no SNI");
}

#[test]
fn the_name_of_an_endpoint_is_the_name_in_its_certificate() {
    let (origins, dns) = (Origins::start(), DnsServer::start());
    dns.has("app.internal", 60, &["127.0.0.1"]);
    dns.has("other.internal", 60, &["127.0.0.1"]);
    let named = |name: &str| {
        let ca = origins.folder.path().join("ca.pem");
        let (port, ca) = (origins.good.port(), ca.display());
        let upstream = format!("{{ endpoints: [\"{name}:{port}\"], tls: {{ ca: \"{ca}\" }} }}");
        dns.setting() + &to(&upstream)
    };
    let gateway = Gateway::start(&named("app.internal"));
    assert_eq!(told(&gateway)[1], "app.internal");
    gateway.reload(&named("other.internal"));
    assert_eq!(problem(&get(&gateway)), "502 tls_certificate_error");
}

#[test]
fn refuses_every_certificate_that_is_not_right() {
    let origins = Origins::start();
    let gateway = Gateway::start(&origins.to(origins.good, OURS, ""));
    let system = "server_name: app.internal";
    for (what, endpoint, tls, expected) in [
        (
            "expired",
            origins.expired,
            OURS,
            "502 tls_certificate_error",
        ),
        (
            "another name",
            origins.other_name,
            OURS,
            "502 tls_certificate_error",
        ),
        (
            "another authority",
            origins.other_authority,
            OURS,
            "502 tls_certificate_error",
        ),
        (
            "the system's authorities",
            origins.good,
            system,
            "502 tls_certificate_error",
        ),
        ("no TLS", origins.plain, OURS, "502 tls_protocol_error"),
    ] {
        gateway.reload(&origins.to(endpoint, tls, ""));
        assert_eq!(problem(&get(&gateway)), expected, "{what}");
    }
}

#[test]
fn verification_is_off_only_by_the_word() {
    let origins = Origins::start();
    let off = "verify: dangerously_off";
    let gateway = Gateway::start(&origins.to(origins.other_authority, off, ""));
    told(&gateway);
    assert!(
        gateway.log().contains("certificates are not verified"),
        "{}",
        gateway.log()
    );
    gateway.reload(&origins.to(origins.expired, off, ""));
    told(&gateway);
    for (tls, hint) in [
        ("verify: off", "dangerously_off"),
        ("verify: false", "dangerously_off"),
        ("", "there is no name that its certificate could be for"),
        (
            "server_name: \"\"",
            "expected the name that the certificate is for",
        ),
        ("ca: []", "at least one"),
        ("ca: , server_name: app.internal", "expected"),
    ] {
        let said = refused(origins.folder.path(), &origins.to(origins.good, tls, ""));
        assert!(said.contains(hint), "{tls}: {said}");
    }
}

#[test]
fn tls_with_nothing_behind_it_is_tls() {
    let origins = Origins::start();
    let endpoint = origins.plain;
    let text = format!("{{ endpoints: [\"{endpoint}\"], tls: }}");
    let said = refused(origins.folder.path(), &to(&text));
    assert!(
        said.contains("expected") || said.contains("there is no name"),
        "{said}"
    );
}

#[test]
fn an_endpoint_that_never_answers_the_handshake_is_too_slow() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let tls = "tls: { server_name: app.internal }, timeouts: { connect: 300ms }";
    let gateway = Gateway::start(&to(&format!("{{ endpoints: [\"{address}\"], {tls} }}")));
    assert_eq!(problem(&get(&gateway)), "504 connection_timeout");
}

fn refused(folder: &Path, configuration: &str) -> String {
    let file = folder.join("wiregate.yaml");
    std::fs::write(&file, complete(folder, configuration, "{}")).unwrap();
    let outcome = wiregate(&["check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(outcome.status.code(), Some(78), "{configuration}");
    String::from_utf8(outcome.stderr).unwrap()
}

#[test]
fn mistakes_are_told_at_their_place() {
    let origins = Origins::start();
    let folder = origins.folder.path();
    std::fs::write(folder.join("empty.pem"), "").unwrap();
    for (tls, more, hint) in [
        ("ca: nowhere.pem, server_name: a", "", "no such file"),
        (
            "ca: empty.pem, server_name: a",
            "",
            "expected a certificate in PEM, found none",
        ),
        (
            "certificate: good.pem, server_name: a",
            "",
            "belong together",
        ),
        (
            "certificate: good.pem, key: client.key, server_name: a",
            "",
            "do not work together",
        ),
        (
            "certificate: good.pem, key: good.pem, server_name: a",
            "",
            "expected a private key",
        ),
        ("server_name: a", ", protocol: h2c", "write `protocol: h2`"),
    ] {
        let said = refused(folder, &origins.to(origins.good, tls, more));
        assert!(said.contains(hint), "{tls}: {said}");
        assert!(!said.contains("PRIVATE KEY"), "{said}");
    }
    for protocol in ["h2", "negotiate"] {
        let plain = to(&format!(
            "{{ endpoints: [\"a:80\"], protocol: {protocol} }}"
        ));
        let said = refused(folder, &plain);
        assert!(said.contains("write `tls: {}`"), "{said}");
    }
}

#[test]
fn shows_a_certificate_to_those_who_ask() {
    let origins = Origins::start();
    let gateway = Gateway::start(&origins.to(origins.demanding, OURS, ""));
    let answer = get(&gateway);
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(
        answer
            .text()
            .contains("No required SSL certificate was sent")
    );
    let identity = format!("{OURS}, certificate: client.pem, key: client.key");
    gateway.reload(&origins.to(origins.demanding, &identity, ""));
    let told = told(&gateway);
    assert_eq!(told[2], "SUCCESS");
    assert!(told[3].contains("CN=client"), "{told:?}");
}

#[test]
fn speaks_http2_where_it_is_told_to_or_where_the_endpoint_chooses_it() {
    let origins = Origins::start();
    let (h2, negotiate) = (", protocol: h2", ", protocol: negotiate");
    let gateway = Gateway::start(&origins.to(origins.good, OURS, h2));
    assert_eq!(told(&gateway)[0], "HTTP/2.0");
    gateway.reload(&origins.to(origins.good, OURS, negotiate));
    assert_eq!(told(&gateway)[0], "HTTP/2.0");
    gateway.reload(&origins.to(origins.http1, OURS, negotiate));
    assert_eq!(told(&gateway)[0], "HTTP/1.1");
    gateway.reload(&origins.to(origins.http1, OURS, h2));
    let refused = problem(&get(&gateway));
    assert!(
        ["502 tls_protocol_error", "502 tls_alert_received"].contains(&refused.as_str()),
        "{refused}"
    );
    gateway.reload(&origins.to(origins.expired, OURS, h2));
    assert_eq!(problem(&get(&gateway)), "502 tls_certificate_error");
}

#[test]
fn many_requests_share_one_http2_connection() {
    let origins = Origins::start();
    let configuration = origins.to(origins.good, OURS, ", protocol: h2");
    let gateway = Gateway::start(&format!("workers: 1\n{configuration}"));
    let first = told(&gateway)[4].clone();
    for _ in 0..5 {
        assert_eq!(told(&gateway)[4], first);
    }
}

#[test]
fn another_file_of_authorities_counts_at_once_and_for_kept_connections_too() {
    let origins = Origins::start();
    let ca = origins.folder.path().join("ca.pem");
    let [ours, others] = ["ca.pem", "others.pem"]
        .map(|name| std::fs::read_to_string(origins.folder.path().join(name)).unwrap());
    let gateway = Gateway::start(&origins.to(origins.good, OURS, ""));
    told(&gateway);
    let put = |text: &str| {
        let new = origins.folder.path().join("ca.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &ca).unwrap();
    };
    put(&others);
    until("the other authority counts", || {
        let answer = get(&gateway);
        answer.status == 502 && problem(&answer) == "502 tls_certificate_error"
    });
    put(&ours);
    until("the first one counts again", || get(&gateway).status == 200);
}

#[test]
fn upstreams_with_other_tls_never_share_a_connection() {
    let origins = Origins::start();
    let endpoint = origins.other_authority;
    let all = [
        ("off", "verify: dangerously_off, server_name: app.internal"),
        ("right", "ca: others.pem, server_name: app.internal"),
        ("wrong", OURS),
        (
            "identity",
            "ca: others.pem, server_name: app.internal, certificate: client.pem, key: client.key",
        ),
    ];
    let upstreams =
        all.map(|(name, tls)| format!("  {name}: {}\n", origins.upstream(endpoint, tls, "")));
    let routes = all.map(|(name, _)| {
        format!("- {{ name: {name}, match: {{ path: /{name} }}, upstream: {name} }}\n")
    });
    let gateway = Gateway::start(&format!(
        "workers: 1\nupstreams:\n{}routes:\n{}",
        upstreams.concat(),
        routes.concat()
    ));
    let ask = |name: &str| curl(&[&gateway.url(&format!("/{name}"))]);
    let connection = |name: &str| ask(name).text().split('|').nth(4).unwrap().to_owned();
    for _ in 0..3 {
        let connections = ["off", "right", "identity"].map(connection);
        let different: std::collections::HashSet<_> = connections.iter().collect();
        assert_eq!(different.len(), 3, "{connections:?}");
        assert_eq!(
            connections,
            ["off", "right", "identity"].map(connection),
            "they are kept"
        );
        assert_eq!(problem(&ask("wrong")), "502 tls_certificate_error");
    }
}

#[test]
fn health_checks_use_the_same_tls() {
    let origins = Origins::start();
    let health = ", health: { http: /, every: 50ms }";
    let gateway = Gateway::start(&origins.to(origins.good, OURS, health));
    told(&gateway);
    gateway.reload(&origins.to(origins.expired, OURS, health));
    until("the endpoint is unhealthy", || {
        problem(&get(&gateway)) == "503 destination_unavailable"
    });
}
