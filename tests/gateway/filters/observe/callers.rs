//! Filters that would send a caller away.

use serde_json::Value;

use super::super::forwarding;
use super::post;

const CALLERS: &str = r#"
routes:
  - name: all
    filters:
      - jwt: { issuer: "https://id.example.com", audience: orders, algorithms: HS256, keys: { secret: "${file:SECRET}" }, mode: observe }
      - basic_auth: { users: [{ name: ann, password_hash: "$argon2id$v=19$m=16,t=1,p=1$jUuUtrWI+gYkKn0S80ZWlg$FvpJESqrVRS0ebKG98pBXFBep84Wp5IcVbreOGfQ4m8" }], mode: observe }
      - request_id: { header: x-own, mode: observe }
      - template: { request: { text: "made {{ body.a }}" }, mode: observe }
    upstream: app
"#;

#[test]
fn who_would_be_sent_away_is_let_in() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&secret, "a-secret-of-at-least-thirty-two-bytes").unwrap();
    let text = CALLERS.replace("SECRET", &secret.path().display().to_string());
    let (gateway, _origin) = forwarding(&text);
    let answer = post(&gateway, &[], br#"{"a":1}"#);
    assert_eq!(
        (answer.status, answer.header("www-authenticate")),
        (200, "")
    );
    assert_eq!(answer.json()["body"], r#"{"a":1}"#);
    assert_eq!(answer.json()["headers"]["x-own"], Value::Null);
    let wrong = gateway.ask("/", &["-u", "ann:wrong"]);
    assert_eq!(wrong.status, 200);
    assert!(
        wrong.json()["headers"]["authorization"].is_string(),
        "it was not taken out"
    );
    let broken = post(&gateway, &[], b"{");
    assert_eq!((broken.status, &broken.json()["body"]), (200, &"{".into()));
    let log = gateway.access_log(3);
    assert_eq!(log[0]["observed"]["jwt"], "missing_token", "{}", log[0]);
    assert_eq!(
        log[0]["observed"]["basic_auth"], "missing_credentials",
        "{}",
        log[0]
    );
    assert_eq!(
        log[1]["observed"]["basic_auth"], "invalid_credentials",
        "{}",
        log[1]
    );
    assert_eq!(log[2]["observed"]["template"], "invalid_json", "{}", log[2]);
    for line in &log {
        assert_eq!([&line["refused_by"], &line["error"]], [&Value::Null; 2]);
    }
    for filter in ["jwt", "basic_auth"] {
        gateway.counts("observed", "all", filter, 3.0);
        gateway.counts("refusals", "all", filter, 0.0);
    }
}
