//! One connection's conversation with the gateway: which protocol it speaks, and until when.

use std::sync::Arc;

use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use super::connection::{PEER, Peer};
use super::{Engine, Shared};
use crate::listen::stream::Connection;

/// One connection's conversation with the gateway.
pub struct Conversation {
    pub(super) proxy: Arc<HttpProxy<Engine>>,
    pub(super) shared: Arc<Shared>,
    pub(super) peer: Arc<Peer>,
}

impl Conversation {
    /// A conversation with a peer.
    pub fn new(proxy: Arc<HttpProxy<Engine>>, shared: Arc<Shared>, peer: Peer) -> Arc<Self> {
        Arc::new(Self {
            proxy,
            shared,
            peer: Arc::new(peer),
        })
    }

    /// Talks until one side has had enough.
    pub async fn hold(self: &Arc<Self>, mut connection: Connection, shutdown: &ShutdownWatch) {
        // A conversation is held once.
        let _ = self.peer.stop.set(shutdown.clone());
        let mut stop = shutdown.clone();
        let silent = async {
            tokio::select! {
                () = tokio::time::sleep(self.peer.idle) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        };
        let first = tokio::select! {
            biased;
            first = connection.begins_http2() => first,
            () = silent => return, // without a word for too long
        };
        match first {
            Ok(true) => self.http2(connection, shutdown).await,
            Ok(false) => {
                PEER.scope(self.peer.clone(), self.http1(connection, shutdown))
                    .await
            }
            Err(_) => {} // the client has gone
        }
    }
}
