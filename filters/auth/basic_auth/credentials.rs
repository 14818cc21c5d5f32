//! The name and password that a request brings (RFC 7617, 2).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use wiregate_sdk::{HeaderMap, HeaderValue, header};

/// Longest name and password taken together, with their colon.
pub(super) const LONGEST: usize = 1024;

/// What a request brings.
pub(super) enum Presented {
    /// Nothing of the Basic scheme.
    None,
    /// Something that cannot be credentials.
    Malformed,
    /// A name and a password.
    One(Credentials),
}

/// A name and a password. Not to be shown.
pub(super) struct Credentials {
    pub(super) name: String,
    pub(super) password: Vec<u8>,
}

pub(super) fn presented(headers: &HeaderMap) -> Presented {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    match (fields.next(), fields.next()) {
        (None, _) => Presented::None,
        (Some(_), Some(_)) => Presented::Malformed,
        (Some(field), None) => match after_scheme(field) {
            None => Presented::None,
            Some(token) => parse(token).map_or(Presented::Malformed, Presented::One),
        },
    }
}

/// What follows `Basic`, in any case.
fn after_scheme(field: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = field.as_bytes().split_at_checked(5)?;
    let is_basic = scheme.eq_ignore_ascii_case(b"basic");
    let ends = token.is_empty() || token.starts_with(b" ");
    (is_basic && ends).then(|| token.trim_ascii())
}

fn parse(token: &[u8]) -> Option<Credentials> {
    if token.len() > LONGEST.div_ceil(3) * 4 {
        return None;
    }
    let text = BASE64_STANDARD.decode(token).ok()?;
    if text.len() > LONGEST || text.iter().any(u8::is_ascii_control) {
        return None;
    }
    let colon = text.iter().position(|byte| *byte == b':')?;
    Some(Credentials {
        name: String::from_utf8(text[..colon].to_vec()).ok()?,
        password: text[colon + 1..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(fields: &[&str]) -> Option<Result<(String, Vec<u8>), ()>> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::AUTHORIZATION, field.parse().unwrap());
        }
        match presented(&headers) {
            Presented::None => None,
            Presented::Malformed => Some(Err(())),
            Presented::One(credentials) => Some(Ok((credentials.name, credentials.password))),
        }
    }

    fn basic(text: impl AsRef<[u8]>) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(text))
    }

    #[test]
    fn reads_the_example_of_the_rfc() {
        let read = present(&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="])
            .unwrap()
            .unwrap();
        assert_eq!(read, ("Aladdin".into(), b"open sesame".to_vec()));
    }

    #[test]
    fn the_scheme_is_of_any_case() {
        assert!(present(&["bASIC  YTpi"]).unwrap().is_ok());
    }

    #[test]
    fn the_first_colon_ends_the_name() {
        let read = present(&[&basic("a:b:c")]).unwrap().unwrap();
        assert_eq!(read, ("a".into(), b"b:c".to_vec()));
        let read = present(&[&basic(":")]).unwrap().unwrap();
        assert_eq!(read, (String::new(), Vec::new()));
    }

    #[test]
    fn another_scheme_is_nothing() {
        for field in ["Bearer YTpi", "Basicx YTpi", "Basi", ""] {
            assert_eq!(present(&[field]), None, "{field}");
        }
        assert_eq!(present(&[]), None);
    }

    #[test]
    fn what_cannot_be_credentials_is_malformed() {
        let long = basic(format!("a:{}", "x".repeat(LONGEST - 1)));
        let huge = format!("Basic {}", "A".repeat(100_000));
        let bad = [
            "Basic",
            "Basic ",
            "Basic YTpi YTpi",
            "Basic YTpi=",
            "Basic YQ",
            "Basic Y!pi",
            &basic("no colon"),
            &basic("a:\0"),
            &basic("a\n:b"),
            &basic("a:b\x7f"),
            &basic(b"\xff:b"),
            &long,
            &huge,
        ];
        for field in bad {
            assert_eq!(present(&[field]), Some(Err(())), "{field}");
        }
        let read = present(&[&basic(format!("a:{}", "x".repeat(LONGEST - 2)))]);
        assert!(read.unwrap().is_ok());
    }

    #[test]
    fn two_fields_are_malformed() {
        assert_eq!(present(&["Basic YTpi", "Basic YTpi"]), Some(Err(())));
    }
}
