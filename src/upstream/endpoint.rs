//! One endpoint, as a version of the configuration has it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::StatusCode;
use pingora_core::protocols::ALPN;
use pingora_core::upstreams::peer::HttpPeer;

use super::{Address, State};

/// One endpoint, as one version of the configuration has it.
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// Its address as text, for logs and metrics.
    pub label: Arc<str>,
    /// Its share of the requests, against the others'.
    pub weight: u32,
    /// Its place among the others.
    pub site: Site,
    /// How to reach it.
    pub peer: HttpPeer,
    pub(super) state: Arc<State>,
}

/// The place of an endpoint among the others of its upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// Its group; the lowest comes first.
    pub priority: u8,
    /// Where it is.
    pub zone: Option<Arc<str>>,
    /// Whether that is where the gateway is.
    pub near: bool,
}

/// How an attempt came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The head of a response came.
    Answered(StatusCode),
    /// No connection, or one that broke or was silent for too long before the head of a response.
    Failed,
    /// The exchange broke at the endpoint after this head, which has been reported.
    Broke(StatusCode),
}

impl Outcome {
    /// Whether this is what makes a failure of an attempt: at most once for each of them.
    pub(super) fn is_failure(self) -> bool {
        match self {
            Self::Answered(status) => status.is_server_error(),
            Self::Failed => true,
            // Its head has been told.
            Self::Broke(status) => !status.is_server_error(),
        }
    }
}

/// What health checks say of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing: there are none, or none has been made yet.
    Unchecked,
    /// It gets requests.
    Healthy,
    /// It gets none.
    Unhealthy,
}

impl Health {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl Endpoint {
    /// An endpoint with the state that it had before, or a fresh one.
    pub fn new(address: Address, weight: u32, peer: HttpPeer, state: Arc<State>) -> Self {
        Self {
            label: address.to_string().into(),
            address,
            weight,
            site: Site::default(),
            peer,
            state,
        }
    }

    /// The same at this place among the others.
    #[must_use]
    pub fn placed(mut self, site: Site) -> Self {
        self.site = site;
        self
    }

    /// Whether it has passed its checks, as far as there are any.
    pub fn is_healthy(&self) -> bool {
        self.state.is_healthy()
    }

    /// Says whether it has passed its checks; returns whether that is news.
    pub fn set_healthy(&self, healthy: bool, now: Instant) -> bool {
        self.state.set_healthy(healthy, now)
    }

    /// How long it is still out because of its answers; `None` where it is not.
    pub fn ejected_for(&self, now: Instant) -> Option<Duration> {
        self.state.ejected_for(now)
    }

    /// Whether it was checked at least once.
    pub fn is_checked(&self, now: Instant) -> bool {
        self.state.since_check(now).is_some()
    }

    /// How often it was taken out lately.
    pub fn ejections(&self) -> u32 {
        self.state.ejections()
    }

    /// How many attempts there have failed, or were answered with a status from 500 on, as long as
    /// it has been known.
    pub fn failures(&self) -> u64 {
        self.state.failures()
    }

    /// How many attempts are under way there, by all workers.
    pub fn in_flight(&self) -> u32 {
        self.state.in_flight()
    }

    /// Which connections to it may be used: those that were made for another generation are left
    /// to become idle.
    pub fn generation(&self) -> u32 {
        self.state.generation.load(Ordering::Relaxed)
    }

    /// How to reach it over connections of this generation.
    pub fn peer_of(&self, generation: u32) -> Box<HttpPeer> {
        let mut peer = Box::new(self.peer.clone());
        peer.group_key = peer.group_key.wrapping_add(generation.into());
        if peer.options.alpn == ALPN::H2H1 && self.state.settled.is_only_http1() {
            peer.options.alpn = ALPN::H1;
        }
        peer
    }

    /// Where it may choose (ALPN), it has chosen HTTP/2, or HTTP/1.1.
    pub fn chose(&self, http2: bool) {
        self.state.settled.chose(http2);
    }

    /// Whether HTTP/1.1 is what it chose last.
    pub fn chose_http1(&self) -> bool {
        self.state.settled.is_http1()
    }

    /// It chooses HTTP/2, but does not get along with it: it is not offered again.
    pub fn give_up_http2(&self) {
        self.state.settled.give_up_http2();
    }

    /// Connections of this generation get no more requests.
    pub fn leave_generation(&self, generation: u32) {
        let next = generation.wrapping_add(1);
        // Where another request has found the same, it has been done.
        let _ = (self.state.generation).compare_exchange(
            generation,
            next,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// It could not be reached: for a moment, others go before it. Returns whether that is news.
    pub fn could_not_be_reached(&self, now: Instant) -> bool {
        self.state.could_not_be_reached(now)
    }

    /// Whether others go before it, since it could not be reached a moment ago.
    pub fn is_out_of_reach(&self, now: Instant) -> bool {
        self.state.is_out_of_reach(now)
    }

    /// The average time to an answer, in seconds; `None` where nothing was measured lately.
    pub fn latency(&self, now: Instant) -> Option<f32> {
        self.state.latency(now)
    }
}

/// An endpoint that was chosen for an attempt, which counts as in flight until this is dropped.
pub struct Chosen(Arc<Endpoint>);

impl Chosen {
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.state.begin();
        Self(endpoint)
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.0.state.end();
    }
}
