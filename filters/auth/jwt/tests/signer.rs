//! Signs tokens, with `jsonwebtoken` where it can.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

/// Signs a message with the algorithm of this name.
type Sign = Box<dyn Fn(&str, &[u8]) -> String>;

pub(super) struct Signer {
    sign: Sign,
    /// The public key in PEM.
    pub(super) pem: String,
    /// The public key as JSON.
    pub(super) jwk: Value,
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs with `jsonwebtoken`, with the algorithm of this name.
fn with(key: EncodingKey) -> Sign {
    Box::new(move |name, message| {
        let algorithm: Algorithm = name.parse().unwrap();
        crypto::sign(message, &key, algorithm).unwrap()
    })
}

impl Signer {
    pub(super) fn secret(secret: &str) -> Self {
        Self {
            sign: with(EncodingKey::from_secret(secret.as_bytes())),
            pem: String::new(),
            jwk: json!({ "kty": "oct", "k": b64(secret) }),
        }
    }

    pub(super) fn rsa(size: KeySize) -> Self {
        let key = RsaKeyPair::generate(size).unwrap();
        let private: Pkcs8V1Der<'_> = key.as_der().unwrap();
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        // PKCS #1: a sequence of two integers, the first of them with a zero in front.
        let pkcs1 = key.public_key().as_ref();
        let (n, e) = (&pkcs1[9..pkcs1.len() - 5], &pkcs1[pkcs1.len() - 3..]);
        Self {
            sign: with(
                EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes()).unwrap(),
            ),
            pem: pem("PUBLIC KEY", public.as_ref()),
            jwk: json!({ "kty": "RSA", "n": b64(n), "e": b64(e) }),
        }
    }

    pub(super) fn curve(name: &str) -> Self {
        let (curve, scheme): (_, &'static EcdsaSigningAlgorithm) = match name {
            "ES256" => ("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING),
            "ES384" => ("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING),
            _ => ("P-521", &ECDSA_P521_SHA512_FIXED_SIGNING),
        };
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(scheme, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref()).unwrap();
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let (x, y) = {
            let point = &key.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            (b64(x), b64(y))
        };
        let pem = pem("PUBLIC KEY", public.as_ref());
        let sign = if name == "ES512" {
            // Which `jsonwebtoken` does not have.
            Box::new(move |_: &str, message: &[u8]| b64(key.sign(&random, message).unwrap()))
        } else {
            with(EncodingKey::from_ec_der(pkcs8.as_ref()))
        };
        let jwk = json!({ "kty": "EC", "crv": curve, "x": x, "y": y });
        Self { sign, pem, jwk }
    }

    pub(super) fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        Self {
            sign: with(EncodingKey::from_ed_der(pkcs8.as_ref())),
            pem: pem("PUBLIC KEY", public.as_ref()),
            jwk: json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key()) }),
        }
    }

    /// The signer for an algorithm.
    pub(super) fn for_algorithm(name: &str) -> Self {
        match &name[..2] {
            "HS" => Self::secret(super::SECRET),
            "RS" | "PS" => Self::rsa(KeySize::Rsa2048),
            "ES" => Self::curve(name),
            _ => Self::ed25519(),
        }
    }

    /// A token with this header and these claims.
    pub(super) fn token(&self, header: &Value, claims: &Value) -> String {
        let algorithm = header["alg"].as_str().unwrap();
        self.written(algorithm, &header.to_string(), &claims.to_string())
    }

    /// The same, as it is written.
    pub(super) fn written(&self, algorithm: &str, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", b64(header), b64(claims));
        format!("{signed}.{}", (self.sign)(algorithm, signed.as_bytes()))
    }
}
