//! The last good keys, when the configuration or the process becomes another one.

use super::*;
use crate::harness::upstream;
use crate::listeners::pki::Authority;
use crate::upgrade::upgrade;

/// Takes an issuer down.
fn down(issuer: &Issuer) {
    for path in [OPENID, OAUTH, "/keys"] {
        issuer.tell_as(path, "500 Down", "x-x: y", "");
    }
}

/// What becomes of a token that was not seen before.
fn status(gateway: &Gateway, issuer: &Issuer, key: &Key) -> u16 {
    let number = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let claims = json!({ "jti": number.as_nanos().to_string() });
    gateway.bring(&key.token(&issuer.url, &claims)).status
}

#[test]
fn a_reload_with_other_times_forgets_no_keys_while_the_issuer_is_down() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let (gateway, origin) = guarding(&by(&issuer, ""));
    assert_eq!(status(&gateway, &issuer, &key), 200);
    down(&issuer);
    for fetch in ["refresh: 1h", "cool_down: 1m", "timeout: 200ms", ""] {
        let filter = by(&issuer, &format!(", fetch: {{ {fetch} }}"));
        gateway.reload(&(upstream(&origin) + IMPATIENT + &routes(&filter)));
        assert_eq!(status(&gateway, &issuer, &key), 200, "{fetch}");
    }
    assert_eq!(issuer.asked(OPENID), 1, "nothing was due");
}

#[test]
fn keys_that_an_authority_has_vouched_for_go_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    ours.save(folder.path(), "ours.pem");
    others.save(folder.path(), "others.pem");
    ours.issue(folder.path(), "issuer", &["localhost"]);
    let (issuer, key) = (Issuer::start_tls(folder.path(), "issuer"), Key::new("k1"));
    issuer.publish(&[&key]);
    let trusting = |ca: &str| {
        let path = folder.path().join(ca);
        let path = path.display();
        by(
            &issuer,
            &format!(", fetch: {{ ca: \"{path}\", cool_down: 1s }}"),
        )
    };
    let (gateway, origin) = guarding(&trusting("ours.pem"));
    assert_eq!(status(&gateway, &issuer, &key), 200);
    let reload = |ca: &str| {
        gateway.reload(&(upstream(&origin) + IMPATIENT + &routes(&trusting(ca))));
        status(&gateway, &issuer, &key)
    };
    assert_eq!(reload("others.pem"), 503);
    assert_eq!(reload("ours.pem"), 200, "they are fetched anew");
    assert_eq!(reload("others.pem"), 503);
    down(&issuer);
    assert_eq!(reload("ours.pem"), 503, "nothing is left of them");
}

#[test]
fn keys_go_over_to_the_process_that_comes_next() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let (mut gateway, _origin) = forwarding(&routes(&by(&issuer, "")));
    assert_eq!(status(&gateway, &issuer, &key), 200);
    let last = format!(
        "wiregate_filter_fetch_success_timestamp_seconds{{filter=\"jwt\",from=\"{}\"}}",
        issuer.url
    );
    let before = gateway.metric(&last);
    down(&issuer);
    let _second = upgrade(&gateway, &[]).unwrap();
    assert_eq!(gateway.wait().code(), Some(0));
    assert_eq!(status(&gateway, &issuer, &key), 200);
    assert_eq!(issuer.asked(OPENID), 1, "nothing was due");
    let log = gateway.log();
    assert!(!log.contains("ready without"), "{log}");
    assert!((gateway.metric(&last) - before).abs() < 1.0);
}

#[test]
fn the_process_that_comes_next_fetches_keys_again_when_that_is_due() {
    let (issuer, old, new) = (Issuer::start(), Key::new("old"), Key::new("new"));
    issuer.publish(&[&old]);
    let filter = by(&issuer, ", fetch: { refresh: 1s, cool_down: 1s }");
    let (mut gateway, _origin) = forwarding(&routes(&filter));
    assert_eq!(status(&gateway, &issuer, &old), 200);
    down(&issuer);
    let _second = upgrade(&gateway, &[]).unwrap();
    assert_eq!(gateway.wait().code(), Some(0));
    assert_eq!(status(&gateway, &issuer, &old), 200);
    issuer.publish(&[&new]);
    until("they are the new ones", || {
        status(&gateway, &issuer, &new) == 200
    });
    assert_eq!(status(&gateway, &issuer, &old), 401);
}
