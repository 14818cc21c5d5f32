//! Media types.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;

use super::scalar::{Scalar, scalar};

/// A value for `content-type` (RFC 9110, 8.3.1): type, subtype and parameters, such as
/// `text/html; charset=utf-8`. No `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediaType {
    value: HeaderValue,
    essence: Box<str>,
}

impl MediaType {
    /// Type and subtype in lower case, without parameters: `text/html`.
    pub fn essence(&self) -> &str {
        &self.essence
    }

    /// The whole, as it was written.
    pub fn header_value(&self) -> &HeaderValue {
        &self.value
    }
}

impl FromStr for MediaType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || Self::wrong(text);
        let (essence, parameters) = match text.find(';') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let essence = essence.trim_end_matches([' ', '\t']);
        let (kind, subtype) = essence.split_once('/').ok_or_else(wrong)?;
        if !is_token(kind) || !is_token(subtype) || essence.contains('*') {
            return Err(wrong());
        }
        if !are_parameters(parameters) {
            return Err(wrong());
        }
        Ok(Self {
            value: HeaderValue::from_str(text).map_err(|_| wrong())?,
            essence: essence.to_ascii_lowercase().into(),
        })
    }
}

/// RFC 9110, 5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    let in_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(in_token)
}

/// RFC 9110, 5.6.6: `; name=token` or `; name="quoted"`, any number of them.
fn are_parameters(mut rest: &str) -> bool {
    const BLANK: [char; 2] = [' ', '\t'];
    while !rest.is_empty() {
        let Some(parameter) = rest.trim_start_matches(BLANK).strip_prefix(';') else {
            return false;
        };
        let Some((name, value)) = parameter.trim_start_matches(BLANK).split_once('=') else {
            return false;
        };
        if !is_token(name) {
            return false;
        }
        let length = match value.strip_prefix('"') {
            Some(quoted) => quoted_length(quoted).map(|length| length + 1),
            None => Some(value.find([';', ' ', '\t']).unwrap_or(value.len()))
                .filter(|length| is_token(&value[..*length])),
        };
        match length {
            Some(length) => rest = &value[length..],
            None => return false,
        }
    }
    true
}

/// How long a quoted string is, from after its first quote to after its last.
fn quoted_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.value.to_str().expect("made from visible ASCII"))
    }
}

scalar!(MediaType, expected: "a media type such as `application/json` or `text/html; charset=utf-8`", numbers: false, schema: {
    "type": "string",
    "description": "A value for `content-type`.",
    "pattern": "^[^\\s/;*]+/[^\\s/;*]+\\s*(;.*)?$",
    "examples": ["application/json", "text/html; charset=utf-8"]
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_parameters_and_quotes() {
        let html: MediaType = "Text/HTML; charset=utf-8".parse().unwrap();
        assert_eq!(html.essence(), "text/html");
        assert_eq!(html.header_value(), "Text/HTML; charset=utf-8");
        for text in [
            "application/problem+json",
            "multipart/form-data;boundary=\"a b;\\\"c\" ; x=y",
            "text/plain ;charset=\"utf-8\"",
        ] {
            assert_eq!(text.parse::<MediaType>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn says_what_it_expects() {
        assert_eq!(
            "json".parse::<MediaType>().unwrap_err(),
            "expected a media type such as `application/json` or `text/html; charset=utf-8`, \
             found `json`"
        );
        for text in [
            "",
            "/",
            "text/",
            "text/*",
            "text/html;",
            "text/html; charset",
            "text/html; charset=",
            "text/html; a=\"b",
            "text/html; a=b c",
            "text/html\r\nx: y",
            "text/html; a=\"\r\n\"",
            "text/html, text/plain",
        ] {
            assert!(text.parse::<MediaType>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(text in "[a-z]{1,4}/[a-z+]{1,4}( ?; ?[a-z]=(\"[ -~]{0,4}\"|[a-z]))*|.*") {
            if let Ok(media_type) = text.parse::<MediaType>() {
                prop_assert_eq!(media_type.to_string().parse(), Ok(media_type));
            }
        }
    }
}
