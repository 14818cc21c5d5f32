//! How a template is written in a configuration.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::Template;

/// A deserializer that knows this name hands over text in which every `$` that came from a
/// secret is doubled, so that nothing in a secret is taken for an expression.
use crate::value::TEMPLATE as NAME;

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(NAME, Source)
    }
}

struct Source;

impl<'de> Visitor<'de> for Source {
    type Value = Template;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text such as `hello ${consumer}`")
    }

    fn visit_str<E: Error>(self, source: &str) -> Result<Template, E> {
        Template::parse(source).map_err(E::custom)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, source: D) -> Result<Template, D::Error> {
        self.visit_str(&String::deserialize(source)?)
    }
}

impl JsonSchema for Template {
    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // A number or a boolean may stand without quotes: it is text here.
        schemars::json_schema!({
            "type": ["string", "number", "boolean"],
            "description": "Text with expressions in it, each between `${` and `}`; `$$` is a literal `$`.",
            "examples": ["hello ${consumer}", "${request.headers[\"x-tenant\"]}"]
        })
    }
}
