//! From values to what a program expects, with every problem on the way.

use std::collections::HashSet;

use serde::de::DeserializeOwned;

use super::de::{Context, De, Id, Spot};
use super::error::{Error, Found, Reason, WRITTEN_OUT, cut, did_you_mean, one_of, shown};
use super::scrub::scrub;
use super::{Node, Problem, Value};

/// How many problems one call reports at most.
const MAX_PROBLEMS: usize = 100;

/// Turns a value into what a program expects; every problem is reported, not only the first, up
/// to 100 of them.
///
/// - A plain scalar is a number or a boolean where one is expected, and otherwise text as it was
///   written; a quoted one is always text, except that a single reference takes the type of what
///   it resolved to.
/// - Nothing is a struct or a map without entries, and `None`, but no list and no text. Behind a
///   key it is a problem: what was taken out, or made a comment, must not read as never written.
/// - An enum is a name, or a map of one name to its options; a name alone has empty options.
/// - A key that its target does not know is a problem, whether or not the target says so.
///
/// # Errors
/// Every problem, each with its place; none shows what a reference resolved to.
pub fn decode<T: DeserializeOwned>(value: &Value) -> Result<T, Vec<Problem>> {
    match decode_partly(value) {
        (Some(decoded), problems) if problems.is_empty() => Ok(decoded),
        (_, problems) => Err(problems),
    }
}

/// The same for a program that goes on to look for problems of its own in what is left when the
/// parts with problems are out: as if they had not been written, with zeros and empty texts where
/// something must be there. Nothing at all is left where the value as a whole is not as expected,
/// or where there are more problems than are reported.
pub fn decode_partly<T: DeserializeOwned>(value: &Value) -> (Option<T>, Vec<Problem>) {
    let mut attempts = Attempts {
        root: value,
        cx: Context::default(),
        meant: HashSet::new(),
        problems: Vec::new(),
    };
    let rest = loop {
        match T::deserialize(De::new(value, &attempts.cx)) {
            Ok(decoded) => break Some(decoded),
            Err(error) => {
                let more = attempts.learn(&error);
                if !more || attempts.problems.len() >= MAX_PROBLEMS {
                    break None;
                }
            }
        }
    };
    (rest, attempts.problems)
}

/// Decodes again and again, each time without the part that failed before.
struct Attempts<'v> {
    root: &'v Value,
    cx: Context<'v>,
    /// The keys that unknown ones were probably meant to be: they are not missing as well.
    meant: HashSet<(Id, &'static str)>,
    problems: Vec<Problem>,
}

impl<'v> Attempts<'v> {
    /// Tells a problem, unless an earlier one caused it, and takes its part out of the way.
    /// Whether there is anything left to decode.
    fn learn(&mut self, error: &Error) -> bool {
        let spot = self.cx.failed.take().unwrap_or(Spot::Value(self.root));
        let value = match spot {
            Spot::Value(value) | Spot::Key(_, value) => value,
        };
        if !self.follows(error, spot) {
            self.problems.push(problem(error, spot));
        }
        if let (Reason::Missing(name), Spot::Value(map)) = (&*error.0, spot) {
            let blanks = self.cx.blanks.entry(Id::of(map)).or_default();
            if !blanks.contains(name) {
                blanks.push(name);
                return true;
            }
        }
        if let (Reason::UnknownKey { name, known, .. }, Spot::Key(..)) = (&*error.0, spot)
            && let Some(meant) = did_you_mean(name, known.iter().copied())
        {
            self.meant.insert((Id::of(value), meant));
        }
        let dropped = self.cx.dropped.insert(Id::of(value));
        dropped && !std::ptr::eq(value, self.root)
    }

    /// Whether a problem is there only because of what was left out or made up.
    fn follows(&self, error: &Error, spot: Spot<'_>) -> bool {
        let Spot::Value(value) = spot else {
            return false;
        };
        match &*error.0 {
            Reason::FollowUp => true,
            Reason::Missing(name) => self.left_out(value, name),
            Reason::UnknownKey { .. } | Reason::UnknownValue { .. } => false,
            Reason::Expected { .. } | Reason::Custom(_) | Reason::Helped(..) | Reason::Secret => {
                self.incomplete(value)
            }
        }
    }

