//! What the queries of the admin API may say.

use std::time::Duration;

use wiregate_sdk::types::Period;

use crate::upgrade::DEADLINE;

/// The time that a query such as `deadline=60s` gives an upgrade.
pub(super) fn deadline(query: &str) -> Result<Duration, String> {
    match only(query, "deadline", "deadline=60s")? {
        None => Ok(DEADLINE),
        Some(text) => text.parse::<Period>().map(Into::into),
    }
}

/// The value of the one parameter that a query may have.
pub(super) fn only<'q>(
    query: &'q str,
    name: &str,
    expected: &str,
) -> Result<Option<&'q str>, String> {
    let mut parts = query.split('&').filter(|part| !part.is_empty());
    let part = match (parts.next(), parts.next()) {
        (None, _) => return Ok(None),
        (Some(part), None) => part,
        (Some(_), Some(_)) => query,
    };
    let (found, value) = part.split_once('=').unwrap_or((part, ""));
    let is_it = found == name && !value.contains('&');
    is_it
        .then_some(Some(value))
        .ok_or_else(|| format!("expected `{expected}`, found `{part}`"))
}

/// Whether a parameter that is a flag is set: it stands there without a value, or with `true`.
pub(super) fn flag(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!(
            "expected `{name}`, `{name}=true` or `{name}=false`, found `{name}={value}`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_no_more_than_what_is_asked_there() {
        let wait = |query| only(query, "wait", "wait=false");
        assert_eq!(wait(""), Ok(None));
        assert_eq!(wait("wait"), Ok(Some("")));
        assert_eq!(wait("wait=false"), Ok(Some("false")));
        for query in [
            "wiat=false",
            "wait=false&x=1",
            "x=1&wait=false",
            "wait=true&wait=false",
        ] {
            let expected = format!("expected `wait=false`, found `{query}`");
            assert_eq!(wait(query), Err(expected));
        }
        assert_eq!(
            ["", "true", "false"].map(|value| flag("wait", value).unwrap()),
            [true, true, false]
        );
        for value in ["0", "no", "False"] {
            let expected =
                format!("expected `wait`, `wait=true` or `wait=false`, found `wait={value}`");
            assert_eq!(flag("wait", value), Err(expected));
        }
    }
}
