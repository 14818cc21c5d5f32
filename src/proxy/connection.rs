//! A client connection: what is known of it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;
use pingora_core::protocols::http::ServerSession;
use pingora_proxy::Session;
use tokio::time::Sleep;

use super::malformed::Malformed;
use super::replay;
use crate::compile::{Listening, Snapshot};
use crate::listen::tls::Secured;

/// What is known of a connection, worked out once.
pub struct Peer {
    /// The listener that accepted it.
    pub listening: Arc<Listening>,
    /// The other end.
    pub address: SocketAddr,
    /// What TLS has established, where it is spoken.
    pub secured: Option<Secured>,
    /// Whether the other end is a proxy that is believed.
    pub trusted: bool,
    /// The other end's address, as a field value.
    pub forwarded_for: HeaderValue,
    /// The name of no route.
    pub no_route: Arc<str>,
    /// How long it may idle.
    pub idle: Duration,
    pub(super) activity: Activity,
    pub(super) malformed: Malformed,
    kept: Mutex<Option<Box<ServerSession>>>,
}

/// Whether a connection is at work, and since when it is not.
///
/// A time-out of Pingora's own for each wait between two requests would cost a timer each; this
/// costs two stores, and one timer that looks after a connection as long as it lives.
pub(super) struct Activity {
    start: Instant,
    pub(super) busy: AtomicBool,
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
    pub fn new(
        listening: Arc<Listening>,
        address: SocketAddr,
        idle: Duration,
        secured: Option<Secured>,
    ) -> Self {
        let text = address.ip().to_canonical().to_string();
        Self {
            trusted: listening.trusted.contains(address.ip()),
            forwarded_for: HeaderValue::from_str(&text).expect("an address is visible ASCII"),
            listening,
            address,
            secured,
            no_route: "".into(),
            idle,
            activity: Activity::new(),
            malformed: Malformed::default(),
            kept: Mutex::default(),
        }
    }

    /// Whether a request for a host may come over this connection, by the configuration that it is
    /// to be served with.
    pub(super) fn may_ask_for(&self, host: &str, live: &Snapshot) -> bool {
        let Some(tls) = &live.current(&self.listening).tls else {
            return true;
        };
        (self.secured.as_ref()).is_some_and(|secured| tls.admits(host, secured.policy.as_ref()))
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
    pub(super) async fn idled(&self, mut timer: Pin<&mut Sleep>) {
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

    pub(super) fn take_kept(&self) -> Option<Box<ServerSession>> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

tokio::task_local! {
    /// The peer of the conversation that runs here.
    pub(super) static PEER: Arc<Peer>;
}

/// The peer of the exchange that runs here.
pub(super) fn current() -> Arc<Peer> {
    PEER.with(Arc::clone)
}
