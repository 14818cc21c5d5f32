//! Who counts: this gateway for itself, or several together.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use wiregate_sdk::value::ShortOrFull;
use wiregate_sdk::{Build, HeaderValue, Invalid, Reply, StatusCode, header};

use super::by::By;
use super::limits::{Limits, Verdict};
use super::local::Local;
use super::options::{Options, Plans, Set, Store};
use super::remote::{Outage, Remote};
use super::servers::{Redis, Servers};
use super::shared::{OnStoreError, Shared};

/// The word for a store that does not tell.
pub(super) const UNREACHABLE: &str = "store_unreachable";

/// Who counts.
pub(super) enum Counts {
    /// This gateway for itself.
    Local(Arc<Local>),
    /// Several gateways together.
    Shared(Shared, Otherwise),
}

/// What holds while the store does not answer.
pub(super) enum Otherwise {
    Deny,
    Allow,
    Local(Arc<Local>),
}

/// Whose request it is.
pub(super) enum Key<'a> {
    Address(IpAddr),
    Text(Cow<'a, str>),
}

/// The keys of one table are all addresses, or all texts. Addresses are hashed as numbers of a length for each
/// kind, so that none passes for one of the other kind: the hash has to tell lengths apart, as SipHash does.
impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        match self {
            Self::Address(IpAddr::V4(v4)) => hasher.write_u32(v4.to_bits()),
            Self::Address(IpAddr::V6(v6)) => hasher.write_u128(v6.to_bits()),
            Self::Text(text) => text.hash(hasher),
        }
    }
}

impl Counts {
    pub(super) fn new(
        options: &Options,
        plans: &Plans,
        by: &By,
        cx: &mut Build<'_>,
    ) -> Result<Self, Invalid> {
        let keys = options.keys()?;
        let Some(Store::Redis(store)) = &options.store else {
            if options.on_store_error.is_some() {
                return Err(Invalid::at(
                    "on_store_error",
                    "expected with a `store` only",
                ));
            }
            let local = keep_local(cx, plans.limits(), keys, by);
            return Ok(Self::Local(local));
        };
        let short;
        let (redis, place) = match store {
            ShortOrFull::Short(address) => {
                short = Redis::at(address.clone());
                (&short, "store.redis")
            }
            ShortOrFull::Full(full) => (full, "store.redis"),
        };
        let servers = Servers::new(redis, place)?;
        let remote = cx.share(redis.identity(), || Remote::new(servers));
        cx.background(remote.clone().stay_connected());
        let otherwise = match options.on_store_error.unwrap_or_default() {
            OnStoreError::Deny => Otherwise::Deny,
            OnStoreError::Allow => Otherwise::Allow,
            OnStoreError::Local(_) => Otherwise::Local(keep_local(cx, plans.shares(), keys, by)),
        };
        let prefix = format!("{}:rate_limit:{}", redis.prefix, cx.label);
        let identity = format!("{} {}", cx.scope(), by.name());
        let deadline = redis.deadline.get();
        let shared = Shared::new(remote, deadline, prefix, &identity, plans.limits());
        Ok(Self::Shared(shared, otherwise))
    }
}

fn keep_local<'l>(
    cx: &mut Build<'_>,
    limits: impl Iterator<Item = &'l Limits> + Clone,
    keys: usize,
    by: &By,
) -> Arc<Local> {
    let names: String = limits.clone().map(|limits| format!("{limits} ")).collect();
    let clock = cx.clock;
    cx.keep_over_upgrades(format!("{names}{keys}/{}", by.name()), || {
        Local::new(limits, keys, clock)
    })
}

impl Otherwise {
    /// What holds for a request about which the store says nothing.
    ///
    /// # Errors
    /// The reply to it.
    pub(super) fn decide(
        &self,
        set: &Set,
        position: usize,
        key: &Key<'_>,
        (cost, came): (u32, Instant),
        why: &Outage,
    ) -> Result<Option<Verdict>, Reply> {
        match (self, &set.share) {
            (Self::Allow, _) => Ok(None),
            (Self::Local(local), Some(share)) => {
                Ok(Some(local.check(share, position, key, cost, came)))
            }
            (Self::Local(_) | Self::Deny, _) => Err(unreachable(why)),
        }
    }
}

impl Key<'_> {
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Address(address) => address.to_string().into(),
            Self::Text(text) => Cow::Borrowed(text),
        }
    }
}

fn unreachable(why: &Outage) -> Reply {
    Reply::problem(StatusCode::SERVICE_UNAVAILABLE, UNREACHABLE)
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
        .detail("requests cannot be counted at the moment")
        .log(format!("the store: {why}"))
}
