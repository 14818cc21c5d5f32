//! When and how often a request is tried again.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use wiregate_sdk::types::{Percent, Period};
use wiregate_sdk::value::At;

/// When and how often a request is tried again, each time at another endpoint while there is one.
/// A request whose body has gone on past what is held in memory is never tried again: 64 KiB, or
/// the whole body where a filter has read it.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// How many times a request is tried in all, 1 to 10; 1 turns retries off.
    pub attempts: At<NonZeroU32>,
    /// What is tried again. `connect_error`: no connection came about, so nothing was sent, and
    /// any method may be repeated. `reset`: the connection broke before a response. `timeout`: no
    /// response within `timeouts.first_byte`. A status, 429 or 500 to 599: that response is
    /// dropped; the one to the last attempt is passed on. All but `connect_error` hold for
    /// idempotent methods only (RFC 9110, 9.2.2).
    pub on: Vec<Cause>,
    /// Repeats methods that are not idempotent, such as POST, as well. What they ask for may then
    /// be done twice.
    pub unsafe_methods: bool,
    /// The share of an upstream's live requests that may be retries; three may always be. Beyond
    /// it nothing is tried again, so that an outage is not multiplied.
    pub budget: Percent,
    /// Before a retry the gateway waits for a random time up to this, doubled with each retry.
    pub backoff: Period,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: At::nowhere(NonZeroU32::MIN.saturating_add(1)),
            on: vec![Cause::ConnectError],
            unsafe_methods: false,
            budget: Percent::new(20),
            backoff: Period::millis(25),
        }
    }
}

/// A reason to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No connection came about.
    ConnectError,
    /// The connection broke before a response.
    Reset,
    /// No response in time.
    Timeout,
    /// A response with this status.
    Status(u16),
}

impl Cause {
    fn status(code: u64) -> Option<Self> {
        let code = u16::try_from(code).ok()?;
        (code == 429 || (500..600).contains(&code)).then_some(Self::Status(code))
    }
}

const EXPECTED: &str = "`connect_error`, `reset`, `timeout`, or a status: 429 or 500 to 599";

impl<'de> Deserialize<'de> for Cause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CauseVisitor)
    }
}

struct CauseVisitor;

impl Visitor<'_> for CauseVisitor {
    type Value = Cause;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Cause, E> {
        match text {
            "connect_error" => Ok(Cause::ConnectError),
            "reset" => Ok(Cause::Reset),
            "timeout" => Ok(Cause::Timeout),
            _ => (text.parse().ok())
                .and_then(Cause::status)
                .ok_or_else(|| E::custom(format!("expected {EXPECTED}, found `{text}`"))),
        }
    }

    fn visit_u64<E: de::Error>(self, code: u64) -> Result<Cause, E> {
        self.visit_str(&code.to_string())
    }
}

impl serde::Serialize for Cause {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::ConnectError => serializer.serialize_str("connect_error"),
            Self::Reset => serializer.serialize_str("reset"),
            Self::Timeout => serializer.serialize_str("timeout"),
            Self::Status(status) => serializer.serialize_u16(*status),
        }
    }
}

impl JsonSchema for Cause {
    fn schema_name() -> Cow<'static, str> {
        "RetryCause".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A reason to try again.",
            "anyOf": [
                { "enum": ["connect_error", "reset", "timeout"] },
                { "const": 429 },
                { "type": "integer", "minimum": 500, "maximum": 599 },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_words_and_statuses_and_refuses_others() {
        let text = "on: [connect_error, reset, timeout, 429, 503]\nattempts: 3\n";
        let value = wiregate_sdk::value::read(&"test".into(), text).unwrap();
        let retry: Retry = wiregate_sdk::value::decode(&value).unwrap();
        assert_eq!(
            retry.on,
            [
                Cause::ConnectError,
                Cause::Reset,
                Cause::Timeout,
                Cause::Status(429),
                Cause::Status(503)
            ]
        );
        for wrong in ["404", "600", "always", "-1"] {
            let text = format!("on: [{wrong}]\n");
            let value = wiregate_sdk::value::read(&"test".into(), &text).unwrap();
            assert!(
                wiregate_sdk::value::decode::<Retry>(&value).is_err(),
                "{wrong}"
            );
        }
    }
}
