//! Where a key or a token comes in a request.

use std::borrow::Cow;
use std::fmt;

use http::uri::{PathAndQuery, Uri};
use wiregate_sdk::types::FieldName;
use wiregate_sdk::{
    Build, Deserialize, Exchange, HeaderName, HeaderValue, Invalid, JsonSchema, Request, cookies,
    form, header,
};

/// Where a key or a token comes in a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", rename_all = "snake_case")]
#[schemars(crate = "wiregate_sdk::schemars")]
pub enum Place {
    /// The value of this header field.
    Header(FieldName),
    /// The value of this query parameter. Mind that URLs end up in logs and histories.
    Query(String),
    /// The value of this cookie.
    Cookie(String),
    /// With `true`, the token of `Authorization: Bearer` (RFC 6750, 2.1).
    Bearer(bool),
}

/// The running form of a [`Place`].
pub(super) enum Source {
    Header(HeaderName),
    Query(Box<str>),
    Cookie(Box<str>),
    Bearer,
}

impl Source {
    /// All places of a filter, whose option they are.
    ///
    /// # Errors
    /// Which of them are none, or there twice.
    pub(super) fn all(from: &[Place], cx: &mut Build<'_>) -> Result<Vec<Self>, Invalid> {
        let mut invalid = Invalid::default();
        let mut sources = Vec::new();
        for (position, place) in from.iter().enumerate() {
            let at = format!("from[{position}]");
            if from[..position].contains(place) {
                let why = "expected another place, found the same again";
                invalid.and(Invalid::at(&at, why));
            }
            match Self::new(place.clone()) {
                Ok(source) => {
                    if let Self::Header(name) = &source {
                        cx.reads(name);
                    }
                    sources.push(source);
                }
                Err(why) => invalid.and(Invalid::at(&at, why)),
            }
        }
        invalid.into_result()?;
        Ok(sources)
    }

    /// # Errors
    /// Why nothing can come there.
    fn new(place: Place) -> Result<Self, String> {
        match place {
            Place::Header(name) if *name == header::COOKIE => {
                Err("expected a single value, found the field of all cookies, which `cookie: name` looks into".into())
            }
            Place::Header(name) if *name == header::AUTHORIZATION => {
                Err("expected a field of its own, found `authorization`, which `bearer: true` looks into".into())
            }
            Place::Header(name) => Ok(Self::Header(name.into())),
            Place::Query(name) if name.is_empty() => {
                Err("expected the name of a query parameter, found nothing".into())
            }
            Place::Query(name) => Ok(Self::Query(name.into())),
            Place::Cookie(name) if name.is_empty() || !name.bytes().all(is_token) => Err(format!(
                "expected the name of a cookie, found `{}`",
                name.escape_debug()
            )),
            Place::Cookie(name) => Ok(Self::Cookie(name.into())),
            Place::Bearer(true) => Ok(Self::Bearer),
            Place::Bearer(false) => Err("expected `bearer: true`, or another place".into()),
        }
    }

    /// Calls with everything that came here; empty ones are none.
    pub(super) fn find<'r>(&self, req: &'r Request<'_>, mut each: impl FnMut(Cow<'r, [u8]>)) {
        let mut each = |key: Cow<'r, [u8]>| {
            if !key.is_empty() {
                each(key);
            }
        };
        let fields = |name| {
            req.headers()
                .get_all(name)
                .iter()
                .map(HeaderValue::as_bytes)
        };
        match self {
            Self::Header(name) => fields(name).for_each(|key| each(key.trim_ascii().into())),
            Self::Bearer => fields(&header::AUTHORIZATION)
                .filter_map(bearer)
                .for_each(|key| each(key.into())),
            Self::Cookie(name) => cookies::all(req.headers())
                .filter(|cookie| cookie.name == name.as_bytes())
                .for_each(|cookie| each(cookie.value.into())),
            Self::Query(name) => form::pairs(req.query())
                .filter(|pair| pair.is(name))
                .for_each(|pair| each(form::decoded(pair.value))),
        }
    }

    /// Takes what came here out of the target as received, which logs show.
    pub(super) fn conceal(&self, exchange: &mut Exchange) {
        if let Self::Query(name) = self
            && let Some(target) = without(&exchange.target, name)
        {
            exchange.target = target;
        }
    }

    /// Removes whatever came here.
    pub(super) fn strip(&self, req: &mut Request<'_>) {
        match self {
            Self::Header(name) => req.remove_header(name),
            Self::Bearer => {
                let is_bearer = |value: &HeaderValue| bearer(value.as_bytes()).is_some();
                if req
                    .headers()
                    .get_all(header::AUTHORIZATION)
                    .iter()
                    .any(is_bearer)
                {
                    req.remove_header(&header::AUTHORIZATION);
                }
            }
            Self::Cookie(name) => req.headers_mut().remove_cookie(name),
            Self::Query(name) => strip_parameter(req, name),
        }
    }
}

/// What came in all of the places, taken together.
pub(super) enum Presented<'r> {
    None,
    One(Cow<'r, [u8]>),
    /// Several that differ.
    Several,
}

/// Looks into all of the places.
pub(super) fn presented<'r>(sources: &[Source], req: &'r Request<'_>) -> Presented<'r> {
    let mut presented = Presented::None;
    for source in sources {
        source.find(req, |found| match &presented {
            Presented::None => presented = Presented::One(found),
            Presented::One(other) if *other == found => {}
            _ => presented = Presented::Several,
        });
    }
    presented
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "the header field `{name}`"),
            Self::Query(name) => write!(f, "the query parameter `{name}`"),
            Self::Cookie(name) => write!(f, "the cookie `{name}`"),
            Self::Bearer => f.write_str("`Authorization: Bearer`"),
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The token of an `Authorization: Bearer`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

fn strip_parameter(req: &mut Request<'_>, name: &str) {
    if let Some(target) = without(req.uri(), name) {
        req.set_target(target);
    }
}

/// A target without the parameters of this name; `None` where it has none of them.
fn without(target: &Uri, name: &str) -> Option<Uri> {
    let query = target.query()?;
    if !form::pairs(query).any(|pair| pair.is(name)) {
        return None;
    }
    let others = form::pairs(query).filter(|pair| !pair.is(name));
    let others: Vec<&str> = others.map(|pair| pair.whole).collect();
    let path = match others.join("&").as_str() {
        "" => target.path().to_owned(),
        query => format!("{}?{query}", target.path()),
    };
    let mut parts = target.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).expect("it was part of a target"));
    Some(Uri::from_parts(parts).expect("only the query is another"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_outlives_the_removal_of_a_parameter() {
        let target = Uri::from_static("http://example.com:81/a?key=1&x=1");
        let left = without(&target, "key").unwrap();
        assert_eq!(left, "http://example.com:81/a?x=1");
        assert_eq!(without(&left, "key"), None);
        assert_eq!(without(&Uri::from_static("/a"), "key"), None);
    }
}
