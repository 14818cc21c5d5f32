//! Several upstreams, each with its share of a route's requests.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderName;
use wiregate_sdk::{Expression, Facts};

use super::Upstream;
use super::balance::hash_of;

/// Several upstreams, each with its share of the requests.
pub struct Split {
    /// The upstreams, each with the sum of the weights up to it.
    pub parts: Vec<(Arc<Upstream>, u64)>,
    /// What keeps requests with the same text at the same upstream.
    pub by: Option<Expression>,
    /// A request field, and the upstreams that its values stand for.
    pub by_header: Option<(HeaderName, ByValue)>,
}

/// Values of a field, each with its upstream.
pub type ByValue = HashMap<Box<[u8]>, Arc<Upstream>>;

impl Split {
    /// The upstream for a request.
    ///
    /// # Errors
    /// The expression has no value.
    pub fn choose(&self, facts: &Facts<'_>) -> Result<&Arc<Upstream>, String> {
        if let Some((name, values)) = &self.by_header
            && let Some(value) = facts.request.headers.get(name)
            && let Some(upstream) = values.get(value.as_bytes())
        {
            return Ok(upstream);
        }
        let text = match &self.by {
            Some(by) => by.text(facts)?,
            None => "".into(),
        };
        let number = if text.is_empty() {
            fastrand::u64(..)
        } else {
            hash_of(text.as_bytes())
        };
        Ok(self.at(number))
    }

    /// All of them, each once: those with shares in their order, and then those that only a value of the field
    /// leads to, by name.
    pub fn upstreams(&self) -> Vec<&Arc<Upstream>> {
        let mut all: Vec<_> = self.parts.iter().map(|(upstream, _)| upstream).collect();
        let values = self
            .by_header
            .iter()
            .flat_map(|(_, values)| values.values());
        let mut more: Vec<_> = values.collect();
        more.sort_by(|one, other| one.name.cmp(&other.name));
        for upstream in more {
            if !all.iter().any(|known| Arc::ptr_eq(known, upstream)) {
                all.push(upstream);
            }
        }
        all
    }

    /// The upstream at a point between 0 and the largest number: where the last one's share
    /// grows, nobody leaves it.
    fn at(&self, number: u64) -> &Arc<Upstream> {
        let total = self.parts.last().map_or(1, |(_, sum)| *sum);
        let point = (u128::from(number) * u128::from(total)) >> 64;
        let found = (self.parts.iter()).find(|(_, sum)| point < u128::from(*sum));
        let (upstream, _) = found
            .or(self.parts.last())
            .expect("a split has a part with a weight");
        upstream
    }
}
