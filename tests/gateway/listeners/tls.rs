//! TLS: certificates by name, protocols, versions, and files that change.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use super::super::harness::{Answer, Gateway, PATIENCE, curl, echo, until, upstream, wiregate};
use super::super::origin;
use super::pki::{Authority, common_name, s_client};
use super::{WHO, connect, is_closed, reload, start_in, text};

/// A folder with an authority `ca.pem`, and what it has issued.
pub fn folder(issued: &[(&str, &[&str])]) -> (tempfile::TempDir, Authority) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ca");
    authority.save(folder.path(), "ca.pem");
    for (name, names) in issued {
        authority.issue(folder.path(), name, names);
    }
    (folder, authority)
}

/// A listener with this under `tls`.
pub fn listener(tls: &str) -> String {
    format!("{{ public: {{ bind: \"127.0.0.1:0\", tls: {{ {tls} }} }} }}")
}

/// Asks for `/` of a host over TLS.
pub fn get(gateway: &Gateway, host: &str, arguments: &[&str]) -> Answer {
    let (ca, port) = (gateway.file("ca.pem"), gateway.address().port());
    let resolve = format!("{host}:{port}:127.0.0.1");
    let url = format!("https://{host}:{port}/");
    let mut all = vec!["--cacert", ca.to_str().unwrap(), "--resolve", &resolve];
    all.extend(arguments);
    all.push(&url);
    curl(&all)
}

pub fn failed(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric(&format!(
        "wiregate_tls_handshake_failures_total{{listener=\"public\",reason=\"{reason}\"}}"
    ))
}

pub const ONE: &str = "certificates: { certificate: a.pem, key: a.key }";

#[test]
fn the_name_chooses_the_certificate_exact_then_wildcard_then_the_first() {
    let (folder, _) = folder(&[
        ("first", &["first.example"]),
        ("exact", &["a.shop.example"]),
        ("wild", &["*.shop.example", "shop.example"]),
        ("some", &["x.example", "y.example"]),
    ]);
    let gateway = start_in(
        folder,
        &listener(
            "certificates: [{ certificate: first.pem, key: first.key }, \
             { certificate: exact.pem, key: exact.key }, \
             { certificate: wild.pem, key: wild.key }, \
             { certificate: some.pem, key: some.key, names: [x.example] }]",
        ),
        WHO,
    );
    for (name, certificate) in [
        (Some("a.shop.example"), "exact"),
        (Some("A.Shop.Example"), "exact"),
        (Some("b.shop.example"), "wild"),
        (Some("shop.example"), "wild"),
        (Some("c.b.shop.example"), "first"),
        (Some("x.example"), "some"),
        (Some("y.example"), "first"),
        (Some("unknown.example"), "first"),
        (None, "first"),
    ] {
        assert_eq!(
            common_name(gateway.address(), name),
            certificate,
            "{name:?}"
        );
    }
    let answer = get(&gateway, "b.shop.example", &[]);
    assert!(answer.text().ends_with(" https"), "{}", answer.text());
}

#[test]
fn rfc9112_9_8_a_response_that_breaks_off_has_no_closing_alert() {
    let (folder, _) = folder(&[("a", &["a.test"])]);
    let origin = origin::serve(|_, mut stream| {
        let head = origin::head(&mut stream).unwrap_or_default();
        let length = if head.contains("/whole") { "2" } else { "64" };
        let answer = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{length}\r\nok\r\n0\r\n\r\n"
        );
        let _ = stream.write_all(answer.as_bytes()); // and closes
    });
    let rest = format!(
        "upstreams: {{ app: {{ endpoints: [\"{origin}\"] }} }}\nroutes: [{{ name: all, upstream: app }}]"
    );
    let gateway = start_in(folder, &listener(ONE), &rest);
    let (ca, port) = (gateway.file("ca.pem"), gateway.address().port());
    let not_closed = 56; // it could not receive: without a closing alert
    for (path, code) in [("whole", 0), ("cut", not_closed)] {
        let end = Command::new("curl")
            .args([
                "-sS",
                "--max-time",
                "30",
                "--http1.0",
                "--no-alpn",
                "--cacert",
            ])
            .arg(&ca)
            .args(["--resolve", &format!("a.test:{port}:127.0.0.1")])
            .arg(format!("https://a.test:{port}/{path}"))
            .output()
            .unwrap();
        assert_eq!(end.status.code(), Some(code), "{path}: {end:?}");
    }
}

