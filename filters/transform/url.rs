//! Templates of paths and URLs: whatever a request holds is encoded as its place demands, so that
//! a value stays the part of the URL that it was meant to be (RFC 3986).

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use wiregate_sdk::template::Piece as Written;
use wiregate_sdk::{Expression, Facts, Template};

use super::host::is_authority;

/// All but the unreserved characters (RFC 3986, 2.3): for values.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// What no part of a URL may hold, except for the `%` of an encoded character.
const NOWHERE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// What a query may not hold (RFC 3986, 3.4).
const NOT_IN_QUERY: &AsciiSet = &NOWHERE.add(b'#').add(b'[').add(b']');
/// What a path may not hold (RFC 3986, 3.3).
const NOT_IN_PATH: &AsciiSet = &NOT_IN_QUERY.add(b'?');

/// A value as a single component, in which nothing has a meaning of its own.
pub(super) fn component(value: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(value, COMPONENT)
}

/// A path in which what is encoded stays so, and what must be encoded is.
pub(super) fn path(text: &str) -> Cow<'_, str> {
    mend(text, NOT_IN_PATH)
}

/// A query in which what is encoded stays so, and what must be encoded is.
pub(super) fn query(text: &str) -> Cow<'_, str> {
    mend(text, NOT_IN_QUERY)
}

fn mend<'t>(text: &'t str, encoded: &'static AsciiSet) -> Cow<'t, str> {
    let is_triplet = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let mut parts = text.split('%');
    if parts.clone().skip(1).all(is_triplet) {
        return utf8_percent_encode(text, encoded).into();
    }
    let mut mended = String::with_capacity(text.len() + 8);
    mended.extend(
        parts
            .next()
            .map(|first| utf8_percent_encode(first, encoded).to_string()),
    );
    for part in parts {
        mended.push_str(if is_triplet(part) { "%" } else { "%25" });
        mended.extend(utf8_percent_encode(part, encoded));
    }
    mended.into()
}

/// Whether a path can be sent to an upstream, and is there what it is here.
///
/// # Errors
/// Why not. Does not show the path, which a client may have made.
pub(super) fn check_path(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("expected a path that begins with `/`");
    }
    if path.starts_with("//") {
        return Err("expected a path that begins with a single `/`, found two");
    }
    let is_dots = |segment: &str| {
        let dots = segment.replace("%2e", ".").replace("%2E", ".");
        matches!(&*dots, "." | "..")
    };
    if path.split('/').any(is_dots) {
        return Err("expected a path without the segments `.` and `..`");
    }
    Ok(())
}

/// A part of a compiled template.
#[derive(Debug)]
enum Piece {
    /// Fixed text, encoded where necessary.
    Text(Box<str>),
    /// A value that is text like any other.
    Value(Expression),
    /// A value that is a path, encoded already.
    Path(Expression),
}

impl Piece {
    fn new(written: Written<'_>, encoded: &'static AsciiSet) -> Self {
        match written {
            Written::Text(text) => Self::Text(mend(text, encoded).into()),
            Written::Expression(expression) if is_path(expression.source()) => {
                Self::Path(expression.clone())
            }
            Written::Expression(expression) => Self::Value(expression.clone()),
        }
    }
}

/// Whether an expression is the request's path, or cut from it with a method such as `substring`.
/// Whatever mixes it with something else is text like any other.
fn is_path(source: &str) -> bool {
    source.strip_prefix("request.path").is_some_and(|rest| {
        (rest.is_empty() || rest.starts_with('.')) && !rest.contains(['?', '+', '[', '='])
    })
}

/// Adds a path to what there is, with one slash between the two.
fn join(out: &mut String, path: &str) {
    let path = if out.ends_with('/') {
        path.trim_start_matches('/')
    } else {
        path
    };
    out.push_str(&mend(path, NOT_IN_PATH));
}

/// A template of the path that an upstream sees.
#[derive(Debug)]
pub(super) struct PathTemplate(Vec<Piece>);

impl PathTemplate {
    /// Compiles it.
    ///
    /// # Errors
    /// Why what it makes could never be a path.
    pub(super) fn new(template: &Template) -> Result<Self, String> {
        let wrong = |found: &str| {
            Err(format!(
                "expected a path such as `/v1${{request.path}}`, found {found}"
            ))
        };
        for piece in template.pieces() {
            if let Written::Text(text) = piece
                && let Some(found) = text.find(['?', '#'])
            {
                return wrong(&format!("a `{}` in it", &text[found..=found]));
            }
        }
        let pieces = template
            .pieces()
            .map(|piece| Piece::new(piece, NOT_IN_PATH));
        let pieces: Vec<_> = pieces.collect();
        match &*pieces {
            [] => return wrong("nothing"),
            [Piece::Text(text)] => check_path(text)?,
            [Piece::Text(text), ..] if !text.starts_with('/') || text.starts_with("//") => {
                return wrong(&format!("`{text}` at its beginning"));
            }
            [Piece::Value(value), ..] => {
                return wrong(&format!("`${{{}}}` at its beginning", value.source()));
            }
            _ => {}
        }
        Ok(Self(pieces))
    }

