//! Where keys come from, and what is believed of it.

use super::*;
use crate::issuer::set;
use crate::listeners::pki::Authority;

#[test]
fn keys_are_found_by_openid_discovery_and_fetched_once() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let (gateway, _origin) = guarding(&by(&issuer, ""));
    for number in 0..5 {
        let user = format!("user-{number}");
        let answer = gateway.bring(&key.token(&issuer.url, &json!({ "sub": user, "level": 3 })));
        assert_eq!(saw(&answer, "x-user"), user);
        assert_eq!(saw(&answer, "x-level"), "3");
        assert_eq!(saw(&answer, "authorization"), serde_json::Value::Null);
    }
    assert_eq!((issuer.asked(OPENID), issuer.asked("/keys")), (1, 1));
    assert_eq!(issuer.asked(OAUTH), 0);
    assert_eq!(gateway.access_log(5)[4]["identity"], "user-4");
}

#[test]
fn keys_are_found_as_rfc_8414_has_it() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    let realm = format!("{}/realms/a", issuer.url);
    let keys_at = format!("{}/realms/a/keys", issuer.url);
    issuer.tell(
        &format!("{OAUTH}/realms/a"),
        &json!({ "issuer": realm, "jwks_uri": keys_at }),
    );
    issuer.tell("/realms/a/keys", &set(&[&key]));
    let (gateway, _origin) = guarding(&format!("{{ issuer: \"{realm}\", audience: orders }}"));
    assert_eq!(gateway.bring(&key.token(&realm, &json!({}))).status, 200);
    assert_eq!(issuer.asked(&format!("/realms/a{OPENID}")), 1);
    assert_eq!(issuer.asked("/realms/a/keys"), 1);
}

#[test]
fn a_page_in_the_place_of_a_document_is_not_the_end() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    // A front end that answers whatever is asked for.
    issuer.tell_as(OPENID, "200 OK", "content-type: text/html", "<html></html>");
    let keys_at = format!("{}/keys", issuer.url);
    issuer.tell(OAUTH, &json!({ "issuer": issuer.url, "jwks_uri": keys_at }));
    issuer.tell("/keys", &set(&[&key]));
    let (gateway, _origin) = guarding(&by(&issuer, ""));
    assert_eq!(
        gateway.bring(&key.token(&issuer.url, &json!({}))).status,
        200
    );
}

#[test]
fn what_speaks_for_another_issuer_is_not_believed() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    issuer.tell(
        OPENID,
        &json!({ "issuer": "https://other.example", "jwks_uri": format!("{}/keys", issuer.url) }),
    );
    let (gateway, _origin) = guarding(&by(&issuer, ""));
    let answer = gateway.bring(&key.token(&issuer.url, &json!({})));
    assert_eq!(
        (answer.status, &*reason(&answer)),
        (503, "keys_unavailable")
    );
    assert!(
        gateway
            .log()
            .contains("the document found there is of another issuer")
    );
    assert_eq!(issuer.asked("/keys"), 0);
}

#[test]
fn keys_over_plain_http_from_elsewhere_are_not_taken() {
    let issuer = Issuer::start();
    issuer.tell(
        OPENID,
        &json!({ "issuer": issuer.url, "jwks_uri": "http://192.0.2.1/keys" }),
    );
    let (gateway, _origin) = guarding(&by(&issuer, ""));
    until("it is said", || {
        gateway
            .log()
            .contains("`jwks_uri`: expected `https`, found `http`")
    });
}

#[test]
fn the_issuers_certificate_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    ours.save(folder.path(), "ca.pem");
    others.save(folder.path(), "others.pem");
    ours.issue(folder.path(), "issuer", &["localhost"]);
    let (issuer, key) = (Issuer::start_tls(folder.path(), "issuer"), Key::new("k1"));
    issuer.publish(&[&key]);
    let token = key.token(&issuer.url, &json!({}));
    let ca = |name: &str| {
        let path = folder.path().join(name);
        by(
            &issuer,
            &format!(", fetch: {{ ca: \"{}\" }}", path.display()),
        )
    };
    let (gateway, _origin) = guarding(&ca("ca.pem"));
    assert_eq!(gateway.bring(&token).status, 200);
    for filter in [ca("others.pem"), by(&issuer, "")] {
        let (gateway, _origin) = guarding(&filter);
        assert_eq!(gateway.bring(&token).status, 503, "{filter}");
        gateway.tells("invalid peer certificate");
    }
}

#[test]
fn redirects_are_followed_on_the_same_host_only() {
    let (issuer, elsewhere, key) = (Issuer::start(), Issuer::start(), Key::new("k1"));
    elsewhere.publish(&[&key]);
    issuer.tell("/moved", &set(&[&key]));
    let token = key.token(&issuer.url, &json!({}));
    for (target, status) in [
        (format!("{}/moved", issuer.url), 200),
        ("/moved".to_owned(), 200),
        (format!("{}/keys", elsewhere.url), 503),
        (format!("{}/keys", issuer.url), 503),
    ] {
        issuer.tell_as("/keys", "302 Found", &format!("location: {target}"), "");
        let keys = format!(", keys: {{ jwks: \"{}/keys\" }}", issuer.url);
        let (gateway, _origin) = guarding(&by(&issuer, &keys));
        assert_eq!(gateway.bring(&token).status, status, "{target}");
    }
    assert_eq!(elsewhere.asked("/keys"), 0);
}
