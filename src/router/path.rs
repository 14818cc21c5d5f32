//! Path patterns.

mod notation;

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::regular::Regular;

/// Which paths a route answers for. Patterns are compared with the keys of normalised paths
/// ([`path_key`](wiregate_sdk::path_key)).
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

impl Segment {
    fn is_captured(&self) -> bool {
        matches!(self, Self::Parameter(Some(_)))
    }
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

    /// Whether it may have parameters.
    pub fn captures(&self) -> bool {
        match self {
            Self::Any | Self::Exact { .. } => false,
            Self::Segments { segments, .. } => segments.iter().any(Segment::is_captured),
            Self::Regex(_) => true,
        }
    }

    /// The parameters in a path that fits. A value that is no UTF-8 when decoded stays encoded.
    pub fn params(&self, path: &str) -> Params {
        match self {
            _ if !self.captures() => Params::new(),
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
}
