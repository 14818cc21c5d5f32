//! Conditions: expressions that are true or false.

use std::borrow::Cow;

use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error};

use super::fact::Fact;
use super::{Expression, Facts, asked, parse};

/// An expression that is true or false, for a `when:`. Otherwise as [`Expression`], but that
/// `request.path` is the path's key ([`path_key`](crate::path_key)): what a condition says of `@` it
/// says of `%40`.
#[derive(Clone, Debug)]
pub struct Condition(Expression);

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub fn parse(source: &str) -> Result<Self, String> {
        let (mut plan, kind) = parse::parse(source)?;
        plan.compare_keys();
        let expression = Expression::new(source, plan, kind);
        expression.check_condition()?;
        Ok(Self(expression))
    }

    /// The condition as it was written.
    pub fn source(&self) -> &str {
        self.0.source()
    }

    /// Whether it can be asked before there is a response.
    ///
    /// # Errors
    /// It goes by the response, which would always be nothing there.
    pub fn check_early(&self) -> Result<(), String> {
        self.0.check_early()
    }

    /// Whether it asks about fields of the response.
    pub fn asks_response(&self) -> bool {
        self.0.asks_response()
    }

    /// The path parameters that it names.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        asked::params(&self.0).map(|(name, _)| name)
    }

    /// Whether it names no fact, and so is the same for every exchange.
    pub fn is_constant(&self) -> bool {
        self.0.facts().next().is_none()
    }

    /// A name in it that stands for nothing as long as no route has been chosen, parameters
    /// aside.
    pub fn needs_route(&self) -> Option<&'static str> {
        self.0.facts().find_map(Fact::needs_route)
    }

    /// Whether it holds for all responses with this status; `None` where more than the status
    /// decides, or where it has no value. That can be told before there is one.
    pub fn told_by_status(&self, status: StatusCode, facts: &Facts<'_>) -> Option<bool> {
        if !self.0.facts().all(Fact::is_status) {
            return None;
        }
        let (mut head, ()) = http::Response::new(()).into_parts();
        head.status = status;
        let facts = Facts {
            response: Some(&head),
            ..*facts
        };
        self.test(&facts).ok()
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// Why it has no value; see [`Expression::test`].
    pub fn test(&self, facts: &Facts<'_>) -> Result<bool, String> {
        self.0.test(facts)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Self::parse(&source).map_err(D::Error::custom)
    }
}

impl JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A condition: an expression in CEL that is true or false.",
            "maxLength": parse::LONGEST,
            "examples": ["request.method == \"GET\"", "in_cidr(client.address, \"10.0.0.0/8\")"]
        })
    }
}
