//! What is told of the cache's part in an exchange.

use http::{HeaderName, HeaderValue};
use pingora_error::Result;
use pingora_http::ResponseHeader;

use super::super::context::Context;
use super::Caching;
use crate::cache::Dealt;
use crate::cache::rules::status::{CACHE_STATUS, Told};

impl Context {
    /// What came of the request in the cache, where there was a plan for it.
    pub(in crate::proxy) fn dealt(&self) -> Option<Dealt> {
        self.caching.as_ref().map(|caching| caching.dealt)
    }

    /// Tells the client what the cache did, after what caches before it have told (RFC 9211, 2).
    pub(super) fn tell_status(&self, head: &mut ResponseHeader, told: &Told) -> Result<()> {
        match self.told_status(told) {
            Some(status) => head.append_header(CACHE_STATUS.clone(), status).map(drop),
            None => Ok(()),
        }
    }

    /// What the client is told, if it is.
    pub(super) fn told_status(&self, told: &Told) -> Option<HeaderValue> {
        let tells = |caching: &Caching| caching.plan.policy.tells;
        let tells = self.caching.as_deref().is_some_and(tells);
        tells.then(|| told.value())
    }

    /// The field that only the cache is to see, where there is one.
    pub(super) fn tags(&self) -> Option<&HeaderName> {
        self.caching.as_ref()?.plan.policy.tags.as_ref()
    }
}
