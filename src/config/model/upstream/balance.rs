//! What a configuration file says about the choice among an upstream's endpoints.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use wiregate_sdk::Expression;
use wiregate_sdk::types::{OneOrMany, Percent, Period, Secret};
use wiregate_sdk::value::At;

use super::health::Statuses;

/// How an endpoint is chosen. All ways honour weights, and choose anew for each attempt.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// One after the other, by weight, evenly spread.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight for its weight; of two at random where there
    /// are more than 16.
    LeastRequests,
    /// Of two at random, the one that is likely to answer sooner: by an average of its answers'
    /// times that follows peaks at once and falls slowly (10 s), and by its requests in flight.
    PeakEwma,
    /// Any, at random.
    Random,
    /// The same one for the same key, as long as it is healthy.
    Hash(Hash),
}

/// A choice by key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hash {
    /// The key, such as `client.address` or `request.headers["x-user"]`. Requests whose key is
    /// empty go to any endpoint.
    pub by: At<Expression>,
    /// The most that an endpoint may have in flight, against its fair share by weight; what is
    /// beyond goes to the key's next endpoint. `125%` is a good start; no bound when absent.
    #[serde(default)]
    pub bounded_load: Option<LoadBound>,
}

/// A share of more than the whole, from `101%` to `1000%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadBound(u32);

impl LoadBound {
    /// The factor: 1.25 for `125%`.
    pub fn factor(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl FromStr for LoadBound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_suffix('%').unwrap_or_default();
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match digits.parse() {
            Ok(percent @ 101..=1000) if plain => Ok(Self(percent)),
            _ => Err(format!(
                "expected a whole percentage from `101%` to `1000%`, found `{text}`"
            )),
        }
    }
}

impl fmt::Display for LoadBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl<'de> Deserialize<'de> for LoadBound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for LoadBound {
    fn schema_name() -> Cow<'static, str> {
        "LoadBound".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A whole percentage from `101%` to `1000%`.",
            "pattern": "^0*(10[1-9]|1[1-9][0-9]|[2-9][0-9]{2}|1000)%$",
            "examples": ["125%"]
        })
    }
}

/// A cookie that leads a client back to the endpoint that served it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sticky {
    /// The cookie's name. Endpoints do not get this cookie. A filter that removes
    /// the field `cookie` from the request takes it from the gateway as well.
    pub cookie: At<String>,
    /// What the cookie is signed with (HMAC-SHA256), at least 16 bytes. Of a list, the first signs
    /// and all are believed, so that it can be changed without a loss.
    pub secret: At<OneOrMany<Secret>>,
    /// How long the client keeps it (RFC 6265, 4.1.2.2); until it closes when absent.
    #[serde(default)]
    pub max_age: Option<Period>,
    /// The paths that the client sends it for.
    #[serde(default = "root")]
    pub path: At<String>,
}

fn root() -> At<String> {
    At::nowhere("/".to_owned())
}

/// When an endpoint is taken out because of how it answers requests. Each of the three tests is
/// made only where it is written; at least one must be.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outliers {
    /// Out at once after so many errors in a row.
    #[serde(default)]
    pub consecutive_errors: Option<NonZeroU32>,
    /// Out at the end of an interval in which too many of its answers were errors.
    #[serde(default)]
    pub error_rate: Option<ErrorRate>,
    /// Out at the end of an interval in which it was much slower than the others.
    #[serde(default)]
    pub slow: Option<Slow>,
    /// The statuses that count as errors, besides failed connections, broken ones and time-outs.
    #[serde(default = "server_errors")]
    pub statuses: Statuses,
    /// The interval that `error_rate` and `slow` look at.
    #[serde(default = "ten_seconds")]
    pub every: Period,
    /// How long it is out the first time; twice that the second time, and so on. Each interval
    /// without an ejection takes one time off the count.
    #[serde(default = "thirty_seconds")]
    pub eject_for: Period,
    /// How long it is out at most.
    #[serde(default = "five_minutes")]
    pub longest: Period,
    /// The share of the endpoints that may be out at a time because of this. One always may, and
    /// one always stays.
    #[serde(default = "thirty_percent")]
    pub at_most: Percent,
}

/// Too many errors.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorRate {
    /// The share of errors that is still fine.
    pub above: Percent,
    /// With fewer answers in the interval nothing is concluded.
    #[serde(default = "twenty")]
    pub min_requests: NonZeroU32,
}

/// Too slow.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// How many times the median of all endpoints' mean times to an answer is too slow; 2 to 100.
    pub times: At<NonZeroU32>,
    /// With fewer answers in the interval nothing is concluded.
    #[serde(default = "twenty")]
    pub min_requests: NonZeroU32,
}

fn server_errors() -> Statuses {
    Statuses::range(500, 599)
}

fn ten_seconds() -> Period {
    Period::seconds(10)
}

fn thirty_seconds() -> Period {
    Period::seconds(30)
}

fn five_minutes() -> Period {
    Period::seconds(300)
}

fn thirty_percent() -> Percent {
    Percent::new(30)
}

fn twenty() -> NonZeroU32 {
    NonZeroU32::new(20).expect("not zero")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_more_than_the_whole() {
        assert_eq!("125%".parse(), Ok(LoadBound(125)));
        for text in ["100%", "1001%", "125", "+125%", "%", "1.25"] {
            let error = text.parse::<LoadBound>().unwrap_err();
            assert!(error.contains("from `101%` to `1000%`"), "{error}");
        }
    }
}
