//! The algorithms that tokens are signed with (RFC 7518, 3.1; RFC 8037, 3.1).

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RsaParameters, VerificationAlgorithm,
};
use wiregate_sdk::{Deserialize, JsonSchema};

/// An algorithm that tokens are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde")]
#[schemars(crate = "wiregate_sdk::schemars")]
pub enum Algorithm {
    /// HMAC with SHA-256: a secret of at least 32 bytes that both sides know.
    HS256,
    /// HMAC with SHA-384: a secret of at least 48 bytes.
    HS384,
    /// HMAC with SHA-512: a secret of at least 64 bytes.
    HS512,
    /// RSA (PKCS #1 v1.5) with SHA-256: a key of 2048 to 8192 bits, as with all that use RSA.
    RS256,
    /// RSA (PKCS #1 v1.5) with SHA-384.
    RS384,
    /// RSA (PKCS #1 v1.5) with SHA-512.
    RS512,
    /// RSA (PSS) with SHA-256.
    PS256,
    /// RSA (PSS) with SHA-384.
    PS384,
    /// RSA (PSS) with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on P-521 with SHA-512.
    ES512,
    /// Ed25519.
    EdDSA,
}

/// What a key must be for an algorithm.
pub(super) enum Scheme {
    Hmac(hmac::Algorithm),
    Rsa(&'static RsaParameters),
    /// Elliptic curves.
    Curve(&'static dyn VerificationAlgorithm),
}

impl Algorithm {
    pub(super) const ALL: [Self; 13] = [
        Self::HS256,
        Self::HS384,
        Self::HS512,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
    ];

    /// The algorithm of this name, in exactly this spelling.
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The same of `jsonwebtoken`, which has all but ES512.
    pub(super) fn in_jsonwebtoken(self) -> Option<jsonwebtoken::Algorithm> {
        self.name().parse().ok()
    }

    pub(super) fn scheme(self) -> Scheme {
        match self {
            Self::HS256 => Scheme::Hmac(hmac::HMAC_SHA256),
            Self::HS384 => Scheme::Hmac(hmac::HMAC_SHA384),
            Self::HS512 => Scheme::Hmac(hmac::HMAC_SHA512),
            Self::RS256 => Scheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::RS384 => Scheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Self::RS512 => Scheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Self::PS256 => Scheme::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Self::PS384 => Scheme::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            Self::PS512 => Scheme::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            Self::ES256 => Scheme::Curve(&ECDSA_P256_SHA256_FIXED),
            Self::ES384 => Scheme::Curve(&ECDSA_P384_SHA384_FIXED),
            Self::ES512 => Scheme::Curve(&ECDSA_P521_SHA512_FIXED),
            Self::EdDSA => Scheme::Curve(&ED25519),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
