//! What people try: RFC 8725, 2 and 3.

use aws_lc_rs::rsa::KeySize;
use proptest::prelude::*;
use serde_json::{Value, json};
use wiregate_sdk::testing::probe;

use super::super::Jwt;
use super::signer::{Signer, b64};
use super::{SECRET, claims, hs256, now, ours, send, verdict};

/// The token is refused with this in the log.
async fn refused(token: &str, why: &str) {
    let filter = ours("");
    let said = verdict(&filter, token).await.unwrap_err();
    assert!(said.contains(why), "{why}: {said}");
}

fn with_header(header: &Value) -> String {
    Signer::secret(SECRET).token(header, &claims(&json!({})))
}

#[tokio::test]
async fn a_token_that_is_not_signed() {
    let good = hs256(&claims(&json!({})));
    let claims = good.split('.').nth(1).unwrap();
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let header = b64(json!({ "alg": name }).to_string());
        for signature in ["", "AA", good.rsplit('.').next().unwrap()] {
            refused(&format!("{header}.{claims}.{signature}"), "is signed with").await;
        }
    }
    let header = good.split('.').next().unwrap();
    refused(&format!("{header}.{claims}."), "not signed").await;
    refused(&format!("{header}.{claims}"), "three parts").await;
    for header in [
        "{}",
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":1}"#,
    ] {
        let token = format!("{}.{claims}.AA", b64(header));
        refused(&token, "names no algorithm").await;
    }
}

#[tokio::test]
async fn a_public_key_taken_for_a_secret() {
    // Whoever has the public key signs with it as with a secret, in all spellings of it.
    let key = Signer::rsa(KeySize::Rsa2048);
    let options = |algorithms: &str| {
        format!(
            "issuer: ours\naudience: orders\nalgorithms: {algorithms}\nkeys: [{{ pem: {:?} }}, {{ secret: '${{env:{SECRET}}}' }}]",
            key.pem
        )
    };
    let der = key
        .pem
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect::<String>();
    for secret in [&*key.pem, key.pem.trim_end(), &der] {
        let forged = Signer::secret(secret).token(&json!({ "alg": "HS256" }), &claims(&json!({})));
        // Also where both kinds of algorithms are wanted.
        let filter = probe::<Jwt>(&options("[RS256, HS256]"));
        assert_eq!(
            verdict(&filter, &forged).await.unwrap_err(),
            "none of the keys has signed the token"
        );
        let filter = probe::<Jwt>(&format!(
            "issuer: ours\naudience: orders\nkeys: {{ pem: {:?} }}",
            key.pem
        ));
        let why = verdict(&filter, &forged).await.unwrap_err();
        assert_eq!(why, "the token is signed with HS256, expected RS256");
        let good = key.token(&json!({ "alg": "RS256" }), &claims(&json!({})));
        assert_eq!(verdict(&filter, &good).await, Ok(()));
    }
}

#[tokio::test]
async fn an_algorithm_of_the_tokens_choice() {
    let key = Signer::rsa(KeySize::Rsa2048);
    let filter = probe::<Jwt>(&format!(
        "issuer: ours\naudience: orders\nalgorithms: PS256\nkeys: {{ pem: {:?} }}",
        key.pem
    ));
    for (name, is_good) in [
        ("PS256", true),
        ("RS256", false),
        ("PS384", false),
        ("RS512", false),
    ] {
        let token = key.token(&json!({ "alg": name }), &claims(&json!({})));
        assert_eq!(verdict(&filter, &token).await.is_ok(), is_good, "{name}");
    }
}

#[tokio::test]
async fn a_key_that_the_token_brings() {
    let own = Signer::rsa(KeySize::Rsa2048);
    let filter = probe::<Jwt>(&format!(
        "issuer: ours\naudience: orders\nkeys: {{ pem: {:?} }}",
        Signer::rsa(KeySize::Rsa2048).pem
    ));
    for (member, value) in [
        ("jwk", own.jwk.clone()),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MII"])),
    ] {
        let mut header = json!({ "alg": "RS256" });
        header[member] = value.clone();
        let token = own.token(&header, &claims(&json!({})));
        let why = verdict(&filter, &token).await.unwrap_err();
        assert_eq!(
            why,
            format!("the token brings a key of its own (`{member}`)")
        );
        // Not even where the signature is right.
        let mut header = json!({ "alg": "HS256" });
        header[member] = value;
        refused(&with_header(&header), "a key of its own").await;
    }
}

