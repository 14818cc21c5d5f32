//! How long each step towards an upstream may take.

use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::types::Period;

/// How long each step towards an upstream may take. What is not written here is taken from the
/// next place: a route's own, then its upstream's, then those at the top of the file, then the
/// defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// To open a connection; 504 `connection_timeout` beyond. 3s when nothing is written.
    pub connect: Option<Period>,
    /// For the TLS handshake on a fresh connection; 504 `connection_timeout` beyond. 3s when
    /// nothing is written.
    pub tls: Option<Period>,
    /// From the end of the request to the head of its response; 504 `http_response_timeout`
    /// beyond. It starts again with each attempt. 1m when nothing is written.
    pub first_byte: Option<Period>,
    /// The longest silence while a body is sent or received; the exchange is cut beyond. It is at
    /// least as long as `first_byte`. 1m when nothing is written.
    pub idle: Option<Period>,
    /// From the request head to the end of the response, all attempts and waits included; 504
    /// `http_response_timeout` beyond, or a cut once the response has begun. No bound when
    /// nothing is written.
    pub total: Option<Period>,
}

impl Timeouts {
    /// What holds where nothing is written.
    pub const BUILT_IN: Self = Self {
        connect: Some(Period::seconds(3)),
        tls: Some(Period::seconds(3)),
        first_byte: Some(Period::seconds(60)),
        idle: Some(Period::seconds(60)),
        total: None,
    };

    /// These, and where one is not written that of another place.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            connect: self.connect.or(other.connect),
            tls: self.tls.or(other.tls),
            first_byte: self.first_byte.or(other.first_byte),
            idle: self.idle.or(other.idle),
            total: self.total.or(other.total),
        }
    }
}
