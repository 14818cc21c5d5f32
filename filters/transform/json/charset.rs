//! Charsets that JSON comes in.

use std::borrow::Cow;

use wiregate_sdk::HeaderValue;

/// A charset that can be turned into UTF-8, which is what JSON is written in (RFC 8259, 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// UTF-8, and ASCII, which is a part of it.
    Utf8,
    /// With a byte order mark, or big-endian (RFC 2781, 4.3).
    Utf16,
    Utf16Be,
    Utf16Le,
    Latin1,
}

impl Charset {
    /// The charset that a media type names; UTF-8 where it names none. `None` for others.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        let Some(name) = parameters(content_type).find_map(charset) else {
            return Some(Self::Utf8);
        };
        match &*name.to_ascii_lowercase() {
            "utf-8" | "utf8" | "us-ascii" | "ascii" => Some(Self::Utf8),
            "utf-16" => Some(Self::Utf16),
            "utf-16be" => Some(Self::Utf16Be),
            "utf-16le" => Some(Self::Utf16Le),
            "iso-8859-1" | "latin1" => Some(Self::Latin1),
            _ => None,
        }
    }

    /// The text in UTF-8, without a byte order mark.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn decode<'a>(self, text: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
        match self {
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
pub(super) fn without_charset(content_type: &str) -> HeaderValue {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let mut left = essence.to_owned();
    for parameter in parameters(content_type).filter(|p| charset(p).is_none()) {
        left.push_str("; ");
        left.push_str(parameter);
    }
    HeaderValue::from_str(&left).expect("parts of a value make a value")
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

fn parameters(content_type: &str) -> impl Iterator<Item = &str> {
    content_type
        .split(';')
        .skip(1)
        .map(str::trim)
        .filter(|p| !p.is_empty())
}

fn charset(parameter: &str) -> Option<&str> {
    let (name, value) = parameter.split_once('=')?;
    let value = value.trim().trim_matches('"');
    name.trim().eq_ignore_ascii_case("charset").then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(content_type: &str, text: &[u8]) -> Result<String, String> {
        let text = Charset::of(content_type).unwrap().decode(text)?;
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
        assert_eq!(Charset::of("application/json; charset=koi8-r"), None);
    }

    #[test]
    fn a_media_type_loses_its_charset_only() {
        assert_eq!(
            without_charset("application/json ; v=1; charset=utf-16 ;q=\"a\""),
            "application/json; v=1; q=\"a\""
        );
    }
}