#[tokio::test]
async fn tricks_with_the_name_of_the_key() {
    let filter = probe::<Jwt>(&format!(
        "issuer: ours\naudience: orders\nalgorithms: HS256\nkeys: {{ secret: '${{env:{SECRET}}}', kid: k1 }}"
    ));
    let token = |kid: Value| with_header(&json!({ "alg": "HS256", "kid": kid }));
    assert_eq!(verdict(&filter, &token(json!("k1"))).await, Ok(()));
    for kid in [
        "../../dev/null",
        "k1' OR '1'='1",
        "k1\0",
        "K1",
        "",
        "/proc/self/environ",
        "| cat",
    ] {
        let why = verdict(&filter, &token(json!(kid))).await.unwrap_err();
        assert_eq!(why, "none of the keys has signed the token", "{kid}");
    }
    for kid in [
        json!(1),
        json!(["k1"]),
        json!(null),
        json!({}),
        json!("x".repeat(1025)),
    ] {
        let why = verdict(&filter, &token(kid.clone())).await.unwrap_err();
        assert_eq!(
            why, "the name of the key (`kid`) is no text, or too long",
            "{kid}"
        );
    }
    // Empty secrets, as `/dev/null` would make them.
    let empty =
        Signer::secret("").token(&json!({ "alg": "HS256", "kid": "k1" }), &claims(&json!({})));
    assert_eq!(
        verdict(&filter, &empty).await.unwrap_err(),
        "the signature is wrong"
    );
}

