//! Regular expressions that match a whole text.

use std::fmt;
use std::str::FromStr;

use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind, Look, literal::Extractor};

use super::text::{from_text, shown};

/// A regular expression that matches a whole text, in time linear in the text's length.
#[derive(Clone, Debug)]
pub struct Regular {
    source: Box<str>,
    regex: Regex,
    start: Box<str>,
    sample: Option<Box<str>>,
}

/// The largest program that an expression may become.
const SIZE_LIMIT: usize = 1 << 20;

impl Regular {
    /// Whether the whole text matches.
    pub fn is_match(&self, text: &str) -> bool {
        text.starts_with(&*self.start) && self.regex.is_match(text)
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What every text that matches begins with, as far as it is known.
    pub(super) fn start(&self) -> &str {
        &self.start
    }

    /// A text that matches, where one was found.
    pub(super) fn sample(&self) -> Option<&str> {
        self.sample.as_deref()
    }

    pub(super) fn regex(&self) -> &Regex {
        &self.regex
    }
}

impl PartialEq for Regular {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl FromStr for Regular {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &dyn fmt::Display| {
            // The parser's message draws the expression first; its last line is the reason.
            let why = why.to_string();
            let reason = why.lines().last().unwrap_or_default();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            format!(
                "expected a regular expression, found {}: {reason}",
                shown(text)
            )
        };
        let hir = regex_syntax::parse(text).map_err(|error| wrong(&error))?;
        let start = common_start(&hir);
        let mut sample = Some(String::new());
        push_sample(&hir, &mut sample);
        let whole = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
        let regex = regex::RegexBuilder::new(&whole.to_string())
            .size_limit(SIZE_LIMIT)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => wrong(&"it is too large (1 MiB compiled)"),
                error => wrong(&error),
            })?;
        let sample = sample.filter(|sample| regex.is_match(sample));
        Ok(Self {
            source: text.into(),
            regex,
            start: start.into(),
            sample: sample.map(Into::into),
        })
    }
}

fn common_start(hir: &Hir) -> String {
    let literals = Extractor::new().extract(hir);
    let start = literals.longest_common_prefix().unwrap_or_default();
    let valid = match std::str::from_utf8(start) {
        Ok(start) => start.len(),
        Err(error) => error.valid_up_to(),
    };
    String::from_utf8_lossy(&start[..valid]).into_owned()
}

/// Adds a text that this part matches, look-arounds aside; `None` where there is none.
fn push_sample(hir: &Hir, sample: &mut Option<String>) {
    const LONGEST: usize = 1024;
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => match (std::str::from_utf8(&literal.0), sample.as_mut()) {
            (Ok(text), Some(sample)) => sample.push_str(text),
            _ => *sample = None,
        },
        HirKind::Class(class) => match (pick(class), sample.as_mut()) {
            (Some(char), Some(sample)) => sample.push(char),
            _ => *sample = None,
        },
        HirKind::Capture(capture) => push_sample(&capture.sub, sample),
        HirKind::Concat(parts) => parts.iter().for_each(|part| push_sample(part, sample)),
        HirKind::Alternation(branches) => push_sample(&branches[0], sample),
        HirKind::Repetition(repetition) => {
            for _ in 0..repetition.min {
                push_sample(&repetition.sub, sample);
                if sample.as_ref().is_none_or(|sample| sample.len() > LONGEST) {
                    *sample = None;
                    return;
                }
            }
        }
    }
}

/// A character of a class, one that is usual in paths and values where there is such a one.
fn pick(class: &Class) -> Option<char> {
    let Class::Unicode(class) = class else {
        return None;
    };
    let holds = |char: &char| {
        class
            .iter()
            .any(|range| range.start() <= *char && *char <= range.end())
    };
    ['1', 'a', 'A', '-', '_', '.', '/']
        .into_iter()
        .find(holds)
        .or_else(|| class.iter().next().map(|range| range.start()))
}

impl fmt::Display for Regular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

from_text!(Regular, {
    "type": "string",
    "format": "regex",
    "description": "A regular expression that matches the whole text.",
    "examples": ["v[0-9]+"]
});

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> Regular {
        text.parse().unwrap()
    }

    #[test]
    fn matches_the_whole_text() {
        assert!(full("b+").is_match("bb"));
        assert!(!full("b+").is_match("abb"));
        assert!(!full("b+").is_match("bb\n"));
        assert!(!full("a|b").is_match("ab"));
        assert!(!full("(?m)^a$").is_match("x\na\nx"));
        assert!(full("(?x) a b # both").is_match("ab"));
        assert!(full("(?i)/A").is_match("/a"));
        let names: Vec<_> = full("/(?<id>[0-9]+)")
            .regex()
            .capture_names()
            .flatten()
            .map(String::from)
            .collect();
        assert_eq!(names, ["id"]);
    }

    #[test]
    fn knows_how_matches_begin_and_an_example() {
        let pattern = full("^/users/[0-9]{2,}(/x)?$");
        assert_eq!(pattern.start(), "/users/");
        assert_eq!(pattern.sample(), Some("/users/11"));
        assert_eq!(full("/(a|b)/c").sample(), Some("/a/c"));
        assert_eq!(full(".*").start(), "");
        assert_eq!(full("(/a|/b)x*").start(), "/");
        assert_eq!(full("(?i)/a").start(), "/");
        assert_eq!(full("a$b").sample(), None);
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(
            "/a(".parse::<Regular>().unwrap_err(),
            "expected a regular expression, found `/a(`: unclosed group"
        );
        let large = r"\w{1000}{1000}".parse::<Regular>().unwrap_err();
        assert!(large.contains("too large"), "{large}");
    }
}
