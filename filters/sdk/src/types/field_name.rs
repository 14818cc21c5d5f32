//! Names of header fields.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use http::HeaderName;

use super::scalar::{Scalar, found, scalar};

/// The name of a header field that a filter may set, add, rename or remove; lower case.
///
/// The fields that frame a message or belong to one connection (RFC 9110, 7.6.1; RFC 9112, 6)
/// are the gateway's own, and `host` has an option of its own where it can be changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldName(HeaderName);

const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl FieldName {
    /// The same as the `http` crate's type.
    pub fn get(&self) -> &HeaderName {
        &self.0
    }

    /// Whether a filter may edit a field of this name.
    pub fn is_editable(name: &HeaderName) -> bool {
        *name != http::header::HOST && !FRAMING.contains(&name.as_str())
    }
}

impl Deref for FieldName {
    type Target = HeaderName;

    fn deref(&self) -> &HeaderName {
        &self.0
    }
}

impl From<FieldName> for HeaderName {
    fn from(name: FieldName) -> Self {
        name.0
    }
}

impl FromStr for FieldName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| Self::wrong(text))?;
        let refuse = |why: &str| {
            Err(format!(
                "expected a header field that may be edited, found {}, {why}",
                found(text)
            ))
        };
        if name == http::header::HOST {
            return refuse("which has an option of its own: `host`");
        }
        if FRAMING.contains(&name.as_str()) {
            return refuse("which frames the message or its connection and is set by the gateway");
        }
        Ok(Self(name))
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

scalar!(FieldName, expected: "the name of a header field such as `x-request-id`", numbers: false, schema: {
    "type": "string",
    "description": "The name of a header field. Those that frame a message, such as `content-length`, are the gateway's own.",
    "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
    "examples": ["x-request-id", "cache-control"]
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn is_lower_case() {
        let name: FieldName = "X-Request-Id".parse().unwrap();
        assert_eq!(name.to_string(), "x-request-id");
        assert_eq!(*name.get(), HeaderName::from_static("x-request-id"));
    }

    #[test]
    fn refuses_what_frames_a_message() {
        for name in FRAMING {
            let error = name.to_uppercase().parse::<FieldName>().unwrap_err();
            assert!(error.contains("is set by the gateway"), "{error}");
            assert!(!FieldName::is_editable(&HeaderName::from_static(name)));
        }
        assert!(!FieldName::is_editable(&http::header::HOST));
        assert!(FieldName::is_editable(&http::header::COOKIE));
        assert_eq!(
            "Host".parse::<FieldName>().unwrap_err(),
            "expected a header field that may be edited, found `Host`, \
             which has an option of its own: `host`"
        );
    }

    #[test]
    fn says_what_it_expects() {
        assert_eq!(
            "x y".parse::<FieldName>().unwrap_err(),
            "expected the name of a header field such as `x-request-id`, found `x y`"
        );
        for text in ["", ":path", "x:", "ü", "a\r\nb"] {
            assert!(text.parse::<FieldName>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(text in "[a-zA-Z0-9-]{1,20}") {
            if let Ok(name) = text.parse::<FieldName>() {
                prop_assert_eq!(name.to_string().parse(), Ok(name));
            }
        }
    }
}
