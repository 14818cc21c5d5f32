//! The header fields that tell a client where it stands.

use wiregate_sdk::{Deserialize, HeaderName, HeaderValue, Invalid, JsonSchema, Response};

use super::algorithm::Limit;
use super::limits::{Limits, Standing, Verdict};

static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static CURRENT: HeaderName = HeaderName::from_static("ratelimit");
static LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
static REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
static RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Room for the two numbers that tell where a client stands with a limit, and what is between them.
const NUMBERS: usize = 23;

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

/// The fields of limits that hold at once, as far as they are known beforehand.
pub(super) struct Fields {
    draft: Option<Draft>,
    /// The burst of each limit.
    legacy: Option<Vec<HeaderValue>>,
}

struct Draft {
    policies: HeaderValue,
    /// `"name";r=` of each limit, behind a comma where it is not the first.
    prefixes: Vec<Box<str>>,
    /// Room for what is told of all of them.
    room: usize,
}

impl Fields {
    pub(super) fn new(headers: Headers, label: &str, limits: &Limits) -> Result<Self, Invalid> {
        let draft = matches!(headers, Headers::Draft | Headers::Both);
        let legacy = matches!(headers, Headers::Legacy | Headers::Both);
        let bursts = limits.each.iter().map(|limit| limit.burst.into());
        Ok(Self {
            draft: draft.then(|| Draft::new(label, limits)).transpose()?,
            legacy: legacy.then(|| bursts.collect()),
        })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        2 * usize::from(self.draft.is_some()) + 3 * usize::from(self.legacy.is_some())
    }

    pub(super) fn write(&self, verdict: &Verdict, res: &mut Response<'_>) {
        if let Some(draft) = &self.draft {
            // Lists: those of other limits, and of the upstream's own, stay.
            res.add_header(&POLICY, draft.policies.clone());
            res.add_header(&CURRENT, draft.current(&verdict.standings));
        }
        if let Some(bursts) = &self.legacy {
            let standings = bursts.iter().zip(&verdict.standings);
            let strictest = standings.min_by_key(|(_, standing)| standing.remaining);
            if let Some((burst, standing)) = strictest {
                write_legacy(burst, standing, res);
            }
        }
    }
}

fn write_legacy(burst: &HeaderValue, standing: &Standing, res: &mut Response<'_>) {
    let stricter = res
        .header(&REMAINING)
        .and_then(|text| text.parse::<u32>().ok())
        .is_some_and(|remaining| remaining < standing.remaining);
    if !stricter {
        let mut headers = res.headers_mut();
        headers.set(&LIMIT, burst.clone());
        headers.set(&REMAINING, standing.remaining.into());
        headers.set(&RESET, standing.whole.into());
    }
}

impl Draft {
    fn new(label: &str, limits: &Limits) -> Result<Self, Invalid> {
        let mut policies = Vec::new();
        let mut prefixes: Vec<Box<str>> = Vec::new();
        for limit in &limits.each {
            let name = string(&name_of(limit, label, limits)).ok_or_else(|| {
                Invalid::new(format!(
                    "expected a name of printable ASCII characters, as it is sent to clients, found `{label}`"
                ))
            })?;
            policies.push(policy(&name, limit));
            let comma = if prefixes.is_empty() { "" } else { ", " };
            prefixes.push(format!("{comma}{name};r=").into());
        }
        let policies = policies.join(", ");
        Ok(Self {
            policies: HeaderValue::try_from(policies).expect("printable ASCII"),
            room: prefixes.iter().map(|prefix| prefix.len() + NUMBERS).sum(),
            prefixes,
        })
    }

    fn current(&self, standings: &[Standing]) -> HeaderValue {
        let mut text = String::with_capacity(self.room);
        let mut digits = itoa::Buffer::new();
        for (prefix, standing) in self.prefixes.iter().zip(standings) {
            text.push_str(prefix);
            text.push_str(digits.format(standing.remaining));
            text.push_str(";t=");
            text.push_str(digits.format(standing.next));
        }
        HeaderValue::try_from(text).expect("visible ASCII")
    }
}

/// The name of a limit's policy: the filter's, and the limit where there are several.
pub(super) fn name_of(limit: &Limit, label: &str, limits: &Limits) -> String {
    match limits.each.len() {
        1 => label.to_owned(),
        _ => format!("{label} {}", limit.rate),
    }
}

fn policy(name: &str, limit: &Limit) -> String {
    let (quota, window) = whole_seconds(limit);
    let burst = match u64::from(limit.burst) == limit.count() {
        true => String::new(),
        false => format!(";wiregate-burst={}", limit.burst),
    };
    format!("{name};q={quota};w={window}{burst}")
}

/// The same rate per whole seconds, which are all that the draft has; rounded down.
fn whole_seconds(limit: &Limit) -> (u128, u64) {
    let per = limit.rate.per.as_millis();
    let seconds = per.div_ceil(1_000);
    let quota = u128::from(limit.count()) * seconds * 1_000 / per;
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
        self.draft.as_ref().map(|draft| &draft.policies)
    }
}
