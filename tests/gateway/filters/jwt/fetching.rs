//! How often keys are fetched, and what becomes of requests meanwhile.

use std::time::{Duration, Instant};

use super::*;
use crate::issuer::set;

#[test]
fn a_secret_in_the_address_of_keys_is_told_to_nobody() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    let path = format!("/keys?key={KEY_OF_ANN}");
    issuer.tell(&path, &set(&[&key]));
    let (gateway, _origin) = guarding(&format!(
        "{{ issuer: ours, audience: orders, keys: {{ jwks: \"{}/keys?key=${{env:KEY_OF_ANN}}\" }}, \
         fetch: {{ refresh: 1s, cool_down: 1s }} }}",
        issuer.url
    ));
    assert_eq!(gateway.bring(&key.token("ours", &json!({}))).status, 200);
    issuer.tell_as(&path, "500 Broken", "x-x: y", "");
    until("an outage is told", || gateway.log().contains("WARN"));
    let told = gateway.log() + &gateway.admin("GET", "/metrics").text();
    assert!(
        told.contains("/keys") && !told.contains(KEY_OF_ANN),
        "{told}"
    );
}

#[test]
fn a_new_key_is_fetched_once_however_many_ask_for_it() {
    let (issuer, old, new) = (Issuer::start(), Key::new("old"), Key::new("new"));
    issuer.publish(&[&old]);
    let keys = format!("{{ jwks: \"{}/keys\" }}", issuer.url);
    let (gateway, _origin) = guarding(&by(
        &issuer,
        &format!(", keys: {keys}, fetch: {{ cool_down: 1s }}"),
    ));
    assert_eq!(
        gateway.bring(&old.token(&issuer.url, &json!({}))).status,
        200
    );
    assert_eq!(issuer.asked("/keys"), 1);
    issuer.publish(&[&old, &new]);
    // Until the cool-down after the first fetch is over, nothing is fetched.
    until("the cool-down is over", || {
        gateway
            .bring(&new.token(&issuer.url, &json!({ "jti": issuer.asked("/keys") })))
            .status
            == 200
    });
    assert_eq!(issuer.asked("/keys"), 2);

    let third = Key::new("third");
    issuer.publish(&[&new, &third]);
    issuer.hold();
    let ask = &|number: usize| {
        let token = third.token(&issuer.url, &json!({ "jti": number }));
        gateway.bring(&token).status
    };
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        // Refused until the cool-down is over, and then the one that makes the fetch.
        let first = scope.spawn(|| until("the key is known", || ask(0) == 200));
        until("it is fetched", || issuer.asked("/keys") == 3);
        let more: Vec<_> = (1..12)
            .map(|number| scope.spawn(move || ask(number)))
            .collect();
        // Others are served meanwhile.
        let known = new.token(&issuer.url, &json!({ "jti": 99 }));
        assert_eq!(gateway.bring(&known).status, 200);
        assert_eq!(gateway.ask("/open", &[]).status, 200);
        issuer.go_on();
        first.join().unwrap();
        more.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses, [200; 11]);
    assert_eq!(issuer.asked("/keys"), 3);
}

#[test]
fn made_up_names_of_keys_do_not_make_fetches() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let (gateway, _origin) = guarding(&by(&issuer, ", fetch: { cool_down: 1h }"));
    assert_eq!(
        gateway.bring(&key.token(&issuer.url, &json!({}))).status,
        200
    );
    let mut other = Key::new("made-up");
    for number in 0..20 {
        other.id = format!("made-up-{number}");
        let answer = gateway.bring(&other.token(&issuer.url, &json!({ "jti": number })));
        assert_eq!((answer.status, &*reason(&answer)), (401, "invalid_token"));
    }
    assert_eq!((issuer.asked(OPENID), issuer.asked("/keys")), (1, 1));
    assert_eq!(gateway.why(21), "none of the keys has signed the token");
}

#[test]
fn a_new_key_of_an_issuer_whose_keys_are_not_to_be_kept_is_fetched_at_once_and_made_up_ones_are_not()
 {
    let (issuer, old, new) = (Issuer::start(), Key::new("old"), Key::new("new"));
    for field in ["no-cache, no-store", "max-age=15"] {
        issuer.publish(&[&old]);
        let field = &*format!("cache-control: {field}");
        let publish =
            |keys: &[&Key]| issuer.tell_as("/keys", "200 OK", field, &set(keys).to_string());
        publish(&[&old]);
        let before = issuer.asked("/keys");
        let (gateway, _origin) = guarding(&by(&issuer, ", fetch: { cool_down: 10m }"));
        let bring = |key: &Key, id: usize| {
            let token = key.token(&issuer.url, &json!({ "jti": id }));
            gateway.bring(&token).status
        };
        assert_eq!(bring(&old, 0), 200);
        publish(&[&old, &new]);
        assert_eq!(bring(&new, 1), 200, "{field}");
        let mut other = Key::new("made-up");
        for number in 0..20 {
            other.id = format!("made-up-{number}");
            assert_eq!(bring(&other, 2 + number), 401);
        }
        assert_eq!(issuer.asked("/keys") - before, 2);
    }
}

