//! What a configuration file says about TLS towards endpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use wiregate_sdk::types::OneOrMany;
use wiregate_sdk::value::At;

use crate::upstream::ServerName;

/// TLS towards the endpoints: versions 1.2 and 1.3. The files are read at start and at each
/// reload, and a change of one of them makes a reload. Paths are relative to the configuration.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "UpstreamTls")]
pub struct Tls {
    /// Files in PEM with the certificates of the authorities to trust, and no others; those of
    /// the system when absent.
    #[serde(deserialize_with = "written")]
    pub ca: Option<OneOrMany<At<String>>>,
    /// The name that the endpoints' certificates must be for, and that is sent as SNI (RFC 6066,
    /// 3); a name or an IP address. When absent, the name of the endpoint, or for SRV records
    /// the name without its service and protocol (RFC 6125, 6.4); an endpoint that has only an
    /// address needs one.
    pub server_name: Option<At<ServerName>>,
    /// A file in PEM with the certificate to show to the endpoints, followed by those of the
    /// intermediate authorities; needs `key`.
    pub certificate: Option<At<String>>,
    /// A file in PEM with the private key of `certificate`.
    pub key: Option<At<String>>,
    /// Whether the endpoints' certificates are verified.
    pub verify: Verify,
}

/// What is written under a key: nothing at all must not read as if the key were not there, where
/// that is less secure.
pub(super) fn written<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Whether the endpoints' certificates are verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// The certificate must be valid, from an authority that is trusted, and for the name.
    #[default]
    Full,
    /// Any certificate is taken: whoever can get between the gateway and the endpoints can read
    /// and change everything. Only for a laboratory.
    DangerouslyOff,
}
