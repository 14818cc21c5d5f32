//! What a configuration file says about the resolution of names.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::types::Period;
use wiregate_sdk::value::At;

/// How the names of endpoints are resolved. Names are asked for again when their TTL is over. When
/// that fails, or nothing comes back, the last good answer stays in use and the question is
/// repeated: after `min_ttl`, then after twice as long each time, up to 30 seconds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// The servers to ask, 8 at most, each an address and port such as `10.0.0.53:53`; those of
    /// `/etc/resolv.conf`, with its search domains, when empty. `/etc/hosts` goes before either.
    pub servers: Vec<At<SocketAddr>>,
    /// How long the search for one name may take, all tries together. A start and a reload wait
    /// for names that were never resolved, for this long at most.
    pub timeout: Period,
    /// Which addresses of a name are used.
    pub family: AddressFamily,
    /// An answer is used for at least this long, whatever its TTL.
    pub min_ttl: Period,
    /// An answer is used for at most this long, whatever its TTL.
    pub max_ttl: Period,
}

/// The addresses of a name that are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressFamily {
    /// Those that the machine has a route to; all where it has a route to none.
    #[default]
    Auto,
    /// IPv4 and IPv6.
    Both,
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Period::seconds(5),
            family: AddressFamily::Auto,
            min_ttl: Period::seconds(5),
            max_ttl: Period::seconds(300),
        }
    }
}
