//! Path patterns.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use wiregate_sdk::path_key;

use super::normalise::{EncodedSlash, normalise};
use super::regular::Regular;
use super::text::{from_text, shown};

/// Which paths a route answers for. Patterns are compared with the keys of normalised paths
/// ([`path_key`]).
#[derive(Clone, Debug, PartialEq)]
pub enum PathPattern {
    /// Every path, and `*` (the target of `OPTIONS *`). Not written: it is what an absent `path`
    /// means.
    Any,
    /// One path.
    Exact {
        /// Its key.
        key: Box<str>,
        /// As it was written.
        text: Box<str>,
    },
    /// Segments with parameters in them, or everything at and below them.
    Segments {
        /// The segments, from the left.
        segments: Box<[Segment]>,
        /// Whether more may follow: `/**`.
        open: bool,
        /// As it was written.
        text: Box<str>,
    },
    /// A regular expression for the whole path.
    Regex(Regular),
}

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub enum Segment {
    /// Exactly this text: the key of a normalised segment.
    Literal(Box<str>),
    /// One segment that is not empty; captured where it has a name.
    Parameter(Option<Arc<str>>),
}

/// What path parameters stood for, decoded, in path order.
pub type Params = Vec<(Arc<str>, String)>;

impl PathPattern {
    /// Whether the key of a path fits.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact { key, .. } => path == &**key,
            Self::Regex(regex) => regex.is_match(path),
            Self::Segments { segments, open, .. } => {
                let mut found = path
                    .strip_prefix('/')
                    .into_iter()
                    .flat_map(|rest| rest.split('/'));
                let fits = segments
                    .iter()
                    .all(|segment| match (segment, found.next()) {
                        (Segment::Literal(text), Some(found)) => found == &**text,
                        (Segment::Parameter(_), Some(found)) => !found.is_empty(),
                        (_, None) => false,
                    });
                fits && (*open || found.next().is_none() && path.starts_with('/'))
            }
        }
    }

    /// The parameters in a path that fits. A value that is no UTF-8 when decoded stays encoded.
    pub fn params(&self, path: &str) -> Params {
        match self {
            Self::Any | Self::Exact { .. } => Params::new(),
            Self::Segments { segments, .. } => path
                .split('/')
                .skip(1)
                .zip(segments)
                .filter_map(|(found, segment)| match segment {
                    Segment::Parameter(Some(name)) => Some((name.clone(), decoded(found))),
                    _ => None,
                })
                .collect(),
            Self::Regex(regex) => captures(regex.regex(), path),
        }
    }

    /// The names of its parameters.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Any | Self::Exact { .. } => Vec::new(),
            Self::Segments { segments, .. } => {
                let names = segments.iter().filter_map(|segment| match segment {
                    Segment::Parameter(name) => name.as_deref(),
                    Segment::Literal(_) => None,
                });
                names.collect()
            }
            Self::Regex(regex) => regex.regex().capture_names().flatten().collect(),
        }
    }

    /// A text that patterns share where they match the same paths, as far as that is known:
    /// parameters lose their names.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Segments { segments, open, .. } => {
                let mut text = String::new();
                for segment in segments {
                    text.push('/');
                    match segment {
                        Segment::Literal(literal) => text.push_str(&no_parameter(literal)),
                        Segment::Parameter(_) => text.push('*'),
                    }
                }
                text + if *open { "/**" } else { "" }
            }
            Self::Exact { key, .. } => no_parameter(key),
            other => other.to_string(),
        }
    }
}

/// The key of a path or segment, in which `*` is an ordinary character.
fn no_parameter(key: &str) -> String {
    key.replace('*', "%2A")
}

fn decoded(text: &str) -> String {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map_or_else(|_| text.to_owned(), Cow::into_owned)
}

fn captures(regex: &regex::Regex, path: &str) -> Params {
    if regex.captures_len() == 1 {
        return Params::new();
    }
    let Some(found) = regex.captures(path) else {
        return Params::new();
    };
    let names = regex.capture_names().flatten();
    names
        .filter_map(|name| Some((name.into(), decoded(found.name(name)?.as_str()))))
        .collect()
}

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(regex) = text.strip_prefix('~') {
            return regular(regex.trim_start());
        }
        let wrong = |why: &str| format!("expected a path pattern, found {}: {why}", shown(text));
        let Some(rest) = text.strip_prefix('/') else {
            return Err(wrong(
                "it begins with `/`, or with `~` and is a regular expression",
            ));
        };
        let (rest, open) = match rest.strip_suffix("**") {
            Some("") => (None, true),
            Some(start) if start.ends_with('/') => (start.strip_suffix('/'), true),
            _ => (Some(rest), false),
        };
        let mut segments = Vec::new();
        for part in rest.into_iter().flat_map(|rest| rest.split('/')) {
            segments.push(segment(part, &segments).map_err(|why| wrong(&why))?);
        }
        must_be_normal(&segments, open).map_err(|why| wrong(&why))?;
        let literal = |segment| matches!(segment, &Segment::Literal(_));
        if !open && segments.iter().all(literal) {
            return Ok(Self::Exact {
                key: path_key(text).into(),
                text: text.into(),
            });
        }
        for segment in &mut segments {
            if let Segment::Literal(text) = segment {
                *text = path_key(text).into();
            }
        }
        Ok(Self::Segments {
            segments: segments.into(),
            open,
            text: text.into(),
        })
    }
}

