//! Finds the end of an expression without parsing it.

/// Where the expression at the start of a text ends: the first `}` outside of quotes, comments
/// and braces of its own.
pub(crate) fn closing_brace(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            b'"' | b'\'' => {
                at = closing_quote(bytes, at)?;
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += text[at..].find('\n')?;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the quoted text that begins at `start` is over: three quotes or one, in which `\` makes
/// the next character a plain one unless an `r` stands before them.
fn closing_quote(bytes: &[u8], start: usize) -> Option<usize> {
    let quote = bytes[start];
    let triple = [quote; 3];
    let end: &[u8] = if bytes[start..].starts_with(&triple) {
        &triple
    } else {
        &triple[..1]
    };
    let raw = is_raw(&bytes[..start]);
    let mut at = start + end.len();
    while at < bytes.len() {
        if bytes[at..].starts_with(end) {
            return Some(at + end.len());
        }
        at += if bytes[at] == b'\\' && !raw { 2 } else { 1 };
    }
    None
}

/// Whether what comes before a quote ends with the prefix of a raw text: `r`, or `br`, and not
/// with a word that happens to end so.
fn is_raw(before: &[u8]) -> bool {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let start = before
        .iter()
        .rposition(|byte| !word(byte))
        .map_or(0, |at| at + 1);
    matches!(&before[start..], [b'r' | b'R'] | [b'b' | b'B', b'r' | b'R'])
}
