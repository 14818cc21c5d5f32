//! Connections for those requests that are not sent by Pingora.

use std::time::Duration;

use pingora_core::connectors::{ConnectorOptions, http};
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::Result;

use super::Pool;

/// Where hedged requests and the cache's fetches get their connections: those over HTTP/1.1 from the same pool as all
/// others.
pub struct Connector {
    inner: http::Connector<Pool>,
    pool: Pool,
}

impl Connector {
    /// One that takes from this pool.
    pub fn new(conf: &ServerConf, pool: Pool) -> Self {
        let options = ConnectorOptions::from_server_conf(conf);
        Self {
            inner: http::Connector::new_custom(Some(options), pool.clone()),
            pool,
        }
    }

    /// A connection to a peer, and whether it has served before.
    ///
    /// # Errors
    /// There is none to be had.
    pub async fn get(&self, peer: &mut HttpPeer) -> Result<(HttpSession, bool)> {
        self.pool.serve(&mut peer.options);
        let (session, reused) = self.inner.get_http_session(peer).await?;
        Ok((session, reused || self.pool.had_rested()))
    }

    /// Gives it back, once its response has been read to its end.
    pub async fn release(&self, session: HttpSession, peer: &HttpPeer, idle: Option<Duration>) {
        self.inner.release_http_session(session, peer, idle).await;
    }
}
