//! What is left behind a run of bytes, eight bytes at a time.

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// From the next quote, backslash or control character on.
pub(super) fn behind_plain(mut text: &[u8]) -> &[u8] {
    // Long texts, as the compiler does it best: all bytes of a block at once.
    while let Some((block, rest)) = text.split_first_chunk::<16>() {
        let special =
            |byte: &u8| u8::from(*byte == b'"') | u8::from(*byte == b'\\') | u8::from(*byte < 0x20);
        if block.iter().map(special).fold(0, |any, one| any | one) != 0 {
            break;
        }
        text = rest;
    }
    behind(text, specials, is_special)
}

/// What is behind the next quote, if one of the first eight bytes is one and all before it stand for themselves.
#[inline(always)]
pub(super) fn behind_short(text: &[u8]) -> Option<&[u8]> {
    match &text[first(text, specials)?..] {
        [b'"', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// From the next thing that is no digit on.
#[inline(always)]
pub(super) fn behind_digits(text: &[u8]) -> &[u8] {
    match first(text, others_than_digits) {
        Some(at) => &text[at..],
        None => behind_many_digits(text),
    }
}

#[inline(never)]
fn behind_many_digits(text: &[u8]) -> &[u8] {
    behind(text, others_than_digits, |byte| !byte.is_ascii_digit())
}

/// From the next thing that is no blank on.
#[inline(always)]
pub(super) fn behind_blanks(text: &[u8]) -> &[u8] {
    match text {
        [0..=b' ', ..] => behind_more_blanks(text),
        _ => text,
    }
}

/// What is behind this byte and the blanks before it; where it is not there, what is behind the blanks.
#[inline(always)]
pub(super) fn behind_byte(text: &[u8], byte: u8) -> Result<&[u8], &[u8]> {
    match text {
        [first, rest @ ..] if *first == byte => Ok(rest),
        [0..=b' ', ..] => {
            let text = behind_more_blanks(text);
            text.strip_prefix(&[byte]).ok_or(text)
        }
        _ => Err(text),
    }
}

/// Most blanks are spaces: one, or what a line is indented by.
#[inline(never)]
fn behind_more_blanks(mut text: &[u8]) -> &[u8] {
    if let [b' ', rest @ ..] = text
        && rest.first().is_some_and(|byte| *byte > b' ')
    {
        return rest;
    }
    loop {
        text = match text {
            [b' ', rest @ ..] => behind(rest, others_than_spaces, |byte| byte != b' '),
            [b'\t' | b'\n' | b'\r', rest @ ..] => rest,
            _ => return text,
        }
    }
}

/// Where the first of eight bytes stands that ends a run; nothing where there are none, or fewer bytes.
#[inline(always)]
fn first(text: &[u8], ends: impl Fn(u64) -> u64) -> Option<usize> {
    let ends = ends(u64::from_le_bytes(*text.first_chunk()?));
    (ends != 0).then(|| ends.trailing_zeros() as usize / 8)
}

/// What is left behind a run. Of eight bytes, the lowest being the first, `ends` gives a number whose lowest bit that is
/// set belongs to the first byte that ends the run.
#[inline(always)]
fn behind(mut text: &[u8], ends: impl Fn(u64) -> u64, is_end: impl Fn(u8) -> bool) -> &[u8] {
    while let Some((eight, rest)) = text.split_first_chunk() {
        match ends(u64::from_le_bytes(*eight)) {
            0 => text = rest,
            found => return &text[found.trailing_zeros() as usize / 8..],
        }
    }
    while let [byte, rest @ ..] = text
        && !is_end(*byte)
    {
        text = rest;
    }
    text
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

#[inline(always)]
fn specials(eight: u64) -> u64 {
    // The high bit of each byte that is less than this, and below 0x80; behind the first one, borrowing may set others.
    let less = |eight: u64, than: u8| eight.wrapping_sub(ONES * u64::from(than));
    // With this bit turned, a quote is 0x20, and control characters are still less: no other byte is.
    let quotes_and_controls = less(eight ^ (ONES * 0x02), 0x21);
    let backslashes = less(eight ^ (ONES * u64::from(b'\\')), 1);
    (quotes_and_controls | backslashes) & !eight & HIGH
}

#[inline(always)]
fn others_than_digits(eight: u64) -> u64 {
    // Digits become what is less than ten; what adding carries is above the first byte that is no digit.
    let turned = eight ^ (ONES * u64::from(b'0'));
    (turned | turned.wrapping_add(ONES * 6)) & (ONES * 0xf0)
}

#[inline(always)]
fn others_than_spaces(eight: u64) -> u64 {
    eight ^ (ONES * u64::from(b' '))
}