fn segment(text: &str, before: &[Segment]) -> Result<Segment, String> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|char: char| char.is_ascii_digit())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if text == "*" {
        return Ok(Segment::Parameter(None));
    }
    if text == "**" {
        return Err("`**` stands at the end".into());
    }
    if text.contains('*') {
        return Err(format!(
            "`*` stands for a whole segment, found {}",
            shown(text)
        ));
    }
    if let Some(name) = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        && is_name(name)
    {
        let name = Some(Arc::from(name));
        if before.contains(&Segment::Parameter(name.clone())) {
            return Err(format!("the parameter {} stands there twice", shown(text)));
        }
        return Ok(Segment::Parameter(name));
    }
    match (text.find('{'), text.contains('}')) {
        (None, false) => Ok(Segment::Literal(text.into())),
        (Some(_), false) => Err(format!("`{{` is not closed in {}", shown(text))),
        _ => Err(format!(
            "a parameter is a whole segment and has a name, as in `/{{id}}`, found {}",
            shown(text)
        )),
    }
}

/// Refuses a pattern that no normalised path can match.
fn must_be_normal(segments: &[Segment], open: bool) -> Result<(), String> {
    let name = |at: usize| format!("-parameter-{at}-");
    let mut path = String::new();
    for (at, segment) in segments.iter().enumerate() {
        path.push('/');
        match segment {
            Segment::Literal(text) => path.push_str(text),
            Segment::Parameter(_) => path.push_str(&name(at)),
        }
    }
    // Before `/**`, an empty segment is no trailing slash.
    let ends_empty =
        matches!(segments.last(), Some(Segment::Literal(text)) if open && text.is_empty());
    if ends_empty || segments.is_empty() {
        path.push('/');
    }
    let mut normal = match normalise(&path, EncodedSlash::Keep) {
        Err(refusal) => {
            return Err(format!(
                "request paths are normalised before matching: {refusal}"
            ));
        }
        Ok(normal) if normal == path => return Ok(()),
        Ok(normal) => normal.into_owned(),
    };
    for (at, segment) in segments.iter().enumerate() {
        if let Segment::Parameter(parameter) = segment {
            let written = match parameter {
                Some(parameter) => format!("{{{parameter}}}"),
                None => "*".into(),
            };
            normal = normal.replace(&name(at), &written);
        }
    }
    if open {
        normal = format!("{}/**", normal.trim_end_matches('/'));
    }
    Err(format!(
        "request paths are normalised before matching; write `{normal}`"
    ))
}

fn regular(source: &str) -> Result<PathPattern, String> {
    let regex: Regular = source.parse()?;
    let start = regex.start();
    let wrong = |why: &str| format!("expected a path, found {}: {why}", shown(source));
    if !start.is_empty() && !start.starts_with('/') && start != "*" {
        return Err(wrong("paths begin with `/`"));
    }
    if ["//", "/./", "/../"]
        .iter()
        .any(|part| start.contains(part))
    {
        return Err(wrong("request paths are normalised before matching"));
    }
    if let Some((escape, plain)) = never_there(source) {
        return Err(wrong(&format!(
            "paths are compared with `{plain}` in place of `{escape}`"
        )));
    }
    Ok(PathPattern::Regex(regex))
}

/// An escape that the key of no path has, and what stands there instead.
fn never_there(regex: &str) -> Option<(&str, Cow<'_, str>)> {
    let escapes = regex.match_indices('%');
    let escapes = escapes.filter_map(|(at, _)| regex.get(at..at + 3));
    let mut keys = escapes.map(|escape| (escape, path_key(escape)));
    keys.find(|(escape, key)| key != escape)
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any path"),
            Self::Exact { text, .. } | Self::Segments { text, .. } => f.write_str(text),
            Self::Regex(regex) => write!(f, "~ {regex}"),
        }
    }
}

