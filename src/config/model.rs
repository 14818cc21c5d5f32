//! What a configuration file says, before anything is built from it.

mod access_log;
mod cache;
pub mod consumer;
pub mod dns;
pub mod listener;
mod split;
mod traces;
pub mod upstream;

use std::num::{NonZeroU32, NonZeroUsize};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wiregate_sdk::types::{ByteRate, OneOrMany, Period, Size};
use wiregate_sdk::value::{At, Raw, ShortOrFull};

pub use super::http2::Http2;
pub use super::overload::{Memory, Overload};
use crate::router::{EncodedSlash, Match};
use consumer::Consumer;
use dns::Dns;
use upstream::{Timeouts, Upstream};

pub use access_log::{
    AccessLog, AccessLogOptions, AccessLogPlace, Field, LineFormat, Redact, Rotate, Sample, Shown,
    Syslog,
};
pub use cache::{Cache, Disk};
pub use split::{ByHeader, Split, Target};
pub use traces::{Compression, Parent, Traces};

pub use listener::{
    Alpn, Bind, Certificate, ClientCertificates, Listener, Off, ProxyProtocol, Tls, TlsVersion,
};

/// A Wiregate configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The version of this format: 1.
    pub version: At<u32>,
    /// Further files to read, relative to this one; `*` stands for any part of a file name.
    #[serde(default)]
    pub include: Option<OneOrMany<String>>,
    /// Worker threads; one for each processor when absent. Takes effect at start only.
    #[serde(default)]
    pub workers: Option<NonZeroUsize>,
    /// Where the admin API, the metrics and the health probes answer.
    #[serde(default)]
    pub admin: Option<Admin>,
    /// Where the metrics and the health probes answer, and nothing else: for Prometheus and others
    /// who may look and not touch.
    #[serde(default)]
    pub metrics: Option<MetricsListener>,
    /// Where a line for each request goes, and what is in it: `stdout` (the default), `off`, or options.
    #[serde(default)]
    pub access_log: Option<AccessLog>,
    /// Where spans of requests go, and of which there are some; nowhere when absent.
    #[serde(default)]
    pub traces: Option<At<Traces>>,
    /// Where this gateway is, such as `${env:ZONE}`: endpoints of the same `zone` are preferred.
    #[serde(default)]
    pub zone: Option<At<String>>,
    /// Bounds that hold for the whole gateway.
    #[serde(default)]
    pub limits: Limits,
    /// How long each step towards an upstream may take, where neither the route nor the upstream
    /// says so itself.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Which fields tell an upstream who asked: `x_forwarded` (the default), `rfc7239`, or `both`.
    #[serde(default)]
    pub forwarded: Forwarded,
    /// What becomes of a request whose path holds an encoded slash or backslash.
    #[serde(default)]
    pub encoded_slash: EncodedSlash,
    /// What becomes of the fields of a request whose name has an underscore.
    #[serde(default)]
    pub underscores_in_fields: UnderscoresInFields,
    /// The addresses that accept connections, by name.
    #[serde(default)]
    pub listeners: IndexMap<String, At<Listener>>,
    /// How the names of endpoints are resolved.
    #[serde(default)]
    pub dns: Option<At<Dns>>,
    /// The groups of endpoints that requests go to, by name.
    #[serde(default)]
    pub upstreams: IndexMap<String, At<Upstream>>,
    /// The callers that are known, by name: what each shows, and what follows from being it.
    #[serde(default)]
    pub consumers: IndexMap<String, At<Consumer>>,
    /// Where the cache keeps responses, by name; where none is written there is one, `default`.
    #[serde(default)]
    pub caches: IndexMap<String, At<Cache>>,
    /// Filters with their options, named once and used anywhere.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, FilterUse>")]
    pub filters: IndexMap<String, Raw>,
    /// What holds for every route.
    #[serde(default)]
    pub all_routes: AllRoutes,
    /// The routes. The most specific match wins, whatever the order here.
    #[serde(default)]
    pub routes: Vec<At<Route>>,
}

/// Where the admin API, the metrics and the health probes answer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// A loopback address, such as `127.0.0.1:9901`, or `unix:/run/wiregate/admin.sock`.
    pub bind: At<String>,
}

/// Where the metrics and the health probes answer, and nothing else.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricsListener {
    /// An address that only those reach who may see the names of routes and upstreams, such as
    /// `10.0.0.1:9100`, or `unix:/path`. Takes effect at start only.
    pub bind: At<Bind>,
}

/// Which fields tell an upstream who asked. What a client sends in any of them, or in others of
/// their kind such as `X-Real-IP`, is dropped, unless it is a trusted proxy that sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Forwarded {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Rfc7239,
    /// All of them.
    Both,
}

/// What becomes of the fields of a request whose name has an underscore. CGI, WSGI and PHP take
/// `X_Request_Id` for the same as `X-Request-Id`: a client could say by it what only the gateway may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnderscoresInFields {
    /// They are taken out of the request before anything looks at it.
    #[default]
    Drop,
    /// They stay, and are sent on.
    Keep,
}

