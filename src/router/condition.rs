//! Conditions on a named value: a header, a query parameter, a cookie.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, EnumAccess, Error, MapAccess, VariantAccess, Visitor};

use super::regular::Regular;
use super::text::{from_text, shown};
use wiregate_sdk::types::OneOrMany;
use wiregate_sdk::value::SHORT_OR_FULL;

/// What a value must be. A text stands for itself; anything else is a map with one key.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Exactly this text.
    Exact(Box<str>),
    /// One of several forms of test.
    Test(Test),
}

/// A condition other than a fixed text.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// The whole value matches this regular expression.
    Regex(Regular),
    /// The value begins with this text.
    Prefix(Box<str>),
    /// The value is there, whatever it is; with `false`, it is not there.
    Present(bool),
    /// The value is exactly one of these texts.
    AnyOf(OneOrMany<Box<str>>),
}

impl Condition {
    /// Whether a value meets it; `None` stands for a value that is not there.
    pub(super) fn holds(&self, value: Option<&[u8]>) -> bool {
        if let Self::Test(Test::Present(present)) = self {
            return value.is_some() == *present;
        }
        let Some(value) = value else {
            return false;
        };
        match self {
            Self::Exact(text) => value == text.as_bytes(),
            Self::Test(Test::AnyOf(texts)) => texts.iter().any(|text| value == text.as_bytes()),
            Self::Test(Test::Prefix(start)) => value.starts_with(start.as_bytes()),
            Self::Test(Test::Regex(regex)) => {
                std::str::from_utf8(value).is_ok_and(|value| regex.is_match(value))
            }
            Self::Test(Test::Present(_)) => true,
        }
    }

    /// The texts that meet it, where only these do.
    pub(super) fn texts(&self) -> Option<&[Box<str>]> {
        match self {
            Self::Exact(text) => Some(std::slice::from_ref(text)),
            Self::Test(Test::AnyOf(texts)) => Some(texts),
            Self::Test(_) => None,
        }
    }

    /// What every value that meets it begins with.
    pub(super) fn start(&self) -> &str {
        match self {
            Self::Test(Test::Prefix(start)) => start,
            Self::Test(Test::Regex(regex)) => regex.start(),
            Self::Exact(text) => text,
            Self::Test(_) => "",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(&shown(text)),
            Self::Test(Test::Regex(regex)) => write!(f, "a match of {}", shown(regex.source())),
            Self::Test(Test::Prefix(start)) => write!(f, "{} at the start", shown(start)),
            Self::Test(Test::Present(true)) => f.write_str("any value"),
            Self::Test(Test::Present(false)) => f.write_str("no value"),
            Self::Test(Test::AnyOf(texts)) => {
                let texts: Vec<_> = texts.iter().map(|text| shown(text)).collect();
                f.write_str(&texts.join(" or "))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(SHORT_OR_FULL, Written)
    }
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Condition;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or one of `regex`, `prefix`, `present`, `any_of`")
    }

    /// A configuration hands over a text as it was written, so that `010` and `1.10` stay what
    /// they are.
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Condition, A::Error> {
        let (full, content) = data.variant::<bool>()?;
        if full {
            content.newtype_variant().map(Condition::Test)
        } else {
            content.newtype_variant().map(Condition::Exact)
        }
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<Condition, D::Error> {
        value.deserialize_any(self)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Condition, E> {
        Ok(Condition::Exact(text.into()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Condition, E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Condition, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Condition, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Condition, E> {
        Err(E::custom(format!(
            "expected a text, found the number `{value}`; put it in quotes, as its digits count"
        )))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Condition, A::Error> {
        Test::deserialize(MapAccessDeserializer::new(map)).map(Condition::Test)
    }
}

impl JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let test = generator.subschema_for::<Test>();
        json_schema!({"anyOf": [{"type": ["string", "integer", "boolean"]}, test]})
    }
}

/// Conditions by the name of the value, in the order of the file; a name stands there once.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditions<N>(Vec<(N, Condition)>);

impl<N> Default for Conditions<N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<N> std::ops::Deref for Conditions<N> {
    type Target = [(N, Condition)];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<N: PartialEq> Conditions<N> {
    pub(super) fn get(&self, name: &N) -> Option<&Condition> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, condition)| condition)
    }
}

impl<'de, N: FromStr<Err = String> + PartialEq> Deserialize<'de> for Conditions<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ByName(PhantomData))
    }
}

struct ByName<N>(PhantomData<N>);

