//! How the endpoints of an upstream are reached: protocol, TLS, and what holds for each connection.

use std::hash::{DefaultHasher, Hash, Hasher};

use pingora_core::protocols::ALPN;
use pingora_core::upstreams::peer::{HttpPeer, PeerOptions};

use super::timeouts::{keep_alive, open_for};
use super::{Address, HostName, Target, Tls};
use crate::config::model::upstream::{self as model, Protocol};
use crate::descriptors::Purpose;

/// Requests that one HTTP/2 connection carries at a time, at most.
const MOST_STREAMS: usize = 100;

/// How the endpoints of an upstream are reached.
pub struct Reach {
    options: PeerOptions,
    tls: Option<Tls>,
    /// Keeps the connections of this upstream, with this protocol and TLS, from all others.
    group: u64,
}

impl Reach {
    /// As the configuration of the upstream of this name says. The other time-outs are set
    /// for each attempt: Pingora's defaults are none at all.
    pub fn new(upstream: &str, config: &model::Upstream, tls: Option<Tls>) -> Self {
        let mut options = PeerOptions::new();
        options.idle_timeout = Some(config.keep_idle.into());
        options.tcp_keepalive = Some(keep_alive());
        options.alpn = match config.protocol {
            Protocol::Http1 => ALPN::H1,
            Protocol::H2c | Protocol::H2 => ALPN::H2,
            Protocol::Negotiate => ALPN::H2H1,
        };
        options.max_h2_streams = match config.protocol {
            Protocol::Http1 => options.max_h2_streams,
            Protocol::H2c | Protocol::H2 | Protocol::Negotiate => MOST_STREAMS,
        };
        if let Some(tls) = &tls {
            tls.apply(&mut options);
        }
        let mut hasher = DefaultHasher::new();
        (upstream, config.protocol, &tls).hash(&mut hasher);
        Self {
            options,
            tls,
            group: hasher.finish(),
        }
    }

    /// Whether what a configuration lists can be reached.
    ///
    /// # Errors
    /// Why not.
    pub fn accepts(&self, target: &Target) -> Result<(), String> {
        match target {
            Target::Address(address) => self.peer(address, None).map(drop),
            Target::Name(name, _) => self.accepts_name(name),
        }
    }

    /// Whether endpoints that are found under this name can be reached.
    ///
    /// # Errors
    /// Why not.
    pub fn accepts_name(&self, name: &HostName) -> Result<(), String> {
        let named = self.tls.as_ref().map(|tls| tls.name_for(Some(name)));
        named.transpose().map(drop)
    }

    /// How to reach one endpoint, which was found under this name.
    ///
    /// # Errors
    /// A socket path that the system does not take, or no name to verify a certificate by.
    pub fn peer(&self, address: &Address, name: Option<&HostName>) -> Result<HttpPeer, String> {
        let (tls, server_name) = (self.tls.is_some(), self.server_name(address, name)?);
        let mut peer = match address {
            Address::Inet(address) => HttpPeer::new(*address, tls, server_name),
            Address::Unix(path) => HttpPeer::new_uds(&path.to_string_lossy(), tls, server_name)
                .map_err(|error| format!("it cannot be reached: {error}"))?,
        };
        peer.group_key = self.key(address, &peer.sni);
        peer.options = self.options.clone();
        open_for(Purpose::Request, address, &mut peer.options);
        let identity = self.tls.as_ref().and_then(|tls| tls.identity.as_ref());
        peer.client_cert_key = identity.map(|identity| identity.cert_key().clone());
        Ok(peer)
    }

    /// What a connection is found again by, which leads to this address, of which this name was verified.
    fn key(&self, address: &Address, server_name: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.group, address, server_name).hash(&mut hasher);
        hasher.finish()
    }

    /// The name that an endpoint is expected to have; empty without TLS, and never with it, as
    /// Pingora takes an empty one for the wish that nothing be verified.
    ///
    /// # Errors
    /// Where there is no name to verify a certificate by.
    pub fn server_name(
        &self,
        address: &Address,
        name: Option<&HostName>,
    ) -> Result<String, String> {
        let Some(tls) = &self.tls else {
            return Ok(String::new());
        };
        Ok(tls.name_for(name)?.unwrap_or_else(|| match address {
            // Nothing is verified: it need only be a name.
            Address::Inet(address) => address.ip().to_string(),
            Address::Unix(_) => "localhost".to_owned(),
        }))
    }
}
