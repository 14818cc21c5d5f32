//! What is known of one exchange when it is over.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use wiregate_sdk::Method;

use super::plan::VALUE;
use crate::observe::traces::{SpanId, TraceId};

/// The facts of one exchange; what they are is told with [`Fact`](super::Fact).
#[derive(Debug)]
pub struct Entry {
    /// When the request head was complete.
    pub time: SystemTime,
    /// The request's id, as the client was told it.
    pub request_id: Box<str>,
    /// The trace that it is a part of, where requests are traced.
    pub trace_id: Option<TraceId>,
    /// Its own span, where the trace is recorded.
    pub span_id: Option<SpanId>,
    /// The client, as far as trusted proxies tell.
    pub client: IpAddr,
    /// The method.
    pub method: Method,
    /// The request target as received, query included.
    pub target: Target,
    /// The host that was asked for.
    pub host: Option<Box<str>>,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// The route that won.
    pub route: Option<Arc<str>>,
    /// The upstream.
    pub upstream: Option<Arc<str>>,
    /// The address of the endpoint that was tried last.
    pub endpoint: Option<Arc<str>>,
    /// The status that the client got; none if it left before there was one.
    pub status: Option<u16>,
    /// Bytes of the request body that were read.
    pub bytes_in: u64,
    /// Bytes of the response body that were sent.
    pub bytes_out: u64,
    /// From the request head to the end of the exchange.
    pub duration: Duration,
    /// What came of the request in the cache, where its route has one.
    pub cache: Option<&'static str>,
    /// From the choice of an endpoint to the head of its response, without the time that the
    /// client has taken for its body.
    pub upstream_time: Option<Duration>,
    /// How many endpoints were tried, one as often as it was.
    pub attempts: u32,
    /// The name of the verified caller.
    pub identity: Option<Arc<str>>,
    /// The name of the configured consumer that this is.
    pub consumer: Option<Arc<str>>,
    /// The label of the filter that refused the request, or failed at it, with a problem.
    pub refused_by: Option<Box<str>>,
    /// The labels of filters that are only looked at and would have ended the request, each with
    /// the word for why.
    pub observed: Vec<(Box<str>, &'static str)>,
    /// The labels of filters that had to do without something, such as a store, and went on all the
    /// same, each with the word for what.
    pub degraded: Vec<(Box<str>, &'static str)>,
    /// Why the exchange failed: a word of a fixed set, the same in logs, metrics and replies.
    pub error: Option<&'static str>,
    /// What there is to say beyond that word.
    pub detail: Option<Box<str>>,
    /// The values of the fields that the log has names of its own for, in their order; those that are
    /// not there are empty. See [`Plan::extra`](super::Plan::extra).
    pub extra: Vec<Box<str>>,
}

impl Entry {
    /// The facts of a request that was answered before there was an exchange: all that is not given is
    /// not known, or did not happen.
    pub fn unserved(request_id: Box<str>, client: IpAddr, method: Method) -> Self {
        Self {
            time: SystemTime::now(),
            request_id,
            trace_id: None,
            span_id: None,
            client,
            method,
            target: Target::default(),
            host: None,
            protocol: "HTTP/1.1",
            route: None,
            upstream: None,
            endpoint: None,
            status: None,
            bytes_in: 0,
            bytes_out: 0,
            duration: Duration::ZERO,
            cache: None,
            upstream_time: None,
            attempts: 0,
            identity: None,
            consumer: None,
            refused_by: None,
            observed: Vec::new(),
            degraded: Vec::new(),
            error: None,
            detail: None,
            extra: Vec::new(),
        }
    }

    /// A text that may come from a stranger, cut at 1 KiB.
    pub fn text(text: &str) -> Box<str> {
        cut(text, VALUE).into()
    }

    /// A method that may be a stranger's own, cut at 64 bytes.
    pub fn method(method: &Method) -> Method {
        let name = method.as_str().as_bytes();
        match name.get(..64) {
            Some(start) => Method::from_bytes(start).unwrap_or_default(),
            None => method.clone(),
        }
    }
}

/// A request target, cut at 2 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target(Box<str>);

impl Target {
    /// The most bytes that are kept.
    pub const LIMIT: usize = 2 << 10;

    /// Keeps the start of `target`, up to the limit and never half a character.
    pub fn new(target: &str) -> Self {
        Self(cut(target, Self::LIMIT).into())
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The start of a text, of at most so many bytes.
pub(super) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_texts_of_strangers_are_cut() {
        assert_eq!(Entry::method(&Method::PATCH), Method::PATCH);
        let long = Method::from_bytes(&[b'M'; 100]).unwrap();
        assert_eq!(Entry::method(&long).as_str(), "M".repeat(64));
        assert_eq!(Entry::text(&"é".repeat(600)).len(), 1024);
    }

    #[test]
    fn a_long_target_is_cut_between_characters() {
        assert_eq!(Target::new("/short").to_string(), "/short");
        let long = format!("/{}", "é".repeat(Target::LIMIT));
        let kept = Target::new(&long).to_string();
        assert_eq!(kept.len(), Target::LIMIT - 1);
        assert!(long.starts_with(&kept));
    }
}
