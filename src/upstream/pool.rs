//! Connections to endpoints over HTTP/1.1: those of one worker, which rest between two requests.
//!
//! Pingora's own pool gives each of them a task, which starts with each request and ends with the next,
//! and asks the system whom it leads to before each use. Here one task looks after all of them, and a
//! connection is found again by its key alone. Pingora comes here as to a connector of a custom
//! protocol, which may hand out connections for HTTP/1.1 as well; HTTP/2 stays with Pingora. Where an endpoint
//! chooses between the two, whoever asks says which one is expected; what is chosen otherwise is refused before
//! anything is sent, so that no response over HTTP/1.1 comes by another way.

mod connector;
mod heard;
mod lent;
mod resting;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::http::custom;
use pingora_core::connectors::{ConnectorOptions, TransportConnector};
use pingora_core::protocols::tls::CustomALPN;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::{HttpPeer, Peer, PeerOptions};
use pingora_error::{Error, ErrorType, Result};

pub use connector::Connector;
pub use heard::Misframed;

use lent::Lent;
use resting::Resting;

/// An endpoint that may choose has not chosen the protocol that was expected. Nothing was sent.
pub const CHOSE_OTHERWISE: ErrorType = ErrorType::Custom("another protocol was chosen");

/// The protocols that stand for this pool; they are never spoken. HTTP/1.1 is all that is offered to an endpoint.
const HERE: &[u8] = b"wiregate-pool";
/// HTTP/2 is offered as well, and refused where it is chosen.
const EXPECTED: &[u8] = b"wiregate-pool-expected";

/// The connections of one worker, which are handed out to one request after another.
#[derive(Clone)]
pub struct Pool(Arc<Parts>);

struct Parts {
    resting: Arc<Resting>,
    transport: TransportConnector,
    /// Whether what was handed out last had rested.
    rested: AtomicBool,
    here: ALPN,
    expected: ALPN,
}

/// What there is for a request.
enum Got {
    /// A connection over HTTP/1.1, and whether it has rested.
    Http1(Stream, bool),
    /// A new one, over which the endpoint has chosen HTTP/2.
    Http2(Stream),
}

impl Pool {
    /// An empty one, which keeps as many idle connections as a worker may.
    pub fn new(conf: &ServerConf) -> Self {
        let options = ConnectorOptions::from_server_conf(conf);
        Self(Arc::new(Parts {
            resting: Arc::new(Resting::new(conf.upstream_keepalive_pool_size)),
            transport: TransportConnector::new(Some(options)),
            rested: AtomicBool::new(false),
            here: ALPN::Custom(CustomALPN::new(HERE.to_vec())),
            expected: ALPN::Custom(CustomALPN::new(EXPECTED.to_vec())),
        }))
    }

    /// Has a connection come from here, which is to speak HTTP/1.1. Where its endpoint may choose and chooses HTTP/2, there
    /// is none ([`CHOSE_OTHERWISE`]).
    pub fn serve(&self, options: &mut PeerOptions) {
        options.alpn.clone_from(match options.alpn == ALPN::H1 {
            true => &self.0.here,
            false => &self.0.expected,
        });
    }

    /// Whether the connection that was just handed out has served a request before. To be asked once, by whoever
    /// has got it, before anything else happens.
    pub fn had_rested(&self) -> bool {
        self.0.rested.swap(false, Relaxed)
    }

    /// A connection over HTTP/1.1 to a peer that rests, or a new one, over which these protocols are offered.
    async fn get(&self, peer: &HttpPeer, offered: ALPN) -> Result<Got> {
        let rested = self.0.resting.take(peer.group_key);
        let again = rested.is_some();
        let stream = match rested {
            Some(stream) => stream,
            None => {
                let stream = Box::pin(self.connect(peer, offered)).await?;
                if stream.selected_alpn_proto() == Some(ALPN::H2) {
                    return Ok(Got::Http2(stream));
                }
                stream
            }
        };
        let idle = peer.idle_timeout().unwrap_or_default();
        let lent = Lent::new(stream, self.0.resting.clone(), peer.group_key, idle);
        Ok(Got::Http1(Box::new(lent), again))
    }

    async fn connect(&self, peer: &HttpPeer, offered: ALPN) -> Result<Stream> {
        let mut peer = peer.clone();
        peer.options.alpn = offered;
        self.0.transport.new_stream(&peer).await
    }
}

#[async_trait]
impl custom::Connector for Pool {
    type Session = ();

    async fn get_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> Result<(custom::Connection<()>, bool)> {
        let Some(peer) = (peer as &dyn Any).downcast_ref::<HttpPeer>() else {
            return Error::e_explain(ErrorType::InternalError, "a peer of another kind");
        };
        let offered = match peer.options.alpn == self.0.expected {
            true => ALPN::H2H1,
            false => ALPN::H1,
        };
        match self.get(peer, offered).await? {
            Got::Http1(stream, rested) => {
                self.0.rested.store(rested, Relaxed);
                Ok((custom::Connection::Stream(stream), false))
            }
            Got::Http2(_) => Error::e_explain(CHOSE_OTHERWISE, "HTTP/2 instead of HTTP/1.1"),
        }
    }

    async fn reused_http_session<P: Peer + Send + Sync + 'static>(&self, _peer: &P) -> Option<()> {
        None // they come with the call above
    }

    async fn release_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        (): (),
        _peer: &P,
        _idle: Option<Duration>,
    ) {
        // There are no sessions of a custom protocol.
    }
}
