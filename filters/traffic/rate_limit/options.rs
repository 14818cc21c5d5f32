//! The options of `rate_limit`, written out.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use smallvec::SmallVec;
use wiregate_sdk::types::{OneOrMany, Rate};
use wiregate_sdk::value::ShortOrFull;
use wiregate_sdk::{Deserialize, Exchange, Expression, Invalid, JsonSchema};

use super::algorithm::{Algorithm, Limit};
use super::fields::{Fields, Headers};
use super::limits::Limits;
use super::servers::Redis;
use super::shared::OnStoreError;
use super::{local, shared};

const KEYS: usize = 100_000;
const MOST_KEYS: usize = 10_000_000;
/// How many limits may hold at once: each is looked at by every request.
const MOST_LIMITS: usize = 8;

/// The options of `rate_limit`, written out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Options {
    /// How many requests in what time, at most a million per second; several, up to 8, of which all
    /// hold; or what depends on the consumer's plan.
    pub(super) limit: ShortOrFull<OneOrMany<Rate>, ByPlan>,
    /// How the limit is kept.
    #[serde(default)]
    #[schemars(extend("default" = "gcra"))]
    pub(super) algorithm: Algorithm,
    /// How many requests may come at once, with one limit that is kept by `gcra` or `token_bucket`;
    /// the limit's own count when absent.
    #[serde(default)]
    pub(super) burst: Option<NonZeroU32>,
    /// Whose requests are counted together.
    #[serde(default)]
    #[schemars(extend("default" = super::by::ADDRESS))]
    pub(super) by: Option<Expression>,
    /// With `by: client.address`, how many leading bits of an IPv6 address make one client: one
    /// commonly has a whole network of 64.
    #[serde(default)]
    #[schemars(range(min = 1, max = 128), extend("default" = super::by::IPV6_PREFIX))]
    pub(super) ipv6_prefix: Option<u8>,
    /// What a request costs: a whole number. 0 is let through and not counted.
    #[serde(default)]
    #[schemars(extend("default" = "1"))]
    pub(super) cost: Option<Expression>,
    /// Which header fields tell a client where it stands.
    #[serde(default)]
    #[schemars(extend("default" = "draft"))]
    pub(super) headers: Headers,
    /// How many clients this gateway remembers, 1 to 10000000; not with a `store`, unless gateways
    /// count for themselves while it is unreachable.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10_000_000), extend("default" = KEYS))]
    pub(super) keys: Option<usize>,
    /// Where counts are kept that several gateways share; in this gateway's memory when absent.
    #[serde(default)]
    pub(super) store: Option<Store>,
    /// What holds while the store does not answer in time, with `store`.
    #[serde(default)]
    #[schemars(extend("default" = "deny"))]
    pub(super) on_store_error: Option<OnStoreError>,
}

/// Limits that depend on the plan of the consumer (`identity.plan`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct ByPlan {
    /// The limits of each plan.
    plans: BTreeMap<String, OneOrMany<Rate>>,
    /// The limits of callers without a plan, or with one that is not named.
    otherwise: OneOrMany<Rate>,
}

/// Where shared counts are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", rename_all = "snake_case")]
#[schemars(crate = "wiregate_sdk::schemars")]
pub enum Store {
    /// Redis 5 or later, or Valkey: the address of a server, or how to reach several.
    Redis(ShortOrFull<String, Redis>),
}

/// Limits for everybody, or for each plan.
pub(super) struct Plans {
    /// Those of callers without a plan in front.
    pub(super) sets: Vec<Set>,
    positions: BTreeMap<String, usize>,
}

/// Limits that hold at once.
pub(super) struct Set {
    pub(super) limits: Limits,
    /// This gateway's share of them, while the store is unreachable.
    pub(super) share: Option<Limits>,
    pub(super) fields: Fields,
}

impl Options {
    pub(super) fn new(limit: OneOrMany<Rate>) -> Self {
        Self {
            limit: ShortOrFull::Short(limit),
            algorithm: Algorithm::default(),
            burst: None,
            by: None,
            ipv6_prefix: None,
            cost: None,
            headers: Headers::default(),
            keys: None,
            store: None,
            on_store_error: None,
        }
    }

    pub(super) fn keys(&self) -> Result<usize, Invalid> {
        let local = matches!(self.on_store_error, Some(OnStoreError::Local(_)));
        if self.keys.is_some() && self.store.is_some() && !local {
            let message = "expected without a `store`, or with `on_store_error: local`";
            return Err(Invalid::at("keys", message));
        }
        match self.keys.unwrap_or(KEYS) {
            keys @ 1..=MOST_KEYS => Ok(keys),
            other => Err(Invalid::at(
                "keys",
                format!("expected 1 to {MOST_KEYS}, found `{other}`"),
            )),
        }
    }

