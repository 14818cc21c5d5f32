//! Endpoints: which one a request goes to, and how it is reached.

mod address;
mod ask;
pub mod authorities;
mod balance;
mod breaker;
mod cause;
mod endpoint;
mod health;
mod hedge;
mod latency;
mod members;
mod outliers;
mod passed_on;
mod policy;
mod pool;
mod quantiles;
mod queue;
mod reach;
mod retry;
mod settled;
mod shown;
mod source;
mod split;
mod state;
mod states;
mod sticky;
mod target;
#[cfg(test)]
mod testing;
mod tiers;
mod timeouts;
mod tls;
mod upkeep;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use http::{HeaderValue, StatusCode};
use tokio::sync::{Notify, watch};
use wiregate_sdk::Clock;
use wiregate_sdk::RequestHead;

pub use address::Address;
pub use ask::Ask;
pub use balance::{Candidate, Picker};
pub use breaker::{Breaker, Leave, Memory, Turn};
pub use cause::Cause;
pub use endpoint::{Chosen, Endpoint, Health, Outcome, Site};
pub use health::{Check, Connections};
pub use hedge::{Hedge, Hedged, Hedging};
pub use members::Members;
pub use policy::{Policy, Wish};
pub use pool::{CHOSE_OTHERWISE, Connector, Misframed, Pool};
pub use queue::{Line, NoPlace, Place, Queue};
pub use reach::Reach;
pub use retry::{Budget, Ended, Live, Retry, Retrying};
pub use source::{
    Answer, Answers, Discovery, Dns, EndpointFile, Listed, MOST_ENDPOINTS, Rank, Roster, Source,
};
pub use split::{ByValue, Split};
pub use state::State;
pub use states::States;
pub use target::{HostName, ServerName, Target};
pub use timeouts::Timeouts;
pub use tls::{Authorities, Identity, Tls};
pub use upkeep::{Interval, keep};

use quantiles::Quantiles;

use crate::config::model::upstream as model;
use crate::observe::metrics::UpstreamMetrics;

/// An attempt without an answer counts as one that took at least this long.
const FAILED: Duration = Duration::from_secs(1);

/// A named group of endpoints, ready to be used.
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// What its endpoints speak.
    pub protocol: model::Protocol,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// What is tried again.
    pub retry: Retry,
    /// When a request goes to a second endpoint because the first one is slow.
    pub hedge: Option<Hedge>,
    /// The requests under way, and the retries and hedges among them.
    pub budget: Arc<Budget>,
    /// When there are no requests for a while.
    pub breaker: Option<Breaker>,
    /// The name of the upstream that takes what this one cannot.
    pub fallback: Option<Arc<str>>,
    queue: Option<Queue>,
    /// What is counted about it.
    pub metrics: UpstreamMetrics,
    /// Whether its endpoints are checked.
    pub checks: bool,
    /// The rules by which its endpoints get requests.
    pub policy: Policy,
    clock: Clock,
    members: ArcSwap<Members>,
    /// Says when endpoints have come or gone.
    changed: watch::Sender<()>,
    /// Says that an endpoint has too many errors in a row.
    alarm: Notify,
    /// Held while `members` is replaced or shown; never by a request.
    changing: Mutex<Standing>,
}

/// Whether the configuration of an upstream is the one that the metrics are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// It is, or is about to be.
    #[default]
    Live,
    /// Another one has taken its place.
    Retired,
}

