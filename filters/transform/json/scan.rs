//! Whether bytes are JSON (RFC 8259).

mod ends;
mod runs;
#[cfg(test)]
mod tests;

pub(super) use ends::{end_of_value, skip_blanks};
use runs::{behind_blanks, behind_byte, behind_digits, behind_plain, behind_short};

/// How deep arrays and objects may stand in each other. The stack is used as deeply.
pub(super) const DEEPEST: usize = 128;

/// What was expected between two members, or two elements.
const BETWEEN: &str = "`,` or the end of a list";

/// Checks that these bytes are one JSON text in UTF-8, nested no deeper than 128 levels. A byte
/// order mark is no part of it.
///
/// # Errors
/// What was expected, and at which byte. Never shows what is there.
pub(in crate::transform) fn check(text: &[u8]) -> Result<(), String> {
    check_members(text, |_| ())
}

/// The same as [`check`], and tells the members of the object that the text is, in their order; none where it is no
/// object. What is told counts only where the whole of it is JSON.
///
/// # Errors
/// As those of [`check`].
pub(super) fn check_members<'a>(
    text: &'a [u8],
    tell: impl FnMut(Member<'a>),
) -> Result<(), String> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(format!("expected UTF-8 at byte {}", error.valid_up_to()));
    }
    let mut scan = Scan::default();
    scan.document(text, tell).ok_or_else(|| {
        let at = text.len() - scan.left;
        format!("expected {} at byte {at}", scan.expected)
    })
}

/// A member of an object.
pub(super) struct Member<'a> {
    /// The text from its name on, blanks before it included, and from behind it on.
    name: [&'a [u8]; 2],
    /// The same for its value.
    value: [&'a [u8]; 2],
}

impl<'a> Member<'a> {
    /// Its name, quotes included.
    pub(super) fn name(&self) -> &'a [u8] {
        between(self.name).trim_ascii_start()
    }

    /// Its value, without blanks around it.
    pub(super) fn value(&self) -> &'a [u8] {
        between(self.value).trim_ascii_start()
    }
}

/// What stands between where a text goes on and where it goes on later.
fn between([from, to]: [&[u8]; 2]) -> &[u8] {
    &from[..from.len() - to.len()]
}

/// Passes the parts of a text. Each way gives what is left behind its part; nothing where the part is not there, which
/// is noted.
#[derive(Default)]
struct Scan {
    /// What was expected, where so many bytes are left.
    expected: &'static str,
    left: usize,
}

impl Scan {
    #[cold]
    fn wrong<'a>(&mut self, rest: &[u8], expected: &'static str) -> Option<&'a [u8]> {
        *self = Self {
            expected,
            left: rest.len(),
        };
        None
    }

    fn document<'a>(&mut self, text: &'a [u8], tell: impl FnMut(Member<'a>)) -> Option<()> {
        let rest = match behind_blanks(text) {
            [b'{', rest @ ..] => self.object(rest, 1, tell)?,
            text => self.value(text, 0)?,
        };
        match behind_blanks(rest) {
            [] => Some(()),
            rest => self.wrong(rest, "the end").map(drop),
        }
    }

    /// Passes a value in so many arrays and objects.
    #[inline(always)]
    fn value<'a>(&mut self, mut text: &'a [u8], depth: usize) -> Option<&'a [u8]> {
        loop {
            return match text {
                [b'"', rest @ ..] => self.string(rest),
                [b'{' | b'[', ..] if depth == DEEPEST => {
                    self.wrong(text, "at most 128 levels, found more")
                }
                [b'{', rest @ ..] => self.object(rest, depth + 1, |_| ()),
                [b'[', rest @ ..] => self.array(rest, depth + 1),
                [b't', ..] => self.word(text, b"true"),
                [b'f', ..] => self.word(text, b"false"),
                [b'n', ..] => self.word(text, b"null"),
                [b' ' | b'\t' | b'\n' | b'\r', ..] => {
                    text = behind_blanks(text);
                    continue;
                }
                _ => self.number(text),
            };
        }
    }

    /// Passes what is behind the bracket that opens an object.
    fn object<'a>(
        &mut self,
        text: &'a [u8],
        depth: usize,
        mut tell: impl FnMut(Member<'a>),
    ) -> Option<&'a [u8]> {
        let mut text = match behind_byte(text, b'}') {
            Ok(rest) => return Some(rest),
            Err(text) => text,
        };
        loop {
            let name = match behind_byte(text, b'"') {
                Ok(name) => name,
                Err(rest) => return self.wrong(rest, "a value"),
            };
            let behind_name = self.string(name)?;
            let value = match behind_byte(behind_name, b':') {
                Ok(value) => value,
                Err(rest) => return self.wrong(rest, "`:`"),
            };
            let rest = self.value(value, depth)?;
            tell(Member {
                name: [text, behind_name],
                value: [value, rest],
            });
            text = match behind_byte(rest, b',') {
                Ok(rest) => rest,
                Err([b'}', rest @ ..]) => return Some(rest),
                Err(rest) => return self.wrong(rest, BETWEEN),
            }
        }
    }

    /// Passes what is behind the bracket that opens an array.
    fn array<'a>(&mut self, text: &'a [u8], depth: usize) -> Option<&'a [u8]> {
        let mut text = match behind_byte(text, b']') {
            Ok(rest) => return Some(rest),
            Err(text) => text,
        };
        loop {
            let rest = self.value(text, depth)?;
            text = match behind_byte(rest, b',') {
                Ok(rest) => rest,
                Err([b']', rest @ ..]) => return Some(rest),
                Err(rest) => return self.wrong(rest, BETWEEN),
            }
        }
    }

    /// Passes what is behind the quote that opens a text.
    #[inline(always)]
    fn string<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        behind_short(text).or_else(|| self.long_string(text))
    }

    #[inline(never)]
    fn long_string<'a>(&mut self, mut text: &'a [u8]) -> Option<&'a [u8]> {
        loop {
            text = behind_plain(text);
            match text {
                [b'"', rest @ ..] => return Some(rest),
                [b'\\', ..] => text = self.escape(text)?,
                _ => return self.wrong(text, "the end of a text"),
            }
        }
    }

    fn escape<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        match &text[1..] {
            [
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                rest @ ..,
            ] => Some(rest),
            [b'u', rest @ ..] => match rest.split_first_chunk::<4>() {
                Some((digits, rest)) if digits.iter().all(u8::is_ascii_hexdigit) => Some(rest),
                _ => self.wrong(text, "four hexadecimal digits"),
            },
            _ => self.wrong(text, "an escape of JSON"),
        }
    }

    fn number<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let text = text.strip_prefix(b"-").unwrap_or(text);
        let mut rest = match text {
            [b'0', rest @ ..] => rest,
            _ => self.digits(text, "a value")?,
        };
        if let [b'.', fraction @ ..] = rest {
            rest = self.digits(fraction, "a digit")?;
        }
        if let [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] = rest {
            rest = self.digits(exponent, "a digit")?;
        }
        Some(rest)
    }

    #[inline(always)]
    fn digits<'a>(&mut self, text: &'a [u8], expected: &'static str) -> Option<&'a [u8]> {
        let rest = behind_digits(text);
        match rest.len() == text.len() {
            true => self.wrong(text, expected),
            false => Some(rest),
        }
    }

    #[inline(always)]
    fn word<'a>(&mut self, text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
        text.strip_prefix(word)
            .or_else(|| self.wrong(text, "a value"))
    }
}
