//! Who is let in, and as whom.

use aws_lc_rs::rsa::KeySize;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;

use serde_json::{Value, json};
use wiregate_sdk::testing::probe;

use super::super::Jwt;
use super::super::algorithm::Algorithm;
use super::signer::Signer;
use super::{SECRET, claims, hs256, now, ours, send, verdict};

#[tokio::test]
async fn tokens_of_every_algorithm() {
    for algorithm in Algorithm::ALL {
        let name = algorithm.name();
        let signer = Signer::for_algorithm(name);
        let keys = if name.starts_with("HS") {
            format!("secret: '${{env:{SECRET}}}'")
        } else {
            format!("pem: {:?}", signer.pem)
        };
        let filter = probe::<Jwt>(&format!(
            "issuer: ours\naudience: orders\nalgorithms: {name}\nkeys: {{ {keys} }}"
        ));
        let token = signer.token(&json!({ "alg": name, "typ": "JWT" }), &claims(&json!({})));
        assert_eq!(verdict(&filter, &token).await, Ok(()), "{name}");
        let other = Signer::for_algorithm(name);
        if !name.starts_with("HS") {
            let forged = other.token(&json!({ "alg": name }), &claims(&json!({})));
            assert!(verdict(&filter, &forged).await.is_err(), "{name}");
        }
    }
}

#[tokio::test]
async fn with_an_rsa_key_as_pkcs1_has_it() {
    let signer = Signer::rsa(KeySize::Rsa2048);
    let body: String = signer.pem.lines().filter(|it| !it.contains('-')).collect();
    // A `SubjectPublicKeyInfo` of RSA has 24 bytes before the key itself.
    let key = STANDARD.encode(&STANDARD.decode(body).unwrap()[24..]);
    let pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{key}\n-----END RSA PUBLIC KEY-----");
    let filter = probe::<Jwt>(&format!(
        "issuer: ours\naudience: orders\nalgorithms: [RS256, PS256]\nkeys: {{ pem: {pem:?} }}"
    ));
    for name in ["RS256", "PS256"] {
        let token = signer.token(&json!({ "alg": name }), &claims(&json!({})));
        assert_eq!(verdict(&filter, &token).await, Ok(()), "{name}");
    }
}

#[tokio::test]
async fn with_keys_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Signer::curve("ES256"), Signer::ed25519());
    let mut jwks = json!({ "keys": [one.jwk, other.jwk, { "kty": "new" }, { "kty": "EC", "crv": "P-256", "use": "enc" }] });
    jwks["keys"][0]["kid"] = "one".into();
    jwks["keys"][1]["kid"] = "other".into();
    for (name, text) in [
        ("keys.json", jwks.to_string()),
        ("keys.pem", format!("{}{}", one.pem, other.pem)),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let filter = probe::<Jwt>(&format!(
            "issuer: ours\naudience: orders\nalgorithms: [ES256, EdDSA]\nkeys: {{ file: {} }}",
            path.display()
        ));
        let first = one.token(
            &json!({ "alg": "ES256", "kid": "one" }),
            &claims(&json!({})),
        );
        let second = other.token(
            &json!({ "alg": "EdDSA", "kid": "other" }),
            &claims(&json!({})),
        );
        assert_eq!(verdict(&filter, &first).await, Ok(()), "{name}");
        assert_eq!(verdict(&filter, &second).await, Ok(()), "{name}");
    }
}

#[tokio::test]
async fn as_whom_the_claims_say() {
    let filter = ours("groups: [realm_access, roles]");
    let token = hs256(&claims(&json!({
        "scope": "orders:read  mail", "realm_access": { "roles": ["staff", 7, "eu"] }, "level": 3,
    })));
    let seen = send(&filter, &token).await;
    let identity = seen.exchange.identity.unwrap();
    assert_eq!((&*identity.name, identity.by), ("ann", "jwt"));
    assert_eq!(
        *identity.groups,
        [Box::<str>::from("staff"), Box::<str>::from("eu")]
    );
    assert_eq!(
        *identity.scopes,
        [Box::<str>::from("orders:read"), Box::<str>::from("mail")]
    );
    assert_eq!(identity.claims.as_ref().unwrap()["level"], 3);
    assert_eq!(identity.consumer, None);
    assert!(
        !seen.request.headers.contains_key("authorization"),
        "it is stripped"
    );

    let filter = ours("name: client_id\ngroups: team\nscope: rights\nstrip: false");
    let token = hs256(&claims(
        &json!({ "client_id": 7, "team": "one", "rights": ["a", "b"] }),
    ));
    let seen = send(&filter, &token).await;
    let identity = seen.exchange.identity.unwrap();
    assert_eq!(&*identity.name, "7");
    assert_eq!(*identity.groups, [Box::<str>::from("one")]);
    assert_eq!(
        *identity.scopes,
        [Box::<str>::from("a"), Box::<str>::from("b")]
    );
    assert!(seen.request.headers.contains_key("authorization"));
}