impl<'de, N: FromStr<Err = String> + PartialEq> Visitor<'de> for ByName<N> {
    type Value = Conditions<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of names to conditions")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Conditions::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut conditions = Conditions::default();
        while let Some(key) = map.next_key::<String>()? {
            let name: N = key.parse().map_err(A::Error::custom)?;
            if conditions.get(&name).is_some() {
                return Err(A::Error::custom(format!(
                    "{} stands here twice",
                    shown(&key)
                )));
            }
            conditions.0.push((name, map.next_value()?));
        }
        Ok(conditions)
    }
}

impl<N> JsonSchema for Conditions<N> {
    fn schema_name() -> Cow<'static, str> {
        "Conditions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let condition = generator.subschema_for::<Condition>();
        json_schema!({"type": "object", "additionalProperties": condition})
    }
}

/// The name of a header that a route may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderKey(pub http::HeaderName);

impl FromStr for HeaderKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = http::HeaderName::from_bytes(text.as_bytes())
            .map_err(|_| format!("expected the name of a header, found {}", shown(text)))?;
        let instead = match &name {
            name if name == http::header::HOST => "`host`",
            name if name == http::header::COOKIE => "`cookies`",
            _ => return Ok(Self(name)),
        };
        Err(format!(
            "expected a header without a key of its own, found `{name}`; write {instead}"
        ))
    }
}

impl fmt::Display for HeaderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

from_text!(HeaderKey, {"type": "string", "description": "The name of a header."});

/// The name of a query parameter or of a cookie; case counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(pub Box<str>);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("expected a name, found nothing".into());
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

from_text!(Name, {"type": "string", "minLength": 1});

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(json: &str) -> Condition {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn each_form_holds_for_its_values() {
        let table: [(&str, &[&str], &[&str]); 7] = [
            (r#""a""#, &["a"], &["", "A", "aa"]),
            ("2", &["2"], &["02", ""]),
            ("true", &["true"], &["1"]),
            (r#"{"prefix": "ab"}"#, &["ab", "abc"], &["a", "xab"]),
            (r#"{"regex": "a+"}"#, &["a", "aa"], &["", "ba", "ab"]),
            (r#"{"any_of": ["a", "b"]}"#, &["a", "b"], &["", "ab"]),
            (r#"{"present": true}"#, &["", "x"], &[]),
        ];
        for (json, good, bad) in table {
            let condition = condition(json);
            assert!(
                good.iter()
                    .all(|value| condition.holds(Some(value.as_bytes()))),
                "{json}"
            );
            assert!(
                !bad.iter()
                    .any(|value| condition.holds(Some(value.as_bytes()))),
                "{json}"
            );
            assert!(!condition.holds(None), "{json}");
        }
        let absent = condition(r#"{"present": false}"#);
        assert!(absent.holds(None) && !absent.holds(Some(b"")));
        assert!(!condition(r#"{"regex": ".*"}"#).holds(Some(b"\xff")));
    }

    #[test]
    fn a_configuration_means_the_text_that_it_writes() {
        let file = "w.yaml".into();
        for text in ["0x10", "010", "1.10", "1e3", "True", "+5", "~x"] {
            let value = wiregate_sdk::value::read(&file, text).unwrap();
            let read: Condition = wiregate_sdk::value::decode(&value).unwrap();
            assert_eq!(read, Condition::Exact(text.into()), "{text}");
        }
        let value = wiregate_sdk::value::read(&file, "{ prefix: 010 }").unwrap();
        let read: Condition = wiregate_sdk::value::decode(&value).unwrap();
        assert!(read.holds(Some(b"0101")));
        for text in ["", "[a]", "{}", "{ prefixes: a }"] {
            let value = wiregate_sdk::value::read(&file, text).unwrap();
            let read = wiregate_sdk::value::decode::<Condition>(&value);
            assert!(read.is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for json in [
            "1.10",
            "null",
            "[]",
            "{}",
            r#"{"regexp": "a"}"#,
            r#"{"any_of": []}"#,
            r#"{"prefix": "a", "regex": "b"}"#,
            r#"{"regex": "("}"#,
        ] {
            assert!(serde_json::from_str::<Condition>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_name_stands_there_once() {
        let read = serde_json::from_str::<Conditions<HeaderKey>>;
        assert_eq!(
            read(r#"{"x-b": "1", "X-A": "2"}"#).unwrap()[1]
                .0
                .to_string(),
            "x-a"
        );
        let error = read(r#"{"x-a": "1", "X-A": "2"}"#).unwrap_err().to_string();
        assert!(error.starts_with("`X-A` stands here twice"), "{error}");
        let error = read(r#"{"Host": "a"}"#).unwrap_err().to_string();
        assert!(error.contains("write `host`"), "{error}");
        assert!(read(r#"{"x y": "a"}"#).is_err());
    }
}
