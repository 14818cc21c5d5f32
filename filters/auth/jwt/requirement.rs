//! A condition that the log can show.

use std::borrow::Cow;

use wiregate_sdk::schemars::{Schema, SchemaGenerator};
use wiregate_sdk::serde::de::{Deserialize, Deserializer, Error};
use wiregate_sdk::value::{Node, Raw, decode};
use wiregate_sdk::{Condition, Facts, JsonSchema};

/// A condition, and its text as it stands in the configuration: with references to secrets, and not what those
/// resolve to.
#[derive(Debug)]
pub struct Requirement {
    condition: Condition,
    written: Box<str>,
}

impl Requirement {
    /// Whether it holds.
    ///
    /// # Errors
    /// Why it has no value.
    pub(super) fn test(&self, facts: &Facts<'_>) -> Result<bool, String> {
        self.condition.test(facts)
    }

    pub(super) fn written(&self) -> &str {
        &self.written
    }
}

impl<'de> Deserialize<'de> for Requirement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Raw(value) = Raw::deserialize(deserializer)?;
        let condition: Condition = decode(&value).map_err(|problems| {
            let mut problems = problems.into_iter();
            D::Error::custom(problems.next().map_or_else(String::new, |it| it.message))
        })?;
        let written = match &value.node {
            Node::Scalar(scalar) => scalar.source().into(),
            _ => "".into(),
        };
        condition.check_early().map_err(D::Error::custom)?;
        Ok(Self { condition, written })
    }
}

impl JsonSchema for Requirement {
    fn schema_name() -> Cow<'static, str> {
        Condition::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Condition::json_schema(generator)
    }
}
