//! A client connection: what is known of it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::HeaderValue;
use wiregate_sdk::Client;

use super::Ctx;
use super::context::Context;
use super::http1::Lent;
use crate::compile::{Listening, Snapshot};
use crate::listen::Ending;
use crate::listen::tls::Secured;
use crate::listen::until::Until;
use crate::overload::Load;

/// What is known of a connection, worked out once.
pub struct Peer {
    /// The listener that accepted it.
    pub listening: Arc<Listening>,
    /// The other end.
    pub address: SocketAddr,
    /// What TLS has established, where it is spoken.
    pub secured: Option<Secured>,
    /// Whether the other end is a proxy that is believed, by the configuration that it has connected
    /// under.
    trusted: bool,
    /// The other end's address, as a field value.
    pub forwarded_for: HeaderValue,
    /// The name of no route.
    pub no_route: Arc<str>,
    /// How long it may idle.
    pub idle: Duration,
    /// What it has in common with the exchanges over it (HTTP/1.1).
    pub(super) lent: Lent,
    /// How much its worker has to do.
    pub(super) load: Arc<Load>,
    /// Tells when it is to end, once the conversation has begun.
    pub(super) ending: OnceLock<Ending>,
}

impl Peer {
    /// A peer of a listener.
    pub fn new(
        listening: Arc<Listening>,
        address: SocketAddr,
        idle: Duration,
        secured: Option<Secured>,
        load: Arc<Load>,
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
            lent: Lent::default(),
            load,
            ending: OnceLock::new(),
        }
    }

    /// Who sends requests over it, as long as no trusted proxy has told more.
    pub(super) fn client(&self) -> Client {
        Client {
            address: self.address.ip(),
            peer: self.address.ip(),
            port: self.address.port(),
            scheme: self.scheme(),
            tls: self.secured.as_ref().map(|secured| secured.facts.clone()),
        }
    }

    /// The scheme of what is asked for over it, as long as no trusted proxy has told more.
    pub(super) fn scheme(&self) -> &'static str {
        match self.secured {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Whether the connection ends with the response that is due.
    pub(super) fn is_closing(&self) -> bool {
        self.ending.get().is_some_and(Ending::is_leaving) || self.lent.is_closing()
    }

    /// The listener as the configuration that a request is served with has it, where that believes the
    /// other end: also one that it did not when it connected, and no more one that it did.
    pub(super) fn trusted_by<'l>(&'l self, live: &'l Snapshot) -> Option<&'l Arc<Listening>> {
        let listening = live.current(&self.listening);
        let trusted = match Arc::ptr_eq(listening, &self.listening) {
            true => self.trusted,
            false => listening.trusted.contains(self.address.ip()),
        };
        trusted.then_some(listening)
    }

    /// Whether a request for a host may come over this connection, by the configuration that it is
    /// to be served with.
    pub(super) fn may_ask_for(&self, host: &str, live: &Snapshot) -> bool {
        let Some(tls) = &live.current(&self.listening).tls else {
            return true;
        };
        (self.secured.as_ref()).is_some_and(|secured| tls.admits(host, secured.policy.as_ref()))
    }
}

/// What an exchange knows of where it runs.
pub(super) struct Here {
    pub(super) peer: Arc<Peer>,
    /// When it must be over.
    pub(super) until: Arc<Until>,
    /// What the exchange has come to know of itself, on its way to Pingora.
    left: Cell<Ctx>,
}

impl Here {
    pub(super) fn new(peer: Arc<Peer>, until: Arc<Until>) -> Self {
        let left = Cell::default();
        Self { peer, until, left }
    }
}

tokio::task_local! {
    /// What the exchange that runs here knows of that.
    pub(super) static HERE: Here;
}

/// The peer of the exchange that runs here, and where it tells when it must be over.
pub(super) fn current() -> (Arc<Peer>, Arc<Until>) {
    HERE.with(|here| (here.peer.clone(), here.until.clone()))
}

/// Leaves what the exchange that runs here has come to know of itself, for Pingora to begin with.
pub(super) fn leave(cx: Box<Context>) {
    HERE.with(|here| here.left.set(Some(cx)));
}

/// What was left for the exchange that runs here.
pub(super) fn left() -> Ctx {
    HERE.with(|here| here.left.take())
}
