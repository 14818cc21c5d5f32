//! What a configuration file says about where endpoints are.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::value::{At, ShortOrFull};

use crate::upstream::{HostName, Target};

/// Where endpoints are: an address or a name, or that with its weight, or another place to look.
pub type Endpoint = ShortOrFull<Target, EndpointOptions>;

/// Where endpoints are: exactly one of `address`, `srv` and `file`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointOptions {
    /// An address and port, a name and port, or `unix:` and the path of a socket.
    #[serde(default)]
    pub address: Option<Target>,
    /// The name of SRV records (RFC 2782), such as `_http._tcp.app.internal`. Ports, weights
    /// and priorities come from the records.
    #[serde(default)]
    pub srv: Option<HostName>,
    /// A file with a list of endpoints in YAML, each an address or
    /// `{ address, weight, priority, zone }`;
    /// relative to this file. It is read again when it changes. One that has become bad changes
    /// nothing: the endpoints that it had stay.
    #[serde(default)]
    pub file: Option<At<String>>,
    /// The share of the requests, against the others'; 1 when absent, at most 100. Each address
    /// of a name has this weight.
    #[serde(default)]
    pub weight: Option<NonZeroU32>,
    /// The group: those of the lowest number get the requests as long as enough of them are
    /// healthy; 0 when absent. The priorities of SRV records count from here.
    #[serde(default)]
    pub priority: Option<u8>,
    /// Where they are. Endpoints in the gateway's own `zone` are preferred.
    #[serde(default)]
    pub zone: Option<At<String>>,
}

/// An endpoint in a file of endpoints.
pub type FileEndpoint = ShortOrFull<Target, WeightedEndpoint>;

/// An endpoint with its weight, in a file of endpoints.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedEndpoint {
    /// An address and port, a name and port, or `unix:` and the path of a socket.
    pub address: Target,
    /// Its share of the requests, against the others'; 1 when absent, at most 100.
    #[serde(default = "one")]
    pub weight: NonZeroU32,
    /// Its group: those of the lowest number get the requests as long as enough of them are
    /// healthy; 0 when absent.
    #[serde(default)]
    pub priority: u8,
    /// Where it is. Endpoints in the gateway's own `zone` are preferred.
    #[serde(default)]
    pub zone: Option<At<String>>,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}
