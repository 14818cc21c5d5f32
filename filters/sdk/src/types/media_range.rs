//! Ranges of media types.

use std::fmt;
use std::str::FromStr;

use super::media_type::is_token;
use super::scalar::{Scalar, scalar};

/// Which media types are meant: one (`application/json`), all of a kind (`text/*`), or all of a
/// syntax (`application/*+json`, `*/*+xml`; RFC 6839). No parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRange {
    /// `None` for any.
    kind: Option<Box<str>>,
    subtype: Subtype,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subtype {
    Any,
    One(Box<str>),
    /// What it ends with, the `+` included.
    Suffix(Box<str>),
}

impl MediaRange {
    /// Whether the media type of this `content-type` is meant; its parameters do not matter.
    pub fn contains(&self, content_type: &str) -> bool {
        // Short texts: a search that is made for long ones costs more.
        let place = |text: &str, of: u8| text.bytes().position(|byte| byte == of);
        let end = place(content_type, b';').unwrap_or(content_type.len());
        let essence = content_type[..end].trim();
        let Some(slash) = place(essence, b'/') else {
            return false;
        };
        let (kind, subtype) = (&essence[..slash], &essence[slash + 1..]);
        let kinds_match = (self.kind.as_ref()).is_none_or(|own| own.eq_ignore_ascii_case(kind));
        kinds_match
            && match &self.subtype {
                Subtype::Any => true,
                Subtype::One(own) => own.eq_ignore_ascii_case(subtype),
                Subtype::Suffix(own) => {
                    // Both are bytes, as a boundary of characters may not lie there.
                    let (own, subtype) = (own.as_bytes(), subtype.as_bytes());
                    let start = subtype.len().saturating_sub(own.len());
                    start > 0 && subtype[start..].eq_ignore_ascii_case(own)
                }
            }
    }
}

impl FromStr for MediaRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || Self::wrong(text);
        let lower = text.to_ascii_lowercase();
        let (kind, subtype) = lower.split_once('/').ok_or_else(wrong)?;
        let word = |text: &str| is_token(text) && !text.contains('*');
        let subtype = match subtype.strip_prefix('*') {
            Some("") => Subtype::Any,
            Some(suffix) if suffix.starts_with('+') && word(&suffix[1..]) => {
                Subtype::Suffix(suffix.into())
            }
            None if word(subtype) => Subtype::One(subtype.into()),
            _ => return Err(wrong()),
        };
        match kind {
            "*" if matches!(subtype, Subtype::One(_)) => Err(wrong()),
            "*" => Ok(Self {
                kind: None,
                subtype,
            }),
            _ if word(kind) => Ok(Self {
                kind: Some(kind.into()),
                subtype,
            }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for MediaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_deref().unwrap_or("*");
        match &self.subtype {
            Subtype::Any => write!(f, "{kind}/*"),
            Subtype::One(own) => write!(f, "{kind}/{own}"),
            Subtype::Suffix(own) => write!(f, "{kind}/*{own}"),
        }
    }
}

scalar!(MediaRange, expected: "media types such as `application/json`, `text/*` or `application/*+json`", numbers: false, schema: {
    "type": "string",
    "description": "Media types: one, all of a kind (`text/*`), or all of a syntax (`application/*+json`).",
    "pattern": "^[^\\s/;]+/[^\\s/;]+$",
    "examples": ["application/json", "text/*", "application/*+json"]
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> MediaRange {
        text.parse().unwrap()
    }

    #[test]
    fn means_one_a_kind_or_a_syntax() {
        assert!(range("application/json").contains("Application/JSON; charset=utf-8"));
        assert!(!range("application/json").contains("application/json5"));
        assert!(range("text/*").contains("text/html"));
        assert!(!range("text/*").contains("texture/html"));
        assert!(range("application/*+json").contains("application/problem+JSON ;a=b"));
        assert!(!range("application/*+json").contains("application/json"));
        assert!(!range("application/*+json").contains("application/+json"));
        assert!(!range("application/*+json").contains("model/gltf+json"));
        assert!(range("*/*+xml").contains("image/svg+xml"));
        assert!(range("*/*").contains("a/b"));
        for text in ["", "text", ";", "é/é+é"] {
            assert!(!range("*/*+xml").contains(text), "{text:?}");
        }
    }

    #[test]
    fn says_what_it_expects() {
        assert_eq!(
            "json".parse::<MediaRange>().unwrap_err(),
            "expected media types such as `application/json`, `text/*` or `application/*+json`, \
             found `json`"
        );
        for text in [
            "",
            "/",
            "*",
            "text/",
            "*/html",
            "te*/html",
            "text/h*",
            "text/*json",
            "text/*+",
            "text/*+a*",
            "text/html;q=1",
            "text/html ",
        ] {
            assert!(text.parse::<MediaRange>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(text in "([a-z]{1,3}|\\*)/([a-z]{1,3}|\\*|\\*\\+[a-z]{1,3})|.*") {
            if let Ok(range) = text.parse::<MediaRange>() {
                prop_assert_eq!(range.to_string().parse(), Ok(range));
            }
        }

        #[test]
        fn never_panics(content_type in ".*") {
            range("*/*+xml").contains(&content_type);
        }
    }
}