    /// The path for this exchange, valid in the sense of [`check_path`].
    ///
    /// # Errors
    /// Why there is none: an expression has no value, or the path would not be valid.
    pub(super) fn render(&self, facts: &Facts<'_>) -> Result<Cow<'_, str>, String> {
        if let [Piece::Text(text)] = &*self.0 {
            return Ok(Cow::Borrowed(text));
        }
        let mut out = String::new();
        for piece in &self.0 {
            let (Piece::Value(expression) | Piece::Path(expression)) = piece else {
                let Piece::Text(text) = piece else { continue };
                out.push_str(text);
                continue;
            };
            let value = expression.text(facts)?;
            if value.is_empty() {
                return Err(format!("`${{{}}}` is empty", expression.source()));
            }
            match piece {
                Piece::Path(_) => join(&mut out, &value),
                _ => out.extend(component(&value)),
            }
        }
        check_path(&out)?;
        Ok(out.into())
    }
}

/// A template of where a client is sent: an absolute URL, or a path.
#[derive(Debug)]
pub(super) struct Location(Vec<Piece>);

/// Where in a URL its next character would stand.
#[derive(Debug, PartialEq, Eq)]
enum Zone {
    /// In the scheme, or in whatever else it begins with.
    Start,
    Authority,
    Path,
    /// In the query or the fragment.
    Behind,
}

impl Zone {
    fn behind(url: &str) -> Self {
        let rest = match url.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?', '#']) => rest,
            _ if url.starts_with('/') => url,
            _ => return Self::Start,
        };
        if rest.contains(['?', '#']) {
            Self::Behind
        } else if rest.contains('/') {
            Self::Path
        } else {
            Self::Authority
        }
    }
}

impl Location {
    /// Compiles it.
    ///
    /// # Errors
    /// Why what it makes could never be one.
    pub(super) fn new(template: &Template) -> Result<Self, String> {
        let pieces = template.pieces().map(|piece| Piece::new(piece, NOWHERE));
        let location = Self(pieces.collect());
        let begins_well = match location.0.first() {
            Some(Piece::Text(text)) => {
                text.contains("://") || text.starts_with('/') && !text.starts_with("//")
            }
            Some(_) => true,
            None => false,
        };
        let wrong = |why: &str| {
            let what = "expected a URL such as `https://example.com/`, or a path such as `/new`";
            format!("{what}{why}")
        };
        if !begins_well {
            return Err(wrong(", at its beginning"));
        }
        if let Some(constant) = location.constant() {
            finish(constant.to_owned(), false).map_err(|why| wrong(&format!(": {why}")))?;
        }
        Ok(location)
    }

    /// The location, where it is the same for all exchanges.
    pub(super) fn constant(&self) -> Option<&str> {
        match &*self.0 {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The location for this exchange: visible ASCII, and never a URL without a scheme, which
    /// could name another host (`//host`).
    ///
    /// # Errors
    /// Why there is none: an expression has no value, or what comes out names no host, or would
    /// be something other than a web page though a request made it up.
    pub(super) fn render(&self, facts: &Facts<'_>) -> Result<String, String> {
        let mut out = String::new();
        let mut made_up = false;
        for piece in &self.0 {
            let (expression, is_path) = match piece {
                Piece::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Value(expression) => (expression, false),
                Piece::Path(expression) => (expression, true),
            };
            let value = expression.text(facts)?;
            match Zone::behind(&out) {
                Zone::Start | Zone::Authority if is_path => {
                    // What is cut from a path may have lost its slash: it would be a part of the host.
                    if !value.starts_with('/') && (out.is_empty() || !value.is_empty()) {
                        out.push('/');
                    }
                    join(&mut out, &value);
                }
                Zone::Start => {
                    made_up = true;
                    out.push_str(&mend(&value, NOWHERE));
                }
                Zone::Authority if may_name_host(&value) => out.push_str(&value),
                Zone::Authority => {
                    return Err(format!("`${{{}}}` names no host", expression.source()));
                }
                Zone::Path if is_path => join(&mut out, &value),
                Zone::Path | Zone::Behind => out.extend(component(&value)),
            }
        }
        finish(out, made_up)
    }
}

/// Whether a text can be a part of an authority.
fn may_name_host(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    !text.is_empty() && text.bytes().all(fits)
}

/// A location that names what it seems to name.
fn finish(url: String, made_up: bool) -> Result<String, String> {
    if url.starts_with('/') {
        let path = url.trim_start_matches('/');
        return Ok(if path.len() + 1 == url.len() {
            url
        } else {
            format!("/{path}")
        });
    }
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
    let in_scheme = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(in_scheme) {
        return Err("its scheme is not valid".into());
    }
    let is_web = ["http", "https"]
        .iter()
        .any(|web| scheme.eq_ignore_ascii_case(web));
    if made_up && !is_web {
        return Err("its scheme is neither `http` nor `https`".into());
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if !is_authority(&rest[..end]) {
        return Err("its host is not valid".into());
    }
    Ok(url)
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
