//! Connections for requests that do not go by way of Pingora's proxy.

use std::time::Duration;

use futures_util::FutureExt;
use pingora_core::connectors::ConnectorOptions;
use pingora_core::connectors::http::v2::{self, H2HandshakeSettings};
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::http::v1::client as v1;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::{ErrorType, OkOrErr, OrErr, Result};
use tokio::io::AsyncReadExt;
use tokio::sync::OnceCell;
use tokio::task::unconstrained;

use super::{Got, Pool};

/// Where requests that go straight, hedged ones and the cache's fetches get their connections: those over HTTP/1.1 from
/// the same pool as all others, and those over HTTP/2 from one of Pingora's.
pub struct Connector {
    pool: Pool,
    options: ConnectorOptions,
    /// Made with its first use, on another thread: it reads the system's certificates.
    http2: OnceCell<v2::Connector>,
}

impl Connector {
    /// One that takes from this pool.
    pub fn new(conf: &ServerConf, pool: Pool) -> Self {
        Self {
            pool,
            options: ConnectorOptions::from_server_conf(conf),
            http2: OnceCell::new(),
        }
    }

    /// A connection to a peer, and whether it has served before.
    ///
    /// # Errors
    /// There is none to be had.
    pub async fn get(&self, peer: &HttpPeer) -> Result<(HttpSession, bool)> {
        let offered = &peer.options.alpn;
        if *offered != ALPN::H1
            && let Some(found) = Box::pin(self.get_http2(peer)).await?
        {
            return Ok(found);
        }
        match self.pool.get(peer, offered.clone()).await? {
            Got::Http1(stream, rested) => {
                let session = v1::HttpSession::new_with_options(stream, peer);
                Ok((HttpSession::H1(session), rested))
            }
            Got::Http2(stream) => {
                let session = Box::pin(self.begin_http2(stream, peer)).await?;
                Ok((session, false))
            }
        }
    }

    /// A stream over HTTP/2 to a peer: over a connection that there is, or over a new one where the peer speaks nothing
    /// else.
    async fn get_http2(&self, peer: &HttpPeer) -> Result<Option<(HttpSession, bool)>> {
        if let Some(http2) = self.http2.get()
            && let Some(stream) = http2.reused_http_session(peer).await?
        {
            return Ok(Some((HttpSession::H2(stream), true)));
        }
        if peer.options.alpn != ALPN::H2 {
            return Ok(None);
        }
        let session = self.http2().await?.new_http_session(peer).await?;
        Ok(Some((session, false)))
    }

    /// A stream over a connection whose endpoint has chosen HTTP/2, which is there for others as well from now on.
    async fn begin_http2(&self, stream: Stream, peer: &HttpPeer) -> Result<HttpSession> {
        let mut settings = H2HandshakeSettings::new();
        settings.max_streams = peer.options.max_h2_streams;
        let connection = v2::handshake(stream, settings).await?;
        let stream = connection.spawn_stream().await?;
        let stream = stream.or_err(ErrorType::H2Error, "a new connection takes no stream")?;
        if connection.more_streams_allowed() {
            let pool = self.http2().await?.in_use_pool();
            pool.insert(peer.reuse_hash(), connection);
        }
        Ok(HttpSession::H2(stream))
    }

    async fn http2(&self) -> Result<&v2::Connector> {
        let make = || async {
            let options = self.options.clone();
            let made = tokio::task::spawn_blocking(|| v2::Connector::new(Some(options)));
            made.await
                .or_err(ErrorType::InternalError, "no connector could be made")
        };
        self.http2.get_or_try_init(make).await
    }

    /// Gives it back, once its response has been read to its end.
    pub async fn release(&self, session: HttpSession, peer: &HttpPeer, idle: Option<Duration>) {
        match session {
            HttpSession::H1(mut session) => {
                session.respect_keepalive();
                if let Some(mut stream) = session.reuse().await {
                    // As Pingora asks: what is as good as new goes home when it is dropped.
                    let mut byte = [0];
                    let _ = unconstrained(stream.read(&mut byte)).now_or_never();
                }
            }
            HttpSession::H2(stream) => {
                if let Some(http2) = self.http2.get() {
                    http2.release_http_session(stream, peer, idle);
                }
            }
            HttpSession::Custom(()) => {} // there are none
        }
    }
}