#[test]
fn the_last_good_keys_stay_through_an_outage() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let (gateway, _origin) = guarding(&by(&issuer, ", fetch: { refresh: 1s, cool_down: 1s }"));
    assert_eq!(
        gateway.bring(&key.token(&issuer.url, &json!({}))).status,
        200
    );
    for (status, body) in [
        ("500 Down", "{}"),
        ("200 OK", "<html>"),
        ("200 OK", r#"{"keys":[]}"#),
        ("200 OK", r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#),
    ] {
        issuer.tell_as("/keys", status, "x-x: y", body);
        let before = issuer.asked("/keys");
        until("it was tried again", || issuer.asked("/keys") >= before + 2);
        let token = key.token(&issuer.url, &json!({ "jti": body }));
        assert_eq!(gateway.bring(&token).status, 200, "{status} {body}");
    }
    for what in [
        "cannot fetch keys",
        "expected status 200, found 500",
        "a secret that everybody can read",
    ] {
        gateway.tells(what);
    }
}

#[test]
fn other_routes_do_not_wait_for_the_first_keys() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    issuer.hold();
    // It is ready while the issuer says nothing.
    let (gateway, _origin) = guarding(&by(&issuer, ""));
    let token = key.token(&issuer.url, &json!({}));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| gateway.bring(&token).status);
        until("it is asked", || issuer.asked(OPENID) == 1);
        assert_eq!(gateway.ask("/open", &[]).status, 200);
        assert!(!waiting.is_finished());
        issuer.go_on();
        assert_eq!(waiting.join().unwrap(), 200);
    });
    assert_eq!(issuer.asked(OPENID), 1);
}

#[test]
fn nobody_waits_for_another_issuer_than_his_own() {
    let (down, up) = (Issuer::start(), Issuer::start());
    let key = Key::new("k1");
    up.publish(&[&key]);
    down.hold();
    up.hold();
    let sources = [&down, &up].map(|issuer| format!("{{ jwks: \"{}/keys\" }}", issuer.url));
    let sources = sources.join(", ");
    let (gateway, _origin) = guarding(&format!(
        "{{ audience: orders, keys: [{sources}], fetch: {{ timeout: 30s }} }}"
    ));
    let token = key.token("theirs", &json!({}));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| gateway.bring(&token).status);
        until("both are asked", || {
            [&down, &up].iter().all(|issuer| issuer.asked("/keys") == 1)
        });
        assert_eq!(gateway.ask("/open", &[]).status, 200);
        up.go_on();
        assert_eq!(waiting.join().unwrap(), 200);
    });
    assert!(start.elapsed() < Duration::from_secs(20));
    down.go_on();
}

#[test]
fn an_issuer_that_is_down_is_told_about_and_found_when_it_is_up() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    let (gateway, _origin) = guarding(&by(&issuer, ""));
    let token = key.token(&issuer.url, &json!({}));
    let answer = gateway.bring(&token);
    assert_eq!(
        (answer.status, &*reason(&answer)),
        (503, "keys_unavailable")
    );
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(
        gateway.ask("/", &[]).status,
        401,
        "who brings nothing needs no keys"
    );
    issuer.publish(&[&key]);
    until("its keys are fetched", || {
        gateway.bring(&token).status == 200
    });
}

#[test]
fn keys_are_fetched_again_before_they_expire_and_those_that_are_gone_are_not_believed() {
    for field in [
        "Cache-Control: public, max-age=2",
        // A cache on the way has had it for most of that time.
        "Cache-Control: max-age=86400\r\nAge: 86398",
        // Whatever the gateway's clock says.
        "Date: Mon, 05 Jan 2015 10:00:00 GMT\r\nExpires: Mon, 05 Jan 2015 10:00:02 GMT",
    ] {
        fetched_again(field);
    }
}

/// Keys that come with this field are good for two seconds.
fn fetched_again(field: &str) {
    let (issuer, old, new) = (Issuer::start(), Key::new("old"), Key::new("new"));
    issuer.publish(&[&old]);
    let expiring = |keys: &[&Key]| {
        issuer.tell_as("/keys", "200 OK", field, &set(keys).to_string());
    };
    expiring(&[&old]);
    let (gateway, _origin) = guarding(&by(&issuer, ", fetch: { refresh: 1d, cool_down: 1s }"));
    let token = old.token(&issuer.url, &json!({}));
    assert_eq!(gateway.bring(&token).status, 200, "{field}");
    until(&format!("they are fetched again: {field}"), || {
        issuer.asked("/keys") >= 3
    });
    assert_eq!(gateway.bring(&token).status, 200, "and are the same");
    expiring(&[&new]);
    // Although it was verified before, and is remembered.
    until("the old key is gone", || {
        gateway.bring(&token).status == 401
    });
    assert_eq!(
        gateway.bring(&new.token(&issuer.url, &json!({}))).status,
        200
    );
}

