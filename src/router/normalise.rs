//! The one form of a request path: what routes match, filters see and upstreams get.

mod byte;

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use byte::{Class, class, hex};

/// What happens to a request whose path holds a slash in disguise: `%2F`, `%5C` or a backslash.
/// Servers disagree on whether such a path has one segment or two, which is how requests get
/// around rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncodedSlash {
    /// The request is answered with 400.
    #[default]
    Refuse,
    /// It stays in the path as `%2F` or `%5C`, part of its segment, and never becomes a
    /// separator. A backslash is sent on as `%5C`.
    Keep,
}

/// Why a request path is refused; the answer is 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not begin with `/`, or has a `?` or `#` in it.
    NotAPath,
    /// A `%` without two hexadecimal digits after it.
    BadEscape,
    /// A control character, written as it is, or NUL as `%00`.
    Control,
    /// `..` above the first segment.
    AboveRoot,
    /// `.` or `..` with a parameter, such as `..;a`. Some servers take parameters off before they
    /// resolve dots, and others never do.
    DotParameter,
    /// `%2F`, `%5C` or a backslash, where the policy is [`EncodedSlash::Refuse`].
    EncodedSlash,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAPath => "expected a path that begins with `/`",
            Self::BadEscape => "expected two hexadecimal digits after each `%` of the path",
            Self::Control => "expected a path without control characters",
            Self::AboveRoot => "expected a path that stays below `/`, found too many `..`",
            Self::DotParameter => "expected a path without a `;` after a segment's `.` or `..`",
            Self::EncodedSlash => "expected a path without encoded slashes or backslashes",
        })
    }
}

impl std::error::Error for Refusal {}

/// Brings the path of a request target (without its query) into the one form that is matched and
/// sent on. The form is stable: normalising it again changes nothing.
///
/// - `//` is `/`, then `.` and `..` are removed (RFC 3986, 5.2.4), also where they are written
///   as `%2e`;
/// - escapes of unreserved characters are decoded, those that stay are upper case (RFC 3986,
///   6.2.2), and what may not stand in a path as it is (RFC 3986, 3.3) is escaped;
/// - an empty path is `/`; `*` (the whole server, RFC 9112, 3.2.4) stays as it is;
/// - `%2F`, `%5C` and backslashes follow the policy;
/// - a `.` or `..` with a parameter (`..;a`) is refused.
///
/// A path that is in this form already is borrowed.
///
/// # Errors
/// Why the request is to be refused with 400.
pub fn normalise(raw: &str, slashes: EncodedSlash) -> Result<Cow<'_, str>, Refusal> {
    match raw.as_bytes() {
        [] => Ok(Cow::Borrowed("/")),
        b"*" => Ok(Cow::Borrowed(raw)),
        [b'/', ..] if is_normal(raw.as_bytes(), slashes) => Ok(Cow::Borrowed(raw)),
        [b'/', ..] => rebuild(raw, slashes).map(Cow::Owned),
        _ => Err(Refusal::NotAPath),
    }
}

fn is_normal(path: &[u8], slashes: EncodedSlash) -> bool {
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        match class(byte) {
            Class::Unreserved | Class::Reserved => {}
            Class::Slash => {
                if let [b'/', ..]
                | [b'.']
                | [b'.', b'/' | b';', ..]
                | [b'.', b'%', b'3', b'B', ..]
                | [b'.', b'.']
                | [b'.', b'.', b'/' | b';', ..]
                | [b'.', b'.', b'%', b'3', b'B', ..] = path[at + 1..]
                {
                    return false;
                }
            }
            Class::Percent => match path[at + 1..] {
                [
                    high @ (b'0'..=b'9' | b'A'..=b'F'),
                    low @ (b'0'..=b'9' | b'A'..=b'F'),
                    ..,
                ] if stays(hex(high) << 4 | hex(low), slashes) => {}
                _ => return false,
            },
            _ => return false,
        }
        at += 1;
    }
    true
}

/// Whether an escape of this byte is left as it is.
fn stays(byte: u8, slashes: EncodedSlash) -> bool {
    match class(byte) {
        Class::Unreserved => false,
        Class::Slash | Class::Backslash => slashes == EncodedSlash::Keep,
        _ => byte != 0,
    }
}

