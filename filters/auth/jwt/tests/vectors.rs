//! The standards' own tokens: RFC 7515, appendix A, and RFC 8037, appendix A.

use serde_json::{Map, Value, json};
use std::time::{Duration, UNIX_EPOCH};

use super::super::algorithm::Algorithm;
use super::super::claims::Expected;
use super::super::jwk::{self, Origin};
use super::super::key::Key;
use super::super::token::{Rules, Token};

const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// The key of this JWK.
fn key(jwk: &Value) -> Key {
    let set = jwk::set(jwk.to_string().as_bytes(), Origin::File).unwrap();
    assert_eq!(set.unusable, Vec::<String>::new());
    set.keys.into_iter().next().unwrap()
}

fn a1() -> (String, Key) {
    let token = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{CLAIMS}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let jwk = json!({ "kty": "oct",
        "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow" });
    (token, key(&jwk))
}

fn a2() -> (String, Key) {
    let token = format!(
        "eyJhbGciOiJSUzI1NiJ9.{CLAIMS}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7\
         AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK\
         5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv\
         hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    let jwk = json!({ "kty": "RSA", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4\
              d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re\
              xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX\
              FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" });
    (token, key(&jwk))
}

fn a3() -> (String, Key) {
    let token = format!(
        "eyJhbGciOiJFUzI1NiJ9.{CLAIMS}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA\
         pmWQxfKTUJqPP3-Kg6NU1Q"
    );
    let jwk = json!({ "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
    (token, key(&jwk))
}

fn a4() -> (String, Key) {
    let token = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPW\
                 ROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vc\
                 nwNrmxYbSW9ERBXukOXolLzeO_Jn";
    let jwk = json!({ "kty": "EC", "crv": "P-521",
        "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2" });
    (token.to_owned(), key(&jwk))
}

fn rfc_8037() -> (String, Key) {
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PG\
                 cvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    (token.to_owned(), key(&jwk))
}

fn all() -> [(Algorithm, (String, Key)); 5] {
    [
        (Algorithm::HS256, a1()),
        (Algorithm::RS256, a2()),
        (Algorithm::ES256, a3()),
        (Algorithm::ES512, a4()),
        (Algorithm::EdDSA, rfc_8037()),
    ]
}

fn read<'t>(token: &'t str, algorithms: &[Algorithm]) -> Result<Token<'t>, String> {
    let rules = Rules {
        algorithms,
        typ: None,
    };
    Token::read(token.as_bytes(), &rules)
}

#[test]
fn each_is_signed_with_its_key_and_no_other() {
    for (algorithm, (token, _)) in &all() {
        let token = read(token, &[*algorithm]).unwrap();
        assert_eq!(token.algorithm, *algorithm);
        for (other, (_, key)) in &all() {
            let verifies = key.verifies(token.algorithm, token.signed, &token.signature);
            assert_eq!(
                verifies,
                other == algorithm,
                "{algorithm} with the key for {other}"
            );
            for wrong in Algorithm::ALL.into_iter().filter(|it| it != algorithm) {
                assert!(
                    !key.verifies(wrong, token.signed, &token.signature),
                    "{wrong}"
                );
            }
        }
    }
}

#[test]
fn each_bit_counts() {
    for (algorithm, (token, key)) in &all() {
        let token = read(token, &[*algorithm]).unwrap();
        let mut signed = token.signed.to_vec();
        for at in [0, signed.len() / 2, signed.len() - 1] {
            signed[at] ^= 1;
            assert!(!key.verifies(*algorithm, &signed, &token.signature));
            signed[at] ^= 1;
        }
        for at in 0..token.signature.len() {
            let mut signature = token.signature.clone();
            signature[at] ^= 0x80;
            assert!(!key.verifies(*algorithm, &signed, &signature));
        }
        for length in [0, 1, token.signature.len() - 1] {
            assert!(!key.verifies(*algorithm, &signed, &token.signature[..length]));
        }
        assert!(key.verifies(*algorithm, &signed, &token.signature));
    }
}

#[test]
fn what_they_say_is_read_and_holds_until_it_expires() {
    let expected = Expected {
        issuer: Some("joe".into()),
        audience: Vec::new(),
        leeway: Duration::from_secs(30),
        require: vec!["http://example.com/is_root".to_owned().into()],
    };
    for (token, _) in [a1(), a2(), a3()] {
        let token = read(
            &token,
            &[Algorithm::HS256, Algorithm::RS256, Algorithm::ES256],
        )
        .unwrap();
        let claims: Map<String, Value> = token.claims().unwrap();
        assert_eq!(claims["http://example.com/is_root"], true);
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        let until = expected.check(&claims, at(1_300_819_379)).unwrap();
        assert_eq!(until, at(1_300_819_410));
        assert!(expected.check(&claims, at(1_300_819_409)).is_ok());
        let why = expected.check(&claims, at(1_300_819_410)).unwrap_err();
        assert_eq!(why, "the token has expired (`exp`)");
    }
    // A.4 and RFC 8037 sign texts that are no claims.
    for (algorithm, (token, _)) in [(Algorithm::ES512, a4()), (Algorithm::EdDSA, rfc_8037())] {
        let why = read(&token, &[algorithm]).unwrap().claims().unwrap_err();
        assert!(why.starts_with("the claims have no JSON"), "{why}");
    }
}

#[test]
fn the_one_that_is_not_signed_is_refused() {
    let a5 = format!("eyJhbGciOiJub25lIn0.{CLAIMS}.");
    let why = read(&a5, &Algorithm::ALL).unwrap_err();
    assert!(
        why.starts_with("the token is signed with none, expected"),
        "{why}"
    );
}

#[test]
fn an_encrypted_one_is_refused() {
    // RFC 7516, A.1, shortened: five parts.
    let why = read("eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d", &Algorithm::ALL).unwrap_err();
    assert_eq!(why, "the token does not consist of three parts");
}
