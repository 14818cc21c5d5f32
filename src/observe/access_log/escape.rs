//! Text of strangers, written so that it neither ends a line nor a value, nor moves a terminal.

/// Writes text as a JSON string (RFC 8259, 7) of at most `most` bytes between its quotes, and never
/// half a character. Besides what JSON demands, all control characters are escaped, and those that
/// change the direction of text or break lines.
pub(super) fn json(line: &mut Vec<u8>, text: &str, most: usize) {
    line.push(b'"');
    write(line, text, most, is_plain, |c, piece| match c {
        '"' => piece.extend_from_slice(b"\\\""),
        '\\' => piece.extend_from_slice(b"\\\\"),
        '\n' => piece.extend_from_slice(b"\\n"),
        '\r' => piece.extend_from_slice(b"\\r"),
        '\t' => piece.extend_from_slice(b"\\t"),
        c if is_unsafe(c) => {
            // All of them are in the basic plane.
            let code = u32::from(c);
            piece.extend_from_slice(b"\\u");
            (0..4).for_each(|digit| piece.push(HEX[(code >> (12 - 4 * digit) & 15) as usize]));
        }
        c => piece.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    });
    line.push(b'"');
}

/// Writes text as it is, where it is one word for whoever splits a line of `name=value`, and as a JSON
/// string otherwise.
pub(super) fn word(line: &mut Vec<u8>, text: &str, most: usize) {
    let bare = |byte: u8| is_plain_word(byte) && byte != b'=';
    if !text.is_empty() && text.bytes().all(bare) {
        line.extend_from_slice(&text.as_bytes()[..text.len().min(most)]);
    } else {
        json(line, text, most);
    }
}

/// Writes text for a place between quotes, as nginx does: whatever is not printable ASCII, and `"` and
/// `\`, is `\x` and two digits for each byte.
pub(super) fn hex(line: &mut Vec<u8>, text: &str, most: usize) {
    write(line, text, most, is_plain, hex_of);
}

/// The same for a place between spaces.
pub(super) fn hex_word(line: &mut Vec<u8>, text: &str, most: usize) {
    write(line, text, most, is_plain_word, hex_of);
}

type Piece = smallvec::SmallVec<[u8; 16]>;

const HEX: &[u8; 16] = b"0123456789abcdef";

fn hex_of(c: char, piece: &mut Piece) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        let digits = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
        piece.extend_from_slice(b"\\x");
        piece.extend(digits.map(|digit| digit.to_ascii_uppercase()));
    }
}

/// Printable ASCII that ends no string.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn is_plain_word(byte: u8) -> bool {
    is_plain(byte) && byte != b' '
}

/// Whether a character controls something, or makes text look like another one.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn write(
    line: &mut Vec<u8>,
    text: &str,
    most: usize,
    plain: fn(u8) -> bool,
    escape: impl Fn(char, &mut Piece),
) {
    let end = line.len() + most;
    let mut rest = text;
    let mut piece = Piece::new();
    loop {
        let bytes = rest.as_bytes();
        let run = bytes.iter().position(|byte| !plain(*byte));
        let run = run.unwrap_or(bytes.len());
        let room = end - line.len();
        line.extend_from_slice(&bytes[..run.min(room)]);
        rest = &rest[run..];
        let Some(c) = rest.chars().next() else {
            return;
        };
        piece.clear();
        escape(c, &mut piece);
        if line.len() + piece.len() > end {
            return;
        }
        line.extend_from_slice(&piece);
        rest = &rest[c.len_utf8()..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Write = fn(&mut Vec<u8>, &str, usize);

    fn written(write: Write, text: &str, most: usize) -> String {
        let mut line = Vec::new();
        write(&mut line, text, most);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn each_form_escapes_what_would_leave_its_place() {
        let hostile = "a\"b\\c\nd\u{1b}[2J\u{9b}1m é\u{202e}";
        assert_eq!(
            written(json, hostile, 100),
            "\"a\\\"b\\\\c\\nd\\u001b[2J\\u009b1m é\\u202e\""
        );
        assert_eq!(
            written(hex, hostile, 100),
            "a\\x22b\\x5Cc\\x0Ad\\x1B[2J\\xC2\\x9B1m \\xC3\\xA9\\xE2\\x80\\xAE"
        );
        assert_eq!(written(hex_word, "a b", 100), "a\\x20b");
        assert_eq!(written(word, "/a?b", 100), "/a?b");
        assert_eq!(written(word, "a=b", 100), "\"a=b\"");
        assert_eq!(written(word, "", 100), "\"\"");
    }

    #[test]
    fn a_cut_never_halves_a_character_or_an_escape() {
        assert_eq!(written(json, "ab\ncd", 3), "\"ab\"");
        assert_eq!(written(json, "ab\ncd", 4), "\"ab\\n\"");
        assert_eq!(written(json, "aé", 2), "\"a\"");
        assert_eq!(written(hex, "é", 7), "");
        assert_eq!(written(hex_word, "a b", 4), "a");
        assert_eq!(written(word, "abc", 2), "ab");
    }

    proptest! {
        #[test]
        fn no_text_ends_its_line_or_its_place(text in ".*|[\\x00-\\x9f\"\\\\ =é\u{2028}\u{202e}]*") {
            let json = written(json, &text, usize::MAX >> 1);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), &*text);
            let word = written(word, &text, usize::MAX >> 1);
            let bare = !word.starts_with('"');
            prop_assert!(!bare || (!word.contains([' ', '=', '"', '\\']) && word == text));
            let hex = written(hex, &text, usize::MAX >> 1);
            prop_assert!(hex.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"'));
            for line in [&json, &word, &hex] {
                prop_assert!(!line.contains(is_unsafe));
            }
        }

        #[test]
        fn what_is_cut_is_still_well_formed(text in ".*|[\\x00-\\x9f\"\\\\é]*", most in 0..40_usize) {
            let cut = written(json, &text, most);
            prop_assert!(cut.len() <= most + 2);
            prop_assert!(text.starts_with(&serde_json::from_str::<String>(&cut).unwrap()));
            prop_assert!(written(hex, &text, most).len() <= most);
        }
    }
}
