//! Lists of directives in a field (RFC 9110, 5.6.1; RFC 9111, 5.2).

/// One member of a list: a name, and what follows its `=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member<'a> {
    /// The name, without space around it. It may be no token.
    pub(super) name: &'a [u8],
    pub(super) argument: Argument<'a>,
}

/// What follows the name of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    /// No `=`.
    None,
    /// A token.
    Token(&'a [u8]),
    /// The inside of a quoted string, backslashes as they came.
    Quoted(&'a [u8]),
    /// What is neither, or has space around its `=`.
    Malformed,
}

/// The members of all lines of a list. Empty ones are left out. A quote that is not closed in its
/// line is a character like others: it must not hide what follows it.
pub(super) fn members<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
) -> impl Iterator<Item = Member<'a>> {
    lines.into_iter().flat_map(|line| {
        split(line)
            .filter(|member| !member.is_empty())
            .map(Member::read)
    })
}

/// The parts of a line between its commas, without space around them.
pub(super) fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = end_of_member(line);
        rest = line.get(end + 1..);
        Some(line[..end].trim_ascii())
    })
}

fn end_of_member(line: &[u8]) -> usize {
    let mut at = 0;
    // Members are short: it takes longer to begin a search that is faster.
    let is_mark = |byte: &u8| matches!(byte, b',' | b'"');
    while let Some(next) = line[at..].iter().position(is_mark) {
        at += next;
        if line[at] == b',' {
            return at;
        }
        at = closing_quote(line, at).unwrap_or(at) + 1;
    }
    line.len()
}

/// Where the quoted string ends that begins here.
fn closing_quote(line: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    while at < line.len() {
        match line[at] {
            b'\\' => at += 1,
            b'"' => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

impl<'a> Member<'a> {
    fn read(text: &'a [u8]) -> Self {
        let Some(equals) = text.iter().position(|byte| *byte == b'=') else {
            return Self {
                name: text,
                argument: Argument::None,
            };
        };
        let (name, value) = (&text[..equals], &text[equals + 1..]);
        let is_space = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
        let spaced = is_space(name.last()) || is_space(value.first());
        let argument = match value {
            _ if spaced => Argument::Malformed,
            [b'"', inside @ .., b'"'] if closing_quote(value, 0) == Some(value.len() - 1) => {
                Argument::Quoted(inside)
            }
            _ if !value.is_empty() && value.iter().copied().all(is_token) => Argument::Token(value),
            _ => Argument::Malformed,
        };
        Self {
            name: name.trim_ascii_end(),
            argument,
        }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Seconds (RFC 9111, 1.2.2), as a token or quoted; more than 2^31 are 2^31.
    pub(super) fn seconds(&self) -> Option<u32> {
        match self.argument {
            Argument::Token(text) | Argument::Quoted(text) => seconds(text),
            Argument::None | Argument::Malformed => None,
        }
    }
}

/// What a cache may take for forever (RFC 9111, 1.2.2).
pub(super) const FOREVER: u32 = 1 << 31;

/// Digits and nothing else.
pub(super) fn seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let sum = text.iter().fold(0_u32, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    });
    Some(sum.min(FOREVER))
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'z' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(line: &str) -> Vec<&str> {
        let members = members([line.as_bytes()]);
        members
            .map(|member| std::str::from_utf8(member.name).unwrap())
            .collect()
    }

    #[test]
    fn rfc9110_5_6_1_empty_members_are_left_out() {
        assert_eq!(names(", a,, b=1 ,"), ["a", "b"]);
        assert!(names("").is_empty());
    }

    #[test]
    fn rfc9111_5_2_commas_in_quoted_strings_do_not_separate() {
        assert_eq!(names(r#"x="a, no-store", b"#), ["x", "b"]);
        assert_eq!(names(r#"x="a\", no-store", b"#), ["x", "b"]);
    }

    #[test]
    fn an_open_quote_hides_nothing() {
        assert_eq!(names(r#"x="a, no-store"#), ["x", "no-store"]);
    }

    #[test]
    fn rfc9111_1_2_2_seconds() {
        let of = |text: &str| members([text.as_bytes()]).next().unwrap().seconds();
        assert_eq!(of("max-age=3600"), Some(3600));
        assert_eq!(of("max-age=003600"), Some(3600));
        assert_eq!(of(r#"max-age="3600""#), Some(3600));
        assert_eq!(of("max-age=99999999999"), Some(FOREVER));
        assert_eq!(of("max-age=2147483649"), Some(FOREVER));
        for wrong in [
            "max-age",
            "max-age=",
            "max-age=a1",
            "max-age=1a",
            "max-age=1.0",
            "max-age='1'",
            "max-age=-1",
            "max-age =1",
            "max-age= 1",
            r#"max-age="1"2"#,
            r#"max-age="""#,
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(parts in prop::collection::vec(("[a-z-]{1,8}", "[ -~]{0,8}"), 0..6)) {
            let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let line: Vec<_> = parts.iter().map(|(name, text)| format!("{name}=\"{}\"", quoted(text))).collect();
            let line = line.join(", ");
            let read: Vec<_> = members([line.as_bytes()]).collect();
            prop_assert_eq!(read.len(), parts.len());
            for (member, (name, text)) in read.iter().zip(&parts) {
                prop_assert!(member.is(name));
                let inside = quoted(text);
                prop_assert_eq!(member.argument, Argument::Quoted(inside.as_bytes()));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(line in prop::collection::vec(any::<u8>(), 0..64)) {
            for member in members([&*line]) {
                let _ = member.seconds();
            }
        }
    }
}
