//! What must not be shown.

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq;

use super::scalar::scalar;

/// A text that is never shown: not by `Debug`, not by `Display`, not in an error. Never empty.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// The text itself. Whoever asks takes care of it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether this is the text, in a time that depends on the lengths only, never on where two
    /// texts of one length differ.
    pub fn is(&self, candidate: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(candidate).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("expected a secret, found nothing".into());
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

scalar!(Secret, expected: "a secret such as `${env:API_KEY}`", numbers: false, schema: {
    "type": "string",
    "minLength": 1,
    "description": "A secret, best written as a reference: `${env:NAME}`, `${file:/path}` or `${cred:name}`.",
    "examples": ["${env:API_KEY}", "${cred:api_key}"]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_not_show_itself() {
        let secret: Secret = serde_json::from_str(r#""hunter2""#).unwrap();
        assert_eq!(format!("{secret} {secret:?}"), "[secret] [secret]");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn compares_the_whole() {
        let secret: Secret = "hunter2".parse().unwrap();
        assert!(secret.is(b"hunter2"));
        for other in ["", "hunter", "hunter3", "Hunter2", "hunter22"] {
            assert!(!secret.is(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn is_never_empty() {
        assert_eq!(
            "".parse::<Secret>().unwrap_err(),
            "expected a secret, found nothing"
        );
    }
}
