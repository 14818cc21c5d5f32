//! What is known of one request and its response, from the first byte to the last.

use std::net::IpAddr;
use std::sync::Arc;

use http::{Method, Uri};
use serde_json::{Map, Value};

use crate::cache::Plan;
use crate::{Now, RequestHead};

/// The facts of one exchange that all links of its chain share.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The request's id (a UUIDv7, or the client's own where that is trusted).
    pub id: Box<str>,
    /// When the request head was complete.
    pub now: Now,
    /// Who sent the request.
    pub client: Client,
    /// The method as received.
    pub method: Method,
    /// The target as received, before normalisation and rewriting, as the access log shows it.
    /// A filter that takes credentials from the query takes them out of it.
    pub target: Uri,
    /// The name of the route that won; empty until one has.
    pub route: Arc<str>,
    /// What the route's path parameters stood for, in path order.
    pub params: Vec<(Arc<str>, String)>,
    /// Who is calling, once a filter has established it. A filter that knows a caller beforehand shares what it
    /// knows with all of the caller's exchanges: to take that up costs one count.
    pub identity: Option<Arc<Identity>>,
    /// The upstream to use instead of the route's own. It must be configured.
    pub upstream: Option<Arc<str>>,
    /// What the cache is to do; it is not asked while there is no plan.
    pub cache: Option<Box<Plan>>,
}

/// The client, as far as the connection tells.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client's address: the peer, or what a trusted proxy says about it.
    pub address: IpAddr,
    /// The address of the connection's other end.
    pub peer: IpAddr,
    /// The port of the connection's other end.
    pub port: u16,
    /// `http` or `https`, as the client spoke it to this gateway or to a trusted proxy.
    pub scheme: &'static str,
    /// What is known of TLS, where the connection to this gateway is over TLS.
    pub tls: Option<Arc<Tls>>,
}

/// TLS of a client's connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The name that the client asked for (SNI).
    pub name: Option<Box<str>>,
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The client's certificate, which one of the authorities that the configuration names has
    /// issued.
    pub certificate: Option<Certificate>,
}

/// A client's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Its subject, such as `CN=alice, O=Shop`.
    pub subject: String,
    /// The other names of the subject: DNS names, mail addresses, URIs and IP addresses.
    pub names: Box<[Box<str>]>,
    /// The SHA-256 of the certificate, in hexadecimal digits.
    pub sha256: String,
}

/// A caller whose credentials were verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The caller's name: of a key, a user, or a token's subject.
    pub name: Arc<str>,
    /// The groups or roles that the caller belongs to.
    pub groups: Arc<[Box<str>]>,
    /// What the credentials allow (RFC 6749, 3.3), where they say so.
    pub scopes: Arc<[Box<str>]>,
    /// What a token says of the caller, member by member.
    pub claims: Option<Arc<Map<String, Value>>>,
    /// The configured caller that this is, where there is one: a consumer, or one of the filter's own list.
    /// Whoever an issuer vouches for alone is none, whatever the name. A filter that sets it says so when it
    /// is built ([`Build::finds_consumers`](crate::Build::finds_consumers)).
    pub consumer: Option<Arc<Consumer>>,
    /// The filter that established it, e.g. `api_key`.
    pub by: &'static str,
}

/// A caller that the configuration knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    /// Its name, which no other one under `consumers` has.
    pub name: Arc<str>,
    /// The groups that it belongs to.
    pub groups: Arc<[Box<str>]>,
    /// The plan that says how much it may ask for.
    pub plan: Option<Arc<str>>,
}

impl Identity {
    /// The claim at the end of a path of names.
    pub fn claim(&self, path: &[impl AsRef<str>]) -> Option<&Value> {
        let (first, inside) = path.split_first()?;
        let claim = self.claims.as_ref()?.get(first.as_ref())?;
        inside
            .iter()
            .try_fold(claim, |claim, name| claim.as_object()?.get(name.as_ref()))
    }
}

impl Exchange {
    /// An exchange whose request has just come: who calls and where it goes is not known yet.
    pub fn new(id: Box<str>, now: Now, client: Client, head: &RequestHead) -> Self {
        Self {
            id,
            now,
            client,
            method: head.method.clone(),
            target: head.uri.clone(),
            route: Arc::from(""),
            params: Vec::new(),
            identity: None,
            upstream: None,
            cache: None,
        }
    }

    /// The value of the path parameter `name`, decoded.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(key, _)| &**key == name)
            .map(|(_, value)| value.as_str())
    }
}
