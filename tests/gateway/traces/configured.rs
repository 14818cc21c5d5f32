//! What is written under `traces`, and what is wrong with it.

use super::receiver::{Receiver, field};
use super::{to, traced};
use crate::harness::{Gateway, KEY_OF_ANN, complete, curl, until, wiregate};
use crate::listeners::pki::Authority;

const ROUTES: &str = "routes: [{ name: all, filters: [respond: 204] }]\n";

#[test]
fn the_receiver_is_asked_with_secrets_that_nobody_else_sees() {
    let headers =
        ", headers: { Authorization: '${env:KEY_OF_ANN}', x-scope: team-a, x-honeycomb-team: k3y }";
    let (gateway, _origin, receiver) = traced(headers);
    curl(&[&gateway.url("/")]);
    receiver.spans_when(2);
    let head = &receiver.posted()[0].head;
    assert_eq!(field(head, "authorization"), Some(KEY_OF_ANN));
    assert_eq!(field(head, "x-scope"), Some("team-a"));
    for path in ["/config", "/config?format=yaml", "/metrics"] {
        let said = gateway.admin("GET", path).text();
        assert!(!said.contains(KEY_OF_ANN), "{said}");
        // Nobody can tell by its name what it is for: what a receiver is asked with may be a key.
        assert!(!said.contains("k3y"), "{said}");
        assert!(
            path == "/metrics" || said.contains("${env:KEY_OF_ANN}"),
            "{said}"
        );
    }
    assert!(!gateway.log().contains(KEY_OF_ANN), "{}", gateway.log());
}

#[test]
fn what_is_sent_can_be_compressed() {
    let (gateway, _origin, receiver) = traced(", compression: gzip");
    curl(&[&gateway.url("/")]);
    assert_eq!(receiver.spans_when(2).len(), 2);
    let head = &receiver.posted()[0].head;
    assert_eq!(field(head, "content-encoding"), Some("gzip"));
}

#[test]
fn a_receiver_with_tls_is_known_by_its_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    ours.save(folder.path(), "ca.pem");
    others.save(folder.path(), "others.pem");
    ours.issue(folder.path(), "receiver", &["localhost"]);
    let receiver = Receiver::start_tls(folder.path(), "receiver");
    let config = |name: &str| {
        let ca = folder.path().join(name).display().to_string();
        to(&receiver, &format!(", ca: \"{ca}\"")) + ROUTES
    };
    let stranger = Gateway::start(&config("others.pem"));
    curl(&[&stranger.url("/")]);
    until("it is told", || {
        stranger.log().contains("invalid peer certificate")
    });
    assert_eq!(receiver.posted().len(), 0);
    let gateway = Gateway::start(&config("ca.pem"));
    curl(&[&gateway.url("/")]);
    assert_eq!(receiver.spans_when(1).len(), 1);
}

