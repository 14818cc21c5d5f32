//! What a configuration file says about an upstream.

mod endpoints;
mod tls;

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::types::Period;
use wiregate_sdk::value::At;

pub use endpoints::{Endpoint, EndpointOptions, FileEndpoint, WeightedEndpoint};
pub use tls::{Tls, Verify};

/// A named group of endpoints.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The endpoints, 500 at most: addresses or names, `{ address, weight }`, `{ srv }` or
    /// `{ file }`.
    pub endpoints: Vec<At<Endpoint>>,
    /// The protocol that the endpoints speak.
    #[serde(default)]
    pub protocol: Protocol,
    /// TLS towards the endpoints; without it they are spoken to in the clear.
    #[serde(default, deserialize_with = "tls::written")]
    pub tls: Option<At<Tls>>,
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
    pub timeouts: Timeouts,
}

/// The protocol that endpoints speak. Each HTTP/2 connection carries up to 100 requests at a time,
/// or fewer where the endpoint says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1, with TLS or without.
    #[default]
    Http1,
    /// HTTP/2 without TLS, with prior knowledge (RFC 9113, 3.3).
    H2c,
    /// HTTP/2 over TLS. An endpoint that does not choose it (ALPN) gets no requests: 502.
    H2,
    /// Over TLS, HTTP/2 where the endpoint chooses it (ALPN), and HTTP/1.1 where it does not.
    Negotiate,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// One after the other, by weight, evenly spread.
    #[default]
    RoundRobin,
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

/// When and how often a request is tried again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// How many times a request is tried in all, each time at another endpoint while there is
    /// one; 1 turns retries off. Only failures to connect are retried: nothing was sent yet.
    pub attempts: NonZeroU32,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: two() }
    }
}

/// How long each step towards an upstream may take.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// To open a connection; 504 beyond.
    pub connect: Period,
    /// Between two reads of the response, the first one included; 504 beyond while no response
    /// has begun.
    pub read: Period,
    /// For one write of the request.
    pub write: Period,
    /// From the request head to the end of the response; no bound when absent.
    pub total: Option<Period>,
    /// How long an idle connection to an endpoint is kept.
    pub idle: Period,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Period::seconds(3),
            read: Period::seconds(60),
            write: Period::seconds(60),
            total: None,
            idle: Period::seconds(60),
        }
    }
}
