//! The expression of a match.

use std::borrow::Cow;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use wiregate_sdk::Condition;

/// A condition on a request for which no route has been chosen yet: what is known only later would
/// always be empty in it, and what is the same for every request would decide nothing.
#[derive(Clone, Debug)]
pub struct When(Condition);

impl When {
    fn new(condition: Condition) -> Result<Self, String> {
        if let Some(name) = condition.needs_route() {
            return Err(format!(
                "`{name}` is not known before a route has been chosen; the facts here are \
                 `request`, `client` and `params`"
            ));
        }
        if condition.is_constant() {
            return Err(
                "expected a condition on the request, found one that is the same for all".into(),
            );
        }
        Ok(Self(condition))
    }
}

impl Deref for When {
    type Target = Condition;

    fn deref(&self) -> &Condition {
        &self.0
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Condition::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for When {
    fn schema_name() -> Cow<'static, str> {
        Condition::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        Condition::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Condition::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_only_for_what_is_known() {
        let read = |source: &str| When::new(Condition::parse(source).unwrap());
        for source in [
            "request.path == '/a'",
            "params.id == '1' && in_cidr(client.address, '10.0.0.0/8')",
            "request.time > timestamp('2027-01-01T00:00:00Z')",
        ] {
            assert!(read(source).is_ok(), "{source}");
        }
        for (source, name) in [
            ("route == 'a'", "route"),
            ("consumer == 'a'", "consumer"),
            ("identity.name != ''", "identity.name"),
            ("has(identity.by)", "identity.by"),
            ("'a' in identity.groups", "identity.groups"),
            (
                "request.path == '/' || response.status == 0",
                "response.status",
            ),
            ("response.headers['x'] == ''", "response.headers"),
        ] {
            let error = read(source).unwrap_err();
            assert!(
                error.starts_with(&format!("`{name}` is not known before")),
                "{error}"
            );
        }
        for source in ["true", "false", "1 < 2", "'a'.startsWith('b')"] {
            let error = read(source).unwrap_err();
            assert!(
                error.ends_with("found one that is the same for all"),
                "{error}"
            );
        }
    }
}