#[tokio::test]
async fn members_that_are_there_twice() {
    let signer = Signer::secret(SECRET);
    let good = claims(&json!({})).to_string();
    for header in [
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
        r#"{"alg":"HS256","x":{"y":1,"y":2}}"#,
    ] {
        let token = signer.written("HS256", header, &good);
        refused(&token, "the header has a member that is there twice").await;
    }
    let exp = now() + 3600;
    for twice in [
        format!(r#"{{"iss":"evil","iss":"ours","aud":"orders","sub":"a","exp":{exp}}}"#),
        format!(r#"{{"iss":"ours","aud":"orders","sub":"a","sub":"b","exp":{exp}}}"#),
        format!(r#"{{"iss":"ours","aud":"orders","sub":"a","exp":1,"exp":{exp}}}"#),
        format!(r#"{{"iss":"ours","aud":"orders","sub":"a","exp":{exp},"r":[{{"a":1,"a":2}}]}}"#),
    ] {
        let token = signer.written("HS256", r#"{"alg":"HS256"}"#, &twice);
        refused(&token, "the claims have a member that is there twice").await;
    }
}

#[tokio::test]
async fn extensions_and_other_forms() {
    for header in [
        json!({ "alg": "HS256", "crit": ["exp"], "exp": 1 }),
        json!({ "alg": "HS256", "crit": [] }),
        json!({ "alg": "HS256", "crit": ["b64"], "b64": false }),
        json!({ "alg": "HS256", "b64": false }),
    ] {
        refused(&with_header(&header), "an extension that is critical").await;
    }
    refused(
        &with_header(&json!({ "alg": "HS256", "zip": "DEF" })),
        "compressed or encrypted",
    )
    .await;
    refused(
        &with_header(&json!({ "alg": "HS256", "enc": "A128GCM" })),
        "compressed or encrypted",
    )
    .await;
}

#[tokio::test]
async fn other_spellings_of_a_token() {
    let good = hs256(&claims(&json!({})));
    let filter = ours("");
    assert_eq!(verdict(&filter, &good).await, Ok(()));
    let (rest, last) = good.split_at(good.len() - 1);
    // The last character of a signature of 32 bytes has two bits that mean nothing.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(last).unwrap();
    let twin = &alphabet[at + 1..at + 2];
    refused(&format!("{rest}{twin}"), "no base64url").await;
    for other in [
        format!("{good}="),
        format!("{good}."),
        format!(".{good}"),
        good.replacen('.', "=.", 1),
        good.replacen('.', "..", 1),
        good.replace('.', " ."),
        format!("{good}.{good}"),
        "..".to_owned(),
        "a.b.c".to_owned(),
    ] {
        assert!(verdict(&filter, &other).await.is_err(), "{other}");
    }
}

#[tokio::test]
async fn a_token_that_is_too_large() {
    let large = hs256(&claims(&json!({ "x": "y".repeat(8 << 10) })));
    let seen = send(&ours(""), &large).await;
    assert_eq!((seen.status(), seen.reason()), (401, Some("invalid_token")));
    refused(&large, "expected at most 8192").await;
    assert_eq!(verdict(&ours("max_token: 16KiB"), &large).await, Ok(()));
}

#[tokio::test]
async fn a_token_that_names_no_key_among_many() {
    let secrets: Vec<_> = (0..5)
        .map(|number| format!("{{ secret: '${{env:{SECRET}{number}}}', kid: k{number} }}"))
        .collect();
    let filter = probe::<Jwt>(&format!(
        "issuer: ours\naudience: orders\nalgorithms: HS256\nkeys: [{}]",
        secrets.join(", ")
    ));
    let signer = Signer::secret(&format!("{SECRET}4"));
    let token = |header| signer.token(&header, &claims(&json!({})));
    let named = token(json!({ "alg": "HS256", "kid": "k4" }));
    assert_eq!(verdict(&filter, &named).await, Ok(()));
    let other = token(json!({ "alg": "HS256", "kid": "k3" }));
    assert_eq!(
        verdict(&filter, &other).await.unwrap_err(),
        "the signature is wrong"
    );
    let unnamed = token(json!({ "alg": "HS256" }));
    let why = verdict(&filter, &unnamed).await.unwrap_err();
    assert_eq!(why, "the token names no key (`kid`), and there are many");
    let alike: Vec<_> = (0..5)
        .map(|number| format!("{{ secret: '${{env:{SECRET}{number}}}', kid: k4 }}"))
        .collect();
    let filter = probe::<Jwt>(&format!(
        "issuer: ours\naudience: orders\nalgorithms: HS256\nkeys: [{}]",
        alike.join(", ")
    ));
    let why = verdict(&filter, &named).await.unwrap_err();
    assert_eq!(why, "many keys have the name that the token gives (`kid`)");
}

#[tokio::test]
async fn nobody_is_told_what_was_wrong() {
    let filter = ours("realm: orders");
    let expired = hs256(&claims(&json!({ "exp": now() - 3600 })));
    let forged =
        Signer::secret(&"x".repeat(32)).token(&json!({ "alg": "HS256" }), &claims(&json!({})));
    let mut said = Vec::new();
    for token in [&*expired, &forged, "a.b.c", "x"] {
        let seen = send(&filter, token).await;
        assert_eq!((seen.status(), seen.reason()), (401, Some("invalid_token")));
        let challenge = "Bearer realm=\"orders\", error=\"invalid_token\"";
        assert_eq!(seen.header("www-authenticate"), Some(challenge));
        let reply = seen.reply.as_ref().unwrap();
        assert!(!super::why(reply).contains(token), "{token}");
        let wiregate_sdk::reply::ReplyBody::Problem(problem) = &reply.body else {
            panic!("no problem");
        };
        said.push((problem.detail.clone(), problem.members.clone()));
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
}

proptest! {
    #[test]
    fn no_other_text_is_let_in(at in 0..400_usize, other in "[A-Za-z0-9_.=-]|\\PC") {
        let good = hs256(&claims(&json!({ "x": "y".repeat(200) })));
        let mut text: Vec<char> = good.chars().collect();
        let at = at % text.len();
        let changed = text[at].to_string() != other;
        text.splice(at..=at, other.chars());
        let text: String = text.into_iter().collect();
        let rules = super::super::Rules {
            algorithms: &[super::super::Algorithm::HS256],
            typ: None,
        };
        let key = super::super::key::Key::secret(SECRET.as_bytes(), None).unwrap();
        let token = super::super::Token::read(text.as_bytes(), &rules);
        let is_good = token.is_ok_and(|it| key.verifies(it.algorithm, it.signed, &it.signature));
        prop_assert_eq!(is_good, !changed);
    }

    #[test]
    fn nothing_makes_it_panic(text in "([a-zA-Z0-9_=-]{0,40}\\.){0,4}.*") {
        let rules = super::super::Rules {
            algorithms: &super::super::Algorithm::ALL,
            typ: Some("JWT"),
        };
        let _ = super::super::Token::read(text.as_bytes(), &rules).map(|token| token.claims());
        let _ = super::super::jwk::set(text.as_bytes(), super::super::jwk::Origin::Network);
        let _ = super::super::pem::keys(&format!("-----BEGIN PUBLIC KEY-----{text}"), None);
    }
}

#[tokio::test]
async fn a_token_that_names_its_key_is_verified_however_many_have_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let (pem, jwks) = (folder.path().join("many.pem"), folder.path().join("named"));
    let many = [(); 5].map(|()| Signer::ed25519());
    let all: String = many.iter().map(|one| &*one.pem).collect();
    std::fs::write(&pem, all).unwrap();
    let mut named = Signer::ed25519();
    named.jwk["kid"] = "a".into();
    std::fs::write(&jwks, named.jwk.to_string()).unwrap();
    let filter = probe::<Jwt>(&format!(
        "issuer: ours\naudience: orders\nalgorithms: EdDSA\n\
         keys: [{{ file: '{}' }}, {{ file: '{}' }}]",
        pem.display(),
        jwks.display()
    ));
    let token = |by: &Signer, header: &Value| by.token(header, &claims(&json!({})));
    let with = |by: &Signer, kid: &str| token(by, &json!({ "alg": "EdDSA", "kid": kid }));
    assert_eq!(verdict(&filter, &with(&named, "a")).await, Ok(()));
    for (token, why) in [
        (with(&many[0], "a"), "the signature is wrong"),
        (
            with(&named, "b"),
            "none of the keys has the name that the token gives (`kid`), and there are many without one",
        ),
        (
            token(&named, &json!({ "alg": "EdDSA" })),
            "the token names no key (`kid`), and there are many",
        ),
    ] {
        assert_eq!(verdict(&filter, &token).await.unwrap_err(), why);
    }
}
