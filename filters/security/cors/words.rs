//! Lists of methods and of fields, or `*`.

use std::borrow::Cow;

use wiregate_sdk::schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use wiregate_sdk::serde::de::{Deserialize, Deserializer, Error};
use wiregate_sdk::types::OneOrMany;
use wiregate_sdk::{HeaderName, HeaderValue, Invalid, Method};

/// An item of a list, or `*` in its place.
#[derive(Debug)]
pub(super) enum Word<T> {
    Any,
    One(T),
}

impl TryFrom<String> for Word<Method> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const NEVER: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];
        const USUAL: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
        if text == "*" {
            return Ok(Self::Any);
        }
        let upper = text.to_ascii_uppercase();
        let found = format!(
            "expected a method such as `PUT`, found `{}`",
            text.escape_debug()
        );
        if NEVER.contains(&upper.as_str()) {
            return Err(format!("{found}, which browsers never send"));
        }
        if upper != text && USUAL.contains(&upper.as_str()) {
            return Err(format!("{found}: methods are case-sensitive"));
        }
        Method::from_bytes(text.as_bytes())
            .map(Self::One)
            .map_err(|_| found)
    }
}

impl TryFrom<String> for Word<HeaderName> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        HeaderName::from_bytes(text.as_bytes())
            .map(Self::One)
            .map_err(|_| {
                let found = text.escape_debug();
                format!(
                    "expected the name of a header field such as `x-request-id`, found `{found}`"
                )
            })
    }
}

impl<'de, T> Deserialize<'de> for Word<T>
where
    Self: TryFrom<String, Error = String>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<T> JsonSchema for Word<T> {
    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1})
    }

    fn inline_schema() -> bool {
        true
    }
}

/// What a preflight is told that it may use.
pub(super) enum Allowed {
    /// Whatever it asks for: browsers do not take `*` for `authorization`, nor at all where there
    /// are credentials.
    Asked,
    Listed(Option<HeaderValue>),
}

/// The value for a list of words.
pub(super) fn list<T: AsRef<str>>(
    option: &str,
    words: Option<OneOrMany<Word<T>>>,
    invalid: &mut Invalid,
) -> Allowed {
    let words = words.map_or(Vec::new(), OneOrMany::into_vec);
    let mut names: Vec<&str> = Vec::with_capacity(words.len());
    for (position, word) in words.iter().enumerate() {
        match word {
            Word::Any if words.len() == 1 => return Allowed::Asked,
            Word::Any => {
                let message = "expected `*` alone, as it means the others too";
                invalid.and(Invalid::at(format!("{option}[{position}]"), message));
            }
            Word::One(name) => names.push(name.as_ref()),
        }
    }
    if names.is_empty() {
        return Allowed::Listed(None);
    }
    let value = HeaderValue::from_str(&names.join(", ")).expect("tokens make a field value");
    Allowed::Listed(Some(value))
}
