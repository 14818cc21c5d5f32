//! How the protocol of endpoints is written.

use serde::Deserialize;
use serde::de::{Deserializer, Error, IntoDeserializer};

use super::Protocol;

/// The protocol, or which of them was meant: what others call HTTP/2 are two here.
pub(super) fn written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Protocol, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.to_ascii_lowercase().as_str() {
        "http2" | "http/2" | "grpc" => Err(D::Error::custom(format!(
            "expected `h2` for HTTP/2 over TLS, or `h2c` for HTTP/2 without, found `{text}`"
        ))),
        _ => Protocol::deserialize(text.into_deserializer()),
    }
}
