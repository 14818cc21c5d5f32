//! Status codes.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use http::StatusCode;

use super::scalar::{Scalar, expected, scalar};

/// The status code of a final response: 200 to 599 (RFC 9110, 15). Interim responses (1xx) are
/// the gateway's own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(StatusCode);

impl Status {
    /// The same as the `http` crate's type.
    pub const fn get(self) -> StatusCode {
        self.0
    }
}

impl Deref for Status {
    type Target = StatusCode;

    fn deref(&self) -> &StatusCode {
        &self.0
    }
}

impl From<Status> for StatusCode {
    fn from(status: Status) -> Self {
        status.0
    }
}

impl TryFrom<StatusCode> for Status {
    type Error = String;

    fn try_from(code: StatusCode) -> Result<Self, String> {
        match code.as_u16() {
            100..200 => Err(expected(
                "the status of a final response, 200 to 599",
                code.as_str(),
            )),
            200..600 => Ok(Self(code)),
            _ => Err(Self::wrong(code.as_str())),
        }
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let code = StatusCode::from_bytes(text.as_bytes()).map_err(|_| Self::wrong(text))?;
        code.try_into()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

scalar!(Status, expected: "a status code from 200 to 599", numbers: true, schema: {
    "type": ["integer", "string"],
    "description": "The status code of a final response.",
    "minimum": 200,
    "maximum": 599,
    "pattern": "^[2-5][0-9][0-9]$",
    "examples": [404, 503]
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_numbers_and_text() {
        let not_found = Status(StatusCode::NOT_FOUND);
        assert_eq!("404".parse(), Ok(not_found));
        assert_eq!(serde_json::from_str::<Status>("404").unwrap(), not_found);
        assert_eq!(
            serde_json::from_str::<Status>(r#""404""#).unwrap(),
            not_found
        );
    }

    #[test]
    fn says_what_it_expects() {
        let wrong = |text: &str| text.parse::<Status>().unwrap_err();
        assert_eq!(
            wrong("700"),
            "expected a status code from 200 to 599, found `700`"
        );
        assert_eq!(
            wrong("100"),
            "expected the status of a final response, 200 to 599, found `100`"
        );
        for text in ["", "20", "2000", "099", "+200", "abc"] {
            assert!(text.parse::<Status>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_it_writes_it_reads(code in 200..600_u16) {
            let status = Status(StatusCode::from_u16(code).unwrap());
            prop_assert_eq!(status.to_string().parse(), Ok(status));
        }
    }
}
