//! The bytes of a path: what they mean, and what their escapes stand for.

/// What a byte means in a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A `pchar` that may or may not be escaped, with the same meaning.
    Unreserved,
    /// A `pchar` that means something else when it is escaped.
    Reserved,
    Slash,
    Percent,
    Backslash,
    /// Where the path ends and something else begins.
    End,
    Control,
    /// Not allowed as it is: to be escaped.
    Other,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                Class::Unreserved
            }
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':'
            | b'@' => Class::Reserved,
            b'/' => Class::Slash,
            b'%' => Class::Percent,
            b'\\' => Class::Backslash,
            b'?' | b'#' => Class::End,
            0..=0x1f | 0x7f => Class::Control,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

/// The class of a byte.
pub(super) fn class(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

/// The value of an upper-case hexadecimal digit.
pub(super) fn hex(digit: u8) -> u8 {
    if digit <= b'9' {
        digit - b'0'
    } else {
        digit - b'A' + 10
    }
}

/// The byte that an escape stands for; nothing where its digits are none.
pub(super) fn unescape(high: u8, low: u8) -> Option<u8> {
    let digits = high.is_ascii_hexdigit() && low.is_ascii_hexdigit();
    digits.then(|| hex(high.to_ascii_uppercase()) << 4 | hex(low.to_ascii_uppercase()))
}
