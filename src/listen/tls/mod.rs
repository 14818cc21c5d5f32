//! TLS of a listener: which certificate for which name, and what is asked of clients.

mod client;
mod handshake;
mod names;

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

pub use handshake::{Failed, Secured};
pub use names::Names;
pub(crate) use names::covers;

/// TLS of a listener.
#[derive(Debug)]
pub struct Tls {
    entries: Vec<Entry>,
    names: Names,
    /// Whether clients may speak HTTP/1.1.
    http1: bool,
    handshake_timeout: Duration,
    /// Whether any certificate asks clients for theirs.
    asks: bool,
}

/// A certificate, and what holds for those that come for its names.
#[derive(Debug)]
pub struct Entry {
    /// The first of its names, or `*` where it has none.
    pub name: String,
    /// When the certificate expires, in seconds since 1970.
    pub expires: i64,
    /// What rustls needs.
    pub config: Arc<ServerConfig>,
    /// What is asked of clients.
    pub policy: Option<Policy>,
}

/// Which certificate a client must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A digest of the authorities that are accepted.
    pub authorities: [u8; 32],
    /// Whether a client without a certificate is turned away.
    pub required: bool,
}

impl Tls {
    /// TLS with at least one certificate; the first is for all names that are not in `names`,
    /// which gives positions.
    pub fn new(
        entries: Vec<Entry>,
        names: Names,
        http1: bool,
        handshake_timeout: Duration,
    ) -> Self {
        debug_assert!(!entries.is_empty(), "at least one");
        Self {
            asks: entries.iter().any(|entry| entry.policy.is_some()),
            entries,
            names,
            http1,
            handshake_timeout,
        }
    }

    /// All certificates.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The certificate for a name; the first one for no name.
    pub fn entry(&self, name: Option<&str>) -> &Entry {
        let position = name.and_then(|name| self.names.find(name));
        &self.entries[position.unwrap_or(0)]
    }

    /// Whether a request for a host may come over a connection on which this was asked of the
    /// client: certificates are asked for by name, and a connection for one name must not be a way
    /// around what another asks for.
    pub fn admits(&self, host: &str, asked: Option<&Policy>) -> bool {
        if !self.asks {
            return true;
        }
        let Some(wanted) = &self.entry(Some(host)).policy else {
            return true;
        };
        asked.is_some_and(|asked| {
            asked.authorities == wanted.authorities && (asked.required || !wanted.required)
        })
    }
}
