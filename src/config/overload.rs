//! When requests are shed, so that those under way are served well.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wiregate_sdk::types::{Percent, Period, Size};

/// When a worker has more to do than it can.
///
/// Each worker measures how long whatever is ready has to wait until the worker comes to it. A
/// burst makes that wait long for a moment, and is served. A wait that stays long means that more
/// comes than can be done: from then on, requests are answered with a 503 whenever the wait is
/// above half a millisecond and three others were admitted in the meantime, before a route is looked
/// for. That ends when, over a second, fewer than one request in twenty had to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Overload {
    /// A wait that is long.
    pub delay: Period,
    /// How long it has to stay above `delay` without a break, and without getting shorter.
    pub during: Period,
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            delay: Period::millis(100),
            during: Period::millis(100),
        }
    }
}

/// How much memory the process may take: its resident memory, looked at twice a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// What the marks are shares of. When absent, the lowest limit of the process's control group
    /// and of those above it, or the machine's memory where there is none.
    pub limit: Option<Size>,
    /// From here on requests get a 503, and connections without one are closed after five seconds.
    /// That ends five hundredths of the limit below it.
    pub soft: Percent,
    /// From here on new connections are closed at once as well. At least `soft`.
    pub hard: Percent,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            limit: None,
            soft: Percent::new(85),
            hard: Percent::new(95),
        }
    }
}
