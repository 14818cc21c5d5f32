//! What a configuration file says about an upstream.

pub mod balance;
mod breaker;
mod endpoints;
pub mod health;
mod hedge;
mod in_flight;
mod protocol;
mod retry;
mod timeouts;
mod tls;

use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::types::{Percent, Period};
use wiregate_sdk::value::At;

pub use balance::{Balance, Outliers, Sticky};
pub use endpoints::{Endpoint, EndpointOptions, FileEndpoint, WeightedEndpoint};
pub use health::Health;
pub use hedge::{After, Hedge};
pub use tls::{Tls, Verify};

pub use breaker::Breaker;
pub use in_flight::InFlight;
pub use retry::{Cause, Retry};
pub use timeouts::Timeouts;

/// A named group of endpoints.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The endpoints, 500 at most: addresses or names, `{ address, weight, priority, zone }`, `{ srv }` or
    /// `{ file }`.
    pub endpoints: Vec<At<Endpoint>>,
    /// The protocol that the endpoints speak.
    #[serde(default, deserialize_with = "protocol::written")]
    pub protocol: Protocol,
    /// TLS towards the endpoints; without it they are spoken to in the clear.
    #[serde(default, deserialize_with = "tls::written")]
    pub tls: Option<At<Tls>>,
    /// How an endpoint is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// A cookie that leads a client back to the endpoint that served it.
    #[serde(default)]
    pub sticky: Option<Sticky>,
    /// How the gateway finds out which endpoints work; without it all count as healthy.
    #[serde(default)]
    pub health: Option<Health>,
    /// Takes endpoints out, for a time, because of how they answer requests.
    #[serde(default)]
    pub outliers: Option<At<Outliers>>,
    /// How long an endpoint that is new, or healthy again, takes from a tenth of its weight to
    /// all of it; all at once when absent.
    #[serde(default)]
    pub slow_start: Option<Period>,
    /// When a smaller share of the endpoints than this is healthy, health is not looked at and all
    /// get requests: the few would drown. When absent, unhealthy endpoints never get any, and
    /// without a healthy one the answer is 503.
    #[serde(default)]
    pub panic: Option<At<Percent>>,
    /// When and how often a request is tried again.
    #[serde(default)]
    pub retry: Retry,
    /// When a request goes to a second endpoint because the first one is slow; never when absent.
    #[serde(default)]
    pub hedge: Option<Hedge>,
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
