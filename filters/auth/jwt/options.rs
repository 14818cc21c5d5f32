//! What the user writes about keys.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use wiregate_sdk::types::{Period, Secret};
use wiregate_sdk::{Deserialize, JsonSchema};

/// Keys: one of `secret`, `pem`, `file` and `jwks`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct KeySource {
    /// A secret for HMAC, as a reference.
    pub(super) secret: Option<Secret>,
    /// How the secret is written.
    pub(super) encoding: Encoding,
    /// A public key in PEM: `PUBLIC KEY` or `RSA PUBLIC KEY`; or several.
    pub(super) pem: Option<String>,
    /// The absolute path of a file with public keys in PEM, or with keys as JSON (RFC 7517, 5). It
    /// is read at start and at each reload, and a change of it makes a reload.
    pub(super) file: Option<PathBuf>,
    /// The URL of a set of keys (RFC 7517, 5), which is fetched.
    pub(super) jwks: Option<String>,
    /// The name in `kid` of the tokens that a `secret` or `pem` is for; any when absent.
    pub(super) kid: Option<String>,
}

/// How a secret is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", rename_all = "snake_case")]
#[schemars(crate = "wiregate_sdk::schemars")]
pub enum Encoding {
    /// As it is.
    #[default]
    Text,
    /// In Base64.
    Base64,
    /// In Base64 for URLs, without padding.
    Base64url,
}

impl Encoding {
    pub(super) fn decode(self, secret: &Secret) -> Result<Vec<u8>, String> {
        let text = secret.expose();
        match self {
            Self::Text => Ok(text.as_bytes().to_vec()),
            Self::Base64 => (STANDARD.decode(text)).map_err(|_| "expected Base64".into()),
            Self::Base64url => (URL_SAFE_NO_PAD.decode(text))
                .map_err(|_| "expected Base64 for URLs, without padding".into()),
        }
    }
}

/// How keys are fetched.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Fetching {
    /// How long fetched keys are kept before they are fetched again, 1s to 1d. Sooner where the
    /// response says so (`Cache-Control: max-age`, or `Expires`; less its `Age`), after three quarters of what is
    /// left of that time, and not before `cool_down`. `no-store` and `no-cache` count as `max-age=0`: such keys are
    /// used until they are fetched again after `cool_down`.
    pub(super) refresh: Period,
    /// How long after a fetch no token makes another one, or after one that a token has made where the response has
    /// keys fetched again as soon as that anyway; also the longest pause between two tries when they fail. 1s to 1h.
    pub(super) cool_down: Period,
    /// How long a fetch may take, with all that belongs to it; and so how long a request waits for
    /// one. 100ms to 30s.
    pub(super) timeout: Period,
    /// The absolute path of a file in PEM with the certificates of the authorities to trust, and no
    /// others; those of the system when absent.
    pub(super) ca: Option<PathBuf>,
    /// Whether keys may come from other hosts by HTTP without TLS: whoever gets between them and
    /// the gateway can then make tokens.
    pub(super) plain_http: PlainHttp,
}

/// Whether keys may come from other hosts by HTTP without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", rename_all = "snake_case")]
#[schemars(crate = "wiregate_sdk::schemars")]
pub enum PlainHttp {
    /// They may not, except from a loopback address.
    #[default]
    Refuse,
    /// They may.
    Allow,
}

impl Default for Fetching {
    fn default() -> Self {
        Self {
            refresh: Period::seconds(600),
            cool_down: Period::seconds(30),
            timeout: Period::seconds(5),
            ca: None,
            plain_http: PlainHttp::default(),
        }
    }
}
