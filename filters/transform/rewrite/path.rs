//! Paths: what is taken from them, replaced in them, put before them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use wiregate_sdk::schemars::{Schema, SchemaGenerator, json_schema};
use wiregate_sdk::serde::Deserializer;
use wiregate_sdk::serde::de::Error;
use wiregate_sdk::types::Pattern;
use wiregate_sdk::{Deserialize, Facts, Invalid, JsonSchema, Template, path_key};

use super::super::url::{PathTemplate, check_path, path as encoded};

/// The beginning of paths, up to the end of a segment: `/orders`. Encoded as the paths of
/// requests are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefix(Box<str>);

impl Prefix {
    /// What of a path is behind the prefix; `None` where the path does not begin with it. They are
    /// compared as routes compare paths: `%40` is `@`.
    fn strip<'p>(&self, path: &'p str) -> Option<&'p str> {
        let segments = self.0.matches('/').count();
        let end = path.match_indices('/').nth(segments);
        let (start, rest) = path.split_at(end.map_or(path.len(), |(at, _)| at));
        (path_key(start) == path_key(&self.0)).then_some(if rest.is_empty() { "/" } else { rest })
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |found: &str| format!("expected a path such as `/orders`, found {found}");
        if let Some(at) = text.find(['?', '#']) {
            return Err(wrong(&format!("a `{}` in it", &text[at..=at])));
        }
        if text.len() > 1 && text.ends_with('/') {
            return Err(wrong("a `/` at its end"));
        }
        if text == "/" || text.contains("//") {
            return Err(wrong(&format!("`{text}`")));
        }
        check_path(text)?;
        Ok(Self(normal(&encoded(text)).into()))
    }
}

/// An encoded path in the form that those of requests are brought into: with no more characters
/// encoded than necessary, in capitals (RFC 3986, 6.2.2).
fn normal(path: &str) -> String {
    let mut parts = path.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        match u8::from_str_radix(digits, 16) {
            Ok(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                out.push(char::from(byte));
            }
            _ => {
                out.push('%');
                out.push_str(&digits.to_ascii_uppercase());
            }
        }
        out.push_str(rest);
    }
    out
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Prefix {
    fn schema_name() -> Cow<'static, str> {
        "PathPrefix".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A path without a slash at its end.",
            "pattern": "^(/[^/?#]+)+$",
            "examples": ["/orders", "/api/v1"]
        })
    }
}

/// A regular expression, and what takes the place of each of its matches.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars", rename = "PathRegex")]
pub(super) struct Regex {
    /// What to look for in the path, as it is sent on (`%40` is not `@` here); with `^` and `$` in
    /// the whole of it.
    pattern: Pattern,
    /// What to write for each match. `$1` or `$name` stands for a group of the pattern, `$$` for a
    /// `$`. Where a letter, a digit or a `_` follows the name, write `$${1}a`, since `$1a` would be
    /// the group `1a`.
    to: String,
}

impl Regex {
    /// Refuses a replacement that could not mean what it says.
    fn check(&self) -> Result<(), Invalid> {
        let refuse = |message| Err(Invalid::at("regex.to", message));
        if let Some(at) = self.to.find(['?', '#']) {
            return refuse(format!(
                "expected a path, found a `{}` in it",
                &self.to[at..=at]
            ));
        }
        for name in groups(&self.to) {
            let known = match name.parse::<usize>() {
                Ok(number) => number < self.pattern.captures_len(),
                Err(_) => self
                    .pattern
                    .capture_names()
                    .flatten()
                    .any(|group| group == name),
            };
            if known {
                continue;
            }
            let digits = name.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = name.split_at(digits);
            let help = match (number, rest) {
                ("", _) | (_, "") => String::new(),
                _ => format!(", did you mean `$${{{number}}}{rest}`?"),
            };
            return refuse(format!(
                "expected a group of the pattern, found `${name}`{help}"
            ));
        }
        Ok(())
    }
}

/// The groups that a replacement asks for, found as the `regex` crate finds them.
fn groups(to: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = to;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(after) = after.strip_prefix('$') {
            rest = after;
            continue;
        }
        rest = after;
        if let Some((name, _)) = after
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'))
        {
            found.push(name);
            continue;
        }
        let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = after.find(|c| !in_name(c)).unwrap_or(after.len());
        if end > 0 {
            found.push(&after[..end]);
        }
    }
    found
}

/// What becomes of a path.
pub(super) enum Path {
    /// Another one takes its place.
    Whole(PathTemplate),
    /// Parts of it change.
    Parts {
        strip: Option<Prefix>,
        regex: Option<Regex>,
        add: Option<Prefix>,
    },
}

impl Path {
    /// Puts the options together.
    ///
    /// # Errors
    /// What of them cannot work.
    pub(super) fn build(
        strip: Option<Prefix>,
        regex: Option<Regex>,
        add: Option<Prefix>,
        whole: Option<&Template>,
    ) -> Result<Self, Invalid> {
        let Some(whole) = whole else {
            regex.as_ref().map_or(Ok(()), Regex::check)?;
            return Ok(Self::Parts { strip, regex, add });
        };
        let others = [
            ("strip_prefix", strip.is_some()),
            ("regex", regex.is_some()),
            ("add_prefix", add.is_some()),
        ];
        if let Some((other, _)) = others.iter().find(|(_, written)| *written) {
            let message = format!(
                "expected no `{other}` beside `path`, which takes the place of the whole path"
            );
            return Err(Invalid::at(*other, message));
        }
        let template = whole.check_early().and_then(|()| PathTemplate::new(whole));
        template
            .map(Self::Whole)
            .map_err(|message| Invalid::at("path", message))
    }

    /// The path that this one becomes: valid, or the very same.
    ///
    /// # Errors
    /// Why it would not be valid.
    pub(super) fn rewrite<'a>(
        &'a self,
        path: &'a str,
        facts: &Facts<'_>,
    ) -> Result<Cow<'a, str>, String> {
        let (strip, regex, add) = match self {
            Self::Whole(template) => return template.render(facts),
            Self::Parts { strip, regex, add } => (strip, regex, add),
        };
        let stripped = strip.as_ref().and_then(|prefix| prefix.strip(path));
        let mut out = Cow::Borrowed(stripped.unwrap_or(path));
        if let Some(regex) = regex
            && let Cow::Owned(replaced) = regex.pattern.replace_all(&out, &*regex.to)
        {
            out = encoded(&replaced).into_owned().into();
        }
        if let Some(prefix) = add {
            out = format!("{prefix}{out}").into();
        }
        if *out == *path {
            return Ok(out);
        }
        if !path.starts_with('/') {
            // Nothing can be put before `*` (RFC 9112, 3.2.4).
            return Err("expected a path to change, found a target without one".into());
        }
        check_path(&out)?;
        Ok(out)
    }
}
