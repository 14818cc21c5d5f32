//! Options that are refused.

use aws_lc_rs::rsa::KeySize;
use wiregate_sdk::testing::{probe, refusal};

use super::super::Jwt;
use super::SECRET;
use super::signer::Signer;

#[test]
fn says_where_options_are_wrong() {
    let key = format!("keys: {{ secret: '${{env:{SECRET}}}' }}");
    for (options, why) in [
        (
            "audience: a".to_owned(),
            "1:1: expected `keys`, or an `issuer` that tells where they are",
        ),
        ("issuer: ours".to_owned(), "1:9: expected a URL"),
        (
            "issuer: 'http://id.example.com'".to_owned(),
            "1:9: expected `https`, found `http`",
        ),
        (
            "issuer: 'https://id.example.com/?a=b'".to_owned(),
            "without a query",
        ),
        (
            "keys: { jwks: 'http://id.example.com/keys' }".to_owned(),
            "1:15: expected `https`, found `http`",
        ),
        (
            "keys: { jwks: 'ftp://127.0.0.1/keys' }".to_owned(),
            "1:15: expected `https`, found `ftp`",
        ),
        (
            "keys: { jwks: 'https://u:p@id.example.com/' }".to_owned(),
            "without a user",
        ),
        (
            format!("audience: a\n{key}\nwhen: response.status == 200"),
            "3:7: `response.status` is not known here: there is no response yet",
        ),
        (
            "keys: {}".to_owned(),
            "expected one of `secret`, `pem`, `file` and `jwks`",
        ),
        (
            "keys: { pem: a, file: /b }".to_owned(),
            "expected one of `secret`, `pem`, `file` and `jwks`",
        ),
        (
            "keys: { jwks: 'https://a.example/', kid: x }".to_owned(),
            "1:42: expected `kid` beside a `secret` or `pem`",
        ),
        (
            "keys: { secret: hunter2 }".to_owned(),
            "expected a reference to a secret",
        ),
        (
            "keys: { secret: '${env:short}' }\nalgorithms: HS256".to_owned(),
            "1:17: expected a secret of at least 32 bytes, found 5",
        ),
        (
            "keys: { secret: '${env:not base64 at all}', encoding: base64 }".to_owned(),
            "1:17: expected Base64",
        ),
        (
            key.clone(),
            "1:17: expected a key for RS256, found one for none of `algorithms`",
        ),
        (
            format!("{key}\nalgorithms: [HS256, ES256]"),
            "2:21: expected algorithms with a key, found ES256",
        ),
        (format!("{key}\nalgorithms: [none]"), "unknown value `none`"),
        (format!("{key}\nalgorithms: hs256"), "unknown value `hs256`"),
        (
            "keys: { jwks: 'https://a.example/' }\nalgorithms: [RS256, HS256]".to_owned(),
            "2:21: expected algorithms with a key, found HS256",
        ),
        (
            "keys: { file: keys.json }".to_owned(),
            "1:15: expected an absolute path, found `keys.json`",
        ),
        (
            "keys: { file: /nowhere/keys.json }".to_owned(),
            "1:15: cannot read /nowhere/keys.json",
        ),
        (
            "keys: { pem: hello }".to_owned(),
            "1:14: expected a `PUBLIC KEY` in PEM, found none",
        ),
        (
            "keys: { pem: \"-----BEGIN PRIVATE KEY-----\\nAA==\\n-----END PRIVATE KEY-----\" }"
                .to_owned(),
            "found a `PRIVATE KEY`",
        ),
        (
            "keys: { pem: \"-----BEGIN PUBLIC KEY-----\\nAA==\\n-----END PUBLIC KEY-----\" }"
                .to_owned(),
            "expected an RSA key, or one on P-256",
        ),
        (
            format!("{key}\nalgorithms: HS256\nleeway: 11m"),
            "3:9: expected 1ms to 10m, found 11m",
        ),
        (
            format!("{key}\nalgorithms: HS256\nmax_token: 1MiB"),
            "3:12: expected 1 to 64KiB, found 1MiB",
        ),
        (
            format!("{key}\nalgorithms: HS256\nremember: 1000001"),
            "3:11: expected at most 1000000",
        ),
        (
            format!("{key}\nalgorithms: HS256\nscopes: 'a b'"),
            "expected a scope without blanks",
        ),
        (
            format!("{key}\nalgorithms: HS256\nwhen: identity.clams.x == 1"),
            "did you mean `identity.claims",
        ),
        (
            format!("{key}\nalgorithms: HS256\nunknown_consumer: allow"),
            "3:19: expected it beside `consumer`",
        ),
        (
            format!("{key}\nalgorithms: HS256\nissuer: ours\nconsumer: azp"),
            "4:11: expected consumers with a `jwt` of the issuer `ours`, found none",
        ),
        (
            format!("{key}\nalgorithms: HS256\nconsumer: azp"),
            "3:11: expected consumers with a `jwt` without an `issuer`, found none",
        ),
        (
            format!("{key}\nalgorithms: HS256\nfetch: {{ cool_down: 2h }}"),
            "expected 1s to 1h, found 2h",
        ),
        (
            "keys: { jwks: 'https://a.example/' }\nfetch: { ca: ca.pem }".to_owned(),
            "2:14: expected an absolute path",
        ),
        (
            format!("{key}\nalgorithm: HS256"),
            "did you mean `algorithms`?",
        ),
    ] {
        let said = refusal::<Jwt>(&options);
        assert!(said.contains(why), "{options}: {said}");
        assert!(!said.contains(SECRET), "{said}");
    }
}

#[test]
fn a_key_that_is_too_short_or_too_much_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let refused = |text: &str| {
        std::fs::write(&path, text).unwrap();
        refusal::<Jwt>(&format!(
            "algorithms: [RS256, ES256]\nkeys: {{ file: {} }}",
            path.display()
        ))
    };
    let mut short = Signer::rsa(KeySize::Rsa2048).jwk;
    let n = short["n"].as_str().unwrap()[..168].to_owned();
    short["n"] = n.into();
    assert!(refused(&short.to_string()).contains("expected an RSA key of 2048 to 8192 bits"));
    let mut private = Signer::curve("ES256").jwk;
    private["d"] = "AAAA".into();
    assert!(refused(&private.to_string()).contains("expected a public key, found a private one"));
    let mut misfit = Signer::curve("ES256").jwk;
    misfit["alg"] = "RS256".into();
    assert!(refused(&misfit.to_string()).contains("expected a key for its `alg`"));
    let mut off = Signer::curve("ES256").jwk;
    off["x"] = off["y"].clone();
    assert!(refused(&off.to_string()).contains("expected an RSA key, or one on P-256"));
    assert!(refused("{}").contains("expected a set of keys with a list `keys`"));
    assert!(refused("{\"keys\":[],\"keys\":[]}").contains("a member that is there twice"));
    let many = vec![Signer::curve("ES256").jwk; 101];
    let many = serde_json::json!({ "keys": many }).to_string();
    assert!(refused(&many).contains("expected at most 100 keys, found 101"));
}

#[test]
fn plain_http_is_taken_from_this_machine_and_where_it_is_written_down() {
    for options in [
        "keys: { jwks: 'http://127.0.0.1:81/keys' }",
        "keys: { jwks: 'http://[::1]:81/keys' }",
        "keys: { jwks: 'http://localhost/keys' }",
        "keys: { jwks: 'http://id.internal/keys' }\nfetch: { plain_http: allow }",
        "issuer: 'https://id.example.com/realms/a'",
    ] {
        drop(probe::<Jwt>(options));
    }
}
