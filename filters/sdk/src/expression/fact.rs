//! Single facts of an exchange, read without CEL.

use std::borrow::Cow;
use std::net::IpAddr;

use cel::common::types::{CelBool, CelInt, CelList, CelString};
use cel::common::value::{CowVal, Val};
use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::kind::Kind;
use super::moment::Moment;
use super::values::flag;
use super::{Facts, claims};
use crate::types::CidrSet;
use crate::{Certificate, Consumer, Exchange, Identity, cookies, form};

/// One fact of an exchange.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    Method,
    Path,
    /// The path as conditions compare it.
    PathKey,
    Query(Box<str>),
    Host,
    Scheme,
    Header(Side, HeaderName),
    Cookie(Box<str>),
    Id,
    Target,
    Time,
    Address,
    Peer,
    Port,
    /// The subject of the client's certificate.
    Subject,
    /// The other names of that subject.
    Names,
    /// The digest of that certificate.
    Sha256,
    Route,
    Param(Box<str>),
    Name,
    /// The consumer's name; nothing for whoever is none.
    Consumer,
    Plan,
    Groups,
    Scopes,
    By,
    /// A member of the claims, by its path.
    Claim(Box<[Box<str>]>),
    Status,
    /// Whether the exchange has the fact at all.
    Has(Box<Fact>),
    /// Whether the client's address, or the peer's, is in one of these networks.
    Within(Box<Fact>, CidrSet),
}

/// Which head of an exchange.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Request,
    Response,
}

impl Fact {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Port | Self::Status => Kind::Int,
            Self::Time => Kind::Time,
            Self::Groups | Self::Scopes | Self::Names => Kind::List,
            Self::Claim(_) => Kind::Any,
            Self::Has(_) | Self::Within(..) => Kind::Bool,
            _ => Kind::Text,
        }
    }

    /// Whether an exchange may not have it.
    pub(super) fn is_optional(&self) -> bool {
        let certificate = matches!(self, Self::Subject | Self::Names | Self::Sha256);
        let other = matches!(
            self,
            Self::Consumer | Self::Plan | Self::Claim(_) | Self::Status
        );
        self.found_by_name() || self.is_of_identity() || certificate || other
    }

    /// Whether it is the status, or that there is one.
    pub(super) fn is_status(&self) -> bool {
        match self {
            Self::Status => true,
            Self::Has(fact) => fact.is_status(),
            _ => false,
        }
    }

    /// Its name, where it stands for nothing as long as no route has been chosen. A path
    /// parameter belongs to a path, and is known with it.
    pub(super) fn needs_route(&self) -> Option<&'static str> {
        match self {
            Self::Route => Some("route"),
            Self::Name => Some("identity.name"),
            Self::Consumer => Some("consumer"),
            Self::Plan => Some("identity.plan"),
            Self::Groups => Some("identity.groups"),
            Self::Scopes => Some("identity.scopes"),
            Self::By => Some("identity.by"),
            Self::Claim(_) => Some("identity.claims"),
            Self::Has(fact) | Self::Within(fact, _) => fact.needs_route(),
            _ => self.needs_response(),
        }
    }

    /// Its name, where it stands for nothing as long as there is no response.
    pub(super) fn needs_response(&self) -> Option<&'static str> {
        match self {
            Self::Status => Some("response.status"),
            Self::Header(Side::Response, _) => Some("response.headers"),
            Self::Has(fact) | Self::Within(fact, _) => fact.needs_response(),
            _ => None,
        }
    }

    /// Whether every caller that is known has it.
    fn is_of_identity(&self) -> bool {
        matches!(self, Self::Name | Self::Groups | Self::Scopes | Self::By)
    }

    fn found_by_name(&self) -> bool {
        matches!(
            self,
            Self::Query(_) | Self::Header(..) | Self::Cookie(_) | Self::Param(_)
        )
    }

    /// The fact as text.
    pub(super) fn text<'a>(&self, facts: &Facts<'a>) -> Cow<'a, str> {
        let Facts {
            request, exchange, ..
        } = *facts;
        match self {
            Self::Method => request.method.as_str().into(),
            Self::Path => request.uri.path().into(),
            Self::PathKey => crate::path_key(request.uri.path()),
            Self::Host => facts.host(),
            Self::Scheme => exchange.client.scheme.into(),
            Self::Id => (&*exchange.id).into(),
            Self::Target => target(exchange),
            Self::Time => Moment::from(exchange.now.wall).to_string().into(),
            Self::Address | Self::Peer => self.address(exchange).to_string().into(),
            Self::Route => (&*exchange.route).into(),
            Self::Name => identity(exchange, |identity| &identity.name).into(),
            Self::Consumer => consumer(exchange).map_or("", |it| &it.name).into(),
            Self::Plan => plan(exchange).unwrap_or("").into(),
            Self::By => identity(exchange, |identity| identity.by).into(),
            Self::Claim(path) => claim(exchange, path).map_or("".into(), claims::text),
            Self::Groups | Self::Scopes | Self::Names => self.list(exchange).join(",").into(),
            Self::Subject => certificate(exchange).map_or("", |it| &it.subject).into(),
            Self::Sha256 => certificate(exchange).map_or("", |it| &it.sha256).into(),
            Self::Port | Self::Status => self.number(facts).to_string().into(),
            Self::Has(_) | Self::Within(..) => flag(self.truth_of(facts)).into(),
            Self::Query(_) | Self::Header(..) | Self::Cookie(_) | Self::Param(_) => {
                self.named(facts).unwrap_or_default()
            }
        }
    }

    /// The fact as a condition; `None` where it is none.
    pub(super) fn truth(&self, facts: &Facts<'_>) -> Option<bool> {
        match self {
            Self::Claim(path) => claim(facts.exchange, path)?.as_bool(),
            _ => (self.kind() == Kind::Bool).then(|| self.truth_of(facts)),
        }
    }

    /// The fact as a value of CEL, borrowed from the exchange where that is possible.
    pub(super) fn value<'a>(&self, facts: &Facts<'a>) -> CowVal<'a, 'a> {
        match self.kind() {
            Kind::Int => CowVal::owned(CelInt::from(self.number(facts))),
            Kind::Time => CowVal::owned(Moment::from(facts.exchange.now.wall)),
            Kind::Bool => CowVal::owned(CelBool::from(self.truth_of(facts))),
            Kind::List => {
                let list = self.list(facts.exchange).iter();
                let texts = list.map(|text| Box::new(CelString::from(&**text)) as Box<dyn Val>);
                CowVal::owned(CelList::from(texts.collect::<Vec<_>>()))
            }
            Kind::Any => self.claim(facts.exchange),
            _ => CowVal::owned(match self.text(facts) {
                Cow::Borrowed(text) => CelString::from(text),
                Cow::Owned(text) => CelString::from(text),
            }),
        }
    }

    /// A claim as a value of CEL; the empty text where there is none.
    fn claim<'a>(&self, exchange: &'a Exchange) -> CowVal<'a, 'a> {
        match self {
            Self::Claim(path) => claim(exchange, path).map(claims::value),
            _ => None,
        }
        .map_or_else(|| CowVal::owned(CelString::from("")), CowVal::Owned)
    }

    /// A fact that is looked up by a name of the user's.
    fn named<'a>(&self, facts: &Facts<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Query(name) => query(facts.request.uri.query()?, name),
            Self::Header(Side::Request, name) => field(&facts.request.headers, name),
            Self::Header(Side::Response, name) => field(&facts.response?.headers, name),
            Self::Cookie(name) => {
                cookies::find(&facts.request.headers, name).map(String::from_utf8_lossy)
            }
            Self::Param(name) => facts.exchange.param(name).map(Cow::Borrowed),
            _ => None,
        }
    }

    fn number(&self, facts: &Facts<'_>) -> i64 {
        i64::from(match self {
            Self::Port => facts.exchange.client.port,
            Self::Status => facts.status().map_or(0, |status| status.as_u16()),
            _ => 0,
        })
    }

    fn truth_of(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Has(fact) => match &**fact {
                fact if fact.is_of_identity() => facts.exchange.identity.is_some(),
                Self::Consumer => consumer(facts.exchange).is_some(),
                Self::Plan => plan(facts.exchange).is_some(),
                Self::Claim(path) => claim(facts.exchange, path).is_some(),
                Self::Subject | Self::Names | Self::Sha256 => certificate(facts.exchange).is_some(),
                Self::Status => facts.response.is_some(),
                fact => fact.named(facts).is_some(),
            },
            Self::Within(fact, nets) => nets.contains(fact.address(facts.exchange)),
            _ => false,
        }
    }

    fn list<'a>(&self, exchange: &'a Exchange) -> &'a [Box<str>] {
        match self {
            Self::Names => certificate(exchange).map_or(&[], |certificate| &certificate.names),
            Self::Scopes => (exchange.identity.as_ref()).map_or(&[], |identity| &identity.scopes),
            _ => (exchange.identity.as_ref()).map_or(&[], |identity| &identity.groups),
        }
    }

    fn address(&self, exchange: &Exchange) -> IpAddr {
        match self {
            Self::Peer => exchange.client.peer,
            _ => exchange.client.address,
        }
        .to_canonical()
    }
}

