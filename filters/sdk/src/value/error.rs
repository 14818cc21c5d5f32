//! Why a value is not what a program expects, in words for those who write configurations.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::{Key, Node, Value};

/// How much of a found value a message shows, in characters.
const SHOWN: usize = 60;

/// What is wrong with a secret that is written out.
pub(super) const WRITTEN_OUT: &str =
    "expected a reference to a secret, found a value that is written out";

const TRUE_OR_FALSE: &str = "`true` or `false`";

/// Why a value could not be decoded. Where is kept beside it: see [`super::de::Context`].
#[derive(Debug)]
pub(super) struct Error(pub(super) Box<Reason>);

#[derive(Debug)]
pub(super) enum Reason {
    /// The wrong kind of value, or a value out of range.
    Expected {
        expected: String,
        found: Found,
    },
    UnknownKey {
        name: String,
        known: Vec<&'static str>,
        /// The key above, where it could stand beside that one.
        beside: Option<String>,
    },
    UnknownValue {
        name: String,
        known: Vec<&'static str>,
    },
    Missing(&'static str),
    /// In the words of whoever refused it.
    Custom(String),
    /// The same, with what helps.
    Helped(String, String),
    /// A secret that is written out.
    Secret,
    /// Only because a part with a problem of its own was left out.
    FollowUp,
}

/// What was found instead.
#[derive(Debug)]
pub(super) enum Found {
    /// In the words of a message.
    Exactly(String),
    /// As a visitor saw it: a scalar is better shown as it was written.
    Roughly(String),
    Unsaid,
}

impl Error {
    pub(super) fn new(reason: Reason) -> Self {
        Self(Box::new(reason))
    }

    pub(super) fn expected(expected: &dyn Expected, found: Found) -> Self {
        Self::new(Reason::Expected {
            expected: humane(&expected.to_string()),
            found,
        })
    }

    /// The same, where a key is unknown that could stand beside the one above it.
    pub(super) fn beside(mut self, key: &Key, above: Option<(&Key, &[&str])>) -> Self {
        if let Reason::UnknownKey { beside, .. } = &mut *self.0 {
            let above = above.filter(|(_, known)| known.contains(&&*key.name));
            *beside = above.map(|(above, _)| above.name.clone());
        }
        self
    }

