//! What a configuration file says about active health checks.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use wiregate_sdk::types::{OneOrMany, Pattern, Percent, Period};
use wiregate_sdk::value::At;

/// An active health check: one of `http`, `tcp` and `grpc`. It goes over the same TLS as requests.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The path to GET.
    #[serde(default)]
    pub http: Option<At<String>>,
    /// `true`: the endpoint is healthy when a connection can be opened, with TLS where it has that.
    #[serde(default)]
    pub tcp: Option<At<bool>>,
    /// The service to ask for by `grpc.health.v1.Health/Check`, over HTTP/2; empty for the server
    /// as a whole.
    #[serde(default)]
    pub grpc: Option<At<String>>,
    /// The `Host` to send with `http` and `grpc`; the endpoint's address when absent.
    #[serde(default)]
    pub host: Option<At<String>>,
    /// With `http`, the statuses that mean healthy.
    #[serde(default)]
    pub expect: Option<At<Statuses>>,
    /// With `http`, what the body must have, in its first 64 KiB.
    #[serde(default)]
    pub body: Option<At<Body>>,
    /// The time between two checks.
    #[serde(default = "five_seconds")]
    pub every: Period,
    /// The time between two checks of an endpoint that is unhealthy; the same when absent.
    #[serde(default)]
    pub every_unhealthy: Option<Period>,
    /// How much each of these times may be longer or shorter, at random, so that many gateways do
    /// not check at the same time.
    #[serde(default = "ten_percent")]
    pub jitter: Percent,
    /// How long a check may take; one that takes longer has failed.
    #[serde(default = "two_seconds")]
    pub timeout: Period,
    /// What an endpoint is until its first check.
    #[serde(default)]
    pub start: Start,
    /// How many checks in a row must pass before an unhealthy endpoint gets requests again.
    #[serde(default = "two")]
    pub healthy_after: NonZeroU32,
    /// How many checks in a row must fail before a healthy endpoint gets no more requests.
    #[serde(default = "two")]
    pub unhealthy_after: NonZeroU32,
}

/// What the body of a healthy answer has. Where both are written, both must be so.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// This text somewhere.
    #[serde(default)]
    pub contains: Option<String>,
    /// A match of this pattern somewhere.
    #[serde(default)]
    pub matches: Option<Pattern>,
}

/// What an endpoint is until its first check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// It gets requests at once.
    #[default]
    Healthy,
    /// It gets requests once it has passed its first check, which alone decides.
    Unhealthy,
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        })
    }
}

/// Statuses, such as `[200, 301-308]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Statuses(OneOrMany<StatusRange>);

impl Statuses {
    /// All of these.
    ///
    /// # Panics
    /// Where they are no statuses.
    pub fn range(first: u16, last: u16) -> Self {
        assert!(is_range(first, last), "statuses are 200 to 599");
        Self(StatusRange { first, last }.into())
    }

    /// Whether this is one of them.
    pub fn contain(&self, status: StatusCode) -> bool {
        let status = status.as_u16();
        (self.0.iter()).any(|range| (range.first..=range.last).contains(&status))
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, StatusRange { first, last }) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
        }
        Ok(())
    }
}

/// A status, or all from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    first: u16,
    last: u16,
}

fn is_range(first: u16, last: u16) -> bool {
    200 <= first && first <= last && last < 600
}

impl FromStr for StatusRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |part: &str| {
            let plain = part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|_| plain)
        };
        match (number(first), number(last)) {
            (Some(first), Some(last)) if is_range(first, last) => Ok(Self { first, last }),
            _ => Err(format!(
                "expected a status from 200 to 599, or a range such as `200-299`, found `{text}`"
            )),
        }
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StatusVisitor)
    }
}

struct StatusVisitor;

impl de::Visitor<'_> for StatusVisitor {
    type Value = StatusRange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status from 200 to 599, or a range such as `200-299`")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<StatusRange, E> {
        text.parse().map_err(E::custom)
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<StatusRange, E> {
        self.visit_str(&number.to_string())
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<StatusRange, E> {
        self.visit_str(&number.to_string())
    }
}

impl JsonSchema for StatusRange {
    fn schema_name() -> Cow<'static, str> {
        "StatusRange".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "description": "A status from 200 to 599, or a range such as `200-299`.",
            "minimum": 200,
            "maximum": 599,
            "pattern": "^[2-5][0-9][0-9](-[2-5][0-9][0-9])?$",
            "examples": [200, "200-299"]
        })
    }
}

fn five_seconds() -> Period {
    Period::seconds(5)
}

fn two_seconds() -> Period {
    Period::seconds(2)
}

fn ten_percent() -> Percent {
    Percent::new(10)
}

fn two() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Statuses, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_statuses_and_ranges() {
        let statuses = read(r#"[200, "301-308", "404"]"#).unwrap();
        assert_eq!(statuses.to_string(), "200, 301-308, 404");
        for (code, is_in) in [(200, true), (201, false), (305, true), (309, false)] {
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(statuses.contain(status), is_in, "{code}");
        }
    }

    #[test]
    fn refuses_what_is_no_status() {
        for text in [
            "199",
            "600",
            r#""299-200""#,
            r#""2xx""#,
            r#""200-""#,
            "-200",
            "[]",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let error = read(r#""5xx""#).unwrap_err();
        assert!(error.contains("such as `200-299`, found `5xx`"), "{error}");
    }
}
