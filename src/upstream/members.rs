//! The endpoints that an upstream has at one moment, and whose turn it is among them.

use std::sync::Arc;
use std::time::Instant;

use super::sticky::Tickets;
use super::tiers::Tiers;
use super::{Ask, Endpoint, NoPlace, Policy};

/// A new endpoint starts with this share of its weight, in percent.
const FIRST_PERCENT: u32 = 10;

/// The endpoints of one moment. Another one takes its place when endpoints come or go, when they
/// become available or not, and while they gain weight.
pub struct Members {
    /// The endpoints, in the order of the configuration.
    pub endpoints: Arc<[Arc<Endpoint>]>,
    /// Whether health was not looked at, because too few are healthy.
    pub panics: bool,
    /// Whether an endpoint has not got all of its weight yet.
    pub(super) ramps: bool,
    pub(super) tickets: Arc<Tickets>,
    /// Which endpoints were available when all this was worked out, by position.
    available: Box<[bool]>,
    tiers: Tiers,
}

impl Members {
    /// These endpoints, as they are now.
    pub fn new(policy: &Policy, endpoints: Arc<[Arc<Endpoint>]>, now: Instant) -> Self {
        let tickets = Arc::new(Tickets::new(policy.sticky.as_ref(), &endpoints));
        Self::with(policy, endpoints, tickets, 0, now)
    }

    /// The same endpoints, as they are now. This may happen often: that a round of turns begins
    /// anew must favour none.
    #[must_use]
    pub fn renewed(&self, policy: &Policy, now: Instant) -> Self {
        let (endpoints, tickets) = (self.endpoints.clone(), self.tickets.clone());
        Self::with(policy, endpoints, tickets, fastrand::usize(..), now)
    }

    fn with(
        policy: &Policy,
        endpoints: Arc<[Arc<Endpoint>]>,
        tickets: Arc<Tickets>,
        turn: usize,
        now: Instant,
    ) -> Self {
        // Read once: it may change meanwhile, and what is remembered must be what was used.
        let available: Box<[bool]> = endpoints.iter().map(|e| policy.has(e)).collect();
        let count = available.iter().filter(|&&available| available).count();
        let panics = policy.panics(count, endpoints.len());
        let percent = |endpoint: &Endpoint| policy.percent(endpoint, now);
        let ramps = (endpoints.iter().zip(&available))
            .any(|(endpoint, &available)| available && percent(endpoint) < 100);
        let each = endpoints.iter().zip(&available);
        let tiers = Tiers::new(
            &policy.balance,
            turn,
            each.map(|(endpoint, &available)| (endpoint, available || panics, percent(endpoint))),
        );
        Self {
            tickets,
            panics,
            ramps,
            tiers,
            available,
            endpoints,
        }
    }

    /// Whether the endpoints are still as available as when the turns were worked out.
    pub fn is_current(&self, policy: &Policy) -> bool {
        let now = self.endpoints.iter().map(|endpoint| policy.has(endpoint));
        now.eq(self.available.iter().copied())
    }

    /// The endpoint of the client's ticket where that is available, or the one whose turn it is:
    /// one that was not tried, or one that was when there is no other.
    ///
    /// # Errors
    /// No endpoint is available, or those that are have no room.
    pub fn next(&self, ask: &Ask<'_>) -> Result<&Arc<Endpoint>, NoPlace> {
        let found = self.of_ticket(ask).or_else(|| self.tiers.pick(ask));
        found.ok_or(match self.tiers.is_empty() {
            true => NoPlace::Unhealthy,
            false => NoPlace::Full,
        })
    }

    /// Whether a client stays with this endpoint: it has answered, or was available and not tried.
    pub(super) fn keeps(&self, position: usize, tried: &[Arc<Endpoint>]) -> bool {
        let address = &self.endpoints[position].address;
        let is_it = |other: &Arc<Endpoint>| other.address == *address;
        let answered = tried.last().is_some_and(is_it);
        answered || ((self.available[position] || self.panics) && !tried.iter().any(is_it))
    }

    /// Whether one is available that was not tried.
    pub(super) fn has_more_than(&self, tried: &[Arc<Endpoint>]) -> bool {
        let is_new = |endpoint: &Arc<Endpoint>| {
            !(tried.iter()).any(|other| other.address == endpoint.address)
        };
        let mut all = self.endpoints.iter().zip(&self.available);
        all.any(|(endpoint, available)| (*available || self.panics) && is_new(endpoint))
    }

    fn of_ticket(&self, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        let position = self.tickets.position(ask.wish.ticket.as_ref()?)?;
        let endpoint = &self.endpoints[position];
        let good = (self.available[position] || self.panics) && ask.allows(endpoint);
        good.then_some(endpoint)
    }
}

impl Policy {
    /// Whether requests may go there.
    pub fn has(&self, endpoint: &Endpoint) -> bool {
        // What was ejected under other rules than the present ones is not out.
        endpoint.is_healthy() && !(self.outliers.is_some() && endpoint.state.is_ejected())
    }

    fn panics(&self, available: usize, all: usize) -> bool {
        let share = available as f64 / all.max(1) as f64;
        self.panic.is_some_and(|panic| share < panic.fraction())
    }

    /// How much of its weight an endpoint has now, in percent.
    pub fn percent(&self, endpoint: &Endpoint, now: Instant) -> u32 {
        let Some(whole) = self.slow_start else {
            return 100;
        };
        let part = endpoint.state.up_for(now).as_secs_f64() / whole.as_secs_f64();
        let grown = f64::from(100 - FIRST_PERCENT) * part.min(1.0);
        FIRST_PERCENT + grown as u32
    }
}
