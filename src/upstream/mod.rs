//! Endpoints: which one a request goes to, and how it is reached.

mod address;
mod endpoint;
mod health;
mod members;
mod reach;
mod rotation;
mod source;
mod target;
mod tls;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

pub use address::Address;
pub use endpoint::{Chosen, Endpoint, State, States};
pub use health::{Check, Connections};
pub use members::Members;
pub use reach::Reach;
pub use rotation::Rotation;
pub use source::{
    Answer, Answers, Discovery, Dns, EndpointFile, Listed, MOST_ENDPOINTS, Roster, Source,
};
pub use target::{HostName, ServerName, Target};
pub use tls::{Authorities, Identity, Tls};

use crate::config::model::upstream as model;
use crate::observe::metrics::UpstreamMetrics;

/// A named group of endpoints, ready to be used.
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// Whether its endpoints have to speak HTTP/2.
    pub http2_only: bool,
    /// How many times a request is tried in all.
    pub attempts: u32,
    /// From the request head to the end of the response.
    pub total: Option<Duration>,
    /// What is counted about it.
    pub metrics: UpstreamMetrics,
    members: ArcSwap<Members>,
    /// Says when endpoints have come or gone.
    changed: watch::Sender<()>,
    /// Held while `members` is replaced; never by a request.
    changing: Mutex<()>,
}

/// What an endpoint is chosen for.
#[derive(Default)]
pub struct Ask<'a> {
    /// The endpoints that this request has been tried at.
    pub tried: &'a [Arc<Endpoint>],
}

impl Upstream {
    /// Puts an upstream together from its configuration and its first endpoints.
    pub fn new(
        name: Arc<str>,
        config: &model::Upstream,
        endpoints: Vec<Arc<Endpoint>>,
        metrics: UpstreamMetrics,
    ) -> Self {
        Self {
            name,
            http2_only: config.protocol == model::Protocol::H2,
            attempts: config.retry.attempts.get(),
            total: config.timeouts.total.map(Into::into),
            metrics,
            members: ArcSwap::from_pointee(Members::new(endpoints.into())),
            changed: watch::Sender::default(),
            changing: Mutex::default(),
        }
    }

    /// The endpoint for the next attempt; `None` when no endpoint is healthy.
    pub fn choose(&self, ask: &Ask<'_>) -> Option<Chosen> {
        let members = self.members.load();
        members.next(ask.tried).cloned().map(Chosen::new)
    }

    /// The endpoints that it has now.
    pub fn members(&self) -> Guard<Arc<Members>> {
        self.members.load()
    }

    /// Why there is no endpoint to choose, in a word of RFC 9209, 2.3: what is listed is there
    /// always, so that an upstream without any has a name that was never resolved.
    pub fn lack(&self) -> &'static str {
        if self.members.load().endpoints.is_empty() {
            "dns_error"
        } else {
            "destination_unavailable"
        }
    }

    /// Gives it its endpoints before it is live, when nothing is counted about it yet.
    pub fn seed(&self, endpoints: Vec<Arc<Endpoint>>) {
        self.renew(|_| endpoints.into());
    }

    /// Puts other endpoints in the place of those that it has. Attempts under way go on.
    pub fn replace(&self, endpoints: Vec<Arc<Endpoint>>) {
        self.renew(|_| endpoints.into());
        self.metrics.keep_only(&self.members().endpoints);
        self.show();
        self.changed.send_replace(());
    }

    /// Says when endpoints have come or gone.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Takes the endpoints' present health into account where it is not what the turns were
    /// worked out from; called after every check. The state is shared with other versions of the
    /// configuration: a check of theirs that ends late may have changed it without a word here.
    pub fn keep_up(&self) {
        if !self.members.load().is_current() {
            self.refresh();
        }
    }

    /// Takes the endpoints' present health into account.
    pub fn refresh(&self) {
        self.renew(|members| members.endpoints.clone());
        self.show();
    }

    fn renew(&self, endpoints: impl FnOnce(&Members) -> Arc<[Arc<Endpoint>]>) {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let members = Members::new(endpoints(&self.members.load()));
        self.members.store(Arc::new(members));
    }

    fn show(&self) {
        for endpoint in self.members().endpoints.iter() {
            self.metrics.healthy(&endpoint.label, endpoint.is_healthy());
        }
    }
}