fn rebuild(raw: &str, slashes: EncodedSlash) -> Result<String, Refusal> {
    let mut path = String::with_capacity(raw.len() + 8);
    let mut ends_open = false;
    for segment in raw[1..].split('/') {
        let start = path.len();
        path.push('/');
        push_segment(&mut path, segment.as_bytes(), slashes)?;
        ends_open = match &path[start + 1..] {
            "" | "." => {
                path.truncate(start);
                true
            }
            ".." => {
                path.truncate(start);
                path.truncate(path.rfind('/').ok_or(Refusal::AboveRoot)?);
                true
            }
            segment if is_dots_with_parameter(segment) => return Err(Refusal::DotParameter),
            _ => false,
        };
    }
    if ends_open {
        path.push('/');
    }
    Ok(path)
}

fn is_dots_with_parameter(segment: &str) -> bool {
    let after = segment.trim_start_matches('.');
    matches!(segment.len() - after.len(), 1 | 2)
        && (after.starts_with(';') || after.starts_with("%3B"))
}

fn push_segment(path: &mut String, raw: &[u8], slashes: EncodedSlash) -> Result<(), Refusal> {
    let mut rest = raw;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match class(*byte) {
            Class::Unreserved | Class::Reserved => path.push(char::from(*byte)),
            Class::Percent => {
                let [high, low, tail @ ..] = rest else {
                    return Err(Refusal::BadEscape);
                };
                rest = tail;
                let byte = byte::unescape(*high, *low).ok_or(Refusal::BadEscape)?;
                push_escaped(path, byte, slashes)?;
            }
            Class::End => return Err(Refusal::NotAPath),
            Class::Control => return Err(Refusal::Control),
            Class::Slash | Class::Backslash | Class::Other => push_escaped(path, *byte, slashes)?,
        }
    }
    Ok(())
}

