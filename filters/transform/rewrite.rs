//! `rewrite`: changes the target, the host and the method that the upstream sees.

mod path;
mod query;

use std::borrow::Cow;

use wiregate_sdk::schemars::{Schema, SchemaGenerator, json_schema};
use wiregate_sdk::serde::Deserializer;
use wiregate_sdk::serde::de::Error;
use wiregate_sdk::{
    Build, Deserialize, Filter, Flow, HeaderValue, Invalid, JsonSchema, Method, Reply, Request,
    StatusCode, Template, Uri, header,
};

use super::host::is_authority;
use path::{Path, Prefix};
use query::Query;

/// Changes the path, the query, the host and the method of a request, as later filters and the
/// upstream see them. Which route takes the request is settled before.
///
/// The path is the one that was matched: normalised, and still percent-encoded. Whatever the
/// order in which they are written, `strip_prefix` is done first, then `regex`, then
/// `add_prefix`; or `path` puts another one in its place. Of `query`, `remove` is done first, then
/// `rename`, `set` and `add`. All templates see the request as it came to this filter.
///
/// Values are percent-encoded where they are put into a path or a query, so that a value with a
/// `/`, `?`, `&` or `#` in it stays one segment or one parameter. Only the path itself,
/// `${request.path}` or what a method such as `${request.path.substring(7)}` cuts from it, is
/// taken as a path that is encoded already. A query parameter whose template has no value is not
/// there afterwards, whatever the client sent.
///
/// A request gets a 400 with the reason `invalid_rewrite` where the outcome is not valid: a path
/// that begins with `//` or has a segment `.` or `..`, a value in `path` that is missing, a host
/// that is none.
///
/// In `to` of a `regex`, groups are written `$1` or `$name`; braces would make it an expression.
///
/// ```yaml
/// - rewrite: { strip_prefix: /orders, add_prefix: /v1 }
/// - rewrite:
///     regex: { pattern: "^/users/([0-9]+)/(?<what>.+)$", to: "/$what/of/$1" }
///     query: { set: { tenant: "${identity.name}" }, remove: [debug], rename: { q: query } }
/// - rewrite:
///     path: "/items/${params.id}"
///     host: "${request.headers['x-tenant']}.internal.example.com"
///     method: GET
/// ```
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "wiregate_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "wiregate_sdk::schemars")]
pub struct Config {
    /// What to take from the beginning of the path, which must end there or go on with a `/`;
    /// any other path stays as it is. What is left of the prefix itself is `/`.
    #[serde(default)]
    strip_prefix: Option<Prefix>,
    /// What to replace in the path, wherever it matches.
    #[serde(default)]
    regex: Option<path::Regex>,
    /// What to put before the path.
    #[serde(default)]
    add_prefix: Option<Prefix>,
    /// The path to use in place of the request's; not beside the three options above. The query
    /// stays.
    #[serde(default)]
    path: Option<Template>,
    /// Changes to the query.
    #[serde(default)]
    query: Option<query::Config>,
    /// The `Host` that the upstream sees: a name or an address, with or without a port.
    #[serde(default)]
    host: Option<Template>,
    /// The method that the upstream sees. A HEAD request stays one, since its response has no
    /// body (RFC 9110, 9.3.2); the body of any other is sent on.
    #[serde(default)]
    method: Option<NewMethod>,
}

/// A method that a request may be given.
#[derive(Debug)]
struct NewMethod(Method);

/// The running form of `rewrite`.
pub struct Rewrite {
    path: Path,
    query: Option<Query>,
    host: Option<Host>,
    method: Option<Method>,
}

enum Host {
    Constant(HeaderValue),
    Template(Template),
}

/// What a request is given; settled as a whole before any of it is done.
#[derive(Default)]
struct Plan {
    target: Option<Uri>,
    host: Option<HeaderValue>,
}

impl Filter for Rewrite {
    const NAME: &'static str = "rewrite";
    type Config = Config;
    type State = ();