    /// A name without the value that belongs to it.
    pub(super) fn alone(expected: &dyn Expected, name: &str) -> Self {
        let (expected, name) = (humane(&expected.to_string()), cut(name));
        let is_boolean = expected == TRUE_OR_FALSE;
        let value = if is_boolean { "true" } else { "…" };
        let message = format!("expected {expected}, found `{name}` alone");
        let help = format!("write `{{ {name}: {value} }}`");
        Self::new(Reason::Helped(message, help))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Reason::Expected { expected, found } => {
                write!(f, "expected {expected}, found {found}")
            }
            Reason::UnknownKey { name, .. } => write!(f, "unknown key `{name}`"),
            Reason::UnknownValue { name, known } => {
                write!(
                    f,
                    "unknown value `{}`, expected {}",
                    cut(name),
                    one_of(known)
                )
            }
            Reason::Missing(name) => write!(f, "missing `{name}`"),
            Reason::Custom(message) | Reason::Helped(message, _) => f.write_str(message),
            Reason::Secret => f.write_str(WRITTEN_OUT),
            Reason::FollowUp => f.write_str("a part is missing"),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(found) | Self::Roughly(found) => f.write_str(found),
            Self::Unsaid => f.write_str("something else"),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(from_text(&message.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected, Found::Roughly(found(&unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected, Found::Roughly(found(&unexpected)))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::expected(expected, Found::Exactly(length.to_string()))
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Reason::UnknownValue {
            name: name.to_owned(),
            known: known.to_vec(),
        })
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Reason::UnknownKey {
            name: name.to_owned(),
            known: known.to_vec(),
            beside: None,
        })
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(Reason::Missing(name))
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::new(Reason::Custom(format!("`{name}` is written twice")))
    }
}

/// Understands the messages of other deserializers, whose words are for programmers.
fn from_text(message: &str) -> Reason {
    let message = message
        .rsplit_once(" at line ")
        .filter(|(_, place)| place.contains(" column "))
        .map_or(message, |(message, _)| message);
    if message.starts_with("data did not match any variant of untagged enum") {
        return Reason::Expected {
            expected: "one of the forms that are possible here".into(),
            found: Found::Unsaid,
        };
    }
    let syntax = message.strip_prefix("invalid ");
    if let Some(expected) = syntax.and_then(|rest| rest.strip_suffix(" syntax")) {
        return Reason::Expected {
            expected: humane(expected),
            found: Found::Unsaid,
        };
    }
    for wrong in ["invalid type: ", "invalid value: "] {
        let rest = message.strip_prefix(wrong);
        if let Some((found, expected)) = rest.and_then(|rest| rest.rsplit_once(", expected ")) {
            return Reason::Expected {
                expected: humane(expected),
                found: Found::Roughly(found_text(found)),
            };
        }
    }
    let message = match message.strip_prefix("missing field ") {
        Some(name) => format!("missing {name}"),
        None => message.replacen("unknown field ", "unknown key ", 1),
    };
    Reason::Custom(message)
}

/// What another deserializer says that it found, in our words.
fn found_text(found: &str) -> String {
    match found {
        "map" => "a map".into(),
        "sequence" => "a list".into(),
        "null" | "unit value" | "Option value" => "nothing".into(),
        _ => match found.split_once(' ') {
            Some(("string", text)) => format!("`{}`", cut(text.trim_matches('"'))),
            Some(("integer", value)) => format!("`{}`", cut(value.trim_matches('`'))),
            Some(("boolean", value)) => value.to_owned(),
            Some(("floating", value)) => value.trim_start_matches("point ").to_owned(),
            _ => found.to_owned(),
        },
    }
}

/// What a visitor expects, in words for those who write configurations.
fn humane(expected: &str) -> String {
    let number = expected.strip_prefix("a nonzero ");
    if let Some(range) = range(number.unwrap_or(expected), number.is_some()) {
        return range;
    }
    let length = ["a tuple of size ", "an array of length ", "tuple of "]
        .iter()
        .find_map(|prefix| expected.strip_prefix(prefix))
        .and_then(|rest| rest.split(' ').next())
        .filter(|length| length.bytes().all(|b| b.is_ascii_digit()));
    if let Some(length) = length {
        return format!("a list of {length} values");
    }
    let starts = |words: &[&str]| words.iter().any(|word| expected.starts_with(word));
    let humane = match expected {
        "a string" | "string" | "str" | "a borrowed string" => "text",
        "a character" | "char" => "one character",
        "a boolean" | "bool" => TRUE_OR_FALSE,
        "f32" | "f64" => "a number",
        "a sequence" | "sequence" | "seq" => "a list",
        "a map" | "map" => "a map",
        "unit" | "()" => "nothing",
        "IP address" => "an IP address such as `10.0.0.1`",
        "IPv4 address" => "an IPv4 address such as `10.0.0.1`",
        "IPv6 address" => "an IPv6 address such as `2001:db8::1`",
        "socket address" => "an address and a port such as `10.0.0.1:8080`",
        _ if starts(&[
            "struct ",
            "internally tagged enum",
            "adjacently tagged enum",
        ]) =>
        {
            "a map"
        }
        _ if starts(&["unit struct ", "unit variant "]) => "nothing",
        _ if starts(&["tuple struct ", "tuple variant "]) => "a list",
        _ if starts(&[
            "newtype ",
            "enum ",
            "variant ",
            "field ",
            "option",
            "any value",
        ]) =>
        {
            "another kind of value"
        }
        _ => return expected.to_owned(),
    };
    humane.to_owned()
}

/// The range of a number type.
fn range(name: &str, nonzero: bool) -> Option<String> {
    let least = i32::from(nonzero);
    let (from, to) = match name {
        "u8" => (least.to_string(), u8::MAX.to_string()),
        "u16" => (least.to_string(), u16::MAX.to_string()),
        "u32" => (least.to_string(), u32::MAX.to_string()),
        "u64" | "u128" | "usize" => return Some(format!("a whole number from {least} up")),
        "i8" => (i8::MIN.to_string(), i8::MAX.to_string()),
        "i16" => (i16::MIN.to_string(), i16::MAX.to_string()),
        "i32" => (i32::MIN.to_string(), i32::MAX.to_string()),
        "i64" | "i128" | "isize" => return Some("a whole number".to_owned()),
        _ => return None,
    };
    Some(format!("a whole number from {from} to {to}"))
}

fn found(unexpected: &Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("`{value}`"),
        Unexpected::Float(value) => format!("`{value}`"),
        Unexpected::Char(value) => format!("`{value}`"),
        Unexpected::Str(value) => format!("`{}`", cut(value)),
        Unexpected::Seq | Unexpected::TupleVariant => "a list".into(),
        Unexpected::Map | Unexpected::StructVariant => "a map".into(),
        Unexpected::Unit | Unexpected::Option | Unexpected::UnitVariant => "nothing".into(),
        Unexpected::Other(other) => found_text(other),
        _ => "another kind of value".into(),
    }
}

/// The value as a message shows it: as it was written, on one line, not too long.
pub(super) fn shown(value: &Value) -> String {
    match &value.node {
        Node::Null => "nothing".into(),
        Node::List(_) => "a list".into(),
        Node::Map(_) => "a map".into(),
        Node::Scalar(scalar) if scalar.source().is_empty() => "an empty text".into(),
        Node::Scalar(scalar) => format!("`{}`", cut(scalar.source())),
    }
}

/// A text on one line, not too long.
pub(super) fn cut(text: &str) -> String {
    let mut shown = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == SHOWN {
            shown.push('…');
            break;
        }
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

pub(super) fn one_of(known: &[&str]) -> String {
    let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "nothing".into(),
        [name] => name.clone(),
        names => format!("one of {}", names.join(", ")),
    }
}

/// The known name that someone probably meant, if one is near enough.
pub fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let lower = name.to_lowercase();
    let length = name.chars().count();
    known
        .into_iter()
        .map(|known| {
            (
                strsim::damerau_levenshtein(&lower, &known.to_lowercase()),
                known,
            )
        })
        .filter(|(distance, known)| {
            *distance <= 1 + length / 4 && *distance < known.chars().count().min(length).max(1)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let known = ["limit", "by", "key", "burst"];
        for (name, expected) in [
            ("limt", Some("limit")),
            ("Limit", Some("limit")),
            ("ilmit", Some("limit")),
            ("kay", Some("key")),
            ("x", None),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(name, known), expected, "{name}");
        }
    }

    #[test]
    fn the_words_of_other_deserializers_are_translated() {
        let error = serde_json::from_str::<Vec<u16>>("[70000]").unwrap_err();
        let error = <Error as de::Error>::custom(error);
        assert_eq!(
            error.to_string(),
            "expected a whole number from 0 to 65535, found `70000`"
        );
        let error = serde_json::from_str::<Vec<u16>>("{}").unwrap_err();
        let error = <Error as de::Error>::custom(error);
        assert_eq!(error.to_string(), "expected a list, found a map");
    }

    #[test]
    fn long_texts_are_cut_and_kept_on_one_line() {
        assert_eq!(cut("a\nb\u{1b}"), "a\\nb\\u{1b}");
        assert_eq!(cut(&"é".repeat(100)).chars().count(), SHOWN + 1);
    }
}
