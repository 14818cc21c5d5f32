//! A request that shows how two routes relate.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;

use http::header::{COOKIE, HOST};
use http::{HeaderName, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pingora_http::RequestHeader;
use wiregate_sdk::{Client, Clock, Exchange, Facts, path_key};

use super::host::HostPattern;
use super::matching::{Field, Match};
use super::path::{PathPattern, Segment};
use super::relation::{Shared, shared_client, shared_methods, shared_path, shared_value};
use super::table::Entry;
use super::{RouteSpec, Router};

/// A request, as far as it decides on a route.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Witness {
    method: Method,
    host: String,
    path: String,
    query: String,
    headers: Vec<(HeaderName, String)>,
    /// Where the client's address matters, that address.
    client: Option<IpAddr>,
}

/// What stands for the parts of a request that are free; one after the other is tried, so that a
/// more specific route does not get in the way.
pub(super) const FILLERS: [&str; 4] = ["1", "x", "wiregate", "0-0"];

impl Witness {
    /// A request that both entries match, `when` aside. The entries have the same host pattern,
    /// and unless both paths are regular expressions, the path of `b` is within that of `a`.
    pub(super) fn new(a: (&Entry, &Match), b: (&Entry, &Match), filler: &str) -> Shared<Self> {
        let (Shared::Item(net), Shared::Item(methods)) =
            (shared_client(a.1, b.1), shared_methods(a.1, b.1))
        else {
            return Shared::Nothing;
        };
        let path = path(&a.0.path, &b.0.path, filler);
        let mut unknown = path == Shared::Unknown;
        let mut witness = Self {
            path: match path {
                Shared::Item(path) => path,
                Shared::Nothing => return Shared::Nothing,
                Shared::Unknown => String::new(),
            },
            method: method(methods, filler),
            host: host(&b.0.host, filler),
            query: String::new(),
            headers: Vec::new(),
            client: net.map(|net| net.network()),
        };
        let only_b =
            b.1.fields()
                .filter(|(field, _)| a.1.field(*field).is_none());
        for (field, condition) in a.1.fields().chain(only_b) {
            let other = b.1.field(field).unwrap_or(condition);
            match shared_value(condition, other) {
                Shared::Item(value) => witness.set(field, value.as_deref()),
                Shared::Nothing => return Shared::Nothing,
                Shared::Unknown => unknown = true,
            }
        }
        if unknown {
            Shared::Unknown
        } else {
            Shared::Item(witness)
        }
    }

    fn set(&mut self, field: Field<'_>, value: Option<&str>) {
        let Some(value) = value else {
            return;
        };
        match field {
            Field::Header(name) => self.headers.push((name.0.clone(), value.to_owned())),
            Field::Cookie(name) => self.headers.push((COOKIE, format!("{}={value}", name.0))),
            Field::Query(name) => {
                let escaped = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
                let and = if self.query.is_empty() { "?" } else { "&" };
                let pair = format!("{and}{}={}", escaped(&name.0), escaped(value));
                self.query.push_str(&pair);
            }
        }
    }

    /// The request as a message shows it. Where references stand in one of the matches, what it is
    /// made of may be a secret.
    pub(super) fn told(&self, a: &RouteSpec, b: &RouteSpec) -> String {
        if a.written.is_some() || b.written.is_some() {
            return "a request that is not shown, as references stand in their `match`".into();
        }
        self.to_string()
    }

    /// The head of the request; `None` where it cannot be sent.
    fn head(&self) -> Option<RequestHeader> {
        let target = format!("{}{}", self.path, self.query);
        let mut head = RequestHeader::build(self.method.clone(), target.as_bytes(), None).ok()?;
        head.insert_header(HOST, &self.host).ok()?;
        for (name, value) in &self.headers {
            let trimmed = value.trim_matches([' ', '\t']) == value;
            let value = HeaderValue::from_bytes(value.as_bytes())
                .ok()
                .filter(|_| trimmed)?;
            head.append_header(name, value).ok()?;
        }
        Some(head)
    }

    fn exchange(&self, head: &RequestHeader) -> Exchange {
        let address = self
            .client
            .unwrap_or(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        let client = Client {
            address,
            peer: address,
            port: 0,
            scheme: "http",
            tls: None,
        };
        Exchange::new("".into(), Clock::default().now(), client, head)
    }

    /// Whether both entries match this request by the router's own look-up, `first` before
    /// `second`, `when` aside.
    pub(super) fn proves(&self, router: &Router, first: usize, second: usize) -> Option<Proof> {
        if router.normalise(&self.path).ok()? != self.path || path_key(&self.path) != self.path {
            return None;
        }
        let head = self.head()?;
        let exchange = self.exchange(&head);
        let facts = Facts {
            request: &head,
            exchange: &exchange,
            response: None,
        };
        let (mut winner, mut seen_first) = (None, false);
        let proven = router.table.walk(&self.host, &self.path, |at| {
            let matching = &router.routes[router.table.entries()[at].route].matching;
            if matching.unmet_before_when(&facts, false).is_some() {
                return ControlFlow::Continue(());
            }
            winner = winner.or(Some(at));
            seen_first |= at == first;
            if at == second {
                ControlFlow::Break(seen_first)
            } else {
                ControlFlow::Continue(())
            }
        });
        match (proven, winner == Some(first)) {
            (ControlFlow::Break(true), true) => Some(Proof::Wins),
            (ControlFlow::Break(true), false) => Some(Proof::Matches),
            _ => None,
        }
    }
}

/// What the router says about a witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Both match, and the first one wins.
    Wins,
    /// Both match, but a third one wins.
    Matches,
}

fn host(pattern: &HostPattern, filler: &str) -> String {
    match pattern {
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::Below(domain) => format!("{filler}{domain}"),
        HostPattern::Any => format!("{filler}.example"),
    }
}

fn path(a: &PathPattern, b: &PathPattern, filler: &str) -> Shared<String> {
    match (a, b) {
        (PathPattern::Regex(_), PathPattern::Regex(_)) => shared_path(a, b),
        (_, PathPattern::Regex(_)) => shared_path(b, b),
        (_, PathPattern::Any) => Shared::Item(format!("/{filler}")),
        (_, PathPattern::Exact { key, .. }) => Shared::Item(key.to_string()),
        (_, PathPattern::Segments { segments, open, .. }) => {
            let literals = segments.iter().map(|segment| match segment {
                Segment::Literal(text) => text,
                Segment::Parameter(_) => filler,
            });
            let path: Vec<_> = literals.chain(open.then_some(filler)).collect();
            Shared::Item(format!("/{}", path.join("/")))
        }
    }
}

fn method(allowed: Option<Vec<Method>>, filler: &str) -> Method {
    let allowed =
        allowed.unwrap_or_else(|| vec![Method::GET, Method::POST, Method::PUT, Method::DELETE]);
    let turn = FILLERS.iter().position(|it| *it == filler).unwrap_or(0);
    allowed[turn % allowed.len()].clone()
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{} http://{}{}{}`",
            self.method, self.host, self.path, self.query
        )?;
        for (at, (name, value)) in self.headers.iter().enumerate() {
            let with = if at == 0 { " with" } else { "," };
            write!(f, "{with} `{name}: {value}`")?;
        }
        match self.client {
            Some(address) => write!(f, " from {address}"),
            None => Ok(()),
        }
    }
}
