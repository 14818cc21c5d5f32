//! The serde deserializer over a [`Value`].

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use serde::de::{DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer, Visitor};

use super::error::{Error, Found, Reason, cut, shown};
use super::hidden::note;
use super::magic::{AT, HIDDEN, Handed, ONE_OR_MANY, RAW, SECRET, SHORT_OR_FULL, TEMPLATE, hand};
use super::resolve::{self, Plain};
use super::text::NoText;
use super::{Key, Node, Scalar, Value};

mod access;
mod blank;

use access::{Entries, Items, Tagged};

/// Where decoding failed.
#[derive(Clone, Copy)]
pub(super) enum Spot<'de> {
    Value(&'de Value),
    /// A key, with the value below it.
    Key(&'de Key, &'de Value),
}

/// What one attempt at decoding knows and finds out.
#[derive(Default)]
pub(super) struct Context<'de> {
    /// The innermost spot of the failure that is on its way up. Kept here rather than in the
    /// error, because a visitor may turn an error into another one.
    pub(super) failed: Cell<Option<Spot<'de>>>,
    /// The values that are left out, because their problems have been told.
    pub(super) dropped: HashSet<Id>,
    /// The keys that are made up, because it has been told that they are missing.
    pub(super) blanks: HashMap<Id, Vec<&'static str>>,
}

/// Tells one value of a tree from all others, as long as the tree stays.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(usize);

impl Id {
    pub(super) fn of(value: &Value) -> Self {
        Self(std::ptr::from_ref(value) as usize)
    }
}

impl<'de> Context<'de> {
    fn fail(&self, spot: Spot<'de>) {
        if self.failed.get().is_none() {
            self.failed.set(Some(spot));
        }
    }

    fn has(&self, value: &Value) -> bool {
        self.dropped.is_empty() || !self.dropped.contains(&Id::of(value))
    }
}

/// Deserializes one value.
#[derive(Clone, Copy)]
pub(super) struct De<'de, 'c> {
    value: &'de Value,
    /// Nothing was written where the value would be: `cors` instead of `cors: {}`.
    blank: bool,
    /// The key above it, and the keys that its map may have where these are known.
    key: Option<(&'de Key, &'static [&'static str])>,
    cx: &'c Context<'de>,
}

impl<'de, 'c> De<'de, 'c> {
    pub(super) fn new(value: &'de Value, cx: &'c Context<'de>) -> Self {
        Self {
            value,
            blank: false,
            key: None,
            cx,
        }
    }

    fn node(self) -> &'de Node {
        if self.blank {
            &Node::Null
        } else {
            &self.value.node
        }
    }

    /// Decodes the value and notes if that failed here, not deeper.
    fn track<T>(self, decode: impl FnOnce(Self) -> Result<T, Error>) -> Result<T, Error> {
        let result = decode(self);
        match &result {
            // A failure below did not matter after all.
            Ok(_) => self.cx.failed.set(None),
            Err(_) => self.cx.fail(Spot::Value(self.value)),
        }
        result
    }

    /// Whether a key is written with nothing behind it. Most often what stood there was taken out,
    /// or is a comment now. To take it for a key that is not there could open what it was to close.
    fn is_bare_key(self) -> bool {
        self.key.is_some() && !self.blank && self.value.node == Node::Null
    }

    fn bare_key(self, help: &str) -> Error {
        let name = self.key.map_or("", |(key, _)| &key.name);
        let message = format!("expected a value of `{}`, found nothing", cut(name));
        Error::new(Reason::Helped(message, help.to_owned()))
    }

    fn wrong(self, expected: &dyn Expected) -> Error {
        match &self.value.node {
            Node::Scalar(scalar) if self.blank => Error::alone(expected, scalar.source()),
            _ => Error::expected(expected, Found::Exactly(shown(self.value))),
        }
    }

    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Node::Scalar(scalar) = self.node() else {
            return Err(self.wrong(&visitor));
        };
        match plain_text(scalar)? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    /// The text of a scalar that may be a number or a boolean.
    fn unquoted(self, expected: &dyn Expected) -> Result<&'de str, Error> {
        match self.node() {
            Node::Scalar(scalar) if !scalar.quoted || scalar.is_reference() => Ok(&scalar.text),
            Node::Scalar(_) => {
                let found = Found::Exactly(format!("the text {}", shown(self.value)));
                let message = Error::expected(expected, found).to_string();
                let help = "remove the quotes".to_owned();
                Err(Error::new(Reason::Helped(message, help)))
            }
            _ => Err(self.wrong(expected)),
        }
    }

