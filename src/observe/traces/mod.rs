//! Traces: a span for each request and for each attempt at an endpoint, sent to a collector over
//! OTLP/HTTP.
//!
//! A worker only pushes a [`Span`] onto a bounded queue. What it looks like in OTLP is worked out on
//! a thread of its own, which sends spans in batches. Where the collector is slow or away, the queue
//! fills up, and spans are dropped and counted: traffic never waits for its traces. A request that is
//! not recorded costs what its trace context takes, and nothing more.

mod attempt;
mod batch;
pub mod context;
mod encode;
mod exporter;
mod ids;
mod post;
mod running;
pub mod span;

use std::sync::Arc;

pub use self::attempt::RunningAttempt;
pub use self::context::{Sampler, TraceContext};
pub use self::exporter::{Exporter, Target};
pub use self::ids::{SpanId, TraceId};
pub use self::post::Receiver;
pub use self::running::Exporters;
pub use self::span::{Attempt, Request, Span, Verb, What};
use crate::config::model::Parent;

/// How one version of the configuration traces requests.
#[derive(Debug)]
pub struct Traces {
    /// Which of the traces that begin here are recorded.
    pub sampler: Sampler,
    /// Whose trace context is taken over.
    pub parent: Parent,
    /// Whether filters may have put secrets into paths: their options have references in them.
    pub hides: bool,
    /// Where spans go; the same over reloads that do not change that.
    pub exporter: Arc<Exporter>,
}
