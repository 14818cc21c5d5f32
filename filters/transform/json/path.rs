//! Paths into a JSON document.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use wiregate_sdk::serde::de::{Deserializer, Error};
use wiregate_sdk::{Deserialize, JsonSchema, schemars};

/// Where something is in a document: the names of members with dots between them, `[0]` for an
/// element, `[*]` for all of them. A name that is no word stands in quotes: `a["b.c"].d`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    source: Box<str>,
    pub(super) steps: Box<[Step]>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To a member of an object.
    Member(Name),
    /// To an element of an array.
    Element(usize),
    /// To each element of an array, or each member of an object.
    Each,
}

/// The name of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    plain: Box<str>,
    /// As JSON, quotes included, which is how documents have it.
    quoted: Box<[u8]>,
}

impl Name {
    /// The name in quotes, with no more escapes than there must be.
    pub(super) fn quoted(&self) -> &[u8] {
        &self.quoted
    }

    /// Whether this JSON string, which has escapes, means it.
    pub(super) fn is_meant_by(&self, quoted: &[u8]) -> bool {
        let other = serde_json::from_slice::<Cow<'_, str>>(quoted);
        other.is_ok_and(|other| other == *self.plain)
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        let quoted = serde_json::Value::from(name).to_string();
        Self {
            plain: name.into(),
            quoted: quoted.into_bytes().into(),
        }
    }
}

impl Path {
    /// Whether it may lead to several places.
    pub(super) fn is_several(&self) -> bool {
        self.steps.contains(&Step::Each)
    }

    /// How long it is, as it is written.
    pub(super) fn len(&self) -> usize {
        self.source.len()
    }

    /// Whether its last step is to a member.
    pub(super) fn ends_with_member(&self) -> bool {
        matches!(self.steps.last(), Some(Step::Member(_)))
    }

    /// Whether one of the two lies on the way to the other, or both lead to the same place.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let both = self.steps.iter().zip(&other.steps);
        both.into_iter().all(|(one, other)| one == other)
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(source: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "expected a path such as `user.id`, `items[0]` or `items[*][\"odd name\"]`, found `{source}`"
            )
        };
        let (mut steps, mut rest) = (Vec::new(), source);
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let (step, behind) = bracketed(inside).ok_or_else(wrong)?;
                steps.push(step);
                rest = behind;
                continue;
            }
            let name = match rest.strip_prefix('.') {
                Some(name) if !steps.is_empty() => name,
                None if steps.is_empty() => rest,
                _ => return Err(wrong()),
            };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (name, behind) = name.split_at(end);
            if name.is_empty() || name.contains([']', '"', '*', ' ', '$']) {
                return Err(wrong());
            }
            steps.push(Step::Member(name.into()));
            rest = behind;
        }
        if steps.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            source: source.into(),
            steps: steps.into(),
        })
    }
}

/// What stands in brackets, and what follows them.
fn bracketed(inside: &str) -> Option<(Step, &str)> {
    if inside.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(inside).into_iter::<String>();
        let name = values.next()?.ok()?;
        let rest = inside[values.byte_offset()..].strip_prefix(']')?;
        return Some((Step::Member(name.as_str().into()), rest));
    }
    let (index, rest) = inside.split_once(']')?;
    let step = match index {
        "*" => Step::Each,
        _ if index.bytes().all(|b| b.is_ascii_digit()) => Step::Element(index.parse().ok()?),
        _ => return None,
    };
    Some((step, rest))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        source.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Path {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "JsonPath".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A path into a JSON document.",
            "examples": ["user.id", "items[*].price", "a[\"odd.name\"]"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Step::{Each, Element, Member};

    #[test]
    fn reads_steps() {
        let member = |name: &str| Member(name.into());
        for (source, steps) in [
            ("a", vec![member("a")]),
            ("a.b-c.D", vec![member("a"), member("b-c"), member("D")]),
            ("[0].a", vec![Element(0), member("a")]),
            ("items[*][12]", vec![member("items"), Each, Element(12)]),
            (
                r#"a["b.c"]["\"]"].d"#,
                vec![member("a"), member("b.c"), member("\"]"), member("d")],
            ),
            ("é", vec![member("é")]),
        ] {
            assert_eq!(
                source.parse::<Path>().unwrap().steps,
                steps.into(),
                "{source}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_path() {
        for source in [
            "", ".", "a.", ".a", "a..b", "a[", "a[]", "a[-1]", "a[x]", "a[\"b]", "a*", "$.a", "a]",
            "[0]a",
        ] {
            let error = source.parse::<Path>().unwrap_err();
            assert!(
                error.starts_with("expected a path such as `user.id`"),
                "{source}"
            );
        }
    }

    #[test]
    fn knows_what_overlaps() {
        let overlap = |one: &str, other: &str| {
            one.parse::<Path>()
                .unwrap()
                .overlaps(&other.parse().unwrap())
        };
        assert!(overlap("a", "a.b") && overlap("a.b[0]", "a") && overlap("a", "a"));
        assert!(!overlap("a.b", "a.c") && !overlap("a[0]", "a[1]"));
    }
}
