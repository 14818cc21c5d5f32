//! The facts of an exchange that the access log has names for.

use schemars::JsonSchema;
use serde::Deserialize;

/// A fact of an exchange. One without a value is left out of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// When the request's head was complete, in UTC (RFC 3339).
    Time,
    /// The request's id, as the client was told it.
    RequestId,
    /// The trace that the request is a part of, where requests are traced.
    TraceId,
    /// Its own span, where the trace is recorded.
    SpanId,
    /// The client's address, as far as trusted proxies tell.
    Client,
    /// The method.
    Method,
    /// Path and query as received, with secrets masked, cut at 2 KiB.
    Target,
    /// The host that was asked for.
    Host,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    Protocol,
    /// The route that won.
    Route,
    /// The upstream.
    Upstream,
    /// The endpoint that was tried last.
    Endpoint,
    /// The status that the client got; none if it left before there was one.
    Status,
    /// Bytes of the request's body that were read.
    BytesIn,
    /// Bytes of the response's body that were sent.
    BytesOut,
    /// From the request's head to the end of the exchange, in milliseconds.
    DurationMs,
    /// What came of the request in the cache.
    Cache,
    /// From the choice of an endpoint to the head of its response, in milliseconds.
    UpstreamMs,
    /// How many endpoints were tried, one as often as it was.
    Attempts,
    /// The name of the verified caller.
    Identity,
    /// The name of the configured consumer that this is.
    Consumer,
    /// The filter that refused the request, or failed at it.
    RefusedBy,
    /// Filters that are only looked at and would have ended the request, each with the word for why.
    Observed,
    /// Filters that had to do without something and went on, each with the word for what.
    Degraded,
    /// Why the exchange failed: one word.
    Error,
    /// What there is to say beyond that word.
    Detail,
}

impl Fact {
    /// All of them, in the order of a line that nothing else is asked of.
    pub const ALL: [Self; 26] = [
        Self::Time,
        Self::RequestId,
        Self::TraceId,
        Self::SpanId,
        Self::Client,
        Self::Method,
        Self::Target,
        Self::Host,
        Self::Protocol,
        Self::Route,
        Self::Upstream,
        Self::Endpoint,
        Self::Status,
        Self::BytesIn,
        Self::BytesOut,
        Self::DurationMs,
        Self::Cache,
        Self::UpstreamMs,
        Self::Attempts,
        Self::Identity,
        Self::Consumer,
        Self::RefusedBy,
        Self::Observed,
        Self::Degraded,
        Self::Error,
        Self::Detail,
    ];

    /// Its name, in the configuration and in a line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::RequestId => "request_id",
            Self::TraceId => "trace_id",
            Self::SpanId => "span_id",
            Self::Client => "client",
            Self::Method => "method",
            Self::Target => "target",
            Self::Host => "host",
            Self::Protocol => "protocol",
            Self::Route => "route",
            Self::Upstream => "upstream",
            Self::Endpoint => "endpoint",
            Self::Status => "status",
            Self::BytesIn => "bytes_in",
            Self::BytesOut => "bytes_out",
            Self::DurationMs => "duration_ms",
            Self::Cache => "cache",
            Self::UpstreamMs => "upstream_ms",
            Self::Attempts => "attempts",
            Self::Identity => "identity",
            Self::Consumer => "consumer",
            Self::RefusedBy => "refused_by",
            Self::Observed => "observed",
            Self::Degraded => "degraded",
            Self::Error => "error",
            Self::Detail => "detail",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_written_as_it_is_called() {
        for fact in Fact::ALL {
            let read: Fact = serde_json::from_value(fact.word().into()).unwrap();
            assert_eq!(read, fact);
        }
    }
}
