//! One connection's conversation with the gateway: which protocol it speaks, and until when.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use pingora_core::protocols::{Digest, IO};
use tokio::time::Instant;

use super::connection::{HERE, Here, Peer};
use super::{Proxy, Shared};
use crate::listen::Ending;
use crate::listen::stream::Connection;

/// One connection's conversation with the gateway.
pub struct Conversation {
    pub(super) proxy: Arc<Proxy>,
    pub(super) shared: Arc<Shared>,
    pub(super) peer: Arc<Peer>,
}

impl Conversation {
    /// A conversation with a peer.
    pub fn new(proxy: Arc<Proxy>, shared: Arc<Shared>, peer: Peer) -> Arc<Self> {
        Arc::new(Self {
            proxy,
            shared,
            peer: Arc::new(peer),
        })
    }

    /// Talks until one side has had enough.
    pub async fn hold(self: &Arc<Self>, mut connection: Connection, ending: &Ending) {
        // A conversation is held once.
        let _ = self.peer.ending.set(ending.clone());
        let _woken = ending.wake_me().await;
        let Some((http2, begun)) = self.first_words(&mut connection, ending).await else {
            return; // without a word for too long, or gone
        };
        if http2 {
            self.http2(connection, ending).await;
        } else {
            let here = Here::new(self.peer.clone(), self.peer.lent.until.clone());
            HERE.scope(here, self.http1(connection, begun, ending))
                .await;
        }
    }

    /// Whether the client speaks HTTP/2, and when its first byte came. One that stops in the middle
    /// of what could become HTTP/2's preface is taken for one that speaks HTTP/1.1, and late.
    async fn first_words(
        &self,
        connection: &mut Connection,
        ending: &Ending,
    ) -> Option<(bool, Option<Instant>)> {
        let mut impatient = pin!(ending.impatient(|| self.shared.is_handed_over()));
        let (opened, mut begun) = (Instant::now(), None);
        let mut silent = pin!(tokio::time::sleep(self.peer.idle));
        loop {
            // Whoever says so wakes it.
            let crowded_out = poll_fn(|_| match is_in_the_way(ending, opened, begun) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            });
            tokio::select! {
                biased;
                told = connection.look_for_http2() => if let Some(http2) = told.ok()? {
                    return Some((http2, begun));
                },
                () = crowded_out => return begun.map(|begun| (false, Some(begun))),
                () = &mut silent => return begun.map(|begun| (false, Some(begun))),
                () = &mut impatient, if begun.is_none() => return None,
            }
            let now = Instant::now();
            let deadline: Duration = self.shared.live.load().settings.limits.head_deadline.into();
            silent.as_mut().reset(*begun.get_or_insert(now) + deadline);
        }
    }
}

/// What Pingora wants to know of a connection.
pub(super) fn digest_of(connection: &impl IO) -> Arc<Digest> {
    Arc::new(Digest {
        ssl_digest: connection.get_ssl_digest(),
        timing_digest: connection.get_timing_digest(),
        proxy_digest: connection.get_proxy_digest(),
        socket_digest: connection.get_socket_digest(),
    })
}

/// Whether a connection without a whole head holds the place of others.
fn is_in_the_way(ending: &Ending, opened: Instant, begun: Option<Instant>) -> bool {
    let since = begun.unwrap_or(opened);
    (ending.crowded()).is_some_and(|patience| since.elapsed() >= patience)
}
