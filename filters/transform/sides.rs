//! Options for requests, for responses, or for both.

use wiregate_sdk::Invalid;

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
    let sides = (built(request, "request"), built(response, "response"));
    invalid.into_result()?;
    Ok(sides)
}
