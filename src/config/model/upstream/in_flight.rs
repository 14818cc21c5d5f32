//! How many requests an upstream gets at the same time.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::types::Period;
use wiregate_sdk::value::At;

/// How many attempts may be under way at the same time, by all workers together. Where there is
/// no room a request waits for its turn; a 503 `connection_limit_reached` with `Retry-After` is
/// the answer where the queue is full, or the wait is over.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InFlight {
    /// At all endpoints together; no bound when absent.
    pub most: Option<NonZeroU32>,
    /// At each endpoint; no bound when absent.
    pub per_endpoint: Option<NonZeroU32>,
    /// How many requests may wait for their turn, first come, first served; at most 100000. None
    /// when absent.
    pub queue: u32,
    /// How long a request may wait for its turn.
    pub wait: At<Period>,
}

impl Default for InFlight {
    fn default() -> Self {
        Self {
            most: None,
            per_endpoint: None,
            queue: 0,
            wait: At::nowhere(Period::seconds(1)),
        }
    }
}
