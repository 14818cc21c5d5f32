//! Targets that ask [`decode`](super::decode()) for more than serde can say. Each announces itself
//! by the name of a newtype; to any other deserializer it is that newtype.

use std::borrow::{Borrow, Cow};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, EnumAccess, Error as _, VariantAccess, Visitor};
use serde::{Serialize, Serializer};

use super::{Place, Value};

/// The newtype name by which a target asks for the text of a template: what references resolved
/// to has every `$` doubled, and escapes are as they were written. Its visitor gets `visit_str`.
pub const TEMPLATE: &str = "$wiregate::Template";
/// The newtype name by which a target asks for a list, be it written as a list or as a single
/// value. Its visitor gets `visit_seq`.
pub const ONE_OR_MANY: &str = "$wiregate::OneOrMany";
/// The newtype name by which a target asks for a secret: a single reference (`${env:NAME}`) and
/// nothing else. Its visitor gets `visit_str` with what the reference resolved to.
pub const SECRET: &str = "$wiregate::Secret";
/// The newtype name by which a target says that what is written there is not to be shown again. Its
/// visitor gets `visit_newtype_struct`.
pub const HIDDEN: &str = "$wiregate::Hidden";
pub(super) const AT: &str = "$wiregate::At";
pub(super) const RAW: &str = "$wiregate::Raw";
/// The newtype name by which a target asks for what is written in short, or in full as a map. Its
/// visitor gets `visit_enum` with `true` for a map, and the value as the variant's content.
pub const SHORT_OR_FULL: &str = "$wiregate::ShortOrFull";

thread_local! {
    // Serde can only carry its own kinds of values. What these targets ask for is laid down here
    // and taken up within one call; it is empty before and after.
    static HANDED: RefCell<Option<Handed>> = const { RefCell::new(None) };
}

pub(super) enum Handed {
    Place(Place),
    Value(Value),
}

pub(super) fn hand(handed: Handed) {
    HANDED.set(Some(handed));
}

fn take() -> Option<Handed> {
    HANDED.take()
}

/// A decoded value, together with its place, for those that are checked against others later.
/// It equals, sorts and hashes as the value alone, so it may be the key of a map.
#[derive(Clone, Debug)]
pub struct At<T> {
    /// Where it begins; line 0 of a file without a name where it was not read from a file.
    pub place: Place,
    /// The value.
    pub value: T,
}

/// As its value: where it was written is not part of what it says.
impl<T: serde::Serialize> serde::Serialize for At<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T> At<T> {
    /// A value that was not read from a file.
    pub fn nowhere(value: T) -> Self {
        let place = Place {
            file: Arc::from(""),
            line: 0,
            column: 0,
            width: 1,
        };
        Self { place, value }
    }
}

impl<T> Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

impl<T: PartialOrd> PartialOrd for At<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl<T: Ord> Ord for At<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

impl<T: Hash> Hash for At<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl Borrow<str> for At<String> {
    fn borrow(&self) -> &str {
        &self.value
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(AT, AtVisitor(PhantomData))
    }
}

struct AtVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AtVisitor<T> {
    type Value = At<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another kind of value")
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<At<T>, D::Error> {
        let handed = take();
        let value = T::deserialize(deserializer)?;
        Ok(match handed {
            Some(Handed::Place(place)) => At { place, value },
            _ => At::nowhere(value),
        })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<At<T>, D::Error> {
        T::deserialize(deserializer).map(At::nowhere)
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
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

/// An undecoded value, for whoever knows later what to expect.
#[derive(Clone, Debug)]
pub struct Raw(pub Value);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(RAW, RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a configuration file")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Raw, E> {
        match take() {
            Some(Handed::Value(value)) => Ok(Raw(value)),
            _ => Err(E::custom("expected a value of a configuration file")),
        }
    }
}

impl JsonSchema for Raw {
    fn schema_name() -> Cow<'static, str> {
        "Any".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        true.into()
    }
    fn inline_schema() -> bool {
        true
    }
}

/// A value that may be written in short, as a scalar or a list, or in full, as a map. Unlike an
/// untagged enum it keeps the place and the words of every problem, and takes templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShortOrFull<S, F> {
    /// A scalar or a list was written.
    Short(S),
    /// A map was written, or nothing.
    Full(F),
}

impl<'de, S: Deserialize<'de>, F: Deserialize<'de>> Deserialize<'de> for ShortOrFull<S, F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(SHORT_OR_FULL, ShortOrFullVisitor(PhantomData))
    }
}

impl<S: Serialize, F: Serialize> Serialize for ShortOrFull<S, F> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        match self {
            Self::Short(short) => short.serialize(serializer),
            Self::Full(full) => full.serialize(serializer),
        }
    }
}

struct ShortOrFullVisitor<S, F>(PhantomData<(S, F)>);

impl<'de, S: Deserialize<'de>, F: Deserialize<'de>> Visitor<'de> for ShortOrFullVisitor<S, F> {
    type Value = ShortOrFull<S, F>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a configuration file")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Self::Value, A::Error> {
        let (full, content) = data.variant::<bool>()?;
        if full {
            content.newtype_variant().map(ShortOrFull::Full)
        } else {
            content.newtype_variant().map(ShortOrFull::Short)
        }
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<Self::Value, D::Error> {
        Err(D::Error::custom("expected a value of a configuration file"))
    }
}

impl<S: JsonSchema, F: JsonSchema> JsonSchema for ShortOrFull<S, F> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}Or{}", S::schema_name(), F::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (short, full) = (
            generator.subschema_for::<S>(),
            generator.subschema_for::<F>(),
        );
        schemars::json_schema!({ "anyOf": [short, full] })
    }
    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_deserializers_give_values_without_a_place() {
        let at: At<u16> = serde_json::from_str("5").unwrap();
        assert_eq!((at.value, at.place.line), (5, 0));
        assert!(serde_json::from_str::<Raw>("5").is_err());
        assert!(serde_json::from_str::<ShortOrFull<u8, u8>>("5").is_err());
    }
}
