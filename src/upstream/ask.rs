//! What an attempt asks for.

use std::sync::Arc;
use std::time::Instant;

use super::{Endpoint, Wish};

/// What an endpoint is chosen for.
pub struct Ask<'a> {
    /// The endpoints that this request has been tried at.
    pub tried: &'a [Arc<Endpoint>],
    /// What the request asks for.
    pub wish: &'a Wish,
    /// The present moment.
    pub now: Instant,
    /// An endpoint with so many attempts under way is full.
    pub(super) room: u32,
    /// Whether endpoints are passed over that could not be reached a moment ago.
    pub(super) spares: bool,
}

impl<'a> Ask<'a> {
    /// Puts the parts together.
    pub fn new(tried: &'a [Arc<Endpoint>], wish: &'a Wish, now: Instant) -> Self {
        Self {
            tried,
            wish,
            now,
            room: u32::MAX,
            spares: true,
        }
    }

    /// Whether an endpoint takes one more attempt.
    pub(super) fn fits(&self, endpoint: &Endpoint) -> bool {
        endpoint.in_flight() < self.room && !(self.spares && endpoint.is_out_of_reach(self.now))
    }

    /// Whether an endpoint may be chosen: it takes one more, and was not tried.
    pub(super) fn allows(&self, endpoint: &Endpoint) -> bool {
        self.fits(endpoint) && !(self.tried.iter()).any(|other| other.address == endpoint.address)
    }
}
