//! What the filter says to those whom it does not let in (RFC 6750, 3).

use wiregate_sdk::{HeaderValue, Invalid, Reply, StatusCode, header};

use super::requirement::Requirement;
use super::token::Why;
use crate::auth::challenge::challenge;
use crate::auth::source::Source;

/// The replies, made once.
pub(super) struct Refusals {
    pub(super) missing: Reply,
    pub(super) several: Reply,
    invalid: Reply,
    insufficient_scope: Reply,
    not_allowed: Reply,
    pub(super) unknown_consumer: Reply,
    pub(super) unavailable: Reply,
}

impl Refusals {
    pub(super) fn new(sources: &[Source], realm: &str, scopes: &[String]) -> Result<Self, Invalid> {
        let scope = check_scopes(scopes)?;
        let refusal = |status, reason, more: &str, detail: &str| {
            let challenge = challenge("Bearer", realm, more)?;
            let refusal = Reply::problem(status, reason).detail(detail);
            Ok::<_, Invalid>(refusal.header(header::WWW_AUTHENTICATE, challenge))
        };
        let places: Vec<String> = sources.iter().map(ToString::to_string).collect();
        let forbidden = |reason, scope: &str, detail: &str| {
            let more = format!(", error=\"insufficient_scope\"{scope}");
            refusal(StatusCode::FORBIDDEN, reason, &more, detail)
        };
        Ok(Self {
            // Who brings nothing is not told what would be wrong with it (RFC 6750, 3.1).
            missing: refusal(
                StatusCode::UNAUTHORIZED,
                "missing_token",
                "",
                &format!("expected a token in {}", places.join(" or ")),
            )?,
            several: refusal(
                StatusCode::BAD_REQUEST,
                "several_tokens",
                ", error=\"invalid_request\"",
                "several different tokens were sent",
            )?,
            invalid: refusal(
                StatusCode::UNAUTHORIZED,
                "invalid_token",
                ", error=\"invalid_token\"",
                "the token is not valid",
            )?,
            insufficient_scope: forbidden(
                "insufficient_scope",
                &scope,
                "the token does not have the scope that is needed",
            )?,
            not_allowed: forbidden("not_allowed", "", "the caller may not do this")?,
            unknown_consumer: forbidden("unknown_consumer", "", "the caller is not known here")?,
            unavailable: Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "keys_unavailable")
                .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
                .detail("tokens cannot be verified at present, try again in 1 s")
                .log("the keys have not been fetched yet"),
        })
    }

    /// The token does not have these scopes; which, is for the log only.
    pub(super) fn insufficient_scope<'s>(
        &self,
        missing: impl Iterator<Item = &'s String>,
    ) -> Reply {
        let missing: Vec<String> = missing.map(|scope| format!("`{scope}`")).collect();
        let missing = missing.join(", ");
        let why = format!("the token does not have {missing} among its scopes");
        self.insufficient_scope.clone().log(why)
    }

    /// The condition does not hold, or has no value for this reason; which, is for the log only.
    pub(super) fn not_allowed(&self, when: &Requirement, no_value: Option<&str>) -> Reply {
        let written = when.written();
        let why = match no_value {
            None => format!("`when` does not hold: {written}"),
            Some(why) => format!("`when` has no value: {why}: {written}"),
        };
        self.not_allowed.clone().log(why)
    }

    /// The token is not valid; why is for the log only.
    pub(super) fn invalid(&self, why: Why) -> Reply {
        self.invalid.clone().log(why)
    }
}

/// The scopes as an attribute of a challenge.
fn check_scopes(scopes: &[String]) -> Result<String, Invalid> {
    // RFC 6749, 3.3.
    let is_scope = |scope: &&String| {
        let fits = |byte: u8| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
        !scope.is_empty() && scope.bytes().all(fits)
    };
    if let Some(position) = scopes.iter().position(|scope| !is_scope(&scope)) {
        let found = scopes[position].escape_debug();
        let why =
            format!("expected a scope without blanks, quotes and backslashes, found `{found}`");
        return Err(Invalid::at(format!("scopes[{position}]"), why));
    }
    if scopes.is_empty() {
        return Ok(String::new());
    }
    Ok(format!(", scope=\"{}\"", scopes.join(" ")))
}
