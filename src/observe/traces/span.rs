//! What is known of a span when it has ended.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, Uri, Version};

use super::{SpanId, TraceContext};

/// A span that has ended.
#[derive(Debug)]
pub struct Span {
    /// The trace that it is a part of, and what of its flags holds for it.
    pub context: TraceContext,
    /// Its own id.
    pub id: SpanId,
    /// The span that it is a part of.
    pub parent: Option<SpanId>,
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
    pub method: Method,
    /// The target as logs may show it.
    pub target: Uri,
    /// The host that was asked for, with its port.
    pub host: Option<HeaderValue>,
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
    pub user_agent: Option<HeaderValue>,
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
    pub method: Method,
    /// The upstream.
    pub upstream: Arc<str>,
    /// The endpoint's address: an IP address and port, or `unix:` and a path.
    pub endpoint: Arc<str>,
    /// Whether TLS is spoken with it.
    pub tls: bool,
    /// Which attempt at an answer it is, from 1.
    pub number: u32,
    /// The target and the protocol of what was sent.
    pub sent: Option<(Uri, Version)>,
    /// The status of the response.
    pub status: Option<u16>,
    /// The word for why it failed.
    pub error: Option<&'static str>,
}
