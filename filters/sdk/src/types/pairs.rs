//! Maps that keep their order.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// A map in the order in which it was written. Two spellings of one key, such as `X-A` and `x-a`
/// as header fields, are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs<K, V>(Vec<(K, V)>);

impl<K, V> Default for Pairs<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K, V> Deref for Pairs<K, V> {
    type Target = [(K, V)];

    fn deref(&self) -> &[(K, V)] {
        &self.0
    }
}

impl<K, V> IntoIterator for Pairs<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de, K, V> Deserialize<'de> for Pairs<K, V>
where
    K: Deserialize<'de> + PartialEq + fmt::Display,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for Entries<K, V>
where
    K: Deserialize<'de> + PartialEq + fmt::Display,
    V: Deserialize<'de>,
{
    type Value = Pairs<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs: Vec<(K, V)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<K, V>()? {
            if pairs.iter().any(|(known, _)| *known == key) {
                let message = format!("expected each key once, found `{key}` in two spellings");
                return Err(A::Error::custom(message));
            }
            pairs.push((key, value));
        }
        Ok(Pairs(pairs))
    }
}

impl<K: JsonSchema, V: JsonSchema> JsonSchema for Pairs<K, V> {
    fn schema_name() -> Cow<'static, str> {
        format!("Pairs_{}_{}", K::schema_name(), V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (key, value) = (
            generator.subschema_for::<K>(),
            generator.subschema_for::<V>(),
        );
        json_schema!({"type": "object", "propertyNames": key, "additionalProperties": value})
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FieldName;

    #[test]
    fn keeps_the_order() {
        let pairs: Pairs<String, u8> = serde_json::from_str(r#"{"b": 1, "a": 2}"#).unwrap();
        assert_eq!(*pairs, [("b".to_owned(), 1), ("a".to_owned(), 2)]);
    }

    #[test]
    fn refuses_two_spellings_of_one_key() {
        let error = serde_json::from_str::<Pairs<FieldName, u8>>(r#"{"x-a": 1, "X-A": 2}"#);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("expected each key once, found `x-a` in two spellings"),
            "{error}"
        );
    }

    #[test]
    fn its_schema_is_that_of_a_map() {
        let schema = schemars::schema_for!(Pairs<String, bool>);
        assert_eq!(schema.get("type").unwrap(), "object");
        assert_eq!(
            schema.get("additionalProperties").unwrap()["type"],
            "boolean"
        );
    }
}