/// Bounds that hold for the whole gateway.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections of clients that may be open at once, over all listeners; more are closed at once.
    /// When absent, three quarters of the files that the process may open, and at most 100000.
    pub connections: Option<NonZeroU32>,
    /// Requests that may be under way at once, over all listeners; more get a 503. WebSockets and
    /// other long streams are among them.
    pub requests: NonZeroU32,
    /// When a worker has more to do than it can, and requests get a 503; `off` where that is never
    /// looked at.
    pub overload: ShortOrFull<Off, Overload>,
    /// How much memory the process may take; `off` where that is never looked at.
    pub memory: ShortOrFull<Off, Memory>,
    /// What `Retry-After` tells clients whose requests were shed, in whole seconds: at random from
    /// this to twice as much, so that they do not come back all at once.
    pub retry_after: Period,
    /// Paths whose requests are never shed, such as those that a load balancer asks for; 16 at
    /// most, exactly as clients write them, without a query. What answers them should cost little.
    pub never_shed: Vec<String>,
    /// The largest body that a filter may ask for as a whole; beyond, 413 for a request's, 502 for a
    /// response's.
    pub buffered_body: Size,
    /// The memory for all such bodies together, at least `buffered_body`; 503 while it is used up.
    pub body_memory: Size,
    /// How long a client may take over a body that a filter waits for; 408 beyond.
    pub body_deadline: Period,
    /// The least rate of a request body, until the response begins. Only the time counts in which
    /// the gateway waits for the client; 408 when `body_grace` is used up. gRPC calls over HTTP/2,
    /// and tunnels, are not held to it.
    pub body_rate: ByteRate,
    /// How long the gateway waits for a request body beyond what `body_rate` allows it. What comes
    /// faster makes up for it, up to all of it.
    pub body_grace: Period,
    /// The largest head that an HTTP/1.1 request may have, its first line included: 1KiB to 1MiB;
    /// 431 beyond, or 414 where the first line alone is larger. There may be 100 fields in it.
    pub head: Size,
    /// How long a client may take over the head of an HTTP/1.1 request, from its first byte to its
    /// last; 408 beyond.
    pub head_deadline: Period,
    /// How long a client connection stays open while nothing of a request arrives.
    pub idle: Period,
    /// How long a client may take no byte of a response that waits for it; its connection (HTTP/1.1)
    /// or stream (HTTP/2) is cut then.
    pub client_write: Period,
    /// The least rate at which a client takes a response. Only the time counts in which the gateway
    /// waits for the client; beyond what the rate allows, that is `client_write` in all. What is
    /// taken faster makes up for it. Tunnels are not held to it.
    pub response_rate: ByteRate,
    /// How long the gateway goes on accepting connections after it was told to stop, while `/readyz`
    /// says that it is not ready: as long as those that ask it take to notice. None when absent.
    pub drain_delay: Option<Period>,
    /// How long what is in flight may take once the gateway accepts no more connections: because it
    /// was told to stop, because another process has taken over, or because the listener is gone.
    /// What is left then is closed.
    pub drain_deadline: Period,
    /// How long the gateway waits at its start for the first health checks, and for the first keys of
    /// issuers, before it says that it is ready without them.
    pub start_deadline: Period,
    /// Idle connections kept to upstreams, for each worker.
    pub idle_upstream_connections: NonZeroUsize,
    /// How long a WebSocket may stay silent in both directions before it is closed.
    pub websocket_idle: Period,
    /// What an HTTP/2 client may ask of one connection.
    pub http2: Http2,
}

impl Default for Limits {
    fn default() -> Self {
        let number = |count| NonZeroU32::new(count).expect("not zero");
        Self {
            connections: None,
            requests: number(100_000),
            overload: ShortOrFull::Full(Overload::default()),
            memory: ShortOrFull::Full(Memory::default()),
            retry_after: Period::seconds(1),
            never_shed: Vec::new(),
            buffered_body: Size::mib(16),
            body_memory: Size::mib(256),
            body_deadline: Period::seconds(30),
            body_rate: ByteRate::per_second(Size::bytes(500)),
            body_grace: Period::seconds(20),
            head: Size::kib(32),
            head_deadline: Period::seconds(10),
            idle: Period::seconds(60),
            client_write: Period::seconds(60),
            response_rate: ByteRate::per_second(Size::bytes(500)),
            drain_delay: None,
            drain_deadline: Period::seconds(30),
            start_deadline: Period::seconds(10),
            idle_upstream_connections: NonZeroUsize::new(512).expect("not zero"),
            websocket_idle: Period::seconds(3600),
            http2: Http2::default(),
        }
    }
}

/// What holds for every route.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AllRoutes {
    /// Filters that run on every route, before its own.
    #[schemars(with = "Vec<FilterUse>")]
    pub filters: Vec<Raw>,
}

/// A match, a list of filters, and where the request goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The route's name, in logs, metrics and messages.
    pub name: At<String>,
    /// Which requests it takes; all of them when absent.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// Decides between routes whose matches would otherwise tie: the higher wins.
    #[serde(default)]
    pub priority: Option<i32>,
    /// The filters, in the order in which they see the request: a name, or `name: options`.
    #[serde(default)]
    #[schemars(with = "Vec<FilterUse>")]
    pub filters: Vec<Raw>,
    /// The upstream that the request goes to, or a split between several. Only a route whose
    /// filters always answer needs none.
    #[serde(default)]
    pub upstream: Option<At<Target>>,
    /// How long each step towards an upstream may take, where this route's requests are special.
    #[serde(default)]
    pub timeouts: Option<At<Timeouts>>,
}

/// A filter in a list, in the JSON Schema: the definition is made from the registry.
pub struct FilterUse;

impl FilterUse {
    /// The name of the definition.
    pub const DEFINITION: &str = "Filter";
}

impl JsonSchema for FilterUse {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FilterUse".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "$ref": format!("#/$defs/{}", Self::DEFINITION) })
    }
    fn inline_schema() -> bool {
        true
    }
}
