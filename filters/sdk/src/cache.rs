//! What a filter may ask the gateway's cache for.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, StatusCode};

/// What the cache is to do with one exchange. A filter puts it into
/// [`Exchange::cache`](crate::Exchange::cache); the gateway follows it once all filters have let the request
/// pass. Filters behind the one that plans have their way with the request first.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What holds for all requests of the filter.
    pub policy: Arc<Policy>,
    /// What tells responses apart beside the URL, the route, the upstream and whatever the chain
    /// has changed of host and target.
    pub key: Vec<String>,
    /// Whose responses these are, where callers do not share them: then what is for one caller may
    /// be stored, and nobody else gets it.
    pub caller: Option<String>,
}

/// What the cache is to do with the exchanges of one filter.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which store, by its position among the configured ones: [`Build::store`](crate::Build::store) gives it.
    pub store: usize,
    /// How long responses are fresh that do not say so themselves, by status; the first that fits counts.
    pub ttl: Vec<(Statuses, Duration)>,
    /// Whether `ttl` holds whatever the response says.
    pub force: bool,
    /// The share of the time since a response was modified for which it is fresh, where nothing
    /// else says so (RFC 9111, 4.2.2), and the longest such time. A share of 0 means never.
    pub guess: (f64, Duration),
    /// How long a stale response may be used while it is validated, where it does not say so.
    pub while_revalidate: Duration,
    /// How long a stale response may be used where the upstream fails, where it does not say so.
    pub if_error: Duration,
    /// Request fields that tell responses apart as if `Vary` named them.
    pub vary: Vec<HeaderName>,
    /// The response field that lists what a response can be purged by. It is not sent to clients.
    pub tags: Option<HeaderName>,
    /// What becomes of responses that set a cookie.
    pub set_cookie: SetCookie,
    /// Whether a response to a request with a cookie is stored although it does not say how long it is
    /// fresh: such a response may be for one caller alone.
    pub ignores_cookies: bool,
    /// Whether a request may ask for more, or for less, than a fresh response (RFC 9111, 5.2.1).
    pub obeys_requests: bool,
    /// Whether `Cache-Status` (RFC 9211) tells clients what the cache did.
    pub tells: bool,
    /// How long a request waits for the fetch of another one before it fetches for itself.
    pub patience: Duration,
    /// For how long it is remembered that responses to a key are not for the cache.
    pub remember: Duration,
}

/// A range of status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses {
    /// The first one.
    pub first: u16,
    /// The last one.
    pub last: u16,
}

/// What becomes of responses that set a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetCookie {
    /// They are not stored: a cookie is for the caller who gets it.
    #[default]
    Pass,
    /// They are stored without it.
    Strip,
    /// They are stored with it, for everybody.
    Keep,
}

impl Statuses {
    /// Whether it is one of them.
    pub fn contains(self, status: StatusCode) -> bool {
        (self.first..=self.last).contains(&status.as_u16())
    }
}

impl Policy {
    /// The lifetime that is configured for this status.
    pub fn ttl(&self, status: StatusCode) -> Option<Duration> {
        let mut all = self.ttl.iter();
        let found = all.find(|(statuses, _)| statuses.contains(status));
        found.map(|(_, ttl)| *ttl)
    }
}
