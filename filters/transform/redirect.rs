//! `redirect`: sends the client somewhere else.

use std::borrow::Cow;

use wiregate_sdk::schemars::{Schema, SchemaGenerator, json_schema};
use wiregate_sdk::serde::Deserializer;
use wiregate_sdk::serde::de::Error;
use wiregate_sdk::types::Status;
use wiregate_sdk::value::ShortOrFull;
use wiregate_sdk::{
    Build, Deserialize, Filter, Flow, HeaderValue, Invalid, JsonSchema, Reply, Request, StatusCode,
    Template, header,
};

use super::host::is_authority;
use super::url::{Location, query as encoded};

/// Sends the client somewhere else. It answers every request that reaches it.
///
/// `to` is an absolute URL or a path, alone or among other options. Values in it are
/// percent-encoded, so that one with a `/`, `?` or `&` in it stays one segment or one parameter;
/// only the request's path, `${request.path}` or what a method such as
/// `${request.path.substring(4)}` cuts from it, is taken as a path that is encoded already. A
/// location that begins with several slashes gets a single one, since `//host` would be another
/// host. Where a template begins with a value, whoever chooses the value chooses the host: let a
/// request do so only where that is meant. Such a URL must be one of `http` or `https`.
///
/// The status is 307: the client repeats the same method with the same body there, while 301 and
/// 302 make a GET of a POST, and comes back here the next time, while browsers remember 301 and
/// 308 for good, mistakes included. Choose 308 once a move is to be final.
///
/// Where there is no valid location for a request, it gets a 400 with the reason
/// `invalid_redirect`.
///
/// ```yaml
/// - redirect: "https://www.example.com${request.path}"
/// - redirect: { https: true, status: 308 }
/// - redirect: { to: "/v2${request.path.substring(3)}", keep_query: true }
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", transparent)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config(ShortOrFull<Template, Options>);

/// Where to, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars", rename = "RedirectOptions")]
struct Options {
    /// The URL, or the path on the same host.
    #[serde(default)]
    to: Option<Template>,
    /// 301, 302, 303, 307 or 308; 307 when absent.
    #[serde(default)]
    status: RedirectStatus,
    /// To the same host and target with `https`, on its usual port; in place of `to`. A request
    /// that came with `https` would go round in a circle: it gets a 500 with the reason
    /// `redirect_loop`. Let the route take others only: `when: request.scheme == "http"`.
    #[serde(default)]
    https: bool,
    /// Whether the request's query goes behind that of `to`. With `https` it always stays.
    #[serde(default)]
    keep_query: bool,
}

/// A status that sends a client somewhere else (RFC 9110, 15.4).
#[derive(Clone, Copy, Debug)]
struct RedirectStatus(StatusCode);

const STATUSES: [StatusCode; 5] = [
    StatusCode::MOVED_PERMANENTLY,
    StatusCode::FOUND,
    StatusCode::SEE_OTHER,
    StatusCode::TEMPORARY_REDIRECT,
    StatusCode::PERMANENT_REDIRECT,
];

/// The running form of `redirect`.
pub struct Redirect {
    to: To,
    status: StatusCode,
}

enum To {
    Https,
    Fixed(HeaderValue),
    Location {
        template: Location,
        keep_query: bool,
    },
}

impl Filter for Redirect {
    const NAME: &'static str = "redirect";
    const ANSWERS: bool = true;
    type Config = Config;
    type State = ();

    fn build(config: Config, _: &mut Build<'_>) -> Result<Self, Invalid> {
        let options = match config.0 {
            ShortOrFull::Full(options) => options,
            ShortOrFull::Short(to) => {
                let to = To::build(&to, false).map_err(Invalid::new)?;
                let RedirectStatus(status) = RedirectStatus::default();
                return Ok(Self { to, status });
            }
        };
        let to = match options.to {
            Some(_) if options.https => {
                return Err(Invalid::at("https", "expected `to` or `https`, found both"));
            }
            Some(to) => {
                To::build(&to, options.keep_query).map_err(|message| Invalid::at("to", message))?
            }
            None if options.https && options.keep_query => {
                let message = "expected `keep_query` with `to` only: with `https` the query stays";
                return Err(Invalid::at("keep_query", message));
            }
            None if options.https => To::Https,
            None => return Err(Invalid::new("expected `to`, or `https: true`")),
        };
        Ok(Self {
            to,
            status: options.status.0,
        })
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        Err(match self.to.location(req) {
            Ok(location) => Reply::new(self.status).header(header::LOCATION, location),
            Err(reply) => reply,
        })
    }
}

impl To {
    fn build(to: &Template, keep_query: bool) -> Result<Self, String> {
        to.check_early()?;
        let template = Location::new(to)?;
        let fixed = template.constant().filter(|_| !keep_query);
        let fixed = fixed.and_then(|location| HeaderValue::from_str(location).ok());
        Ok(fixed.map_or(
            Self::Location {
                template,
                keep_query,
            },
            Self::Fixed,
        ))
    }

    fn location(&self, req: &Request<'_>) -> Result<HeaderValue, Reply> {
        let invalid = |why: String| {
            Reply::problem(StatusCode::BAD_REQUEST, "invalid_redirect")
                .detail("there is no valid location to send this request to")
                .log(why)
        };
        let location = match self {
            Self::Fixed(location) => return Ok(location.clone()),
            Self::Https if req.exchange.client.scheme == "https" => {
                return Err(
                    Reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "redirect_loop")
                        .log("a request that came with https was to be sent to https"),
                );
            }
            Self::Https => secure(req).ok_or_else(|| invalid("the host is not valid".into()))?,
            Self::Location {
                template,
                keep_query,
            } => {
                let location = template.render(&req.facts()).map_err(invalid)?;
                match req.uri().query() {
                    Some(query) if *keep_query && !query.is_empty() => with_query(location, query),
                    _ => location,
                }
            }
        };
        HeaderValue::try_from(location).map_err(|error| invalid(error.to_string()))
    }
}

/// The request's own URL, as it was received, with `https`.
fn secure(req: &Request<'_>) -> Option<String> {
    let host = req.facts().host();
    if !is_authority(&host) {
        return None;
    }
    let target = &req.exchange.target;
    let path = Some(target.path())
        .filter(|path| path.starts_with('/'))
        .unwrap_or("/");
    let location = format!("https://{host}{}", super::url::path(path));
    Some(match target.query() {
        Some(query) => with_query(location, query),
        None => location,
    })
}

/// Puts a query behind the one that a URL has, before its fragment.
fn with_query(mut location: String, query: &str) -> String {
    let end = location.find('#').unwrap_or(location.len());
    let mark = if location[..end].contains('?') {
        "&"
    } else {
        "?"
    };
    location.insert_str(end, &format!("{mark}{}", encoded(query)));
    location
}

impl Default for RedirectStatus {
    fn default() -> Self {
        Self(StatusCode::TEMPORARY_REDIRECT)
    }
}

impl<'de> Deserialize<'de> for RedirectStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let status = Status::deserialize(deserializer)?.get();
        if STATUSES.contains(&status) {
            return Ok(Self(status));
        }
        Err(D::Error::custom(format!(
            "expected 301, 302, 303, 307 or 308, found `{}`",
            status.as_str()
        )))
    }
}

impl JsonSchema for RedirectStatus {
    fn schema_name() -> Cow<'static, str> {
        "RedirectStatus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "description": "A status that sends a client somewhere else.",
            "enum": STATUSES.map(|status| status.as_u16())
        })
    }
}

#[cfg(test)]
#[path = "redirect_tests.rs"]
mod tests;
