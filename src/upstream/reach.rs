//! How the endpoints of an upstream are reached: protocol, and what holds for each connection.

use pingora_core::protocols::ALPN;
use pingora_core::upstreams::peer::{HttpPeer, PeerOptions};
use pingora_error::Result;

use super::Address;
use crate::config::model::upstream as model;

/// How the endpoints of an upstream are reached.
pub struct Reach {
    options: PeerOptions,
}

impl Reach {
    /// As the configuration says. The other time-outs are set for each attempt: Pingora's defaults
    /// are none at all.
    pub fn new(config: &model::Upstream) -> Self {
        let mut options = PeerOptions::new();
        options.idle_timeout = Some(config.keep_idle.into());
        if config.protocol == model::Protocol::H2c {
            options.alpn = ALPN::H2;
            options.set_http_version(2, 2);
            options.max_h2_streams = 100;
        }
        Self { options }
    }

    /// How to reach one endpoint.
    ///
    /// # Errors
    /// A socket path that the system does not take.
    pub fn peer(&self, address: &Address) -> Result<HttpPeer> {
        let mut peer = match address {
            Address::Inet(address) => HttpPeer::new(*address, false, String::new()),
            Address::Unix(path) => {
                HttpPeer::new_uds(&path.to_string_lossy(), false, String::new())?
            }
        };
        peer.options = self.options.clone();
        Ok(peer)
    }
}
