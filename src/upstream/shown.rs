//! What metrics and the admin API tell of an upstream and its endpoints.

use std::time::Instant;

use super::{Endpoint, Health, Standing, Upstream};
use crate::observe::metrics::Seen;

impl Upstream {
    /// Shows how its endpoints are; called by one at a time.
    pub(super) fn show(&self) {
        for endpoint in self.members().endpoints.iter() {
            let available = self.policy.has(endpoint);
            self.metrics.healthy(&endpoint.label, available);
        }
    }

    /// What health checks say of an endpoint of it.
    pub fn health(&self, endpoint: &Endpoint, now: Instant) -> Health {
        match endpoint.is_healthy() {
            _ if !self.checks || !endpoint.is_checked(now) => Health::Unchecked,
            true => Health::Healthy,
            false => Health::Unhealthy,
        }
    }

    /// Brings those metrics up to date that are only looked at when somebody asks.
    pub fn show_endpoints(&self) {
        let now = self.clock.instant();
        let standing = self.standing();
        if *standing != Standing::Live {
            return; // what has taken its place shows them
        }
        match &self.breaker {
            Some(breaker) => self.metrics.circuit_open(breaker.is_open()),
            None => self.metrics.has_no_circuit(),
        }
        self.metrics.endpoints(self.members().endpoints.len());
        for endpoint in self.members().endpoints.iter() {
            let checked = self.health(endpoint, now) != Health::Unchecked;
            self.metrics.endpoint(&Seen {
                endpoint: &endpoint.label,
                in_flight: endpoint.in_flight(),
                failures: endpoint.failures(),
                checked,
            });
        }
    }
}
