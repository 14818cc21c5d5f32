//! Options for requests, for responses, or for both.

use std::fmt::Display;

use wiregate_sdk::types::{OneOrMany, Pairs};
use wiregate_sdk::{Condition, Invalid, Template};

use super::respond::text::Check;

/// Where what is for requests is written.
pub(super) const REQUEST: &str = "request";
const RESPONSE: &str = "response";

/// Whether the condition of one side can be asked there.
///
/// # Errors
/// Of a request it is asked before there is a response.
pub(super) fn check_when(when: Option<&Condition>, at: &str) -> Result<(), Invalid> {
    let early = when.filter(|_| at == REQUEST).map(Condition::check_early);
    early
        .unwrap_or(Ok(()))
        .map_err(|why| Invalid::at(format!("{at}.when"), why))
}

/// What templates of one side are asked, to know whether they can be made there.
pub(super) fn check_template(at: &str) -> Check {
    match at {
        REQUEST => Template::check_early,
        _ => |_| Ok(()),
    }
}

/// Whether each of these templates, which are written below `at`, stands a check.
///
/// # Errors
/// What it says of them.
pub(super) fn check_values<K: Display, V>(
    at: &str,
    set: &Pairs<K, V>,
    add: &Pairs<K, OneOrMany<V>>,
    check: impl Fn(&V) -> Result<(), String>,
) -> Result<(), Invalid> {
    let set = set.iter();
    let set = set.map(|(name, value)| (format!("{at}.set.{name}"), value));
    let add = add.iter().flat_map(|(name, values)| {
        let place = move |position| format!("{at}.add.{name}[{position}]");
        let values = values.iter().enumerate();
        values.map(move |(position, value)| (place(position), value))
    });
    let mut invalid = Invalid::default();
    for (place, value) in set.chain(add) {
        if let Err(why) = check(value) {
            invalid.and(Invalid::at(place, why));
        }
    }
    invalid.into_result()
}

/// The running forms of what is written under `request` and `response`.
///
/// # Errors
/// The problems of both, or that neither is written.
pub(super) fn build<C, R>(
    request: Option<C>,
    response: Option<C>,
    build: impl Fn(C, &'static str) -> Result<R, Invalid>,
) -> Result<(Option<R>, Option<R>), Invalid> {
    if request.is_none() && response.is_none() {
        let message = "expected `request` or `response`, found neither";
        return Err(Invalid::new(message));
    }
    let mut invalid = Invalid::default();
    let mut built = |options: Option<C>, at| {
        let built = options.map(|options| build(options, at)).transpose();
        built.unwrap_or_else(|problems| {
            invalid.and(problems);
            None
        })
    };
    let sides = (built(request, REQUEST), built(response, RESPONSE));
    invalid.into_result()?;
    Ok(sides)
}

#[cfg(test)]
mod tests {
    use wiregate_sdk::testing::{probe, refusal};

    use super::super::json::Json;
    use super::super::template::Template;

    #[test]
    fn what_is_done_to_requests_cannot_go_by_the_response() {
        let early = "`response.status` is not known here: there is no response yet";
        for when in ["response.status == 200", "has(response.status)"] {
            let json = format!("{{ remove: a, when: '{when}' }}");
            let said = refusal::<Json>(&format!("request: {json}"));
            assert!(said.contains(early), "{said}");
            let _ = probe::<Json>(&format!("response: {json}"));
            let template = format!("{{ text: a, when: '{when}' }}");
            let said = refusal::<Template>(&format!("request: {template}"));
            assert!(said.contains(early), "{said}");
            let _ = probe::<Template>(&format!("response: {template}"));
        }
        for change in [
            "set: { a.b: [1, { c: '${response.status}' }] }",
            "jq: { program: ., args: { a: '${response.headers.b}' } }",
        ] {
            let said = refusal::<Json>(&format!("request: {{ {change} }}"));
            assert!(said.contains("there is no response yet"), "{said}");
            let _ = probe::<Json>(&format!("response: {{ {change} }}"));
        }
        let said = refusal::<Template>("request: { text: 'a {{ response.status }}' }");
        assert!(said.contains("`response` is not known here"), "{said}");
    }
}
