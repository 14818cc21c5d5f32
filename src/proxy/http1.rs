//! A conversation over HTTP/1.1: one request after another.

use std::pin::pin;
use std::sync::atomic::Ordering;

use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;

use super::conversation::Conversation;
use crate::listen::stream::Connection;

impl Conversation {
    /// One request after another. Pingora's own loop would box each exchange once more.
    pub(super) async fn http1(&self, mut connection: Connection, shutdown: &ShutdownWatch) {
        let peer = self.peer.clone();
        connection.ask(move |bytes| {
            let idle = !peer.activity.busy.load(Ordering::Relaxed);
            idle.then(|| peer.malformed.instead_of(bytes)).flatten()
        });
        let mut session = ServerSession::new_http1(Box::new(connection));
        session.set_keepalive(Some(0)); // without end: the time is kept here
        let timer = pin!(tokio::time::sleep(self.peer.idle));
        let mut idled = pin!(self.peer.idled(timer));
        loop {
            let exchange = self.proxy.process_new_http(session, shutdown);
            let ended = tokio::select! {
                biased;
                ended = exchange => ended,
                () = &mut idled => return,
            };
            let reused = match ended {
                Some(reused) => reused,
                None => match self.revive().await {
                    Some(revived) => revived,
                    None => return self.peer.malformed.tell(&self.shared, &self.peer),
                },
            };
            let (stream, settings) = reused.consume();
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
        }
    }

    /// Goes on with a session that Pingora has given up.
    async fn revive(&self) -> Option<ReusedHttpStream> {
        let kept = self.peer.take_kept()?;
        let settings = HttpPersistentSettings::for_session(&kept);
        let stream = kept.finish().await.ok().flatten()?;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }
}
