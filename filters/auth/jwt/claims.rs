//! What a token says, checked and understood (RFC 7519, 4.1).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use wiregate_sdk::Identity;
use wiregate_sdk::types::OneOrMany;

use super::token::Why;

/// What a token must say.
pub(super) struct Expected {
    pub(super) issuer: Option<Box<str>>,
    pub(super) audience: Vec<String>,
    pub(super) leeway: Duration,
    /// Claims that must be there, each by its path.
    pub(super) require: Vec<Path>,
}

/// Which claims say who the caller is, each by its path.
pub(super) struct Meaning {
    pub(super) name: Path,
    pub(super) groups: Path,
    /// `scope`, or else `scp`, when absent.
    pub(super) scopes: Option<Path>,
}

/// The way to a claim: its name, and the names inside of it.
pub(super) type Path = OneOrMany<String>;

impl Expected {
    /// Checks the claims, and says until when they hold.
    ///
    /// # Errors
    /// Why they do not.
    pub(super) fn check(
        &self,
        claims: &Map<String, Value>,
        now: SystemTime,
    ) -> Result<SystemTime, Why> {
        if let Some(issuer) = &self.issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err("the token is of another issuer (`iss`)".into());
        }
        self.check_audience(claims.get("aud"))?;
        let expires = time(claims, "exp")?.ok_or("the token has no time of expiry (`exp`)")?;
        let until = expires
            .checked_add(self.leeway)
            .ok_or("the time of expiry (`exp`) is out of range")?;
        if now >= until {
            return Err("the token has expired (`exp`)".into());
        }
        let soon = now + self.leeway;
        if time(claims, "nbf")?.is_some_and(|start| soon < start) {
            return Err("the token is not valid yet (`nbf`)".into());
        }
        if time(claims, "iat")?.is_some_and(|issued| soon < issued) {
            return Err("the token was issued in the future (`iat`)".into());
        }
        for path in &self.require {
            if find(claims, path).is_none_or(Value::is_null) {
                return Err(format!("the token has no claim `{}`", path.join(".")));
            }
        }
        Ok(until)
    }

    /// Who is not in the audience refuses the token (RFC 7519, 4.1.3): so does a filter that has
    /// no `audience`, where a token has one.
    fn check_audience(&self, found: Option<&Value>) -> Result<(), Why> {
        let is_one = |found: &Value| self.audience.iter().any(|one| found == one);
        let fits = match found {
            None => self.audience.is_empty(),
            Some(Value::Array(all)) => all.iter().any(is_one),
            Some(found) => is_one(found),
        };
        if fits {
            return Ok(());
        }
        let hint = if self.audience.is_empty() {
            ", and the filter has none"
        } else {
            ""
        };
        Err(format!("the token is for another audience (`aud`){hint}"))
    }
}

impl Meaning {
    /// Who the claims say is calling.
    ///
    /// # Errors
    /// That they do not name the caller.
    pub(super) fn identity(&self, claims: Map<String, Value>) -> Result<Identity, Why> {
        let name = match find(&claims, &self.name) {
            Some(Value::String(name)) if !name.is_empty() => Arc::from(name.as_str()),
            Some(Value::Number(number)) => Arc::from(number.to_string()),
            _ => {
                let path = self.name.join(".");
                return Err(format!("the token does not name the caller (`{path}`)"));
            }
        };
        let scopes = match &self.scopes {
            Some(path) => find(&claims, path),
            None => claims.get("scope").or_else(|| claims.get("scp")),
        };
        Ok(Identity {
            name,
            groups: words(find(&claims, &self.groups), false).into(),
            scopes: words(scopes, true).into(),
            claims: Some(Arc::new(claims)),
            by: "jwt",
            ..Identity::default()
        })
    }
}

/// The claim at the end of a path.
pub(super) fn find<'c>(claims: &'c Map<String, Value>, path: &Path) -> Option<&'c Value> {
    let (first, inside) = path.split_first()?;
    let claim = claims.get(first)?;
    inside
        .iter()
        .try_fold(claim, |claim, name| claim.as_object()?.get(name))
}

/// The texts of a list, or a single one; where blanks part them (RFC 8693, 4.2), each of those.
fn words(claim: Option<&Value>, parted: bool) -> Vec<Box<str>> {
    match claim {
        Some(Value::String(text)) if parted => {
            text.split_ascii_whitespace().map(Into::into).collect()
        }
        Some(Value::String(text)) => vec![text.as_str().into()],
        Some(Value::Array(list)) => {
            let texts = list.iter().filter_map(Value::as_str);
            texts.map(Into::into).collect()
        }
        _ => Vec::new(),
    }
}

/// A time as tokens have it: seconds since 1970, with or without a fraction (RFC 7519, 2).
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<SystemTime>, Why> {
    let Some(claim) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = claim
        .as_f64()
        .and_then(|s| Duration::try_from_secs_f64(s).ok());
    let time = seconds.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
    let time = time.ok_or_else(|| format!("the time in `{name}` is none, or out of range"))?;
    Ok(Some(time))
}
