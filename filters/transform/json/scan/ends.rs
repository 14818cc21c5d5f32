//! Where values end, in texts that are JSON.

use super::runs::{behind_blanks, behind_plain};

/// Where the value that begins here ends, in a text that is JSON.
pub(in super::super) fn end_of_value(text: &[u8], start: usize) -> usize {
    match text[start] {
        b'"' => end_of_string(text, start),
        b'{' | b'[' => {
            let (mut depth, mut at) = (0_usize, start);
            loop {
                match text[at] {
                    b'"' => {
                        at = end_of_string(text, at);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
        }
        _ => {
            let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']') || is_blank(*byte);
            let length = text[start..].iter().position(ends);
            length.map_or(text.len(), |length| start + length)
        }
    }
}

/// Where the next thing that is no blank stands.
pub(in super::super) fn skip_blanks(text: &[u8], from: usize) -> usize {
    text.len() - behind_blanks(&text[from..]).len()
}

fn end_of_string(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        at = text.len() - behind_plain(&text[at..]).len();
        match text[at] {
            b'"' => return at + 1,
            _ => at += 2, // a backslash, and what it stands before
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
