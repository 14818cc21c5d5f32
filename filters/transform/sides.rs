//! Options for requests, for responses, or for both.

use wiregate_sdk::{Condition, Invalid};

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
        let said = refusal::<Template>("request: { text: 'a {{ response.status }}' }");
        assert!(said.contains("`response` is not known here"), "{said}");
    }
}
