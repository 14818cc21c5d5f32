//! The parts of maps, lists and tagged values.

use std::slice;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};

use super::super::error::{Error, Reason, one_of};
use super::super::magic::{AT, Handed, hand};
use super::super::{Key, Node, Value, resolve};
use super::blank::Blank;
use super::{Context, De, Id, Spot, plain_text};

/// The entries of a map, without those that are left out and with those that are made up.
pub(super) struct Entries<'de, 'c> {
    rest: slice::Iter<'de, (Key, Value)>,
    blanks: slice::Iter<'c, &'static str>,
    known: &'static [&'static str],
    /// The key above, and those that may stand beside it.
    above: Option<(&'de Key, &'static [&'static str])>,
    current: Option<&'de (Key, Value)>,
    cx: &'c Context<'de>,
}

impl<'de, 'c> Entries<'de, 'c> {
    /// The entries of a value, where it is a map or nothing.
    pub(super) fn new(de: De<'de, 'c>, known: &'static [&'static str]) -> Option<Self> {
        let cx = de.cx;
        let entries: &[_] = match de.node() {
            Node::Map(entries) => entries,
            Node::Null => &[],
            _ => return None,
        };
        let blanks: &[_] = cx.blanks.get(&Id::of(de.value)).map_or(&[], Vec::as_slice);
        Some(Self {
            rest: entries.iter(),
            blanks: blanks.iter(),
            known,
            above: de.key,
            current: None,
            cx,
        })
    }
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let cx = self.cx;
        self.current = self.rest.find(|(_, value)| cx.has(value));
        if let Some((key, value)) = self.current {
            let name = seed.deserialize(Name(key));
            return name.map(Some).map_err(|error| {
                cx.fail(Spot::Key(key, value));
                error.beside(key, self.above)
            });
        }
        let Some(name) = self.blanks.next() else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, Error> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let Some((key, value)) = self.current else {
            return seed.deserialize(Blank);
        };
        let de = De {
            key: Some((key, self.known)),
            ..De::new(value, self.cx)
        };
        de.track(|de| seed.deserialize(de))
    }
}

/// The items of a list, without those that are left out.
pub(super) struct Items<'de, 'c> {
    rest: slice::Iter<'de, Value>,
    cx: &'c Context<'de>,
}

impl<'de, 'c> Items<'de, 'c> {
    pub(super) fn new(items: &'de [Value], cx: &'c Context<'de>) -> Self {
        Self {
            rest: items.iter(),
            cx,
        }
    }

    /// A single value, as if it were a list of one.
    pub(super) fn one(value: &'de Value, cx: &'c Context<'de>) -> Self {
        Self::new(slice::from_ref(value), cx)
    }
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let cx = self.cx;
        match self.rest.find(|value| cx.has(value)) {
            Some(value) => De::new(value, cx)
                .track(|de| seed.deserialize(de))
                .map(Some),
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A name with or without a value: `round_robin`, or `hash: { by: … }`.
pub(super) struct Tagged<'de, 'c> {
    name: std::borrow::Cow<'de, str>,
    key: Option<(&'de Key, &'de Value)>,
    content: De<'de, 'c>,
}

impl<'de, 'c> Tagged<'de, 'c> {
    pub(super) fn new(de: De<'de, 'c>, variants: &'static [&'static str]) -> Result<Self, Error> {
        let entries = match de.node() {
            Node::Scalar(scalar) => {
                return Ok(Self {
                    name: plain_text(scalar)?,
                    key: None,
                    content: De { blank: true, ..de },
                });
            }
            Node::Map(entries) => entries,
            _ => return Err(de.wrong(&one_of(variants).as_str())),
        };
        match entries.as_slice() {
            [] => Err(Error::invalid_value(
                Unexpected::Other("an empty map"),
                &one_of(variants).as_str(),
            )),
            [(_, value)] if !de.cx.has(value) => Err(Error::new(Reason::FollowUp)),
            [(key, value)] => Ok(Self {
                name: key.name.as_str().into(),
                key: Some((key, value)),
                content: De::new(value, de.cx),
            }),
            entries => Err(several(entries, variants)),
        }
    }
}

/// More than one key where only one may be: most often options that are not indented.
fn several(entries: &[(Key, Value)], variants: &[&str]) -> Error {
    let names: Vec<_> = entries.iter().map(|(key, _)| key.name.as_str()).collect();
    let message = format!(
        "expected one key, found {}: `{}`",
        names.len(),
        names.join("`, `")
    );
    let help = match names.as_slice() {
        [first, second, ..] if !variants.contains(second) => {
            format!("indent `{second}` further if it belongs to `{first}`")
        }
        _ => format!("choose {}", one_of(&names)),
    };
    Error::new(Reason::Helped(message, help))
}

impl<'de, 'c> EnumAccess<'de> for Tagged<'de, 'c> {
    type Error = Error;
    type Variant = Content<'de, 'c>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), Error> {
        let name: StrDeserializer<'_, Error> = (*self.name).into_deserializer();
        let result = seed.deserialize(name);
        if let (Err(_), Some((key, value))) = (&result, self.key) {
            self.content.cx.fail(Spot::Key(key, value));
        }
        Ok((result?, Content(self.content)))
    }
}

/// The value under a name.
pub(super) struct Content<'de, 'c>(pub(super) De<'de, 'c>);

struct NoOptions;

impl Expected for NoOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name without options")
    }
}

impl<'de> VariantAccess<'de> for Content<'de, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        self.0.track(|de| match de.node() {
            Node::Null => Ok(()),
            Node::Map(entries) if entries.is_empty() => Ok(()),
            _ => Err(de.wrong(&NoOptions)),
        })
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        self.0.track(|de| seed.deserialize(de))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.0.track(|de| de.list(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.track(|de| de.map(visitor, fields))
    }
}

/// Deserializes a key.
struct Name<'de>(&'de Key);

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match resolve::int(&self.0.name).map(u64::try_from) {
                Some(Ok(number)) => visitor.visit_u64(number),
                _ => Err(Error::invalid_value(Unexpected::Str(&self.0.name), &visitor)),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Name<'de> {
    type Error = Error;

    numbers!(deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(&self.0.name)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == AT {
            hand(Handed::Place(self.0.place.clone()));
            return visitor.visit_some(self);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let name: StrDeserializer<'_, Error> = self.0.name.as_str().into_deserializer();
        visitor.visit_enum(name)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}
