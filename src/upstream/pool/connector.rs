//! Connections for those requests that are not sent by Pingora.

use std::time::Duration;

use pingora_core::connectors::{ConnectorOptions, http};
use pingora_core::protocols::ALPN;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::http::v1::client as v1;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::Result;

use super::Pool;

/// Where hedged requests and the cache's fetches get their connections: those over HTTP/1.1 from the same pool as all
/// others.
pub struct Connector {
    inner: http::Connector,
    pool: Pool,
}

impl Connector {
    /// One that takes from this pool.
    pub fn new(conf: &ServerConf, pool: Pool) -> Self {
        let options = ConnectorOptions::from_server_conf(conf);
        Self {
            inner: http::Connector::new(Some(options)),
            pool,
        }
    }

    /// A connection to a peer, and whether it has served before.
    ///
    /// # Errors
    /// There is none to be had.
    pub async fn get(&self, peer: &HttpPeer) -> Result<(HttpSession, bool)> {
        if peer.options.alpn == ALPN::H1 {
            let (stream, rested) = self.pool.get(peer).await?;
            let session = v1::HttpSession::new_with_options(stream, peer);
            return Ok((HttpSession::H1(session), rested));
        }
        Box::pin(self.inner.get_http_session(peer)).await
    }

    /// Gives it back, once its response has been read to its end.
    pub async fn release(&self, session: HttpSession, peer: &HttpPeer, idle: Option<Duration>) {
        self.inner.release_http_session(session, peer, idle).await;
    }
}
