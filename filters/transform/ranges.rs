//! Ranges, where a filter changes bodies: a part of what the upstream has is no part of what the client gets.

use wiregate_sdk::header::{IF_RANGE, RANGE};
use wiregate_sdk::{Attempt, Condition, Facts, StatusCode};

/// Has the upstream answer with the whole body, unless this condition leaves it alone in any case. A
/// server may ignore a `Range` (RFC 9110, 14.2), so the client gets what it could have got.
pub(super) fn ask_for_the_whole(attempt: &mut Attempt<'_>, when: Option<&Condition>) {
    let headers = &attempt.head.headers;
    let is_asked = headers.contains_key(RANGE) || headers.contains_key(IF_RANGE);
    if is_asked && may_hold(attempt, when) {
        let mut headers = attempt.headers_mut();
        headers.remove(&RANGE);
        headers.remove(&IF_RANGE);
    }
}

/// Whether the condition may hold for the whole body or for a part of it. A rule for 200 alone would not
/// see the 206 that a client can have in its place, and so is no rule that spares parts.
fn may_hold(attempt: &Attempt<'_>, when: Option<&Condition>) -> bool {
    let facts = Facts {
        request: attempt.head,
        exchange: attempt.exchange,
        response: None,
    };
    let fails = |status| when.and_then(|when| when.told_by_status(status, &facts)) == Some(false);
    !(fails(StatusCode::OK) && fails(StatusCode::PARTIAL_CONTENT))
}

#[cfg(test)]
mod tests {
    use wiregate_sdk::Filter;
    use wiregate_sdk::testing::probe;

    use super::super::{json::Json, template::Template};

    /// Whether a range reaches the upstream.
    async fn passes<F: Filter>(options: &str) -> bool {
        let call = probe::<F>(options).get("/").header("range", "bytes=0-1");
        let seen = call.header("if-range", "\"a\"").send().await;
        let headers = seen.request.headers;
        assert_eq!(
            headers.contains_key("range"),
            headers.contains_key("if-range")
        );
        headers.contains_key("range")
    }

    #[tokio::test]
    async fn a_range_reaches_the_upstream_only_where_no_body_that_has_any_is_changed() {
        for (when, spared) in [
            ("true", false),
            ("response.status == 404", true),
            ("response.status >= 400 || response.status < 200", true),
            // Without the range, the status would be 200, and the body changed.
            ("response.status == 200", false),
            ("response.status == 206", false),
            ("response.status != 404", false),
            // More than the status decides.
            ("response.status == 404 && request.method == 'GET'", false),
            ("response.status == 404 && has(response.headers.a)", false),
            ("request.path == '/other'", false),
            ("1 / (response.status - 200) == 0", false),
        ] {
            let json = format!("response: {{ when: \"{when}\", set: {{ a: 1 }} }}");
            assert_eq!(passes::<Json>(&json).await, spared, "json, {when}");
            let template = format!("response: {{ when: \"{when}\", text: a }}");
            assert_eq!(
                passes::<Template>(&template).await,
                spared,
                "template, {when}"
            );
        }
        assert!(!passes::<Json>("response: { set: { a: 1 } }").await);
        assert!(!passes::<Template>("response: { text: a }").await);
        assert!(passes::<Json>("request: { set: { a: 1 } }").await);
        assert!(passes::<Template>("request: { text: a }").await);
    }
}
