//! Where a route's requests go: to one upstream, or to several in shares.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::Expression;
use wiregate_sdk::types::FieldName;
use wiregate_sdk::value::{At, ShortOrFull};

/// The name of an upstream, or a split between several.
pub type Target = ShortOrFull<String, Split>;

/// Several upstreams, each with its share of the requests.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The upstreams with their weights: `{ app: 90, canary: 10 }`. One with weight 0 gets a
    /// request only where `by_header` says so.
    pub split: At<IndexMap<String, u32>>,
    /// Requests with the same text stay with the same upstream: `request.cookies["user"]`. Where
    /// the text is empty, and without `by`, each request is drawn anew.
    #[serde(default)]
    pub by: Option<At<Expression>>,
    /// A request field that names the upstream, whatever the weights.
    #[serde(default)]
    pub by_header: Option<ByHeader>,
}

/// A request field that names the upstream.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByHeader {
    /// The field's name.
    pub name: FieldName,
    /// The field's values, each with its upstream: `{ always: canary, never: app }`. A request
    /// with another value is drawn as if it had none.
    pub values: At<IndexMap<String, At<String>>>,
}
