//! Which header fields are meant, and what they are set to.

use std::borrow::Cow;

use wiregate_sdk::schemars::{Schema, SchemaGenerator, json_schema};
use wiregate_sdk::serde::Deserializer;
use wiregate_sdk::serde::de::Error;
use wiregate_sdk::types::FieldName;
use wiregate_sdk::{Deserialize, Facts, HeaderMap, HeaderName, HeaderValue, JsonSchema, Template};

use super::respond::text::Check;

/// A header field, or all those whose names begin alike: `cookie`, `x-internal-*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FieldPattern {
    One(HeaderName),
    /// What the names begin with; lower case.
    Prefix(Box<str>),
}

impl FieldPattern {
    fn parse(text: &str) -> Result<Self, String> {
        let Some(prefix) = text.strip_suffix('*') else {
            return text.parse::<FieldName>().map(|name| Self::One(name.into()));
        };
        match HeaderName::from_bytes(prefix.as_bytes()) {
            Ok(prefix) if !prefix.as_str().contains('*') => {
                Ok(Self::Prefix(prefix.as_str().into()))
            }
            _ => Err(format!(
                "expected the name of a header field, or the beginning of one and a `*` such as \
                 `x-internal-*`, found `{}`",
                text.escape_debug()
            )),
        }
    }

    /// The fields of a message that a prefix stands for. Those that are the gateway's own are
    /// not among them, whatever they begin with.
    pub(super) fn matching(prefix: &str, fields: &HeaderMap) -> Vec<HeaderName> {
        fields
            .keys()
            .filter(|name| name.as_str().starts_with(prefix) && FieldName::is_editable(name))
            .cloned()
            .collect()
    }
}

impl<'de> Deserialize<'de> for FieldPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl JsonSchema for FieldPattern {
    fn schema_name() -> Cow<'static, str> {
        "FieldPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The name of a header field, or the beginning of names and a `*`.",
            "pattern": "^[!#$%&'+.^_`|~0-9A-Za-z-]+\\*?$",
            "examples": ["cookie", "x-internal-*"]
        })
    }
}

/// The value of a header field: a template whose fixed part can stand in one.
#[derive(Clone, Debug)]
pub(super) struct FieldTemplate(Template);

impl FieldTemplate {
    /// The value; `None` where the template has none, because an expression fails, nothing but
    /// expressions without a value is in it, or a control character got into it.
    pub(super) fn render(&self, facts: &Facts<'_>) -> Option<HeaderValue> {
        let value = self.0.render_header(facts)?;
        (!value.is_empty() || self.0.constant().is_some()).then_some(value)
    }

    /// What a check says of the template.
    pub(super) fn check(&self, check: Check) -> Result<(), String> {
        check(&self.0)
    }

    /// The value, where it is the same for all exchanges.
    pub(super) fn constant(&self) -> Option<&HeaderValue> {
        self.0.constant_header()
    }
}

impl<'de> Deserialize<'de> for FieldTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let template = Template::deserialize(deserializer)?;
        template.check_header().map_err(D::Error::custom)?;
        Ok(Self(template))
    }
}

impl JsonSchema for FieldTemplate {
    fn schema_name() -> Cow<'static, str> {
        Template::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        Template::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Template::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_at_the_end() {
        let parse = FieldPattern::parse;
        assert_eq!(parse("X-In-*"), Ok(FieldPattern::Prefix("x-in-".into())));
        assert!(matches!(parse("Cookie"), Ok(FieldPattern::One(name)) if name == "cookie"));
        for text in ["*", "**", "x-**", "x y*", "", "Host", "content-length"] {
            assert!(parse(text).is_err(), "{text}");
        }
        // `*` is a letter of names for RFC 9110, 5.1, but nobody means it here.
        assert!(parse("x-*-y").is_ok());
    }

    #[test]
    fn a_prefix_leaves_out_what_is_the_gateways_own() {
        let mut fields = HeaderMap::new();
        for name in ["content-length", "content-type", "cookie", "connection"] {
            fields.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        let mut found = FieldPattern::matching("co", &fields);
        found.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        assert_eq!(found, ["content-type", "cookie"]);
    }
}