from_text!(PathPattern, {
    "type": "string",
    "description": "`/a/b` is one path; `/a/{id}` has a parameter for one segment, `/a/*` the same without a name; `/a/**` is `/a` and all below it; `~ ^/a/(?<id>[0-9]+)$` is a regular expression for the whole path.",
    "pattern": "^[/~]",
    "examples": ["/orders/**", "/users/{id}", "/healthz", "~ ^/v[0-9]+/.*$"]
});

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PathPattern {
        text.parse().unwrap()
    }

    #[test]
    fn each_kind_matches_its_paths() {
        let table: [(&str, &[&str], &[&str]); 12] = [
            ("/", &["/"], &["/a", "*"]),
            ("/a/b", &["/a/b"], &["/a/b/", "/a", "/a/b/c", "/A/b"]),
            ("/a/", &["/a/"], &["/a"]),
            (
                "/a/{id}",
                &["/a/1", "/a/%2F"],
                &["/a", "/a/", "/a/1/2", "/b/1", "*"],
            ),
            ("/a/*/c", &["/a/b/c"], &["/a//c", "/a/b", "/a/b/c/"]),
            ("/{x}/", &["/a/"], &["/a", "//", "/a/b"]),
            ("/a/**", &["/a", "/a/", "/a/b/c"], &["/ab", "/"]),
            ("/a/{id}/**", &["/a/1", "/a/1/", "/a/1/b"], &["/a", "/a/"]),
            ("/a/%2A", &["/a/*"], &["/a/%2A", "/a/b"]),
            ("/%3A%40/{x}", &["/:@/1"], &["/%3A%40/1"]),
            ("/**", &["/", "/a/b", "*"], &[]),
            (
                "~ ^/v[0-9]+/x$",
                &["/v1/x", "/v22/x"],
                &["/v/x", "/v1/x/", "/a/v1/x"],
            ),
        ];
        for (text, good, bad) in table {
            let pattern = path(text);
            for found in good {
                assert!(pattern.matches(found), "{text} {found}");
            }
            for found in bad {
                assert!(!pattern.matches(found), "{text} {found}");
            }
        }
        assert!(PathPattern::Any.matches("*") && PathPattern::Any.matches("/a"));
    }

    #[test]
    fn captures_decoded_values() {
        let params = |text: &str, found: &str| -> Vec<String> {
            let found = path(text).params(found);
            found
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect()
        };
        assert_eq!(params("/a/{id}/*/{x}", "/a/1/2/b%20c"), ["id=1", "x=b c"]);
        assert_eq!(params("/{a}/**", "/caf%C3%A9/x"), ["a=café"]);
        assert_eq!(params("/{a}", "/%FF"), ["a=%FF"]);
        assert_eq!(
            params("~ /(?<v>v[0-9])/(?<r>.*)(?<n>z)?", "/v1/a%2Fb"),
            ["v=v1", "r=a/b"]
        );
        assert_eq!(path("/a/**").params("/a/b").capacity(), 0);
        assert_eq!(path("/a").params("/a").capacity(), 0);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("a/b", "it begins with `/`"),
            ("", "it begins with `/`"),
            ("*", "it begins with `/`"),
            ("/a/**/b", "`**` stands at the end"),
            ("/a**", "`*` stands for a whole segment, found `a**`"),
            ("/a*", "`*` stands for a whole segment, found `a*`"),
            ("/{id", "`{` is not closed in `{id`"),
            ("/{id}/{id}", "the parameter `{id}` stands there twice"),
            ("/x-{id}", "a parameter is a whole segment"),
            ("/id}", "a parameter is a whole segment"),
            ("/{}", "a parameter is a whole segment"),
            ("/{1a}", "a parameter is a whole segment"),
            (
                "/a//b",
                "request paths are normalised before matching; write `/a/b`",
            ),
            ("/a/../b", "write `/b`"),
            ("/%61", "write `/a`"),
            ("/a/%3a/{id}/**", "write `/a/%3A/{id}/**`"),
            ("/a//**", "write `/a/**`"),
            ("//**", "write `/**`"),
            ("/café/*", "write `/caf%C3%A9/*`"),
            ("/a/{id}/..", "write `/a/`"),
            (
                "/../a",
                "normalised before matching: expected a path that stays below `/`",
            ),
            ("/a%", "expected two hexadecimal digits"),
            ("/a?b=c", "expected a path"),
            ("~ (", "unclosed group"),
            ("~ ^a/b", "paths begin with `/`"),
            ("~ /a//b", "normalised before matching"),
            (
                "~ /(a|b)/%40x",
                "paths are compared with `@` in place of `%40`",
            ),
            ("~ /a%2a", "paths are compared with `*` in place of `%2a`"),
        ] {
            let error = text.parse::<PathPattern>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