    fn build(config: Config, _: &mut Build<'_>) -> Result<Self, Invalid> {
        let Config {
            strip_prefix,
            regex,
            add_prefix,
            path,
            query,
            host,
            method,
        } = config;
        let does_nothing = strip_prefix.is_none()
            && regex.is_none()
            && add_prefix.is_none()
            && path.is_none()
            && query.is_none()
            && host.is_none()
            && method.is_none();
        if does_nothing {
            return Err(Invalid::new(
                "expected at least one of `strip_prefix`, `regex`, `add_prefix`, `path`, `query`, \
                 `host` and `method`",
            ));
        }
        let path = Path::build(strip_prefix, regex, add_prefix, path.as_ref());
        let query = query.map(Query::build).transpose();
        let host = host.map(Host::build).transpose();
        match (path, query, host) {
            (Ok(path), Ok(query), Ok(host)) => Ok(Self {
                path,
                query,
                host,
                method: method.map(|NewMethod(method)| method),
            }),
            (path, query, host) => {
                let mut invalid = Invalid::default();
                let problems = [path.err(), query.err(), host.err()];
                problems
                    .into_iter()
                    .flatten()
                    .for_each(|problem| invalid.and(problem));
                Err(invalid)
            }
        }
    }

    async fn request(&self, req: &mut Request<'_>, (): &mut ()) -> Flow {
        let Plan { target, host } = self.plan(req).map_err(|why| {
            Reply::problem(StatusCode::BAD_REQUEST, "invalid_rewrite")
                .detail("the request cannot be passed on in the form that its route asks for")
                .log(why)
        })?;
        if let Some(target) = target {
            req.set_target(target);
        }
        if let Some(host) = host {
            req.set_host(host);
        }
        match &self.method {
            Some(method) if req.method() != Method::HEAD => req.set_method(method.clone()),
            _ => {}
        }
        Ok(())
    }
}

impl Rewrite {
    fn plan(&self, req: &Request<'_>) -> Result<Plan, String> {
        let facts = req.facts();
        let mut plan = Plan::default();
        if let Some(host) = &self.host {
            plan.host = Some(host.render(req)?);
        }
        let path = self.path.rewrite(req.path(), &facts)?;
        let old = req.uri().query();
        let query = match &self.query {
            Some(query) => Some(query.rewrite(req.query(), &facts))
                .filter(|query| !query.is_empty())
                .map(Cow::Owned),
            None => old.map(Cow::Borrowed),
        };
        if *path == *req.path() && query.as_deref() == old {
            return Ok(plan);
        }
        let target = match query {
            Some(query) => format!("{path}?{query}"),
            None => path.into_owned(),
        };
        plan.target = Some(
            target
                .parse()
                .map_err(|_| "the target is not valid or too long")?,
        );
        // The new target has no authority, which may have been the only place of the host.
        if plan.host.is_none() && !req.headers().contains_key(header::HOST) {
            let authority = req.uri().authority();
            plan.host = authority.and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        }
        Ok(plan)
    }
}

impl Host {
    fn build(template: Template) -> Result<Self, Invalid> {
        let Some(host) = template.constant() else {
            let early = template.check_early();
            early.map_err(|why| Invalid::at("host", why))?;
            return Ok(Self::Template(template));
        };
        match field(host) {
            Some(value) => Ok(Self::Constant(value)),
            None => {
                let found = host.escape_debug();
                let what = "expected a host such as `example.com` or `example.com:8080`";
                Err(Invalid::at("host", format!("{what}, found `{found}`")))
            }
        }
    }

    fn render(&self, req: &Request<'_>) -> Result<HeaderValue, String> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Template(template) => {
                let host = template.render(&req.facts())?;
                field(&host).ok_or_else(|| "`host` names no host".to_owned())
            }
        }
    }
}

/// A host as the value of `Host`.
fn field(host: &str) -> Option<HeaderValue> {
    is_authority(host).then(|| HeaderValue::from_str(host).ok())?
}

impl<'de> Deserialize<'de> for NewMethod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_upper = !text.bytes().any(|b| b.is_ascii_lowercase());
        match Method::from_bytes(text.as_bytes()) {
            // With these, the connection or the body of either message is not what it was.
            Ok(Method::CONNECT | Method::HEAD | Method::TRACE) => Err(D::Error::custom(format!(
                "expected a method other than `CONNECT`, `HEAD` and `TRACE`, found `{text}`"
            ))),
            Ok(method) if is_upper => Ok(Self(method)),
            _ => Err(D::Error::custom(format!(
                "expected a method in capitals such as `GET`, found `{}`",
                text.escape_debug()
            ))),
        }
    }
}

impl JsonSchema for NewMethod {
    fn schema_name() -> Cow<'static, str> {
        "NewMethod".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A method, in capitals; not `CONNECT`, `HEAD` or `TRACE`.",
            "pattern": "^[!#$%&'*+.^_`|~0-9A-Z-]+$",
            "not": { "enum": ["CONNECT", "HEAD", "TRACE"] },
            "examples": ["GET", "POST"]
        })
    }
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
