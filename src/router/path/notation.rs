//! A path pattern as it is written: read, and shown again.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use wiregate_sdk::path_key;

use super::{PathPattern, Segment};
use crate::router::normalise::{EncodedSlash, normalise};
use crate::router::regular::Regular;
use crate::router::text::{from_text, shown};

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
