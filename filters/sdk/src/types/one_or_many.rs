//! One value, or a list of them.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{
    Deserialize, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};

/// One value, or a list of at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(Vec<T>);

impl<T> OneOrMany<T> {
    /// The values; at least one.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }

    /// The first value.
    pub fn first(&self) -> &T {
        self.0.first().expect("never empty")
    }
}

impl<T> From<T> for OneOrMany<T> {
    fn from(value: T) -> Self {
        Self(vec![value])
    }
}

impl<T> Deref for OneOrMany<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> IntoIterator for OneOrMany<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a OneOrMany<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// A deserializer that knows this name calls `visit_seq`, with a list of one where no list was
/// written, so that each value keeps its own deserializer. Any other one calls
/// `visit_newtype_struct`, and the value is looked at for what it is.
pub(crate) use crate::value::ONE_OR_MANY as NAME;

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values: Vec<T> = deserializer.deserialize_newtype_struct(NAME, Values(PhantomData))?;
        if values.is_empty() {
            return Err(D::Error::custom(
                "expected at least one value, found an empty list",
            ));
        }
        Ok(Self(values))
    }
}

struct Values<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Values<T> {
    fn one<E: Error>(value: impl Deserializer<'de, Error = E>) -> Result<Vec<T>, E> {
        T::deserialize(value).map(|value| vec![value])
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Values<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list of values")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<Vec<T>, D::Error> {
        value.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<Vec<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
        Self::one(MapAccessDeserializer::new(map))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Vec<T>, E> {
        Self::one(value.into_deserializer())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Vec<T>, E> {
        Self::one(value.into_deserializer())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Vec<T>, E> {
        Self::one(value.into_deserializer())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Vec<T>, E> {
        Self::one(value.into_deserializer())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Vec<T>, E> {
        Self::one(value.into_deserializer())
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::types::Status;

    fn read<T: for<'de> Deserialize<'de>>(json: &str) -> Result<Vec<T>, String> {
        serde_json::from_str::<OneOrMany<T>>(json)
            .map(OneOrMany::into_vec)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn reads_a_scalar_a_map_or_a_list() {
        assert_eq!(read::<String>(r#""a""#).unwrap(), ["a"]);
        assert_eq!(read::<String>(r#"["a", "b"]"#).unwrap(), ["a", "b"]);
        assert_eq!(read::<u16>("7").unwrap(), [7]);
        assert_eq!(read::<bool>("true").unwrap(), [true]);
        assert_eq!(read::<i8>("-7").unwrap(), [-7]);
        assert_eq!(read::<Status>(r#"[404, "503"]"#).unwrap().len(), 2);
        let map = read::<BTreeMap<String, u8>>(r#"{"a": 1}"#).unwrap();
        assert_eq!(map[0]["a"], 1);
    }

    #[test]
    fn is_never_empty() {
        let error = read::<String>("[]").unwrap_err();
        assert!(
            error.contains("expected at least one value, found an empty list"),
            "{error}"
        );
    }

    #[test]
    fn passes_errors_of_the_value_on() {
        let error = read::<Status>("700").unwrap_err();
        assert!(error.contains("expected a status code"), "{error}");
        let error = read::<Status>("[200, 700]").unwrap_err();
        assert!(error.contains("expected a status code"), "{error}");
    }

    #[test]
    fn its_schema_allows_both() {
        let schema = schemars::schema_for!(OneOrMany<u8>);
        let any_of = schema.get("anyOf").unwrap().as_array().unwrap();
        assert_eq!(any_of[1]["minItems"], 1);
        assert_eq!(any_of[0], any_of[1]["items"]);
    }
}
