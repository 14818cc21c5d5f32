//! Charsets that JSON comes in.

use std::borrow::Cow;

use wiregate_sdk::header::CONTENT_TYPE;
use wiregate_sdk::{HeaderMap, HeaderValue};

/// A charset that can be turned into UTF-8, which is what JSON is written in (RFC 8259, 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Utf8,
    /// A part of UTF-8.
    Ascii,
    /// With a byte order mark, or big-endian (RFC 2781, 4.3).
    Utf16,
    Utf16Be,
    Utf16Le,
    Latin1,
}

/// What a body is read in is what all of its readers take it for, or it is not read.
const SEVERAL: &str = "expected one charset, found several";
const UNKNOWN: &str = "expected UTF-8, UTF-16 or ISO-8859-1, found another charset";

impl Charset {
    /// The charset that the media type among these fields names; UTF-8 where it names none.
    ///
    /// Readers differ about which of several parameters counts, and about quotes: whatever reads as
    /// `charset=` does, wherever it stands.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, &'static str> {
        let lines = headers.get_all(CONTENT_TYPE).iter();
        let mut found = None;
        for name in lines.flat_map(|line| names(line.as_bytes())) {
            let charset = Self::named(name).ok_or(UNKNOWN)?;
            if found.is_some_and(|other| other != charset) {
                return Err(SEVERAL);
            }
            found = Some(charset);
        }
        Ok(found.unwrap_or(Self::Utf8))
    }

    fn named(name: &[u8]) -> Option<Self> {
        match &*name.to_ascii_lowercase() {
            b"utf-8" | b"utf8" => Some(Self::Utf8),
            b"us-ascii" | b"ascii" => Some(Self::Ascii),
            b"utf-16" => Some(Self::Utf16),
            b"utf-16be" => Some(Self::Utf16Be),
            b"utf-16le" => Some(Self::Utf16Le),
            b"iso-8859-1" | b"latin1" => Some(Self::Latin1),
            _ => None,
        }
    }

    /// Whether a text in it is one in UTF-8.
    pub(super) fn is_utf8(self) -> bool {
        matches!(self, Self::Utf8 | Self::Ascii)
    }

    /// The text in UTF-8, without a byte order mark.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn decode<'a>(self, text: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
        match self {
            Self::Ascii if !text.is_ascii() => {
                Err("expected ASCII, as the media type has it".to_owned())
            }
            Self::Ascii => Ok(Cow::Borrowed(text)),
            Self::Utf8 => Ok(Cow::Borrowed(
                text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
            )),
            Self::Latin1 => {
                let text: String = text.iter().map(|byte| char::from(*byte)).collect();
                Ok(Cow::Owned(text.into_bytes()))
            }
            Self::Utf16 => match text {
                [0xff, 0xfe, rest @ ..] => Self::Utf16Le.decode(rest),
                _ => Self::Utf16Be.decode(text),
            },
            Self::Utf16Be => utf16(text, u16::from_be_bytes),
            Self::Utf16Le => utf16(text, u16::from_le_bytes),
        }
    }
}

/// The media type without the charset that it names, where that is not UTF-8 any more.
pub(super) fn without_charset(content_type: &HeaderValue) -> HeaderValue {
    let mut parts = content_type.as_bytes().split(|byte| *byte == b';');
    let mut left = parts.next().unwrap_or_default().trim_ascii().to_owned();
    let others = parts.map(<[u8]>::trim_ascii);
    for part in others.filter(|part| !part.is_empty() && names(part).next().is_none()) {
        left.extend_from_slice(b"; ");
        left.extend_from_slice(part);
    }
    HeaderValue::from_bytes(&left).expect("parts of a value make a value")
}

fn utf16(text: &[u8], read: fn([u8; 2]) -> u16) -> Result<Cow<'_, [u8]>, String> {
    let (pairs, rest) = text.as_chunks::<2>();
    let units = pairs.iter().map(|pair| read(*pair));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    match text {
        Ok(text) if rest.is_empty() => {
            let text = text
                .strip_prefix('\u{feff}')
                .map(str::to_owned)
                .unwrap_or(text);
            Ok(Cow::Owned(text.into_bytes()))
        }
        _ => Err("expected UTF-16, as the media type has it".to_owned()),
    }
}

/// The names of charsets in a media type: what follows each `charset=`, up to the end of its
/// parameter and without quotes. Of `charset*=` (RFC 8187), which some readers know, none is known.
fn names(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    const WORD: &[u8] = b"charset";
    let places = (0..).zip(line.windows(WORD.len()));
    let places = places.filter(|(_, window)| window.eq_ignore_ascii_case(WORD));
    places.filter_map(|(at, _)| {
        let behind = line[at + WORD.len()..].trim_ascii_start();
        if behind.starts_with(b"*") {
            return Some(behind);
        }
        let value = behind.strip_prefix(b"=")?;
        let end = value.iter().position(|byte| b";,".contains(byte));
        let value = value[..end.unwrap_or(value.len())].trim_ascii();
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        Some(value.strip_suffix(b"\"").unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str) -> Result<Charset, &'static str> {
        let value = HeaderValue::from_str(content_type).unwrap();
        Charset::of(&[(CONTENT_TYPE, value)].into_iter().collect())
    }

    fn decoded(content_type: &str, text: &[u8]) -> Result<String, String> {
        let text = of(content_type).unwrap().decode(text)?;
        Ok(String::from_utf8(text.into_owned()).unwrap())
    }

    #[test]
    fn each_charset_becomes_utf_8() {
        for (content_type, text) in [
            ("application/json", &b"\xc3\xa9"[..]),
            (
                "application/json; charset=\"UTF-8\"",
                b"\xef\xbb\xbf\xc3\xa9",
            ),
            ("application/json;Charset=utf-16", b"\xfe\xff\x00\xe9"),
            ("application/json; charset=utf-16", b"\xff\xfe\xe9\x00"),
            ("application/json; charset=utf-16", b"\x00\xe9"),
            ("application/json; charset=UTF-16LE", b"\xe9\x00"),
            ("application/json; charset=utf-16be", b"\x00\xe9"),
            ("application/json; a=b; charset=iso-8859-1", b"\xe9"),
        ] {
            assert_eq!(
                decoded(content_type, text).as_deref(),
                Ok("é"),
                "{content_type}"
            );
        }
    }

    #[test]
    fn what_is_not_in_its_charset_is_refused() {
        for text in [&b"\x00"[..], b"\xd8\x00", b"\xd8\x00\x00\x61"] {
            assert!(decoded("application/json; charset=utf-16be", text).is_err());
        }
        assert!(decoded("application/json; charset=us-ascii", b"\xc3\xa9").is_err());
        assert_eq!(of("application/json; charset=koi8-r"), Err(UNKNOWN));
        assert_eq!(of("a/b; charset=utf-8; charset=latin1"), Err(SEVERAL));
    }

    #[test]
    fn a_media_type_loses_its_charset_only() {
        let value = b"application/json ; v=1; Charset = utf-16 ;q=\"\xe9\"";
        let left = without_charset(&HeaderValue::from_bytes(value).unwrap());
        assert_eq!(left.as_bytes(), b"application/json; v=1; q=\"\xe9\"");
    }
}