    /// The limits, ready to be kept.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn plans(&self, label: &str) -> Result<Plans, Invalid> {
        let (otherwise, place, plans) = match &self.limit {
            ShortOrFull::Short(limit) => (limit, "limit", None),
            ShortOrFull::Full(full) => (&full.otherwise, "limit.otherwise", Some(&full.plans)),
        };
        let mut all = Plans {
            sets: vec![self.set(otherwise, place, label)?],
            positions: BTreeMap::new(),
        };
        for (plan, rates) in plans.into_iter().flatten() {
            all.positions.insert(plan.clone(), all.sets.len());
            let place = format!("limit.plans.{plan}");
            all.sets.push(self.set(rates, &place, label)?);
        }
        Ok(all)
    }

    fn set(&self, rates: &[Rate], place: &str, label: &str) -> Result<Set, Invalid> {
        let ticks = match self.store {
            None => local::TICKS,
            Some(_) => shared::TICKS,
        };
        let limits = self.limits(rates, place, ticks, None)?;
        let share = match self.on_store_error {
            Some(OnStoreError::Local(share)) => {
                Some(self.limits(rates, place, local::TICKS, Some(share.gateways))?)
            }
            _ => None,
        };
        Ok(Set {
            fields: Fields::new(self.headers, label, &limits)?,
            limits,
            share,
        })
    }

    fn limits(
        &self,
        rates: &[Rate],
        place: &str,
        ticks: u64,
        gateways: Option<NonZeroU32>,
    ) -> Result<Limits, Invalid> {
        if rates.len() > MOST_LIMITS {
            let found = rates.len();
            let message = format!("expected at most {MOST_LIMITS} limits, found {found}");
            return Err(Invalid::at(place, message));
        }
        if self.burst.is_some() && rates.len() > 1 {
            let found = rates.len();
            let message = format!("expected with a single limit only, found it with {found}");
            return Err(Invalid::at("burst", message));
        }
        let mut each = SmallVec::new();
        for (position, rate) in rates.iter().enumerate() {
            let place = format!("{place}[{position}]");
            if rates[..position].contains(rate) {
                let message = format!("expected limits that differ, found `{rate}` twice");
                return Err(Invalid::at(place, message));
            }
            let (rate, burst) = match gateways {
                None => (*rate, self.burst),
                Some(gateways) => self.share(*rate, gateways, &place)?,
            };
            let limit = Limit::new(rate, burst, self.algorithm, ticks);
            each.push(limit.map_err(|(option, why)| match option {
                "limit" => Invalid::at(place, why),
                option => Invalid::at(option, why),
            })?);
        }
        Ok(Limits::new(each, ticks))
    }

    /// One gateway's share of a limit.
    fn share(
        &self,
        rate: Rate,
        gateways: NonZeroU32,
        place: &str,
    ) -> Result<(Rate, Option<NonZeroU32>), Invalid> {
        let part = |whole: NonZeroU32| NonZeroU32::new(whole.get() / gateways);
        let too_few = |place: &str, found: String| {
            let message =
                format!("expected something for each of {gateways} gateways, found `{found}`");
            Invalid::at(place, message)
        };
        let count = part(rate.count).ok_or_else(|| too_few(place, rate.to_string()))?;
        let burst = match self.burst {
            None => None,
            Some(burst) => Some(part(burst).ok_or_else(|| too_few("burst", burst.to_string()))?),
        };
        Ok((Rate::new(count, rate.per), burst))
    }
}

impl Plans {
    /// The position of the limits that hold for this exchange.
    pub(super) fn of(&self, exchange: &Exchange) -> usize {
        if self.positions.is_empty() {
            return 0;
        }
        let consumer = exchange
            .identity
            .as_ref()
            .and_then(|it| it.consumer.as_ref());
        let plan = consumer.and_then(|consumer| consumer.plan.as_deref());
        let position = plan.and_then(|plan| self.positions.get(plan));
        position.copied().unwrap_or(0)
    }

    pub(super) fn limits(&self) -> impl Iterator<Item = &Limits> + Clone {
        self.sets.iter().map(|set| &set.limits)
    }

    pub(super) fn shares(&self) -> impl Iterator<Item = &Limits> + Clone {
        self.sets.iter().filter_map(|set| set.share.as_ref())
    }
}