#[test]
fn alpn_chooses_the_protocol() {
    let (folder, _) = folder(&[("a", &["a.example"])]);
    let origin = echo();
    let rest = upstream(&origin) + "routes: [{ name: all, upstream: app }]\n";
    let gateway = start_in(folder, &listener(ONE), &rest);
    for (argument, version) in [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")] {
        let answer = get(&gateway, "a.example", &[argument]);
        assert_eq!(
            (answer.status, answer.version.as_str()),
            (200, version),
            "{argument}"
        );
        let seen = answer.json();
        assert_eq!(seen["headers"]["x-forwarded-proto"], "https");
    }
    // A large body each way.
    let body = "x".repeat(300_000);
    for version in ["--http2", "--http1.1"] {
        let (ca, port) = (gateway.file("ca.pem"), gateway.address().port());
        let resolve = format!("a.example:{port}:127.0.0.1");
        let url = format!("https://a.example:{port}/?bytes=3000000");
        let ca = ca.to_str().unwrap();
        let arguments = [
            version,
            "--cacert",
            ca,
            "--resolve",
            &resolve,
            "--data-binary",
            "@-",
            &url,
        ];
        let answer = super::super::harness::curl_with(&arguments, body.as_bytes());
        assert_eq!(
            (answer.status, answer.body.len()),
            (200, 3_000_000),
            "{version}"
        );
    }
    let answer = reload(
        &gateway,
        &listener(&format!("{ONE}, alpn: http/1.1")),
        &rest,
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(get(&gateway, "a.example", &["--http2"]).version, "1.1");
    let answer = reload(&gateway, &listener(&format!("{ONE}, alpn: h2")), &rest);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(get(&gateway, "a.example", &["--http2"]).version, "2");
    assert_eq!(get(&gateway, "a.example", &["--http1.1"]).status, 0);
    assert_eq!(get(&gateway, "a.example", &["--no-alpn"]).status, 0);
    assert_eq!(failed(&gateway, "incompatible"), 2.0);
}

#[test]
fn versions_are_pinned_per_listener() {
    let (folder, _) = folder(&[("a", &["a.example"])]);
    let gateway = start_in(folder, &listener(&format!("{ONE}, versions: 1.3")), WHO);
    let old = &["--tls-max", "1.2"];
    let new = &["--tlsv1.3"];
    assert_eq!(get(&gateway, "a.example", new).status, 200);
    assert_eq!(get(&gateway, "a.example", old).status, 0);
    assert_eq!(failed(&gateway, "incompatible"), 1.0);
    let answer = reload(&gateway, &listener(&format!("{ONE}, versions: [1.2]")), WHO);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(get(&gateway, "a.example", new).status, 0);
    assert_eq!(get(&gateway, "a.example", old).status, 200);
    assert_eq!(reload(&gateway, &listener(ONE), WHO).status, 200);
    assert_eq!(get(&gateway, "a.example", new).status, 200);
    assert_eq!(get(&gateway, "a.example", old).status, 200);
}

#[test]
fn new_files_are_taken_live_under_load_without_a_failed_request() {
    let (folder, authority) = folder(&[("a", &["a.example"])]);
    let gateway = start_in(folder, &listener(ONE), WHO);
    let expiry =
        "wiregate_tls_certificate_expiry_timestamp_seconds{listener=\"public\",name=\"a.example\"}";
    let at = |year: i32| rcgen::date_time_ymd(year, 1, 1).unix_timestamp();
    assert_eq!(gateway.metric(expiry) as i64, at(2100));
    let serial = |said: String| said.split_once("BEGIN CERTIFICATE").unwrap().1[..200].to_owned();
    let before = serial(s_client(gateway.address(), &["-servername", "a.example"]));
    let (stop, served) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(get(&gateway, "a.example", &[]).status, 200);
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        until("requests are served", || served.load(Ordering::Relaxed) > 3);
        authority.issue_until(gateway.folder(), "a", &["a.example"], 2090);
        until("the new certificate is live", || {
            gateway.metric(expiry) as i64 == at(2090)
        });
        let after = served.load(Ordering::Relaxed);
        until("requests go on", || {
            served.load(Ordering::Relaxed) > after + 3
        });
        stop.store(true, Ordering::Relaxed);
    });
    let after = serial(s_client(gateway.address(), &["-servername", "a.example"]));
    assert_ne!(before, after);
    // A key of another certificate is refused, and what runs stays.
    let key = std::fs::read(gateway.file("a.key")).unwrap();
    authority.issue(gateway.folder(), "b", &["b.example"]);
    std::fs::copy(gateway.file("b.key"), gateway.file("a.key")).unwrap();
    until("the mismatch is noticed", || {
        gateway.metric("wiregate_config_last_reload_successful") == 0.0
    });
    assert_eq!(get(&gateway, "a.example", &[]).status, 200);
    std::fs::write(gateway.file("a.key"), key).unwrap();
    until("it is repaired", || {
        gateway.metric("wiregate_config_last_reload_successful") == 1.0
    });
}