/// What `check` says of these options, and of the place of the first problem.
fn problem(traces: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wiregate.yaml");
    let text = format!("traces: {{ {traces} }}\n{ROUTES}");
    std::fs::write(&file, complete(folder.path(), &text, "{}")).unwrap();
    std::fs::write(folder.path().join("no.pem"), "nothing\n").unwrap();
    let output = wiregate(&["check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(78), "{traces}: {said}");
    said
}

#[test]
fn what_cannot_be_meant_is_told_with_its_place() {
    let good = "endpoint: \"http://a.test/v1/traces\"";
    for (options, message, place) in [
        ("sample: 10%", "missing `endpoint`", "5:9"),
        (
            "endpoint: a.test:4318",
            "expected a URL such as `http://127.0.0.1:4318/v1/traces`, found `a.test:4318`",
            "5:21",
        ),
        (
            "endpoint: \"ftp://a.test/\"",
            "expected a URL such as `http://127.0.0.1:4318/v1/traces`, found `ftp://a.test/`",
            "5:21",
        ),
        (
            "endpoint: \"http://a.test/v1#x\"",
            "found one with a fragment, `http://a.test/v1#x`",
            "5:21",
        ),
        ("GOOD, sampel: 10%", "unknown key `sampel`", "5:48"),
        ("GOOD, sample: 0.1", "expected", "5:56"),
        ("GOOD, sample: 101%", "at most `100%`", "5:56"),
        (
            "GOOD, parent: maybe",
            "expected one of `always`, `trusted_proxies`, `never`",
            "5:56",
        ),
        (
            "GOOD, queue: 63",
            "expected 64 to 262144 spans, found 63",
            "5:55",
        ),
        ("GOOD, queue: 262145", "found 262145", "5:55"),
        ("GOOD, batch: 0", "expected", "5:55"),
        (
            "GOOD, batch: 8193, queue: 9000",
            "expected 1 to 8192 spans, found 8193",
            "5:55",
        ),
        (
            "GOOD, queue: 100",
            "a batch of 512 spans (`batch`) does not fit into a queue for 100 (`queue`)",
            "5:55",
        ),
        (
            "GOOD, queue: 100, batch: 101",
            "a batch of 101 spans (`batch`) does not fit into a queue for 100 (`queue`)",
            "5:67",
        ),
        (
            "GOOD, interval: 99ms",
            "expected a time from `100ms` to `1m`, found `99ms`",
            "5:58",
        ),
        (
            "GOOD, timeout: 61s",
            "expected a time from `100ms` to `1m`, found `61s`",
            "5:57",
        ),
        (
            "GOOD, compression: zstd",
            "expected one of `none`, `gzip`",
            "5:61",
        ),
        (
            "GOOD, service: \"\"",
            "expected a name of 1 to 1024 bytes",
            "5:57",
        ),
        (
            "GOOD, resource: { service.name: a }",
            "this is what `service` is for",
            "5:74",
        ),
        ("GOOD, ca: none.pem", "cannot read `none.pem`", "5:52"),
        (
            "GOOD, ca: no.pem",
            "`ca` is for https, but `endpoint` is http",
            "5:52",
        ),
        (
            "endpoint: \"https://a.test/v1/traces\", ca: no.pem",
            "`no.pem`: expected certificates in PEM, found none",
            "5:53",
        ),
        (
            "GOOD, headers: { content-type: text/plain }",
            "`content-type` says what is sent, and is set by the gateway",
            "5:73",
        ),
        (
            "GOOD, headers: { content-length: \"5\" }",
            "content-length",
            "5:59",
        ),
    ] {
        let said = problem(&options.replace("GOOD", good));
        assert!(said.contains(message), "{options}:\n{said}");
        let place = format!("wiregate.yaml:{place}");
        assert!(said.contains(&place), "{options}: not {place} in\n{said}");
    }
}

#[test]
fn a_secret_that_is_written_out_is_refused_and_not_shown() {
    for (options, message) in [
        (
            "endpoint: \"http://me:s3cr3t@a.test/v1/traces\"",
            "there are credentials in the URL",
        ),
        (
            "endpoint: \"ftp://me:s3cr3t@a.test/v1/traces\"",
            "there are credentials in the URL",
        ),
        (
            "endpoint: \"http://me:s3cr3t@a test/\"",
            "there are credentials in the URL",
        ),
        (
            "endpoint: \"http://a.test/v1/traces?x=1&Api-Key=s3cr3t\"",
            "`api-key` holds a secret, which is not written out",
        ),
        (
            "endpoint: \"http://a.test/v1/traces?se=2027&sig=s3cr3t\"",
            "`sig` holds a secret, which is not written out",
        ),
        (
            "endpoint: \"http://a.test/\", headers: { authorization: Bearer s3cr3t }",
            "`authorization` holds a secret, which is not written out",
        ),
        (
            "endpoint: \"http://a.test/\", headers: { X-Api-Key: s3cr3t }",
            "`x-api-key` holds a secret, which is not written out",
        ),
        (
            "endpoint: \"http://a.test/\", headers: { dd-token: \"s3cr3t\\u0001\" }",
            "`dd-token` holds a secret, which is not written out",
        ),
    ] {
        let said = problem(options);
        assert!(said.contains(message), "{options}:\n{said}");
        assert!(!said.contains("s3cr3t"), "{options}:\n{said}");
    }
}
