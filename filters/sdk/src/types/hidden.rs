//! What may be written out, and is not shown again.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Visitor};

use crate::value::HIDDEN;

/// A value that stands in a configuration as it is, such as the hash of a password, and helps whoever
/// sees it to find a secret out: neither `Debug`, nor the admin API, nor a report on a problem of its line
/// shows it. What is a secret itself is a [`Secret`](super::Secret).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hidden<T>(T);

impl<T> Deref for Hidden<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Hidden<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(HIDDEN, HiddenVisitor(PhantomData))
    }
}

struct HiddenVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for HiddenVisitor<T> {
    type Value = Hidden<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another kind of value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Hidden<T>, D::Error> {
        T::deserialize(deserializer).map(Hidden)
    }
}

impl<T: JsonSchema> JsonSchema for Hidden<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
    fn inline_schema() -> bool {
        T::inline_schema()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::resolve;
    use crate::value::{At, Noted, decode, read};

    const TEXT: &str = "a: { hash: abc, name: abc }\nb: { hash: '${env:abc}' }\n";

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct User {
        hash: At<Hidden<Box<str>>>,
        #[serde(default)]
        name: String,
    }

    #[test]
    fn is_not_shown_where_it_is_written_out() {
        let mut source = read(&"t.yaml".into(), TEXT).unwrap();
        resolve(&mut source);
        let noted = Noted::begin();
        let users: BTreeMap<String, User> = decode(&source).unwrap();
        assert_eq!(
            (&**users["a"].hash.value, &*users["a"].name),
            ("abc", "abc")
        );
        assert!(format!("{users:?}").contains("[hidden]"));
        let places = noted.places();
        let found: Vec<_> = places
            .iter()
            .map(|place| (place.line, place.column))
            .collect();
        assert_eq!(found, [(1, 12)]);
        let shown = source.shown_without(&places);
        assert_eq!(shown["a"]["hash"], "[hidden]");
        assert_eq!(shown["a"]["name"], "abc");
        drop(noted);
        assert_eq!(
            source.shown_without(&Noted::begin().places())["a"]["hash"],
            "abc"
        );
    }
}