#[test]
fn a_session_is_resumed_also_after_a_reload() {
    let (folder, _) = folder(&[("a", &["a.example"])]);
    let gateway = start_in(folder, &listener(ONE), WHO);
    let session = gateway.file("session");
    let session = session.to_str().unwrap();
    let name = ["-tls1_2", "-servername", "a.example"];
    let first = s_client(
        gateway.address(),
        &[&name[..], &["-sess_out", session]].concat(),
    );
    assert!(first.contains("New, TLSv1.2"), "{first}");
    let other = listener(&format!("{ONE}, handshake_timeout: 9s"));
    assert_eq!(reload(&gateway, &other, WHO).status, 200);
    let second = s_client(
        gateway.address(),
        &[&name[..], &["-sess_in", session]].concat(),
    );
    assert!(second.contains("Reused, TLSv1.2"), "{second}");
    let took = "wiregate_tls_handshake_duration_seconds_count{listener=\"public\"}";
    until("both are counted", || gateway.metric(took) == 2.0);
    for kind in ["full", "resumed"] {
        let labels = format!("kind=\"{kind}\",listener=\"public\",version=\"1.2\"");
        let metric = format!("wiregate_tls_handshakes_total{{{labels}}}");
        assert_eq!(gateway.metric(&metric), 1.0, "{metric}");
    }
}

#[test]
fn every_mistake_with_certificates_has_its_place() {
    let (folder, authority) =
        folder(&[("a", &["a.example"]), ("b", &["b.example"]), ("none", &[])]);
    authority.issue(folder.path(), "both", &["a.example", "*.example"]);
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    let file = folder.path().join("w.yaml");
    for (tls, spot, message) in [
        (
            "certificates: { certificate: no.pem, key: a.key }",
            "no.pem",
            "cannot read `no.pem`: no such file",
        ),
        (
            "certificates: { certificate: a.pem, key: no.key }",
            "no.key",
            "cannot read `no.key`: no such file",
        ),
        (
            "certificates: { certificate: empty.pem, key: a.key }",
            "empty.pem",
            "cannot read `empty.pem`: expected a certificate in PEM, found none",
        ),
        (
            "certificates: { certificate: a.pem, key: a.pem }",
            "a.pem",
            "cannot read `a.pem`: expected a private key in PEM, found none",
        ),
        (
            "certificates: { certificate: a.pem, key: b.key }",
            "b.key",
            "the key in `b.key` is not that of the certificate in `a.pem`",
        ),
        (
            "certificates: { certificate: a.pem, key: a.key, names: [a.example, c.example] }",
            "c.example",
            "the certificate is not for `c.example`, only for `a.example`",
        ),
        (
            "certificates: [{ certificate: a.pem, key: a.key }, { certificate: both.pem, key: both.key }]",
            "{ certificate: both",
            "two certificates are for the name `a.example`",
        ),
        (
            "certificates: [{ certificate: a.pem, key: a.key }, { certificate: none.pem, key: none.key }]",
            "none.pem",
            "no client gets this certificate: it has no DNS name",
        ),
        (
            "certificates: { certificate: a.pem, key: a.key }, client_certificates: { ca: no.pem }",
            "no.pem",
            "cannot read `no.pem`: no such file",
        ),
        (
            "certificates: { certificate: a.pem, key: a.key }, client_certificates: { ca: a.key }",
            "a.key",
            "cannot read `a.key`: expected a certificate in PEM, found none",
        ),
    ] {
        let all = text(folder.path(), &listener(tls), WHO);
        let column = all.lines().nth(1).unwrap().rfind(spot).unwrap() + 1;
        std::fs::write(&file, all).unwrap();
        let mut command = wiregate(&["check", "--config", file.to_str().unwrap()]);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{tls}: {said}");
        assert!(said.contains(message), "{message:?} in {said}");
        assert!(
            said.contains(&format!("w.yaml:2:{column}\n")),
            "{column} in {said}"
        );
    }
}

#[test]
fn an_expired_certificate_is_told_and_served() {
    let (folder, authority) = folder(&[]);
    authority.issue_until(folder.path(), "a", &["a.example"], 2020);
    let gateway = start_in(folder, &listener(ONE), WHO);
    assert!(
        gateway.log().contains("the certificate has expired"),
        "{}",
        gateway.log()
    );
    assert_eq!(get(&gateway, "a.example", &["-k"]).status, 200);
    assert_eq!(get(&gateway, "a.example", &[]).status, 0);
    until("the client's refusal is counted", || {
        failed(&gateway, "refused_by_client") == 1.0
    });
}

#[test]
fn drain_ends_connections_over_tls() {
    let (folder, _) = folder(&[("a", &["a.example"])]);
    let mut gateway = start_in(folder, &listener(ONE), WHO);
    let address: SocketAddr = gateway.address();
    let silent = connect(address);
    assert_eq!(get(&gateway, "a.example", &["--http2"]).status, 200);
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    assert!(is_closed(&silent));
}
