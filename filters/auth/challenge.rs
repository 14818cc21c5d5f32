//! What a 401 asks for, and the names that options give to callers.

use wiregate_sdk::consumers::Holder;
use wiregate_sdk::{HeaderValue, Invalid, Reply, StatusCode, header};

/// The challenge of a scheme (RFC 9110, 11.6.1), with further parameters as they are written.
///
/// # Errors
/// That the realm has characters which do not go into a header field.
pub(super) fn challenge(scheme: &str, realm: &str, more: &str) -> Result<HeaderValue, Invalid> {
    if realm.is_empty() || !realm.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        let message = format!(
            "expected printable ASCII characters, found `{}`",
            realm.escape_debug()
        );
        return Err(Invalid::at("realm", message));
    }
    let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
    let value = format!("{scheme} realm=\"{quoted}\"{more}");
    Ok(HeaderValue::try_from(value).expect("printable ASCII"))
}

/// A 401 with these challenges, one field for each (RFC 9110, 11.6.1).
pub(super) fn refusal(challenges: &[HeaderValue], reason: &'static str, detail: &str) -> Reply {
    let refusal = Reply::problem(StatusCode::UNAUTHORIZED, reason).detail(detail);
    challenges.iter().fold(refusal, |refusal, challenge| {
        refusal.header(header::WWW_AUTHENTICATE, challenge.clone())
    })
}

/// Why a text is no name of a caller, where it is none.
pub fn name_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("expected a name, found nothing".into());
    }
    name.chars().any(char::is_control).then(|| {
        format!(
            "expected a name without control characters, found `{}`",
            name.escape_debug()
        )
    })
}

/// That a name which a filter gives to a caller is that of a consumer.
pub(super) fn taken(by: &Holder, why: &str) -> Invalid {
    let other = &by.consumer.name;
    let message = format!("expected a name of its own, found that of consumer `{other}`");
    Invalid::new(message).related(&by.place, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_the_realm() {
        let value = challenge("Basic", r#"a "b" \c"#, ", charset=\"UTF-8\"").unwrap();
        assert_eq!(value, r#"Basic realm="a \"b\" \\c", charset="UTF-8""#);
    }

    #[test]
    fn refuses_a_realm_that_does_not_fit_into_a_field() {
        for realm in ["", "a\r\nb", "é"] {
            let invalid = challenge("Basic", realm, "").unwrap_err();
            assert!(
                invalid
                    .to_string()
                    .starts_with("realm: expected printable ASCII")
            );
        }
    }

    #[test]
    fn names_are_visible() {
        assert_eq!(name_problem("ältere Anna"), None);
        assert!(name_problem("").is_some_and(|why| why.contains("nothing")));
        assert!(name_problem("a\nb").is_some_and(|why| why.ends_with(r"`a\nb`")));
    }
}