#[test]
fn what_is_fetched_has_bounds() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    let token = key.token(&issuer.url, &json!({}));
    let keys = format!(
        ", keys: {{ jwks: \"{}/keys\" }}, fetch: {{ timeout: 500ms }}",
        issuer.url
    );
    let large = json!({ "keys": [key.jwk()], "x": "y".repeat(256 << 10) }).to_string();
    let many = set(&[&key; 101]).to_string();
    for (body, why) in [
        (large, "expected at most 262144 bytes, found more"),
        (many, "expected at most 100 keys, found 101"),
        (
            format!("{{\"keys\":[],{}", &set(&[&key]).to_string()[1..]),
            "a member that is there twice",
        ),
    ] {
        issuer.tell_as("/keys", "200 OK", "x-x: y", &body);
        let (gateway, _origin) = guarding(&by(&issuer, &keys));
        assert_eq!(gateway.bring(&token).status, 503, "{why}");
        until(why, || gateway.log().contains(why));
    }
    issuer.hold();
    let (gateway, _origin) = guarding(&by(&issuer, &keys));
    assert_eq!(gateway.bring(&token).status, 503);
    until("it was too slow", || {
        gateway.log().contains("no answer within 500ms")
    });
    issuer.go_on();
}

#[test]
fn filters_share_keys_and_a_reload_fetches_nothing_that_is_there() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let route = |name: &str, audience: &str| {
        format!(
            "  - {{ name: {name}, match: {{ path: /{name} }}, upstream: app, filters: [jwt: {{ issuer: \"{}\", audience: {audience} }}] }}\n",
            issuer.url
        )
    };
    let two = format!(
        "routes:\n{}{}",
        route("a", "orders"),
        route("b", "[orders, other]")
    );
    let (gateway, origin) = forwarding(&two);
    let bearer = format!(
        "authorization: Bearer {}",
        key.token(&issuer.url, &json!({}))
    );
    let both = || ["/a", "/b"].map(|path| gateway.ask(path, &["-H", &bearer]).status);
    assert_eq!(both(), [200, 200]);
    let upstream = crate::harness::upstream(&origin);
    for audience in ["other", "orders"] {
        let changed = format!(
            "{upstream}routes:\n{}{}",
            route("a", "orders"),
            route("b", audience)
        );
        gateway.reload(&changed);
        // Options that have changed hold at once, also for a token that was let in before.
        assert_eq!(both(), [200, if audience == "other" { 401 } else { 200 }]);
    }
    assert_eq!((issuer.asked(OPENID), issuer.asked("/keys")), (1, 1));
}

#[test]
fn fetches_and_the_age_of_keys_are_told() {
    let (issuer, key) = (Issuer::start(), Key::new("k1"));
    issuer.publish(&[&key]);
    let filter = by(&issuer, ", fetch: { refresh: 1s, cool_down: 1s }");
    let (gateway, _origin) = guarding(&filter);
    let labels = format!("filter=\"jwt\",from=\"{}\"", issuer.url);
    let fetches = |result: &str| {
        let labels = format!("{labels},result=\"{result}\"");
        gateway.metric(&format!("wiregate_filter_fetches_total{{{labels}}}"))
    };
    let age = || {
        let name = format!("wiregate_filter_fetch_success_timestamp_seconds{{{labels}}}");
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        now.as_secs_f64() - gateway.metric(&name)
    };
    until("they are fetched twice", || fetches("ok") >= 2.0);
    assert!((-1.0..60.0).contains(&age()), "{}", age());
    assert_eq!(fetches("error"), 0.0);
    issuer.tell_as("/keys", "500 Broken", "x-x: y", "");
    until("that fails", || fetches("error") >= 1.0);
    // Counts go on over a reload, and vanish with the filter.
    let (ok, error) = (fetches("ok"), fetches("error"));
    let app = std::fs::read_to_string(gateway.file("wiregate.yaml")).unwrap();
    let app = app
        .split_once("\nupstreams:")
        .unwrap()
        .1
        .split_once("routes:")
        .unwrap()
        .0
        .to_owned();
    gateway.reload(&format!("upstreams:{app}{}", routes(&filter)));
    assert!(fetches("ok") >= ok && fetches("error") >= error);
    gateway.reload(&format!(
        "upstreams:{app}routes: [{{ name: open, upstream: app }}]\n"
    ));
    assert!(!gateway.admin("GET", "/metrics").text().contains(&labels));
}
