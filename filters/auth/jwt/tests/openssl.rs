//! Tokens that OpenSSL 3.0 has signed, with keys that it made, and that nobody has any more: the signer has nothing in
//! common with what verifies here. For each, `openssl dgst -sha384 -sign KEY -binary` and so on, of RSA-PSS with
//! `-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 -sigopt rsa_mgf1_md:sha384`; of ECDSA, the two numbers of
//! its DER, 48 bytes each (RFC 7518, 3.4).

use serde_json::Value;
use wiregate_sdk::testing::{Probe, probe};

use super::super::Jwt;
use super::{SECRET, verdict};

const UNSIGNED: &str = "none of the keys has signed the token";

fn made() -> Value {
    serde_json::from_str(include_str!("openssl.json")).unwrap()
}

/// A filter for the tokens with this algorithm.
fn filter(algorithm: &str) -> Probe {
    let made = made();
    let keys = match &algorithm[..2] {
        "HS" => format!("secret: '${{env:{SECRET}}}'"),
        "ES" => format!("pem: {}", made["p384"]),
        _ => format!("pem: {}", made["rsa"]),
    };
    probe::<Jwt>(&format!(
        "issuer: ours\naudience: orders\nalgorithms: {algorithm}\nkeys: {{ {keys} }}"
    ))
}

fn token(name: &str) -> String {
    made()["tokens"][name].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_another_has_signed_is_verified() {
    for algorithm in [
        "HS384", "HS512", "RS384", "RS512", "PS256", "PS384", "PS512", "ES384",
    ] {
        let (filter, token) = (filter(algorithm), token(algorithm));
        assert_eq!(verdict(&filter, &token).await, Ok(()), "{algorithm}");
        // And nothing else is: the signature, with another character near its beginning and its end.
        let at = token.rfind('.').unwrap() + 1;
        for at in [at, token.len() - 3] {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            let why = verdict(&filter, &other).await.unwrap_err();
            assert_eq!(why, UNSIGNED, "{algorithm}");
        }
    }
}

#[tokio::test]
async fn a_salt_is_as_long_as_its_digest_and_the_mask_is_of_the_same() {
    // RFC 7518, 3.5.
    let filter = filter("PS256");
    for salt in [0, 20, 31, 33, 222] {
        let token = token(&format!("PS256 with a salt of {salt} bytes"));
        let why = verdict(&filter, &token).await.unwrap_err();
        assert_eq!(why, UNSIGNED, "{salt}");
    }
    let why = verdict(&filter, &token("PS256 with SHA-1 in its mask")).await;
    assert_eq!(why.unwrap_err(), UNSIGNED);
}
