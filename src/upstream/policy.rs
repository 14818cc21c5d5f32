//! The rules by which an upstream's endpoints get requests.

use std::time::Duration;

use wiregate_sdk::Facts;
use wiregate_sdk::types::Percent;

use super::balance::hash_of;
use super::sticky::{Sticky, Ticket};
use crate::config::model::upstream as model;
use model::{Balance, Outliers};

/// The rules by which an upstream's endpoints get requests.
pub struct Policy {
    /// How an endpoint is chosen.
    pub balance: Balance,
    /// When an endpoint is taken out because of its answers.
    pub outliers: Option<Outliers>,
    /// How long an endpoint takes to all of its weight.
    pub slow_start: Option<Duration>,
    /// Below this share of available endpoints all get requests.
    pub panic: Option<Percent>,
    /// The cookie that leads clients back.
    pub sticky: Option<Sticky>,
}

/// What a request asks of the choice of its endpoint.
#[derive(Default)]
pub struct Wish {
    /// The hash of its key; none where it has none, or where that is not asked for.
    pub(super) key: Option<u64>,
    /// What a cookie says about the endpoint that it belongs to; not looked at yet.
    pub(super) ticket: Option<Ticket>,
}

impl Policy {
    /// The rules of an upstream.
    pub fn new(upstream: &str, config: &model::Upstream) -> Self {
        Self {
            balance: config.balance.clone(),
            outliers: config.outliers.as_ref().map(|at| at.value.clone()),
            slow_start: config.slow_start.map(Into::into),
            panic: config.panic.as_ref().map(|at| at.value),
            sticky: (config.sticky.as_ref()).map(|config| Sticky::new(upstream, config)),
        }
    }

    /// What a request asks of the choice of its endpoint.
    ///
    /// # Errors
    /// Why its key has no value, such as a division by zero.
    pub fn wish(&self, facts: &Facts<'_>) -> Result<Wish, String> {
        let key = match &self.balance {
            Balance::Hash(hash) => hash.by.text(facts)?,
            _ => "".into(),
        };
        Ok(Wish {
            key: (!key.is_empty()).then(|| hash_of(key.as_bytes())),
            ticket: (self.sticky.as_ref()).and_then(|sticky| sticky.ticket(facts.request)),
        })
    }
}
