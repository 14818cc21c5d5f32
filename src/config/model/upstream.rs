//! What a configuration file says about an upstream.

mod breaker;
mod in_flight;
mod retry;
mod timeouts;

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::types::Period;
use wiregate_sdk::value::{At, ShortOrFull};

use crate::upstream::Address;

pub use breaker::Breaker;
pub use in_flight::InFlight;
pub use retry::{Cause, Retry};
pub use timeouts::Timeouts;

/// A named group of endpoints.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The endpoints: addresses, or `{ address, weight }`.
    pub endpoints: Vec<At<Endpoint>>,
    /// The protocol that the endpoints speak.
    #[serde(default)]
    pub protocol: Protocol,
    /// How an endpoint is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// How the gateway finds out which endpoints work; without it all count as healthy.
    #[serde(default)]
    pub health: Option<Health>,
    /// When and how often a request is tried again.
    #[serde(default)]
    pub retry: Retry,
    /// How long each step may take.
    #[serde(default)]
    pub timeouts: Option<At<Timeouts>>,
    /// How long an idle connection to an endpoint is kept, to be used again.
    #[serde(default = "one_minute")]
    pub keep_idle: Period,
    /// How many requests go there at the same time; no bound when absent.
    #[serde(default)]
    pub in_flight: Option<At<InFlight>>,
    /// When the upstream gets no requests for a while; never when absent.
    #[serde(default)]
    pub breaker: Option<Breaker>,
    /// The upstream that takes the requests which this one cannot: because no endpoint is
    /// healthy, the circuit is open, or no connection came about.
    #[serde(default)]
    pub fallback: Option<At<String>>,
}

fn one_minute() -> Period {
    Period::seconds(60)
}

/// The protocol that endpoints speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, with prior knowledge.
    H2c,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// One after the other, by weight, evenly spread.
    #[default]
    RoundRobin,
}

/// One endpoint: an address, or an address with its weight.
pub type Endpoint = ShortOrFull<Address, WeightedEndpoint>;

/// An endpoint with its weight.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedEndpoint {
    /// Its address and port, or `unix:` and the path of a socket.
    pub address: Address,
    /// Its share of the requests, against the others'; 1 when absent, at most 100.
    #[serde(default = "one")]
    pub weight: NonZeroU32,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// An active health check.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The path to GET.
    pub http: At<String>,
    /// The `Host` to send; the endpoint's address when absent.
    #[serde(default)]
    pub host: Option<At<String>>,
    /// The status that means healthy; any 2xx when absent.
    #[serde(default)]
    pub expect: Option<u16>,
    /// The time between two checks.
    #[serde(default = "five_seconds")]
    pub every: Period,
    /// How long a check may take.
    #[serde(default = "two_seconds")]
    pub timeout: Period,
    /// How many checks in a row must pass before an unhealthy endpoint gets requests again.
    #[serde(default = "two")]
    pub healthy_after: NonZeroU32,
    /// How many checks in a row must fail before a healthy endpoint gets no more requests.
    #[serde(default = "two")]
    pub unhealthy_after: NonZeroU32,
}

fn five_seconds() -> Period {
    Period::seconds(5)
}

fn two_seconds() -> Period {
    Period::seconds(2)
}

fn two() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(1)
}
