//! The `match` of a route: what a request must be like.

use std::borrow::Cow;
use std::fmt;

use pingora_http::RequestHeader;
use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::preflight::asked_method;
use wiregate_sdk::types::{Cidr, OneOrMany};
use wiregate_sdk::value::At;
use wiregate_sdk::{Exchange, Facts, cookies, form};

use super::condition::{Condition, Conditions, HeaderKey, Name};
use super::host::HostPattern;
use super::path::{Params, PathPattern};
use super::text::{MethodName, shown};
use super::when::When;
use super::written::Written;

/// Which requests a route takes. Everything that is written must hold; of what is left out,
/// anything will do. Of several routes that match, the most specific one takes the request.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// The host, or several: `api.example.com`, or `*.example.com` for all names below a domain
    /// (at any depth, without the domain itself). Case and port do not count.
    pub host: Option<OneOrMany<HostPattern>>,
    /// The path, or several: `/a/b`, `/a/{id}`, `/a/*`, `/a/**` or `~ ^/regex$`. It is compared
    /// with the normalised path of the request, in which ``!$&'()*+,;=:@`` and their escapes are
    /// the same.
    pub path: Option<OneOrMany<PathPattern>>,
    /// The methods. `GET` does not stand for `HEAD`. With a filter that answers preflights, such as
    /// `cors`, a preflight that asks for one of them is taken as well.
    pub methods: Option<OneOrMany<MethodName>>,
    /// Headers by name: a text for exactly this value, or `{regex: ...}`, `{prefix: ...}`,
    /// `{any_of: [...]}`, `{present: true}`, `{present: false}`. Of a header that is sent more
    /// than once, the first value counts.
    pub headers: Conditions<HeaderKey>,
    /// Query parameters by name, decoded, with the same conditions as headers. Of a parameter
    /// that is there more than once, the first value counts.
    pub query: Conditions<Name>,
    /// Cookies by name, with the same conditions as headers. Quotes around a value are part of it; of several with one
    /// name, the first counts.
    pub cookies: Conditions<Name>,
    /// Addresses and networks of clients.
    pub client: Option<OneOrMany<Cidr>>,
    /// An expression that must be true, over `request`, `client` and the `params` of the path. A
    /// request for which it cannot be evaluated is refused.
    pub when: Option<At<When>>,
}

/// What is known of a request for which no route has been chosen.
pub(super) fn facts<'a>(request: &'a RequestHeader, exchange: &'a Exchange) -> Facts<'a> {
    Facts {
        request,
        exchange,
        response: None,
    }
}

/// A named value of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Field<'a> {
    Header(&'a HeaderKey),
    Query(&'a Name),
    Cookie(&'a Name),
}

/// The condition that a request does not meet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unmet<'a> {
    Methods {
        methods: &'a OneOrMany<MethodName>,
        /// Whether what a preflight asks for would have done.
        preflights: bool,
    },
    Field(Field<'a>, &'a Condition),
    Client(&'a OneOrMany<Cidr>),
    When(&'a When),
}

impl Match {
    /// The first condition, beside host and path, that a request does not meet; for the methods,
    /// it may be that a preflight asks for one of them (`preflights`). `params` are those of the
    /// path; the exchange has them afterwards where `when` asked for them.
    ///
    /// # Errors
    /// Why `when` has no value.
    pub(super) fn unmet(
        &self,
        head: &RequestHeader,
        exchange: &mut Exchange,
        params: impl FnOnce() -> Params,
        preflights: bool,
    ) -> Result<Option<Unmet<'_>>, String> {
        if let Some(unmet) = self.unmet_before_when(&facts(head, exchange), preflights) {
            return Ok(Some(unmet));
        }
        let Some(when) = &self.when else {
            return Ok(None);
        };
        if when.params().next().is_some() {
            exchange.params = params();
        }
        let holds = when.test(&facts(head, exchange))?;
        Ok((!holds).then_some(Unmet::When(when)))
    }

    /// The names of the parameters that its paths have.
    pub fn params(&self) -> Vec<&str> {
        let paths = self.path.iter().flatten();
        paths.flat_map(PathPattern::names).collect()
    }

    /// Whether host, path and method decide alone.
    pub(super) fn is_plain(&self) -> bool {
        self.fields().next().is_none() && self.client.is_none() && self.when.is_none()
    }

    /// The same without `when`.
    pub(super) fn unmet_before_when(
        &self,
        facts: &Facts<'_>,
        preflights: bool,
    ) -> Option<Unmet<'_>> {
        if let Some(methods) = &self.methods
            && !self.names_method_of(facts)
            && !(preflights && self.preflight(facts).is_some())
        {
            return Some(Unmet::Methods {
                methods,
                preflights,
            });
        }
        for (field, condition) in self.fields() {
            if !condition.holds(field.value(facts).as_deref()) {
                return Some(Unmet::Field(field, condition));
            }
        }
        let address = facts.exchange.client.address;
        match &self.client {
            Some(nets) if !nets.iter().any(|net| net.contains(address)) => {
                Some(Unmet::Client(nets))
            }
            _ => None,
        }
    }

    fn names_method_of(&self, facts: &Facts<'_>) -> bool {
        self.names(|method| method.0 == facts.request.method)
    }

    /// Whether one of the methods that are written is like that.
    pub(super) fn names(&self, like: impl Fn(&MethodName) -> bool) -> bool {
        self.methods.iter().flatten().any(like)
    }

    /// The method by which a request is in place that is none of the methods itself: a preflight
    /// asks for it.
    pub(super) fn preflight<'a>(&self, facts: &Facts<'a>) -> Option<&'a str> {
        let asked = asked_method(facts.request)?.to_str().ok()?;
        (!self.names_method_of(facts) && self.names(|method| method.0 == asked)).then_some(asked)
    }

    /// The conditions on headers, query parameters and cookies.
    pub(super) fn fields(&self) -> impl Iterator<Item = (Field<'_>, &Condition)> {
        let headers = self
            .headers
            .iter()
            .map(|(name, it)| (Field::Header(name), it));
        let query = self.query.iter().map(|(name, it)| (Field::Query(name), it));
        let cookies = self
            .cookies
            .iter()
            .map(|(name, it)| (Field::Cookie(name), it));
        headers.chain(query).chain(cookies)
    }

    /// The condition on one of them.
    pub(super) fn field(&self, field: Field<'_>) -> Option<&Condition> {
        match field {
            Field::Header(name) => self.headers.get(name),
            Field::Query(name) => self.query.get(name),
            Field::Cookie(name) => self.cookies.get(name),
        }
    }
}

