//! Regular expressions.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};

use super::scalar::{found, scalar};

/// A regular expression that matches anywhere in a text, unless it says otherwise with `^` and
/// `$`. Linear in time; refused where its compiled form would be larger than 1 MiB.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// A regular expression that matches the whole of a text. Otherwise as [`Pattern`].
#[derive(Clone, Debug)]
pub struct FullPattern {
    source: Box<str>,
    regex: Regex,
}

const LARGEST: usize = 1 << 20;

impl Deref for Pattern {
    type Target = Regex;

    fn deref(&self) -> &Regex {
        &self.0
    }
}

impl Deref for FullPattern {
    type Target = Regex;

    fn deref(&self) -> &Regex {
        &self.regex
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        compile(text).map(Self)
    }
}

impl FromStr for FullPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // First as it stands: `a)(b` must not become valid by what is put around it.
        compile(text)?;
        // The line feed ends a comment that the pattern may hold with `(?x)`; where comments are
        // off, it would count as a character.
        let regex = compile(&format!(r"\A(?:{text})\z"))
            .or_else(|_| compile(&format!("\\A(?:{text}\n)\\z")))?;
        Ok(Self {
            source: text.into(),
            regex,
        })
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .size_limit(LARGEST)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                format!(
                    "expected a regular expression that compiles to 1 MiB at most, found {}",
                    found(text)
                )
            }
            error => format!(
                "expected a regular expression, found {}: {}",
                found(text),
                last_line(&error.to_string())
            ),
        })
}

/// The reason, without the drawing that points into the pattern.
fn last_line(error: &str) -> &str {
    let line = error.lines().last().unwrap_or(error);
    line.strip_prefix("error: ").unwrap_or(line)
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl fmt::Display for FullPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

scalar!(Pattern, expected: "a regular expression such as `^/v[0-9]+/`", numbers: false, schema: {
    "type": "string",
    "format": "regex",
    "description": "A regular expression that matches anywhere in the text.",
    "examples": ["^/v[0-9]+/"]
});

scalar!(FullPattern, expected: "a regular expression such as `/v[0-9]+/.*`", numbers: false, schema: {
    "type": "string",
    "format": "regex",
    "description": "A regular expression that matches the whole text.",
    "examples": ["/v[0-9]+/.*"]
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full(text: &str) -> FullPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_pattern_searches_and_a_full_one_matches_all() {
        let pattern: Pattern = "b+".parse().unwrap();
        assert!(pattern.is_match("abbc"));
        assert!(!full("b+").is_match("abbc"));
        assert!(full("b+").is_match("bb"));
        assert!(!full("b+").is_match("bb\n"));
        // Both branches are anchored, in multi-line mode too.
        assert!(!full("a|b").is_match("ab"));
        assert!(!full("(?m)^a$").is_match("x\na\nx"));
        assert!(full("(?x) a b # both").is_match("ab"));
        assert!(!full("(?x) a b # both").is_match("abc"));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(
            "a(".parse::<Pattern>().unwrap_err(),
            "expected a regular expression, found `a(`: unclosed group"
        );
        assert!("a)|(b".parse::<FullPattern>().is_err());
        assert!(
            r"\w{1000}{1000}"
                .parse::<Pattern>()
                .unwrap_err()
                .contains("1 MiB at most")
        );
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(text in "[a-c.*+?()|\\[\\]#x \n]{0,12}|.*") {
            if let Ok(pattern) = text.parse::<FullPattern>() {
                prop_assert_eq!(&pattern.to_string(), &text);
                prop_assert!(pattern.to_string().parse::<Pattern>().is_ok());
            }
        }
    }
}
