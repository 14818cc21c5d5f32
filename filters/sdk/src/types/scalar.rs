//! What all types that are written as one word have in common: how they read themselves.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Visitor};

/// A value that is written as one word.
pub(crate) trait Scalar: FromStr<Err = String> {
    /// What a user should write, with an example: ``a duration such as `5s` ``.
    const EXPECTED: &'static str;
    /// Whether a format that tells numbers from text may hold a number here.
    const NUMBERS: bool;

    /// The error for something else.
    fn wrong(found: &str) -> String {
        expected(Self::EXPECTED, found)
    }
}

/// The sentence of all errors here.
pub(crate) fn expected(what: &str, text: &str) -> String {
    format!("expected {what}, found {}", found(text))
}

/// What was found, fit to be shown: on one line, and not too long.
pub(crate) fn found(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.is_empty() {
        return "nothing".into();
    }
    let mut shown = String::new();
    let mut rest = text.chars();
    for c in rest.by_ref().take(SHOWN) {
        match c {
            '\'' | '"' | '\\' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    let cut = if rest.as_str().is_empty() { "" } else { "…" };
    format!("`{shown}{cut}`")
}

/// The number at the start of a text, and the rest. No sign, no fraction; `None` without a digit
/// or beyond `u64`.
pub(crate) fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// Reads a scalar from its text, or from a number where one may stand for it.
pub(crate) fn deserialize<'de, T: Scalar, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let visitor = Text(PhantomData);
    if T::NUMBERS {
        deserializer.deserialize_any(visitor)
    } else {
        deserializer.deserialize_str(visitor)
    }
}

struct Text<T>(PhantomData<T>);

impl<T: Scalar> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

/// Implements reading, writing (which is how the JSON Schema shows a default) and the JSON Schema for a
/// type with `FromStr` and `Display`.
macro_rules! scalar {
    ($type:ident, expected: $expected:literal, numbers: $numbers:literal, schema: $schema:tt) => {
        impl crate::types::scalar::Scalar for $type {
            const EXPECTED: &'static str = $expected;
            const NUMBERS: bool = $numbers;
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::types::scalar::deserialize(deserializer)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

pub(crate) use scalar;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_shown_on_one_short_line() {
        assert_eq!(found(""), "nothing");
        assert_eq!(found("a\n'b'"), r"`a\n'b'`");
        let long = found(&"é".repeat(1000));
        assert_eq!(long, format!("`{}…`", "é".repeat(60)));
    }

    #[test]
    fn a_number_needs_a_digit_and_must_fit() {
        assert_eq!(number_and_unit("10ms"), Some((10, "ms")));
        assert_eq!(number_and_unit("10"), Some((10, "")));
        for text in ["", "ms", "-1s", "+1s", "99999999999999999999s"] {
            assert_eq!(number_and_unit(text), None, "{text}");
        }
    }
}
