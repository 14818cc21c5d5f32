//! Counts that several gateways share, and what holds while they cannot be reached.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use wiregate_sdk::{Deserialize, JsonSchema};

use super::limits::{Limits, Verdict};
use super::remote::{Outage, Remote, Script};
use super::servers::digest;

/// Ticks a second.
pub(super) const TICKS: u64 = 1_000_000;

/// What holds while the store does not answer in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", rename_all = "snake_case")]
#[schemars(crate = "wiregate_sdk::schemars")]
pub enum OnStoreError {
    /// Requests are refused with 503 and the reason `store_unreachable`.
    #[default]
    Deny,
    /// Requests pass, uncounted.
    Allow,
    /// Each gateway counts for itself, against its share of the limits.
    Local(Share),
}

/// What one gateway may let pass by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Share {
    /// Among how many gateways the limits are divided; rounded down.
    pub(super) gateways: NonZeroU32,
}

/// Counts in a store.
pub(super) struct Shared {
    remote: Arc<Remote>,
    script: Script,
    deadline: Duration,
    /// What keys begin with.
    prefix: String,
    /// What belongs to each set of limits, the same in all gateways: the identity of its keys, and
    /// the script's arguments.
    sets: Vec<(String, Vec<String>)>,
}

impl Shared {
    /// Counts below this prefix. `identity` is what these limits have in common in all gateways,
    /// and with no others.
    pub(super) fn new<'l>(
        remote: Arc<Remote>,
        deadline: Duration,
        prefix: String,
        identity: &str,
        sets: impl Iterator<Item = &'l Limits>,
    ) -> Self {
        let sets = sets.map(|limits| (format!("{identity} {limits}"), arguments(limits)));
        Self {
            remote,
            script: Script::new(include_str!("decide.lua")),
            deadline,
            prefix,
            sets: sets.collect(),
        }
    }

    /// Counts a request of this key that costs so much, or refuses it. A refused one is not
    /// counted.
    ///
    /// # Errors
    /// Why the store does not tell. The request may have been counted all the same.
    pub(super) async fn check(
        &self,
        limits: &Limits,
        way: usize,
        key: &str,
        cost: u32,
    ) -> Result<Verdict, Outage> {
        let (identity, arguments) = &self.sets[way];
        // A key may be a secret, or very long: the store gets to see neither.
        let key = format!("{}:{}", self.prefix, digest(&[identity, key]));
        let mut call = Vec::with_capacity(1 + arguments.len());
        call.push(cost.to_string());
        call.extend_from_slice(arguments);
        let answer: Vec<u64> = self
            .remote
            .run(&self.script, &key, &call, self.deadline)
            .await?;
        match answer.split_first() {
            Some((admitted, [now, cells @ ..])) if cells.len() == limits.cells => {
                Ok(limits.verdict(*now, &mut cells.to_vec(), cost, *admitted == 1))
            }
            _ => Err("the answer is not one of the script's".to_owned()),
        }
    }
}

/// What the script is told of limits.
pub(super) fn arguments(limits: &Limits) -> Vec<String> {
    let each = limits.each.iter().flat_map(|limit| {
        let numbers = [u64::from(limit.burst), limit.per, limit.step, limit.count()];
        let word = limit.algorithm.word().to_owned();
        std::iter::once(word).chain(numbers.map(|number| number.to_string()))
    });
    each.collect()
}
