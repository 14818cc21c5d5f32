//! When an upstream gets no requests for a while.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::types::{Percent, Period};
use wiregate_sdk::value::At;

/// A circuit breaker: while too many attempts fail, an upstream gets none. An attempt fails that
/// gets no response, or one with a status of 500 or above. While the circuit is open requests go
/// to the `fallback`, or are answered with 503, reason `circuit_open`, and `Retry-After`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// The share of attempts that must fail for the circuit to open.
    pub errors: At<Percent>,
    /// The circuit stays closed while there were fewer attempts than this.
    #[serde(default = "twenty")]
    pub of_at_least: NonZeroU32,
    /// How far back attempts count.
    #[serde(default = "ten_seconds")]
    pub within: Period,
    /// How long the circuit stays open before probes are let through.
    #[serde(default = "five_seconds")]
    pub open_for: Period,
    /// How many requests go through then, at the same time at most; when that many have succeeded
    /// the circuit is closed, and one that fails opens it again.
    #[serde(default = "one")]
    pub probes: NonZeroU32,
}

fn twenty() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(19)
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn ten_seconds() -> Period {
    Period::seconds(10)
}

fn five_seconds() -> Period {
    Period::seconds(5)
}