    fn integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Some(number) = resolve::int(self.unquoted(&visitor)?) else {
            return Err(self.wrong(&visitor));
        };
        match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => visitor.visit_u64(number),
            (_, Ok(number)) => visitor.visit_i64(number),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn float<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match resolve::float(self.unquoted(&visitor)?) {
            Some(number) => visitor.visit_f64(number),
            None => Err(self.wrong(&visitor)),
        }
    }

    fn boolean<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match resolve::boolean(self.unquoted(&visitor)?) {
            Some(value) => visitor.visit_bool(value),
            None => Err(self.wrong(&visitor)),
        }
    }

    fn unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node() {
            Node::Null => visitor.visit_unit(),
            Node::Map(entries) if entries.is_empty() => visitor.visit_unit(),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn map<V: Visitor<'de>>(
        self,
        visitor: V,
        known: &'static [&'static str],
    ) -> Result<V::Value, Error> {
        if self.is_bare_key() {
            return Err(self.bare_key("remove the key, or write a value: `{}` for an empty one"));
        }
        match Entries::new(self, known) {
            Some(entries) => visitor.visit_map(entries),
            None => Err(self.wrong(&visitor)),
        }
    }

    fn list<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Node::List(items) = self.node() else {
            return Err(self.wrong(&visitor));
        };
        let decoded = visitor.visit_seq(Items::new(items, self.cx));
        let complete = items.iter().all(|item| self.cx.has(item));
        if complete || self.cx.failed.get().is_some() {
            return decoded;
        }
        // Too short only because of what was left out.
        decoded.map_err(|_| Error::new(Reason::FollowUp))
    }

    /// By the core schema, for targets that take what comes.
    fn scalar<V: Visitor<'de>>(self, scalar: &'de Scalar, visitor: V) -> Result<V::Value, Error> {
        let text = plain_text(scalar)?;
        // The target may be a template, behind a buffer that hides it. What a secret holds must
        // not be taken for an expression there.
        if scalar.resolved.iter().any(|value| value.contains("${")) {
            let written = shown(self.value);
            let message = format!("what {written} resolves to contains `${{`, impossible here");
            return Err(Error::custom(message));
        }
        if !scalar.quoted {
            match resolve::plain(&text) {
                Plain::Bool(value) => return visitor.visit_bool(value),
                Plain::Float(value) => return visitor.visit_f64(value),
                Plain::Int(value) => {
                    if let Ok(value) = u64::try_from(value) {
                        return visitor.visit_u64(value);
                    }
                    if let Ok(value) = i64::try_from(value) {
                        return visitor.visit_i64(value);
                    }
                }
                Plain::Text => {}
            }
        }
        match text {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }
}

/// The text for a target that is no template.
fn plain_text(scalar: &Scalar) -> Result<Cow<'_, str>, Error> {
    scalar.plain().map_err(|error| {
        let escape = "`$${` stands for a literal `${`".to_owned();
        let message = match error {
            NoText::Expression(text) => format!("`{text}` is only possible in templates"),
            NoText::Unresolved(text) => format!("the reference `{text}` is not resolved"),
            NoText::Unclosed => "expected `}` behind `${`, found the end of the text".to_owned(),
        };
        Error::new(Reason::Helped(message, escape))
    })
}

macro_rules! forward {
    ($to:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$to(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for De<'de, '_> {
    type Error = Error;

    forward!(integer: deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128);
    forward!(integer: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128);
    forward!(float: deserialize_f32 deserialize_f64);
    forward!(text: deserialize_char deserialize_str deserialize_string deserialize_identifier);
    forward!(text: deserialize_bytes deserialize_byte_buf);
    forward!(boolean: deserialize_bool);
    forward!(unit: deserialize_unit);
    forward!(list: deserialize_seq);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node() {
            Node::Null => visitor.visit_unit(),
            Node::Scalar(scalar) => self.scalar(scalar, visitor),
            Node::List(_) => self.list(visitor),
            Node::Map(_) => self.map(visitor, &[]),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node() {
            Node::Null if self.is_bare_key() => {
                Err(self.bare_key("remove the key, or write a value"))
            }
            Node::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match (name, self.node()) {
            (AT, _) => {
                hand(Handed::Place(self.value.place.clone()));
                visitor.visit_some(self)
            }
            (RAW, node) => {
                hand(Handed::Value(Value {
                    place: self.value.place.clone(),
                    node: node.clone(),
                }));
                visitor.visit_unit()
            }
            (HIDDEN, node) => {
                // A reference may be shown: it is not what it stands for.
                if !matches!(node, Node::Scalar(scalar) if scalar.written.is_some()) {
                    note(&self.value.place);
                }
                visitor.visit_newtype_struct(self)
            }
            (TEMPLATE, Node::Scalar(scalar)) => visitor.visit_str(&scalar.template()),
            (TEMPLATE, _) => Err(self.wrong(&"text")),
            (SECRET, Node::Scalar(scalar)) if scalar.is_reference() => {
                visitor.visit_str(&plain_text(scalar)?)
            }
            (SECRET, Node::Null) => Err(self.wrong(&"a reference to a secret")),
            (SECRET, _) => Err(Error::new(Reason::Secret)),
            (ONE_OR_MANY, Node::List(_)) => self.list(visitor),
            (ONE_OR_MANY, Node::Null) => Err(self.wrong(&"a value or a list")),
            (ONE_OR_MANY, _) => visitor.visit_seq(Items::one(self.value, self.cx)),
            (SHORT_OR_FULL, Node::Map(_) | Node::Null) => visitor.visit_enum(Choice(self, true)),
            (SHORT_OR_FULL, _) => visitor.visit_enum(Choice(self, false)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.map(visitor, &[])
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.map(visitor, fields)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(Tagged::new(self, variants)?)
    }

    /// A key that its target would skip is an error: nothing in a configuration is ignored.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.key {
            Some((key, known)) if !known.is_empty() => {
                self.cx.fail(Spot::Key(key, self.value));
                Err(Error::unknown_field(&key.name, known))
            }
            _ => self.deserialize_any(visitor),
        }
    }
}

/// Whether a value is in full, and the value.
struct Choice<'de, 'c>(De<'de, 'c>, bool);

impl<'de, 'c> serde::de::EnumAccess<'de> for Choice<'de, 'c> {
    type Error = Error;
    type Variant = access::Content<'de, 'c>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), Error> {
        let full: serde::de::value::BoolDeserializer<Error> = self.1.into_deserializer();
        Ok((seed.deserialize(full)?, access::Content(self.0)))
    }
}
