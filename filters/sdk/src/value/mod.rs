//! Configuration values that know where they were written.

mod budget;
mod de;
mod decode;
mod error;
mod hidden;
mod magic;
mod map;
mod resolve;
mod scrub;
mod syntax;
mod text;
mod yaml;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

pub use budget::{MAX_BYTES, MAX_DEPTH, MAX_NODES};
pub use decode::{decode, decode_partly};
pub use error::did_you_mean;
pub use hidden::Noted;
pub use magic::{At, HIDDEN, ONE_OR_MANY, Raw, SECRET, SHORT_OR_FULL, ShortOrFull, TEMPLATE};
pub use scrub::{Secrets, scrub};
pub use text::{Piece, pieces};
pub use yaml::read;

/// A place in a configuration file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The file, as the user named it.
    pub file: Arc<str>,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
    /// How many characters to underline; at least 1.
    pub width: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What was expected and what was found; lower case, no full stop.
    pub message: String,
    /// What to do, e.g. `did you mean `limit`?`.
    pub help: Option<String>,
    /// Other places that have to do with it, each with a word on why.
    pub related: Vec<(Place, String)>,
    /// Whether what is written at the place must not be shown, because it is a secret.
    pub secret: bool,
}

impl Problem {
    /// A problem at a place.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            help: None,
            related: Vec::new(),
            secret: false,
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Points to another place.
    #[must_use]
    pub fn related(mut self, place: Place, why: impl Into<String>) -> Self {
        self.related.push((place, why.into()));
        self
    }
}

/// A value of a configuration file, with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Where it begins; where nothing was written, its key.
    pub place: Place,
    /// What it is.
    pub node: Node,
}

/// What a [`Value`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Nothing was written.
    Null,
    /// A single value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Value>),
    /// Keys and values, in the order of the file; no key is there twice.
    Map(Vec<(Key, Value)>),
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Where it begins.
    pub place: Place,
    /// The key.
    pub name: String,
}

/// A single value, as text.
#[derive(Clone, PartialEq)]
pub struct Scalar {
    /// The text, references resolved.
    pub text: String,
    /// The text with its references, where it has any: for `/config` and for messages, which
    /// must not show what a secret resolved to.
    pub written: Option<String>,
    /// What each reference of `written` resolved to, in their order.
    pub resolved: Vec<String>,
    /// Whether it was quoted (or a block scalar), and so is always a string.
    pub quoted: bool,
}

impl fmt::Debug for Scalar {
    /// As it was written: what references resolved to stays hidden.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scalar")
            .field("written", &self.source())
            .field("quoted", &self.quoted)
            .finish_non_exhaustive()
    }
}

impl Scalar {
    fn shown(&self) -> serde_json::Value {
        if self.quoted {
            return self.text.as_str().into();
        }
        match resolve::plain(&self.text) {
            resolve::Plain::Bool(value) => value.into(),
            resolve::Plain::Int(value) => {
                i64::try_from(value).map_or_else(|_| self.text.as_str().into(), Into::into)
            }
            resolve::Plain::Float(value) => value.into(),
            resolve::Plain::Text => self.text.as_str().into(),
        }
    }
}

impl Value {
    /// The value at a path such as `allow[2].net`, or the nearest one that exists on the way. One
    /// value that stands for a list is its first.
    pub fn at(&self, path: &str) -> &Value {
        let path = path.strip_prefix('.').unwrap_or(path);
        let path = match &self.node {
            Node::List(_) => path,
            _ => path
                .strip_prefix("[0]")
                .map_or(path, |rest| rest.strip_prefix('.').unwrap_or(rest)),
        };
        let step = match &self.node {
            Node::Map(entries) => entries
                .iter()
                .filter_map(|(key, value)| Some((rest_after(path, &key.name)?, value)))
                .min_by_key(|(rest, _)| rest.len()),
            Node::List(items) => item(items, path),
            Node::Null | Node::Scalar(_) => None,
        };
        step.map_or(self, |(rest, value)| value.at(rest))
    }

    /// The text of a single value, references resolved.
    pub fn text(&self) -> Option<&str> {
        match &self.node {
            Node::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The value as JSON, as it is to be shown: references stay as they were written.
    pub fn shown(&self) -> serde_json::Value {
        self.shown_without(&HashSet::new())
    }

    /// The same without what stands at these places.
    pub fn shown_without(&self, hidden: &HashSet<Place>) -> serde_json::Value {
        match &self.node {
            Node::Null => serde_json::Value::Null,
            Node::Scalar(scalar) => match &scalar.written {
                Some(written) => written.as_str().into(),
                None if hidden.contains(&self.place) => "[hidden]".into(),
                None => scalar.shown(),
            },
            Node::List(items) => (items.iter())
                .map(|item| item.shown_without(hidden))
                .collect(),
            Node::Map(entries) => (entries.iter())
                .map(|(key, value)| (key.name.clone(), value.shown_without(hidden)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// The value under a key of a map.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match &self.node {
            Node::Map(entries) => entries
                .iter()
                .find(|(key, _)| key.name == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }
}

/// What follows a key at the beginning of a path. A key may itself contain dots.
fn rest_after<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(key).filter(|_| !key.is_empty())?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

/// The item that `[2]` at the beginning of a path names, and what follows.
fn item<'p, 'v>(items: &'v [Value], path: &'p str) -> Option<(&'p str, &'v Value)> {
    let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
    Some((rest, items.get(index.parse::<usize>().ok()?)?))
}

/// Where a value of a test is said to stand.
#[cfg(test)]
fn somewhere() -> Place {
    Place {
        file: "t.yaml".into(),
        line: 1,
        column: 1,
        width: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        let text = "allow:\n  - 10.0.0.1\n  - net: 10.0.0.0/8\nkeys:\n  a.b: 1\n  a: { b: 2 }\n";
        read(&"t.yaml".into(), text).unwrap()
    }

    #[test]
    fn finds_values_by_path() {
        let value = sample();
        assert_eq!(value.at("allow[1].net").place.line, 3);
        assert_eq!(value.at("keys.a.b").place.line, 5);
        assert_eq!(value.at("keys.a").place.line, 6);
        assert_eq!(value.at(""), &value);
    }

    #[test]
    fn stops_at_the_nearest_value_that_exists() {
        let value = sample();
        assert_eq!(value.at("allow[7].net"), value.get("allow").unwrap());
        assert_eq!(value.at("allow[0].net").place.line, 2);
        assert_eq!(value.at("allow[").place.line, 2);
        assert_eq!(value.at("nothing.here"), &value);
    }

    #[test]
    fn debug_output_hides_what_references_resolved_to() {
        let scalar = Scalar {
            text: "hunter2".into(),
            written: Some("${env:PASSWORD}".into()),
            resolved: vec!["hunter2".into()],
            quoted: false,
        };
        let shown = format!("{scalar:?}");
        assert!(shown.contains("${env:PASSWORD}") && !shown.contains("hunter2"));
    }
}