/// What an upstream remembers across reloads, beside the state of its endpoints.
#[derive(Debug, Default)]
pub struct Vitals {
    budget: Arc<Budget>,
    breaker: Arc<Memory>,
    line: Arc<Line>,
    times: Arc<Quantiles>,
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
        let (policy, clock) = (Policy::new(&name, config), Clock::default());
        let members = Members::new(&policy, endpoints.into(), clock.instant());
        let breaker = config.breaker.as_ref();
        let (queue, hedge) = (config.in_flight.as_ref(), config.hedge.as_ref());
        Self {
            name,
            protocol: config.protocol,
            timeouts: Timeouts::new(timeouts),
            retry: Retry::new(&config.retry),
            hedge: hedge.map(|config| Hedge::new(config, vitals.times.clone())),
            budget: vitals.budget.clone(),
            breaker: breaker.map(|config| Breaker::new(config, vitals.breaker.clone())),
            fallback: config.fallback.as_ref().map(|name| name.as_str().into()),
            queue: queue.map(|config| Queue::new(config, vitals.line.clone())),
            metrics,
            checks: config.health.is_some(),
            policy,
            clock,
            members: ArcSwap::from_pointee(members),
            changed: watch::Sender::default(),
            alarm: Notify::new(),
            changing: Mutex::default(),
        }
    }

    /// The same with this clock.
    #[must_use]
    pub fn timed_by(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Whether all endpoints have been checked at least once, where they are checked.
    pub fn is_checked(&self) -> bool {
        let now = self.clock.instant();
        !self.checks
            || self
                .members()
                .endpoints
                .iter()
                .all(|endpoint| endpoint.is_checked(now))
    }

    /// The endpoint for the next attempt.
    ///
    /// # Errors
    /// No endpoint is available, or those that are have no room.
    pub fn choose(&self, ask: &Ask<'_>) -> Result<Chosen, NoPlace> {
        let members = self.members.load();
        members.next(ask).cloned().map(Chosen::new)
    }

    /// An attempt came out like this, after this time.
    pub fn report(&self, endpoint: &Endpoint, outcome: Outcome, waited: Duration, now: Instant) {
        let state = &endpoint.state;
        if outcome.is_failure() {
            state.fail();
        }
        match outcome {
            Outcome::Answered(_) => state.observe(now, waited),
            // A refusal is fast, and must not look attractive.
            Outcome::Failed | Outcome::Broke(_) => state.observe(now, waited.max(FAILED)),
        }
        let Some(outliers) = &self.policy.outliers else {
            return;
        };
        let counts = |status| outliers.statuses.contain(status);
        let in_a_row = match outcome {
            Outcome::Answered(status) => state.count(counts(status), waited),
            Outcome::Failed => state.count(true, waited),
            // It is one attempt, and at most one error.
            Outcome::Broke(status) if counts(status) => return,
            Outcome::Broke(_) => state.correct(),
        };
        if (outliers.consecutive_errors).is_some_and(|most| in_a_row >= most.get()) {
            self.alarm.notify_one();
        }
    }

    /// An attempt was given up after this time, because another endpoint was faster: that it is
    /// slow is known, though not how slow.
    pub fn outpaced(&self, endpoint: &Endpoint, waited: Duration, now: Instant) {
        endpoint.state.observe(now, waited);
    }

    /// Something may have become of the circuit.
    pub fn circuit_turned(&self, turn: Option<Turn>) {
        if let Some(turn) = turn {
            self.metrics.turned(turn);
            tracing::warn!(upstream = %self.name, "circuit breaker: {turn:?}");
        }
    }

    /// The exchange is over that had a head with this status, and did not break at the endpoint.
    pub fn ended(&self, endpoint: &Endpoint, status: StatusCode) {
        let outliers = self.policy.outliers.as_ref();
        if outliers.is_some_and(|outliers| !outliers.statuses.contain(status)) {
            endpoint.state.forget_errors();
        }
    }

    /// The field that gives the client the ticket of the endpoint that was tried last. Nothing
    /// where it has that already, or one of an endpoint that only had no room: it comes back there.
    pub fn ticket(
        &self,
        tried: &[Arc<Endpoint>],
        asked: &RequestHead,
        https: bool,
    ) -> Option<HeaderValue> {
        let sticky = self.policy.sticky.as_ref()?;
        let members = self.members.load();
        let endpoint = tried.last()?;
        let brought = sticky.ticket(asked);
        let known = brought.and_then(|ticket| members.tickets.position(&ticket));
        if known.is_some_and(|known| members.keeps(known, tried)) {
            return None;
        }
        let is_it = |other: &Arc<Endpoint>| other.address == endpoint.address;
        let position = members.endpoints.iter().position(is_it)?;
        members.tickets.field(position, https).cloned()
    }

    /// Takes what is between the client and the gateway out of what an endpoint gets.
    pub fn hide_ticket(&self, head: &mut RequestHead) {
        if let Some(sticky) = &self.policy.sticky {
            sticky.hide(head);
        }
    }

    /// The endpoints that it has now.
    pub fn members(&self) -> Guard<Arc<Members>> {
        self.members.load()
    }

    /// Whether HTTP/2 is what is to be expected of its endpoints, as the first of them has chosen it.
    pub fn expects_http2(&self) -> bool {
        let members = self.members.load();
        (members.endpoints.first()).is_some_and(|endpoint| endpoint.state.settled.is_http2())
    }

    /// Whether there is an endpoint to choose that was not tried.
    pub fn has_more_than(&self, tried: &[Arc<Endpoint>]) -> bool {
        self.members.load().has_more_than(tried)
    }

    /// Why there is no endpoint to choose: what is listed is there
    /// always, so that an upstream without any has a name that was never resolved.
    pub fn lack(&self) -> Cause {
        if self.members.load().endpoints.is_empty() {
            Cause::DnsError
        } else {
            Cause::DestinationUnavailable
        }
    }

    /// Gives it its endpoints before it is live, when nothing is counted about it yet.
    pub fn seed(&self, endpoints: Vec<Arc<Endpoint>>) {
        let endpoints: Arc<[_]> = endpoints.into();
        drop(self.renew(|_, now| Members::new(&self.policy, endpoints, now)));
    }

    /// Puts other endpoints in the place of those that it has. Attempts under way go on.
    pub fn replace(&self, endpoints: Vec<Arc<Endpoint>>) {
        let endpoints: Arc<[_]> = endpoints.into();
        let standing = self.renew(|_, now| Members::new(&self.policy, endpoints, now));
        if *standing == Standing::Live {
            self.metrics.keep_only(&self.members().endpoints);
            self.show();
        }
        drop(standing);
        self.changed.send_replace(());
    }

    /// Says when endpoints have come or gone.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Takes the endpoints' present state into account where it is not what the turns were
    /// worked out from; called after every check. The state is shared with other versions of the
    /// configuration: a check of theirs that ends late may have changed it without a word here.
    pub fn keep_up(&self) {
        let members = self.members.load();
        if !members.is_current(&self.policy) {
            self.refresh();
        }
    }

    /// Another process has told more about its endpoints.
    pub fn is_told_more(&self) {
        self.keep_up();
        self.alarm.notify_one(); // who is out has to come back in time
    }

    /// The configuration that it belongs to is live: the metrics show how its endpoints are now.
    pub fn go_live(&self) {
        self.keep_up();
        let _one_at_a_time = self.standing();
        self.show();
    }

    /// Another configuration takes the place of the one that it belongs to: the metrics are that one's,
    /// whatever is still found out here.
    pub fn retire(&self) {
        *self.standing() = Standing::Retired;
    }

    /// Takes the endpoints' present state into account.
    pub fn refresh(&self) {
        let standing = self.renew(|members, now| members.renewed(&self.policy, now));
        if *standing == Standing::Live {
            self.show();
        }
    }

    fn renew(&self, new: impl FnOnce(&Members, Instant) -> Members) -> MutexGuard<'_, Standing> {
        let one_at_a_time = self.standing();
        let members = new(&self.members.load(), self.clock.instant());
        self.members.store(Arc::new(members));
        one_at_a_time
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
