//! What a configuration says about traces.

use std::num::NonZeroU32;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use wiregate_sdk::types::{FieldName, Hidden, Pairs, Percent, Period};
use wiregate_sdk::value::At;

/// Where spans go, and of which requests there are some: one for each request, and one for each
/// attempt at an endpoint, with the names of OpenTelemetry.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// The whole URL of a receiver of OTLP/HTTP, such as `http://127.0.0.1:4318/v1/traces`. Spans are
    /// sent there in protobuf. A secret in its query is a reference.
    pub endpoint: At<String>,
    /// Fields that it is asked with. What is in those whose names say that they hold secrets, such as
    /// `authorization`, is a reference, and what is in the others is not shown either.
    #[serde(default)]
    pub headers: Pairs<FieldName, At<Hidden<String>>>,
    /// A file with the authorities that an https endpoint is to be known to, in PEM, instead of those
    /// of the system.
    #[serde(default)]
    pub ca: Option<At<String>>,
    /// The share of the traces that begin here which is recorded. Where the client's trace goes on,
    /// its word counts.
    #[serde(default = "all")]
    pub sample: Percent,
    /// Whose `traceparent` is taken over: of all clients (`always`, the default), of the listener's
    /// `trusted_proxies`, or of nobody (`never`). For the others a trace begins here.
    #[serde(default)]
    pub parent: Parent,
    /// The name of this gateway among others (`service.name`).
    #[serde(default = "wiregate")]
    pub service: At<String>,
    /// Further attributes that all spans have in common, such as `deployment.environment.name`; 64 at
    /// most.
    #[serde(default)]
    pub resource: IndexMap<String, At<String>>,
    /// How many spans may wait to be sent, 64 to 262144; more are dropped and counted. One takes about
    /// 1 KiB, and up to 8 KiB where clients send the longest targets.
    #[serde(default = "eight_thousand")]
    pub queue: At<NonZeroU32>,
    /// How many spans are sent at once, 8192 at most, and no more than `queue`.
    #[serde(default = "five_hundred")]
    pub batch: At<NonZeroU32>,
    /// How long a span waits at most for others to be sent with, 100ms to 1m.
    #[serde(default = "five_seconds")]
    pub interval: At<Period>,
    /// How long the receiver may take over a batch, 100ms to 1m. A batch is tried five times in all.
    #[serde(default = "ten_seconds")]
    pub timeout: At<Period>,
    /// How what is sent is compressed: `none` (the default), or `gzip`.
    #[serde(default)]
    pub compression: Compression,
}

/// Whose `traceparent` is taken over. That of others is dropped, with its `tracestate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Parent {
    /// Every client's: whoever reaches the listener can have requests recorded.
    #[default]
    Always,
    /// Those of the listener's `trusted_proxies`.
    TrustedProxies,
    /// Nobody's.
    Never,
}

impl Parent {
    /// Its word in a configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::TrustedProxies => "trusted_proxies",
            Self::Never => "never",
        }
    }
}

/// How what is sent is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// It is not.
    #[default]
    None,
    /// By gzip (RFC 1952), which every receiver of OTLP/HTTP has to know.
    Gzip,
}

impl Compression {
    /// Its word in a configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
        }
    }
}

fn all() -> Percent {
    Percent::new(100)
}

fn wiregate() -> At<String> {
    At::nowhere("wiregate".to_owned())
}

fn eight_thousand() -> At<NonZeroU32> {
    At::nowhere(NonZeroU32::new(8192).expect("not zero"))
}

fn five_hundred() -> At<NonZeroU32> {
    At::nowhere(NonZeroU32::new(512).expect("not zero"))
}

fn five_seconds() -> At<Period> {
    At::nowhere(Period::seconds(5))
}

fn ten_seconds() -> At<Period> {
    At::nowhere(Period::seconds(10))
}
