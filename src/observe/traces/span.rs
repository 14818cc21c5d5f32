//! What is known of a span when it has ended.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Version};

use super::context::TRACESTATE;
use super::{SpanId, TraceContext};

/// More of a text that a client has a say in is not in a span, in bytes.
const LONGEST: usize = 2 << 10;
/// A longer `tracestate` is in no span, though it is passed on.
const LONGEST_STATE: usize = 512;

/// A span that has ended. What it holds is its own, and bounded: nothing in it keeps the head of a request
/// in memory.
#[derive(Debug)]
pub struct Span {
    /// The trace that it is a part of, and what of its flags holds for it.
    pub context: TraceContext,
    /// Its own id.
    pub id: SpanId,
    /// The span that it is a part of.
    pub parent: Option<SpanId>,
    /// What tracing systems keep in the trace (`tracestate`).
    pub state: Option<Arc<str>>,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// What it tells of.
    pub what: What,
}

/// What a span tells of.
#[derive(Debug)]
pub enum What {
    /// A request of a client's.
    Request(Request),
    /// An attempt to have an endpoint answer one.
    Attempt(Attempt),
}

/// A request of a client's: what the access log tells, in the words of OpenTelemetry.
#[derive(Debug)]
pub struct Request {
    /// Its method.
    pub method: Verb,
    /// The path of the target, as logs may show it.
    pub path: Box<str>,
    /// The query of the target, as logs may show it.
    pub query: Option<Box<str>>,
    /// The host that was asked for, and its port where it was named.
    pub host: Option<(Box<str>, Option<u16>)>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// The route that won.
    pub route: Option<Arc<str>>,
    /// The path pattern of the route that took it, where it has one that may be shown.
    pub pattern: Option<String>,
    /// The status that the client got.
    pub status: Option<u16>,
    /// The word for what went wrong.
    pub error: Option<&'static str>,
    /// The client, as far as trusted proxies tell.
    pub client: IpAddr,
    /// The other end of the connection, with its port.
    pub peer: (IpAddr, u16),
    /// What the client says it is.
    pub user_agent: Option<Box<str>>,
    /// The request's id.
    pub id: Box<str>,
    /// The name of the configured consumer that asks.
    pub consumer: Option<Arc<str>>,
    /// The label of the filter that refused it.
    pub refused_by: Option<Box<str>>,
    /// What came of it in the cache.
    pub cache: Option<&'static str>,
}

/// An attempt to have an endpoint answer a request.
#[derive(Debug)]
pub struct Attempt {
    /// The method of the request.
    pub method: Verb,
    /// The upstream.
    pub upstream: Arc<str>,
    /// The endpoint's address: an IP address and port, or `unix:` and a path.
    pub endpoint: Arc<str>,
    /// Whether TLS is spoken with it.
    pub tls: bool,
    /// Which attempt at an answer it is, from 1.
    pub number: u32,
    /// The path and the protocol of what was sent.
    pub sent: Option<(Box<str>, Version)>,
    /// The status of the response.
    pub status: Option<u16>,
    /// The word for why it failed.
    pub error: Option<&'static str>,
}

/// A method.
#[derive(Debug)]
pub enum Verb {
    /// One of RFC 9110 or RFC 5789.
    Known(&'static str),
    /// Another one; its start.
    Other(Box<str>),
}

impl Verb {
    /// The word for a method.
    pub fn of(method: &Method) -> Self {
        Self::Known(match *method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            Method::CONNECT => "CONNECT",
            Method::OPTIONS => "OPTIONS",
            Method::TRACE => "TRACE",
            Method::PATCH => "PATCH",
            _ => return Self::Other(cut(method.as_str())),
        })
    }
}

/// The start of a text that a client has a say in.
fn cut(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(LONGEST)].into()
}

/// The path and the query of a target, cut.
pub fn parts(target: &str) -> (Box<str>, Option<Box<str>>) {
    match target.split_once('?') {
        Some((path, query)) => (cut(path), Some(cut(query))),
        None => (cut(target), None),
    }
}

/// The value of a field as text, cut.
pub fn text(value: &HeaderValue) -> Box<str> {
    let bytes = value.as_bytes();
    cut(&String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]))
}

/// The `tracestate` of a request: one list, in however many fields it has come. Nothing where it is too
/// long, or not text.
pub fn state(fields: &HeaderMap) -> Option<Arc<str>> {
    let mut all = String::new();
    for value in fields.get_all(TRACESTATE) {
        let value = value.to_str().ok()?;
        if !all.is_empty() {
            all.push(',');
        }
        all.push_str(value);
        if all.len() > LONGEST_STATE {
            return None;
        }
    }
    (!all.is_empty()).then(|| all.into())
}

/// The host and the port of a `Host`, where it is valid.
pub fn host(value: &HeaderValue) -> Option<(Box<str>, Option<u16>)> {
    let authority = value.to_str().ok()?.parse::<Authority>().ok()?;
    let name = authority.host().trim_start_matches('[');
    let name = name.trim_end_matches(']').to_ascii_lowercase();
    Some((cut(&name), authority.port_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_clients_are_cut_between_characters() {
        let long = "é".repeat(LONGEST);
        let value = HeaderValue::from_bytes(long.as_bytes()).unwrap();
        assert_eq!(text(&value).len(), LONGEST);
        let odd = HeaderValue::from_bytes(format!("a{long}").as_bytes()).unwrap();
        assert!(text(&odd).len() <= LONGEST);
        let target = format!("/{0}?{0}", "a".repeat(9000));
        let (path, query) = parts(&target);
        assert_eq!((path.len(), query.unwrap().len()), (LONGEST, LONGEST));
        let method = Method::from_bytes("A".repeat(9000).as_bytes()).unwrap();
        assert!(matches!(Verb::of(&method), Verb::Other(word) if word.len() == LONGEST));
    }

    #[test]
    fn a_tracestate_is_one_list_and_not_longer_than_it_may_be() {
        let read = |values: &[&str]| {
            let mut fields = HeaderMap::new();
            for value in values {
                fields.append(TRACESTATE, HeaderValue::from_str(value).unwrap());
            }
            state(&fields)
        };
        assert_eq!(read(&["a=1,b=2", "c=3"]).as_deref(), Some("a=1,b=2,c=3"));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[""]), None);
        assert!(read(&[&"a".repeat(512)]).is_some());
        assert_eq!(read(&[&"a".repeat(513)]), None);
        assert!(read(&[&"a".repeat(256), &"b".repeat(255)]).is_some());
        assert_eq!(read(&[&"a".repeat(256), &"b".repeat(256)]), None);
    }

    #[test]
    fn a_host_is_a_name_and_a_port() {
        let host = |text: &'static str| host(&HeaderValue::from_static(text));
        assert_eq!(
            host("Shop.Example:8080"),
            Some(("shop.example".into(), Some(8080)))
        );
        assert_eq!(host("[2001:DB8::1]"), Some(("2001:db8::1".into(), None)));
        assert_eq!(host("a b"), None);
    }
}
