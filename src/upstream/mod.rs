//! Endpoints: which one a request goes to, and how it is reached.

mod address;
mod breaker;
mod cause;
mod endpoint;
mod health;
mod members;
mod queue;
mod reach;
mod retry;
mod rotation;
mod split;
mod timeouts;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

pub use address::Address;
pub use breaker::{Breaker, Leave, Memory, Turn};
pub use cause::Cause;
pub use endpoint::{Chosen, Endpoint, State, States};
pub use health::{Check, Connections};
pub use members::Members;
pub use queue::{Line, NoPlace, Place, Queue};
pub use reach::Reach;
pub use retry::{Budget, Ended, Live, Retry, Retrying};
pub use rotation::Rotation;
pub use split::{ByValue, Split};
pub use timeouts::Timeouts;

use crate::config::model::upstream as model;
use crate::observe::metrics::UpstreamMetrics;

/// A named group of endpoints, ready to be used.
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// What is tried again.
    pub retry: Retry,
    /// The requests under way, and the retries among them.
    pub budget: Arc<Budget>,
    /// When there are no requests for a while.
    pub breaker: Option<Breaker>,
    /// The name of the upstream that takes what this one cannot.
    pub fallback: Option<Arc<str>>,
    queue: Option<Queue>,
    /// What is counted about it.
    pub metrics: UpstreamMetrics,
    members: ArcSwap<Members>,
    /// Says when endpoints have come or gone.
    changed: watch::Sender<()>,
    /// Held while `members` is replaced; never by a request.
    changing: Mutex<()>,
}

/// What an upstream remembers across reloads, beside the state of its endpoints.
#[derive(Debug, Default)]
pub struct Vitals {
    budget: Arc<Budget>,
    breaker: Arc<Memory>,
    line: Arc<Line>,
}

/// What an endpoint is chosen for.
#[derive(Default)]
pub struct Ask<'a> {
    /// The endpoints that this request has been tried at.
    pub tried: &'a [Arc<Endpoint>],
}

impl Upstream {
    /// Puts an upstream together from its configuration, the time-outs that hold for it, and its
    /// first endpoints.
    pub fn new(
        name: Arc<str>,
        config: &model::Upstream,
        timeouts: model::Timeouts,
        endpoints: Vec<Arc<Endpoint>>,
        metrics: UpstreamMetrics,
        vitals: &Vitals,
    ) -> Self {
        let breaker = config.breaker.as_ref();
        let queue = config.in_flight.as_ref();
        Self {
            name,
            timeouts: Timeouts::new(timeouts),
            retry: Retry::new(&config.retry),
            budget: vitals.budget.clone(),
            breaker: breaker.map(|config| Breaker::new(config, vitals.breaker.clone())),
            fallback: config.fallback.as_ref().map(|name| name.as_str().into()),
            queue: queue.map(|config| Queue::new(config, vitals.line.clone())),
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
        if let Some(breaker) = &self.breaker {
            self.metrics.circuit_open(breaker.is_open());
        }
        for endpoint in self.members().endpoints.iter() {
            self.metrics.healthy(&endpoint.label, endpoint.is_healthy());
        }
    }
}
