//! How a match is written, where what it holds must not be shown.

use wiregate_sdk::value::{Node, Value};

use super::matching::Field;
use super::text::shown;

/// A match as it stands in the file, for one with references in it: messages show these, and
/// nothing of what they resolved to.
#[derive(Clone, Debug)]
pub struct Written(Value);

impl Written {
    /// The match of a route; nothing where it has no references.
    pub fn new(matching: &Value) -> Option<Self> {
        has_reference(matching).then(|| Self(matching.clone()))
    }

    /// What is written under a key, where references stand in it.
    pub(super) fn part(&self, key: &str) -> Option<String> {
        self.0.get(key).and_then(text)
    }

    /// The same for a condition on a field.
    pub(super) fn condition(&self, field: Field<'_>) -> Option<String> {
        let (section, name) = match field {
            Field::Header(name) => ("headers", name.0.as_str()),
            Field::Query(name) => ("query", &*name.0),
            Field::Cookie(name) => ("cookies", &*name.0),
        };
        let Node::Map(conditions) = &self.0.get(section)?.node else {
            return None;
        };
        let same = |key: &str| match field {
            Field::Header(_) => key.eq_ignore_ascii_case(name),
            Field::Query(_) | Field::Cookie(_) => key == name,
        };
        let (_, condition) = conditions.iter().find(|(key, _)| same(&key.name))?;
        text(condition)
    }
}

fn text(value: &Value) -> Option<String> {
    let written = has_reference(value).then(|| value.shown())?;
    Some(match written.as_str() {
        Some(text) => shown(text),
        None => shown(&written.to_string()),
    })
}

fn has_reference(value: &Value) -> bool {
    match &value.node {
        Node::Null => false,
        Node::Scalar(scalar) => scalar.written.is_some(),
        Node::List(items) => items.iter().any(has_reference),
        Node::Map(entries) => entries.iter().any(|(_, value)| has_reference(value)),
    }
}
