//! When a request goes to a second endpoint because the first one is slow.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU8;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use wiregate_sdk::types::{Percent, Period};
use wiregate_sdk::value::At;

/// Hedged requests: where no head of a response has come from an endpoint for a while, the request
/// goes to another endpoint as well. The first head of a response wins, and the other attempt is
/// given up: its connection is closed, or its stream reset over HTTP/2. This holds for the first
/// attempt of a request with an idempotent method (RFC 9110, 9.2.2) that has no body, or one of at
/// most 64 KiB that a filter has read. Retries are not hedged.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hedge {
    /// How long the first endpoint has: a time from `1ms` to `60s`, or a quantile of the recent
    /// times to the head of a response, from `p50` to `p99`. A quantile is counted as 2 ms at
    /// least, and nothing is hedged before there were 100 answers.
    pub after: At<After>,
    /// The share of the upstream's live requests that may be hedged at the same time, up to `50%`;
    /// one always may be. Beyond it requests wait for their first endpoint alone.
    #[serde(default = "five_percent")]
    pub at_most: At<Percent>,
}

fn five_percent() -> At<Percent> {
    At::nowhere(Percent::new(5))
}

/// How long the first endpoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// As long as so many percent of the recent answers took.
    Quantile(NonZeroU8),
    /// This long.
    Time(Period),
}

const EXPECTED: &str = "a duration such as `50ms`, or a quantile from `p50` to `p99`";

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AfterVisitor)
    }
}

struct AfterVisitor;

impl Visitor<'_> for AfterVisitor {
    type Value = After;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<After, E> {
        let wrong = || E::custom(format!("expected {EXPECTED}, found `{text}`"));
        let Some(percent) = text.strip_prefix('p') else {
            return text.parse().map(After::Time).map_err(|_| wrong());
        };
        let digits = percent.len() == 2 && percent.bytes().all(|b| b.is_ascii_digit());
        (percent.parse::<NonZeroU8>().ok())
            .filter(|percent| digits && percent.get() >= 50)
            .map(After::Quantile)
            .ok_or_else(wrong)
    }
}

impl JsonSchema for After {
    fn schema_name() -> Cow<'static, str> {
        "HedgeAfter".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration, or a quantile of the recent times to the head of a response.",
            "anyOf": [
                { "type": "string", "pattern": "^p[5-9][0-9]$", "examples": ["p95"] },
                generator.subschema_for::<Period>(),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Hedge, Vec<wiregate_sdk::value::Problem>> {
        let value = wiregate_sdk::value::read(&"test".into(), text).unwrap();
        wiregate_sdk::value::decode(&value)
    }

    #[test]
    fn reads_quantiles_and_times_and_refuses_others() {
        let hedge = read("after: p95\n").unwrap();
        assert_eq!(
            hedge.after.value,
            After::Quantile(NonZeroU8::new(95).unwrap())
        );
        assert_eq!(hedge.at_most.value, Percent::new(5));
        let hedge = read("after: 50ms\nat_most: 10%\n").unwrap();
        assert_eq!(hedge.after.value, After::Time(Period::millis(50)));
        for wrong in ["p49", "p100", "p9", "p+5", "95%", "50", "p99.9", "soon"] {
            assert!(read(&format!("after: {wrong}\n")).is_err(), "{wrong}");
        }
        assert!(read("at_most: 5%\n").is_err(), "`after` must be written");
    }
}
