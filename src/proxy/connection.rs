//! A client connection: what is known of it, and its way through Pingora's protocols.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::HeaderValue;
use pingora_core::apps::{
    HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp,
};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::{HttpProxy, Session};
use tokio::time::Sleep;

use super::malformed::Malformed;
use super::{Engine, Shared, replay};
use crate::compile::Listening;
use crate::listen::stream::Connection;

/// What is known of a connection, worked out once.
pub struct Peer {
    /// The listener that accepted it.
    pub listening: Arc<Listening>,
    /// The other end.
    pub address: SocketAddr,
    /// Whether the other end is a proxy that is believed.
    pub trusted: bool,
    /// The other end's address, as a field value.
    pub forwarded_for: HeaderValue,
    /// The name of no route.
    pub no_route: Arc<str>,
    /// How long it may idle.
    pub idle: Duration,
    activity: Activity,
    malformed: Malformed,
    kept: Mutex<Option<Box<ServerSession>>>,
}

/// Whether a connection is at work, and since when it is not.
///
/// A time-out of Pingora's own for each wait between two requests would cost a timer each; this
/// costs two stores, and one timer that looks after a connection as long as it lives.
struct Activity {
    start: Instant,
    busy: AtomicBool,
    /// Milliseconds after `start`.
    idle_since: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            busy: AtomicBool::new(false),
            idle_since: AtomicU64::new(0),
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from((now - self.start).as_millis()).unwrap_or(u64::MAX)
    }

    /// How long it may stay idle from now on; nothing where that time is over.
    fn left(&self, idle: Duration) -> Option<Duration> {
        if self.busy.load(Ordering::Relaxed) {
            return Some(idle);
        }
        let since = self.idle_since.load(Ordering::Relaxed);
        let idled = self.millis(Instant::now()).saturating_sub(since);
        idle.checked_sub(Duration::from_millis(idled))
            .filter(|left| !left.is_zero())
    }
}

impl Peer {
    /// A peer of a listener.
    pub fn new(listening: Arc<Listening>, address: SocketAddr, idle: Duration) -> Self {
        let text = address.ip().to_canonical().to_string();
        Self {
            trusted: listening.trusted.contains(address.ip()),
            forwarded_for: HeaderValue::from_str(&text).expect("an address is visible ASCII"),
            listening,
            address,
            no_route: "".into(),
            idle,
            activity: Activity::new(),
            malformed: Malformed::default(),
            kept: Mutex::default(),
        }
    }

    /// A request head has arrived.
    pub(super) fn busy(&self) {
        self.activity.busy.store(true, Ordering::Relaxed);
    }

    /// The exchange is over; the next one is waited for.
    pub(super) fn idle(&self, now: Instant) {
        let since = self.activity.millis(now);
        self.activity.idle_since.store(since, Ordering::Relaxed);
        self.activity.busy.store(false, Ordering::Relaxed);
    }

    /// Returns when no request head has arrived for as long as the connection may idle.
    async fn idled(&self, mut timer: Pin<&mut Sleep>) {
        while let Some(left) = self.activity.left(self.idle) {
            timer.as_mut().reset(tokio::time::Instant::now() + left);
            timer.as_mut().await;
        }
    }

    /// Keeps a session that Pingora is about to close although its reply is whole.
    pub(super) fn keep(&self, session: &mut Session) {
        let kept = replay::take(session);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    fn take_kept(&self) -> Option<Box<ServerSession>> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

tokio::task_local! {
    static PEER: Arc<Peer>;
}

/// The peer of the exchange that runs here.
pub(super) fn current() -> Arc<Peer> {
    PEER.with(Arc::clone)
}

/// One connection's conversation with the gateway.
pub struct Conversation {
    proxy: Arc<HttpProxy<Engine>>,
    shared: Arc<Shared>,
    peer: Arc<Peer>,
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
            Ok(true) => drop(self.process_new(Box::new(connection), shutdown).await),
            Ok(false) => {
                PEER.scope(self.peer.clone(), self.http1(connection, shutdown))
                    .await
            }
            Err(_) => {} // the client has gone
        }
    }

    /// One request after another. Pingora's own loop would box each exchange once more.
    async fn http1(&self, mut connection: Connection, shutdown: &ShutdownWatch) {
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

#[async_trait]
impl HttpServerApp for Conversation {
    /// A stream of HTTP/2.
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let exchange = self.proxy.process_new_http(session, shutdown);
        PEER.scope(self.peer.clone(), exchange).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }
}
