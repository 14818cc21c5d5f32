//! Connections for requests that do not go by way of Pingora's proxy.

use std::time::Duration;

use futures_util::FutureExt;
use pingora_core::connectors::{ConnectorOptions, http};
use pingora_core::protocols::ALPN;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::http::v1::client as v1;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{ErrorType, OrErr, Result};
use tokio::io::AsyncReadExt;
use tokio::sync::OnceCell;
use tokio::task::unconstrained;

use super::Pool;

/// Where requests that go straight, hedged ones and the cache's fetches get their connections: those over HTTP/1.1 from
/// the same pool as all others, and those where HTTP/2 is spoken, or negotiated, from one of Pingora's.
pub struct Connector {
    pool: Pool,
    options: ConnectorOptions,
    /// Made with its first use, on another thread: it reads the system's certificates.
    other: OnceCell<http::Connector>,
}

impl Connector {
    /// One that takes from this pool.
    pub fn new(conf: &ServerConf, pool: Pool) -> Self {
        Self {
            pool,
            options: ConnectorOptions::from_server_conf(conf),
            other: OnceCell::new(),
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
        Box::pin(async { self.other().await?.get_http_session(peer).await }).await
    }

    async fn other(&self) -> Result<&http::Connector> {
        let make = || async {
            let options = self.options.clone();
            let made = tokio::task::spawn_blocking(|| http::Connector::new(Some(options)));
            made.await
                .or_err(ErrorType::InternalError, "no connector could be made")
        };
        self.other.get_or_try_init(make).await
    }

    /// Gives it back, once its response has been read to its end.
    pub async fn release(&self, session: HttpSession, peer: &HttpPeer, idle: Option<Duration>) {
        match session {
            HttpSession::H1(mut session) if peer.options.alpn == ALPN::H1 => {
                session.respect_keepalive();
                if let Some(mut stream) = session.reuse().await {
                    // As Pingora asks: what is as good as new goes home when it is dropped.
                    let mut byte = [0];
                    let _ = unconstrained(stream.read(&mut byte)).now_or_never();
                }
            }
            session => {
                if let Some(other) = self.other.get() {
                    Box::pin(other.release_http_session(session, peer, idle)).await;
                }
            }
        }
    }
}
