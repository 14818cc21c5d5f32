//! Keys that verify signatures.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{PublicEncryptingKey, PublicKey};
use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{AlgorithmFamily, DecodingKey};

use super::algorithm::{Algorithm, Scheme};

/// The smallest and the largest RSA key, in bits (RFC 7518, 3.3).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key, read once, with the algorithms that it fits. A key of one kind can never verify what
/// an algorithm of another kind signs: there is nothing to verify it with.
pub(super) struct Key {
    /// Its name in `kid`. A key without one is tried whatever a token says.
    pub(super) id: Option<Box<str>>,
    verifiers: Vec<(Algorithm, Verifier)>,
}

enum Verifier {
    Jsonwebtoken(jsonwebtoken::Algorithm, DecodingKey),
    /// For ES512, which `jsonwebtoken` does not have.
    AwsLc(ParsedPublicKey),
}

/// What a public key is made of.
pub(super) enum Public<'a> {
    /// The modulus and the exponent of an RSA key, big-endian, without leading zeros.
    Rsa { n: &'a [u8], e: &'a [u8] },
    /// The point of a key on a curve: of the algorithm that is for that curve.
    Point(Algorithm, &'a [u8]),
    /// A key in DER: `SubjectPublicKeyInfo` (RFC 5280, 4.1.2.7), or PKCS #1 of an RSA key.
    Der(&'a [u8]),
}

impl Key {
    /// A secret for as many algorithms of HMAC as it is long enough for (RFC 7518, 3.2).
    pub(super) fn secret(secret: &[u8], id: Option<Box<str>>) -> Result<Self, String> {
        let mut verifiers = Vec::new();
        for algorithm in Algorithm::ALL {
            if let Scheme::Hmac(scheme) = algorithm.scheme()
                && secret.len() >= scheme.digest_algorithm().output_len()
                && let Some(theirs) = algorithm.in_jsonwebtoken()
            {
                let key = DecodingKey::from_secret(secret);
                verifiers.push((algorithm, Verifier::Jsonwebtoken(theirs, key)));
            }
        }
        if verifiers.is_empty() {
            let found = secret.len();
            return Err(format!(
                "expected a secret of at least 32 bytes, found {found}"
            ));
        }
        Ok(Self { id, verifiers })
    }

    /// A public key for all algorithms that it fits.
    pub(super) fn public(public: &Public<'_>, id: Option<Box<str>>) -> Result<Self, String> {
        if let Some(bits) = rsa_bits(public)
            && !RSA_BITS.contains(&bits)
        {
            let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
            return Err(format!(
                "expected an RSA key of {least} to {most} bits, found another"
            ));
        }
        let verifiers = Algorithm::ALL
            .into_iter()
            .filter_map(|algorithm| Some((algorithm, Verifier::new(algorithm, public)?)));
        let verifiers: Vec<_> = verifiers.collect();
        if verifiers.is_empty() {
            return Err("expected an RSA key, or one on P-256, P-384, P-521 or Ed25519".into());
        }
        Ok(Self { id, verifiers })
    }

    /// The same key for this algorithm alone.
    pub(super) fn only(mut self, algorithm: Algorithm) -> Self {
        self.verifiers.retain(|(own, _)| *own == algorithm);
        self
    }

    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.verifiers.iter().any(|(own, _)| *own == algorithm)
    }

    pub(super) fn fits_any(&self, algorithms: &[Algorithm]) -> bool {
        algorithms.iter().any(|algorithm| self.fits(*algorithm))
    }

    /// Whether this is the signature of the message.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let mut verifiers = self.verifiers.iter();
        let verifier = verifiers.find(|(own, _)| *own == algorithm);
        verifier.is_some_and(|(_, verifier)| verifier.verifies(message, signature))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.id)
    }
}

impl Verifier {
    /// What verifies with a public key, where that fits the algorithm.
    fn new(algorithm: Algorithm, public: &Public<'_>) -> Option<Self> {
        // `jsonwebtoken` takes any bytes for a key, and finds out with the first token.
        let parsed = parse(algorithm, public)?;
        let Some(theirs) = algorithm.in_jsonwebtoken() else {
            return Some(Self::AwsLc(parsed));
        };
        let key = match (theirs.family(), public) {
            (AlgorithmFamily::Rsa, Public::Rsa { n, e }) => {
                DecodingKey::from_rsa_raw_components(n, e)
            }
            (AlgorithmFamily::Rsa, Public::Der(der)) => DecodingKey::from_rsa_der(der),
            (AlgorithmFamily::Ec, Public::Der(key) | Public::Point(_, key)) => {
                DecodingKey::from_ec_der(key)
            }
            (AlgorithmFamily::Ed, Public::Der(key) | Public::Point(_, key)) => {
                DecodingKey::from_ed_der(key)
            }
            _ => return None,
        };
        Some(Self::Jsonwebtoken(theirs, key))
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Jsonwebtoken(algorithm, key) => {
                // Not `jsonwebtoken::crypto::verify`, which asks for the provider of the process: any
                // crate may set it, and it panics where the crate's features leave it open.
                let verifier = (DEFAULT_PROVIDER.verifier_factory)(algorithm, key);
                verifier.is_ok_and(|it| it.verify(message, &signature.to_vec()).is_ok())
            }
            Self::AwsLc(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

/// The key as aws-lc-rs reads it, where it fits the algorithm.
fn parse(algorithm: Algorithm, public: &Public<'_>) -> Option<ParsedPublicKey> {
    match (algorithm.scheme(), public) {
        (Scheme::Rsa(scheme), Public::Rsa { n, e }) => RsaPublicKeyComponents { n, e }
            .to_parsed_public_key(scheme)
            .ok(),
        (Scheme::Rsa(scheme), Public::Der(der)) => ParsedPublicKey::new(scheme, der).ok(),
        (Scheme::Curve(scheme), Public::Der(der)) => ParsedPublicKey::new(scheme, der).ok(),
        (Scheme::Curve(scheme), Public::Point(own, point)) if *own == algorithm => {
            ParsedPublicKey::new(scheme, point).ok()
        }
        _ => None,
    }
}

/// How long an RSA key is; `None` of another one.
fn rsa_bits(public: &Public<'_>) -> Option<usize> {
    match public {
        Public::Rsa { n, .. } => {
            let zeros = n.first().map_or(0, |first| first.leading_zeros() as usize);
            Some(n.len() * 8 - zeros)
        }
        Public::Der(der) => {
            let der: PublicKeyX509Der<'_> = PublicKey::from_der(der).ok()?.as_der().ok()?;
            // It takes none that is shorter than those here may be.
            let key = PublicEncryptingKey::from_der(der.as_ref());
            Some(key.map_or(0, |key| key.key_size_bits()))
        }
        Public::Point(..) => None,
    }
}