#[tokio::test]
async fn as_long_as_the_times_hold() {
    let filter = ours("leeway: 10s");
    let token = |other: Value| hs256(&claims(&other));
    let at = now();
    for (times, expected) in [
        (json!({ "exp": at - 5 }), Ok(())),
        (json!({ "exp": at - 15 }), Err("has expired")),
        (json!({ "exp": 1.5e9 }), Err("has expired")),
        (json!({ "exp": at as f64 + 0.5 }), Ok(())),
        (json!({ "exp": null }), Err("no time of expiry")),
        (json!({ "exp": "1" }), Err("`exp` is none, or out of range")),
        (json!({ "exp": -1 }), Err("`exp` is none, or out of range")),
        (json!({ "exp": 1e300 }), Err("out of range")),
        (json!({ "exp": u64::MAX }), Err("out of range")),
        (json!({ "nbf": at + 5 }), Ok(())),
        (json!({ "nbf": at + 20 }), Err("not valid yet")),
        (json!({ "nbf": true }), Err("`nbf` is none")),
        (json!({ "iat": at + 5 }), Ok(())),
        (json!({ "iat": at + 20 }), Err("issued in the future")),
        (json!({ "iat": at - 100_000 }), Ok(())),
        (json!({ "iat": "yesterday" }), Err("`iat` is none")),
    ] {
        match (verdict(&filter, &token(times.clone())).await, expected) {
            (Ok(()), Ok(())) => {}
            (Err(said), Err(why)) => assert!(said.contains(why), "{times}: {said}"),
            (found, _) => panic!("{times}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn only_what_is_meant_for_them() {
    let filter = ours("require: [email, [address, country]]");
    let given = json!({ "email": "a@x.example", "address": { "country": "at" } });
    let with = |other: Value| {
        let mut all = given.clone();
        all.as_object_mut()
            .unwrap()
            .extend(other.as_object().unwrap().clone());
        hs256(&claims(&all))
    };
    for (other, expected) in [
        (json!({}), Ok(())),
        (json!({ "aud": ["other", "orders"] }), Ok(())),
        (json!({ "aud": "Orders" }), Err("another audience")),
        (json!({ "aud": ["other"] }), Err("another audience")),
        (json!({ "aud": [] }), Err("another audience")),
        (json!({ "aud": null }), Err("another audience")),
        (json!({ "aud": { "orders": 1 } }), Err("another audience")),
        (json!({ "iss": "ours/" }), Err("another issuer")),
        (json!({ "iss": ["ours"] }), Err("another issuer")),
        (json!({ "iss": null }), Err("another issuer")),
        (json!({ "email": null }), Err("no claim `email`")),
        (
            json!({ "address": "at" }),
            Err("no claim `address.country`"),
        ),
        (
            json!({ "sub": null }),
            Err("does not name the caller (`sub`)"),
        ),
        (
            json!({ "sub": "" }),
            Err("does not name the caller (`sub`)"),
        ),
    ] {
        match (verdict(&filter, &with(other.clone())).await, expected) {
            (Ok(()), Ok(())) => {}
            (Err(said), Err(why)) => assert!(said.contains(why), "{other}: {said}"),
            (found, _) => panic!("{other}: {found:?}"),
        }
    }
    // A filter that says nobody whom tokens must be for takes none that are for somebody.
    let filter = probe::<Jwt>(&format!(
        "algorithms: HS256\nkeys: {{ secret: '${{env:{SECRET}}}' }}"
    ));
    let why = verdict(&filter, &hs256(&claims(&json!({}))))
        .await
        .unwrap_err();
    assert_eq!(
        why,
        "the token is for another audience (`aud`), and the filter has none"
    );
    assert_eq!(
        verdict(&filter, &hs256(&claims(&json!({ "aud": null })))).await,
        Ok(())
    );
}

#[tokio::test]
async fn only_tokens_of_the_right_type() {
    let signer = Signer::secret(SECRET);
    let token = |typ: Value| {
        let mut header = json!({ "alg": "HS256" });
        header["typ"] = typ;
        signer.token(&header, &claims(&json!({})))
    };
    let (any, access) = (ours(""), ours("typ: at+jwt"));
    for (typ, by_any, by_access) in [
        ("JWT", true, false),
        ("jwt", true, false),
        ("at+jwt", true, true),
        ("application/at+JWT", true, true),
        ("APPLICATION/JWT", true, false),
        ("logout+jwt", false, false),
        ("dpop+jwt", false, false),
        ("", false, false),
    ] {
        assert_eq!(
            verdict(&any, &token(json!(typ))).await.is_ok(),
            by_any,
            "{typ}"
        );
        assert_eq!(
            verdict(&access, &token(json!(typ))).await.is_ok(),
            by_access,
            "{typ}"
        );
    }
    assert!(verdict(&any, &token(json!(["JWT"]))).await.is_err());
    let untyped = hs256(&claims(&json!({})));
    assert_eq!(verdict(&any, &untyped).await, Ok(()));
    assert!(verdict(&access, &untyped).await.is_err());
}

#[tokio::test]
async fn only_who_may() {
    let filter = ours(
        "scopes: [orders:read, mail]\nwhen: identity.claims.level >= 2 && request.method == 'GET'",
    );
    let token =
        |scope: &str, level: Value| hs256(&claims(&json!({ "scope": scope, "level": level })));
    let seen = send(&filter, &token("mail orders:read x", json!(2))).await;
    assert!(seen.reply.is_none());
    let seen = send(&filter, &token("orders:read", json!(2))).await;
    assert_eq!(
        (seen.status(), seen.reason()),
        (403, Some("insufficient_scope"))
    );
    assert_eq!(
        seen.header("www-authenticate"),
        Some("Bearer realm=\"api\", error=\"insufficient_scope\", scope=\"orders:read mail\"")
    );
    assert_eq!(
        &*seen.exchange.identity.unwrap().name,
        "ann",
        "the log says who"
    );
    for level in [json!(1), json!("many"), json!(null)] {
        let seen = send(&filter, &token("mail orders:read", level.clone())).await;
        assert_eq!(
            (seen.status(), seen.reason()),
            (403, Some("not_allowed")),
            "{level}"
        );
        assert_eq!(
            seen.header("www-authenticate"),
            Some("Bearer realm=\"api\", error=\"insufficient_scope\"")
        );
    }
}

#[tokio::test]
async fn who_brings_no_token_or_several_is_told() {
    let filter = ours(
        "from: [{ bearer: true }, { query: access_token }, { cookie: session }]\nrealm: orders",
    );
    let seen = filter.get("/").send().await;
    assert_eq!((seen.status(), seen.reason()), (401, Some("missing_token")));
    assert_eq!(
        seen.header("www-authenticate"),
        Some("Bearer realm=\"orders\"")
    );
    let (one, other) = (
        hs256(&claims(&json!({}))),
        hs256(&claims(&json!({ "sub": "bob" }))),
    );
    let bearer = format!("Bearer {one}");
    let seen = filter
        .get(&format!("/?access_token={other}&x=1"))
        .header("authorization", &bearer)
        .send()
        .await;
    assert_eq!(
        (seen.status(), seen.reason()),
        (400, Some("several_tokens"))
    );
    assert_eq!(
        seen.header("www-authenticate"),
        Some("Bearer realm=\"orders\", error=\"invalid_request\"")
    );
    assert_eq!(seen.exchange.target, "/?x=1", "no log shows it");
    let seen = filter
        .get(&format!("/?access_token={one}"))
        .header("authorization", &bearer)
        .header("cookie", &format!("a=b; session={one}"))
        .send()
        .await;
    assert!(seen.reply.is_none());
    assert_eq!(seen.request.uri, "/");
    assert_eq!(seen.request.headers["cookie"], "a=b");
}

#[tokio::test]
async fn a_token_is_remembered_until_it_expires_and_no_longer() {
    let filter = ours("leeway: 1s");
    let token = hs256(&claims(&json!({ "exp": now() + 60 })));
    for _ in 0..3 {
        assert_eq!(verdict(&filter, &token).await, Ok(()));
    }
    filter.clock().advance(Duration::from_secs(59));
    assert_eq!(verdict(&filter, &token).await, Ok(()));
    filter.clock().advance(Duration::from_secs(4));
    assert_eq!(
        verdict(&filter, &token).await.unwrap_err(),
        "the token has expired (`exp`)"
    );
}

#[tokio::test]
async fn without_keys_nobody_is_let_in() {
    // Nobody runs the task that would fetch them.
    let filter =
        probe::<Jwt>("issuer: http://127.0.0.1:9\naudience: orders\nfetch: { timeout: 100ms }");
    let token =
        Signer::for_algorithm("RS256").token(&json!({ "alg": "RS256" }), &claims(&json!({})));
    let seen = send(&filter, &token).await;
    assert_eq!(
        (seen.status(), seen.reason()),
        (503, Some("keys_unavailable"))
    );
    assert_eq!(seen.header("retry-after"), Some("1"));
}
