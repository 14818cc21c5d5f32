//! What must not be shown.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use subtle::ConstantTimeEq;

use crate::value::SECRET;

/// A text that is never shown: not by `Debug`, not by `Display`, not in an error. Never empty.
///
/// In a configuration it is a reference: `${env:NAME}`, `${file:/path}` or `${cred:name}`. One that
/// is written out is refused, and so is one where nobody could tell: behind `flatten` or an untagged
/// enum, and from any other format.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// The text itself. Whoever asks takes care of it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether this is the text, in a time that depends on the lengths only, never on where two
    /// texts of one length differ.
    pub fn is(&self, candidate: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(candidate).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("expected a secret, found nothing".into());
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(SECRET, Resolved)
    }
}

struct Resolved;

impl<'de> Visitor<'de> for Resolved {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reference to a secret such as `${env:API_KEY}`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        text.parse().map_err(E::custom)
    }

    /// By a deserializer that does not know where a text comes from.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<Secret, D::Error> {
        Err(D::Error::custom("a secret is not possible here"))
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^\$\{(env|file|cred):[^}]+\}$",
            "description": "A secret, as a reference: `${env:NAME}`, `${file:/path}` or `${cred:name}`.",
            "examples": ["${env:API_KEY}", "${cred:api_key}"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_not_show_itself() {
        let secret: Secret = "hunter2".parse().unwrap();
        assert_eq!(format!("{secret} {secret:?}"), "[secret] [secret]");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn comes_from_nowhere_but_a_reference() {
        assert!(serde_json::from_str::<Secret>(r#""hunter2""#).is_err());
    }

    #[test]
    fn compares_the_whole() {
        let secret: Secret = "hunter2".parse().unwrap();
        assert!(secret.is(b"hunter2"));
        for other in ["", "hunter", "hunter3", "Hunter2", "hunter22"] {
            assert!(!secret.is(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn is_never_empty() {
        assert_eq!(
            "".parse::<Secret>().unwrap_err(),
            "expected a secret, found nothing"
        );
    }
}