/// Adds a byte that is, or has to be, escaped.
fn push_escaped(path: &mut String, byte: u8, slashes: EncodedSlash) -> Result<(), Refusal> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    match class(byte) {
        Class::Unreserved => {
            path.push(char::from(byte));
            return Ok(());
        }
        Class::Slash | Class::Backslash if slashes == EncodedSlash::Refuse => {
            return Err(Refusal::EncodedSlash);
        }
        _ if byte == 0 => return Err(Refusal::Control),
        _ => {}
    }
    path.push('%');
    path.push(char::from(DIGITS[usize::from(byte >> 4)]));
    path.push(char::from(DIGITS[usize::from(byte & 15)]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::EncodedSlash::{Keep, Refuse};
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: &str) {
        assert_eq!(normalise(raw, Refuse).as_deref(), Ok(expected), "{raw}");
    }

    #[test]
    fn removes_dot_segments_and_double_slashes() {
        check("/a/./b", "/a/b");
        check("/a/../b", "/b");
        check("/a/b/..", "/a/");
        check("/a/.", "/a/");
        check("/a/%2E%2e/b", "/b");
        check("/a/.%2e/b", "/b");
        check("//a///b//", "/a/b/");
        check("/a//../b", "/b");
        check("/..a/b..", "/..a/b..");
        check("/.", "/");
        check("//", "/");
    }

    #[test]
    fn has_one_spelling_for_each_character() {
        check("/%61%2D%7e", "/a-~");
        check("/a%3ab", "/a%3Ab");
        check("/a:b", "/a:b");
        check("/a%252fb", "/a%252fb");
        check("/caf\u{e9}", "/caf%C3%A9");
        check("/caf%c3%a9", "/caf%C3%A9");
        check("/{a}|\"", "/%7Ba%7D%7C%22");
        check("/%7b", "/%7B");
    }

    #[test]
    fn other_forms_of_a_target() {
        check("", "/");
        check("*", "*");
        for raw in ["a", "http://a/b", "a.example:443", "**"] {
            assert_eq!(normalise(raw, Keep), Err(Refusal::NotAPath), "{raw}");
        }
    }

    #[test]
    fn refuses_what_servers_disagree_about() {
        for (raw, why) in [
            ("/..", Refusal::AboveRoot),
            ("/a/../../b", Refusal::AboveRoot),
            ("/%2e%2e/a", Refusal::AboveRoot),
            ("/a/..;/b", Refusal::DotParameter),
            ("/a/.;x=1", Refusal::DotParameter),
            ("/a/%2e%2e%3b", Refusal::DotParameter),
            ("/a/..%3Bx/b", Refusal::DotParameter),
            ("/a%00", Refusal::Control),
            ("/a\tb", Refusal::Control),
            ("/a\u{7f}", Refusal::Control),
            ("/a%", Refusal::BadEscape),
            ("/a%4", Refusal::BadEscape),
            ("/a%4/b", Refusal::BadEscape),
            ("/a%+1", Refusal::BadEscape),
            ("/a%\u{e9}", Refusal::BadEscape),
            ("/a?b", Refusal::NotAPath),
            ("/a#b", Refusal::NotAPath),
        ] {
            assert_eq!(normalise(raw, Refuse), Err(why), "{raw}");
            assert_eq!(normalise(raw, Keep), Err(why), "{raw}");
        }
    }

    #[test]
    fn slashes_in_disguise_follow_the_policy() {
        for (raw, kept) in [
            ("/a%2fb", "/a%2Fb"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%5cb", "/a%5Cb"),
            ("/a\\b", "/a%5Cb"),
            ("/a/..%2fb", "/a/..%2Fb"),
        ] {
            assert_eq!(normalise(raw, Refuse), Err(Refusal::EncodedSlash), "{raw}");
            assert_eq!(normalise(raw, Keep).as_deref(), Ok(kept), "{raw}");
        }
    }

    #[test]
    fn parameters_of_other_segments_stay() {
        check("/a;x=1/b", "/a;x=1/b");
        check("/...;x", "/...;x");
        check("/..a;x", "/..a;x");
        check("/..%20;x", "/..%20;x");
        check("/a..;x", "/a..;x");
        check("/;x", "/;x");
    }

    #[test]
    fn borrows_what_is_normal() {
        for raw in [
            "/",
            "/a/b.c/",
            "/a%20b",
            "/.well-known/x",
            "/...",
            "/a..b",
            "*",
        ] {
            assert!(
                matches!(normalise(raw, Refuse), Ok(Cow::Borrowed(_))),
                "{raw}"
            );
        }
        assert!(matches!(normalise("/a%2Fb", Keep), Ok(Cow::Borrowed(_))));
    }

    fn raw_path() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/", ".", "..", "%2e", "%2E", "%2f", "%5C", "\\", "a", "%61", "%25", "%", "%4", "2e",
            "\u{e9}", "{", "%00", "?", "*", ";", " ",
        ]);
        prop_oneof![
            prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat())),
            any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn is_stable_and_leaves_no_way_around(raw in raw_path(), keep: bool) {
            let policy = if keep { Keep } else { Refuse };
            if let Ok(path) = normalise(&raw, policy) {
                prop_assert!(matches!(normalise(&path, policy), Ok(Cow::Borrowed(again)) if again == path));
                prop_assert!(path.is_ascii() && !path.contains("//") && !path.contains('\\'));
                let mut names = path.split('/').map(|segment| {
                    let end = segment.find(';').or(segment.find("%3B"));
                    &segment[..end.unwrap_or(segment.len())]
                });
                prop_assert!(!names.any(|name| name == "." || name == ".."));
                let lower = path.to_ascii_lowercase();
                prop_assert!(!lower.contains("%2e") && !lower.contains("%00"));
                prop_assert!(keep || !(lower.contains("%2f") || lower.contains("%5c")));
            }
        }

        /// Decoding what came out gives what decoding the raw segments gives, after the dots.
        #[test]
        fn means_the_same(segments in prop::collection::vec("[a-c.;%é ]{1,4}", 0..5)) {
            let escaped: Vec<String> = segments
                .iter()
                .map(|segment| segment.bytes().map(|byte| format!("%{byte:02x}")).collect())
                .collect();
            let mut expected = Vec::new();
            let mut open = segments.is_empty();
            let mut refused = None;
            for segment in &segments {
                open = matches!(segment.as_str(), "." | "..");
                match segment.as_str() {
                    "." => {}
                    ".." if expected.pop().is_none() => {
                        refused.get_or_insert(Refusal::AboveRoot);
                    }
                    ".." => {}
                    other if other.starts_with(".;") || other.starts_with("..;") => {
                        refused.get_or_insert(Refusal::DotParameter);
                    }
                    other => expected.push(other.to_owned()),
                }
            }
            let raw = format!("/{}", escaped.join("/"));
            let found = normalise(&raw, Refuse);
            if let Some(why) = refused {
                prop_assert_eq!(found, Err(why));
            } else {
                let mut text: String = expected.iter().map(|segment| format!("/{segment}")).collect();
                if open {
                    text.push('/');
                }
                let found = found.unwrap();
                let decoded = percent_encoding::percent_decode_str(&found).decode_utf8().unwrap();
                prop_assert_eq!(decoded, text);
            }
        }
    }
}