impl Field<'_> {
    /// The value in a request; the first one, where there are several.
    fn value<'a>(&self, facts: &Facts<'a>) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Header(name) => header(facts, name).map(Cow::Borrowed),
            Self::Query(name) => query(facts, name),
            Self::Cookie(name) => cookies::find(&facts.request.headers, &name.0).map(Cow::Borrowed),
        }
    }
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query parameter {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
        }
    }
}

fn header<'a>(facts: &Facts<'a>, name: &HeaderKey) -> Option<&'a [u8]> {
    let value = facts.request.headers.get(&name.0)?;
    Some(value.as_bytes())
}

fn query<'a>(facts: &Facts<'a>, name: &Name) -> Option<Cow<'a, [u8]>> {
    let pair = form::pairs(facts.request.uri.query()?).find(|pair| pair.is(&name.0))?;
    Some(form::decoded(pair.value))
}

impl Unmet<'_> {
    /// Why a request does not meet it. Shows references as they are written.
    pub(super) fn explain(&self, facts: &Facts<'_>, written: Option<&Written>) -> String {
        let part = |key| written.and_then(|written| written.part(key));
        match self {
            Self::Methods {
                methods,
                preflights,
            } => {
                let method = &facts.request.method;
                let listed = part("methods").unwrap_or_else(|| listed(methods));
                let asked = asked_method(facts.request).filter(|_| *preflights);
                match asked.and_then(|asked| asked.to_str().ok()) {
                    Some(asked) => format!(
                        "method {method} is not in [{listed}], nor is {}, which the preflight asks for",
                        shown(asked)
                    ),
                    None => format!("method {method} is not in [{listed}]"),
                }
            }
            Self::Field(field, expected) => {
                let written = written.and_then(|written| written.condition(*field));
                let expected = written.unwrap_or_else(|| expected.to_string());
                match field.value(facts) {
                    None => format!("{field} is absent, expected {expected}"),
                    Some(value) => {
                        let value = shown(&String::from_utf8_lossy(&value));
                        format!("{field} is {value}, expected {expected}")
                    }
                }
            }
            Self::Client(nets) => {
                let address = facts.exchange.client.address;
                let nets = part("client").unwrap_or_else(|| listed(nets));
                format!("client address {address} is not in [{nets}]")
            }
            Self::When(when) => {
                let when = part("when").unwrap_or_else(|| shown(when.source()));
                format!("`when` is false: {when}")
            }
        }
    }
}

fn listed<T: fmt::Display>(values: &[T]) -> String {
    let texts: Vec<_> = values.iter().map(ToString::to_string).collect();
    texts.join(", ")
}