fn identity<'a>(exchange: &'a Exchange, part: impl Fn(&'a Identity) -> &'a str) -> &'a str {
    exchange.identity.as_deref().map_or("", part)
}

fn consumer(exchange: &Exchange) -> Option<&Consumer> {
    exchange.identity.as_ref()?.consumer.as_deref()
}

fn plan(exchange: &Exchange) -> Option<&str> {
    consumer(exchange)?.plan.as_deref()
}

fn claim<'a>(exchange: &'a Exchange, path: &[Box<str>]) -> Option<&'a Value> {
    exchange.identity.as_ref()?.claim(path)
}

fn certificate(exchange: &Exchange) -> Option<&Certificate> {
    exchange.client.tls.as_ref()?.certificate.as_ref()
}

/// Path and query, or whatever form the target had (RFC 9112, 3.2).
fn target(exchange: &Exchange) -> Cow<'_, str> {
    match exchange.target.path_and_query() {
        Some(path) if exchange.target.scheme().is_none() => path.as_str().into(),
        _ => exchange.target.to_string().into(),
    }
}

fn field<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let value = fields.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()))
}

/// The first value under a name.
fn query<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let pair = form::pairs(query).find(|pair| pair.is(name))?;
    Some(form::text(pair.value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_query_is_decoded_and_its_first_value_counts() {
        let find = |name| query("a=1&b+c=x%2By+z&a=2&empty=&bare&%64=%FF", name);
        assert_eq!(find("a").unwrap(), "1");
        assert_eq!(find("b c").unwrap(), "x+y z");
        assert_eq!(find("d").unwrap(), "\u{fffd}");
        assert_eq!(find("empty").unwrap(), "");
        assert_eq!(find("bare").unwrap(), "");
        assert_eq!(find("z"), None);
    }

    proptest! {
        #[test]
        fn looking_up_never_panics(text in ".*", name in ".*") {
            query(&text, &name);
        }
    }
}
