//! The header fields that tell a client where it stands.

use std::num::NonZeroU32;

use wiregate_sdk::types::Rate;
use wiregate_sdk::{Deserialize, HeaderName, HeaderValue, Invalid, JsonSchema, Response};

use super::limiter::Standing;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const CURRENT: HeaderName = HeaderName::from_static("ratelimit");
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Which header fields tell a client where it stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", rename_all = "snake_case")]
#[schemars(crate = "wiregate_sdk::schemars")]
pub enum Headers {
    /// `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10.
    #[default]
    Draft,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`.
    Legacy,
    /// All five.
    Both,
    /// None of them.
    None,
}

/// The fields of one limit, as far as they are known beforehand.
pub(super) struct Fields {
    draft: Option<Draft>,
    legacy: Option<HeaderValue>,
}

struct Draft {
    policy: HeaderValue,
    /// `"name";r=`
    prefix: Box<str>,
}

impl Fields {
    pub(super) fn new(
        headers: Headers,
        label: &str,
        limit: Rate,
        burst: NonZeroU32,
    ) -> Result<Self, Invalid> {
        let draft = matches!(headers, Headers::Draft | Headers::Both);
        let legacy = matches!(headers, Headers::Legacy | Headers::Both);
        Ok(Self {
            draft: draft.then(|| Draft::new(label, limit, burst)).transpose()?,
            legacy: legacy.then(|| burst.get().into()),
        })
    }

    pub(super) fn write(&self, standing: &Standing, res: &mut Response<'_>) {
        if let Some(draft) = &self.draft {
            let current = format!("{}{};t={}", draft.prefix, standing.remaining, standing.next);
            let current = HeaderValue::try_from(current).expect("visible ASCII");
            // Lists: those of other limits, and of the upstream's own, stay.
            res.headers_mut().add(&POLICY, draft.policy.clone());
            res.headers_mut().add(&CURRENT, current);
        }
        if let Some(limit) = &self.legacy {
            let stricter = res
                .header(&REMAINING)
                .and_then(|text| text.parse::<u32>().ok())
                .is_some_and(|remaining| remaining < standing.remaining);
            if !stricter {
                let mut headers = res.headers_mut();
                headers.set(&LIMIT, limit.clone());
                headers.set(&REMAINING, standing.remaining.into());
                headers.set(&RESET, standing.whole.into());
            }
        }
    }
}

impl Draft {
    fn new(label: &str, limit: Rate, burst: NonZeroU32) -> Result<Self, Invalid> {
        let name = string(label).ok_or_else(|| {
            Invalid::new(format!(
                "expected a name of printable ASCII characters, as it is sent to clients, found `{label}`"
            ))
        })?;
        let (quota, window) = whole_seconds(limit);
        let burst = if burst == limit.count {
            String::new()
        } else {
            format!(";wiregate-burst={burst}")
        };
        let policy = format!("{name};q={quota};w={window}{burst}");
        Ok(Self {
            policy: HeaderValue::try_from(policy).expect("printable ASCII"),
            prefix: format!("{name};r=").into(),
        })
    }
}

/// The same rate per whole seconds, which are all that the draft has; rounded down.
fn whole_seconds(limit: Rate) -> (u128, u64) {
    let seconds = limit.per.as_millis().div_ceil(1_000);
    let quota = u128::from(limit.count.get()) * seconds * 1_000 / limit.per.as_millis();
    (quota, u64::try_from(seconds).expect("a period has bounds"))
}

/// A String of structured fields (RFC 9651, 3.3.3).
fn string(text: &str) -> Option<String> {
    let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    printable.then(|| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
impl Fields {
    pub(super) fn policy(&self) -> Option<&HeaderValue> {
        self.draft.as_ref().map(|draft| &draft.policy)
    }
}
