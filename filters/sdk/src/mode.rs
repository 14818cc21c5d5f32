//! Whether a filter acts, or is only looked at.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{Node, Problem, Value, decode};

/// The option that every filter has besides its own.
pub const MODE: &str = "mode";

/// Whether a filter acts, or is only looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It does what it is there for.
    #[default]
    Enforce,
    /// It works on copies: whatever it changes, answers or refuses is dropped, and the request goes
    /// on. That it would have ended one is counted (`wiregate_filter_observed_total`) and stands in
    /// the access log (`observed`). What it finds out about who is calling stays, where nobody was
    /// known before. A body that it wants to read whole, and that is too large to be held, passes without it.
    Observe,
}

impl Mode {
    /// Takes the mode out of a filter's options.
    ///
    /// # Errors
    /// That it is none of the known ones.
    pub(crate) fn take(options: &Value) -> Result<(Self, Cow<'_, Value>), Vec<Problem>> {
        let Some(mode) = options.get(MODE) else {
            return Ok((Self::Enforce, Cow::Borrowed(options)));
        };
        let mode = decode(mode)?;
        let mut own = options.clone();
        if let Node::Map(entries) = &mut own.node {
            entries.retain(|(key, _)| key.name != MODE);
        }
        Ok((mode, Cow::Owned(own)))
    }
}