    /// Whether a key of a map was left out, under its own name or a mistaken one.
    fn left_out(&self, map: &Value, name: &'static str) -> bool {
        let Node::Map(entries) = &map.node else {
            return false;
        };
        entries.iter().any(|(key, value)| {
            let id = Id::of(value);
            self.cx.dropped.contains(&id) && (key.name == name || self.meant.contains(&(id, name)))
        })
    }

    fn incomplete(&self, value: &Value) -> bool {
        let id = Id::of(value);
        if self.cx.dropped.contains(&id) || self.cx.blanks.contains_key(&id) {
            return true;
        }
        match &value.node {
            Node::Null | Node::Scalar(_) => false,
            Node::List(items) => items.iter().any(|item| self.incomplete(item)),
            Node::Map(entries) => entries.iter().any(|(_, value)| self.incomplete(value)),
        }
    }
}

/// The problem behind an error.
fn problem(error: &Error, spot: Spot<'_>) -> Problem {
    let (place, value, is_key) = match spot {
        Spot::Value(value) => (value.place.clone(), value, false),
        Spot::Key(key, value) => (key.place.clone(), value, true),
    };
    let (message, help) = said(error, value, is_key);
    let mut problem = Problem::new(place, scrub(message, value));
    problem.secret = matches!(*error.0, Reason::Secret);
    match help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

/// What an error says of a value or of its key, and what helps.
fn said(error: &Error, value: &Value, is_key: bool) -> (String, Option<String>) {
    let secret = matches!(&value.node, Node::Scalar(scalar) if scalar.written.is_some()) && !is_key;
    match &*error.0 {
        Reason::Expected { expected, found } => {
            let scalar = matches!(value.node, Node::Scalar(_)) && !is_key;
            let found = match found {
                Found::Unsaid => shown(value),
                Found::Roughly(_) if scalar => shown(value),
                Found::Roughly(found) | Found::Exactly(found) => found.clone(),
            };
            (format!("expected {expected}, found {found}"), None)
        }
        Reason::UnknownKey {
            name,
            known,
            beside,
        } => {
            let help = match (beside, did_you_mean(name, known.iter().copied())) {
                (Some(above), _) => {
                    format!(
                        "`{}` stands beside `{}`, not below it",
                        cut(name),
                        cut(above)
                    )
                }
                (None, Some(meant)) => format!("did you mean `{meant}`?"),
                _ if known.is_empty() => "no key is possible here".into(),
                _ => format!("the keys here are `{}`", known.join("`, `")),
            };
            (format!("unknown key `{}`", cut(name)), Some(help))
        }
        Reason::UnknownValue { known, .. } if secret => {
            let (value, known) = (shown(value), one_of(known));
            (format!("unknown value {value}, expected {known}"), None)
        }
        Reason::UnknownValue { name, known } => (
            format!("unknown value `{}`, expected {}", cut(name), one_of(known)),
            meant_value(name, known),
        ),
        Reason::Missing(name) => (format!("missing `{name}`"), belongs_below(value, name)),
        Reason::Custom(message) => (message.clone(), None),
        Reason::Helped(message, help) => (message.clone(), Some(help.clone())),
        Reason::Secret => {
            let help = "write `${env:NAME}`, `${file:/path}` or `${cred:name}`";
            (WRITTEN_OUT.into(), Some(help.into()))
        }
        Reason::FollowUp => ("something is missing here".into(), None),
    }
}

/// Where an option is to be written that is missing because a name stands alone.
fn belongs_below(value: &Value, option: &str) -> Option<String> {
    match &value.node {
        Node::Scalar(alone) if alone.written.is_none() => {
            let name = cut(&alone.text);
            Some(format!("write `{{ {name}: {{ {option}: … }} }}`"))
        }
        _ => None,
    }
}

/// Which of the known values was probably meant, or to which an address belongs.
fn meant_value(name: &str, known: &[&str]) -> Option<String> {
    if let Some(meant) = did_you_mean(name, known.iter().copied()) {
        return Some(format!("did you mean `{meant}`?"));
    }
    let (scheme, _) = name.split_once("://")?;
    let kind = known.iter().find(|known| scheme.starts_with(**known))?;
    Some(format!("write `{{ {kind}: \"{}\" }}`", cut(name)))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
