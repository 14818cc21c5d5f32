//! Spans in the form of OTLP, with the names of OpenTelemetry's semantic conventions for HTTP.

mod attempt;
mod request;
mod value;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self as otlp, ResourceSpans, ScopeSpans, Status};
use prost::Message as _;

use self::value::Attributes;
use super::{Span, Verb, What};

/// The version of the conventions that the attributes have their names from: HTTP is stable in it.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.23.0";
/// Tells apart the processes that there are while one takes the place of another.
const PROCESS: &str = "process.pid";
/// The flags of a span say whether its parent is of another process, and this says that they do.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// A message with these spans, of a resource with these attributes.
pub(super) fn message(resource: &[(String, String)], spans: Vec<Span>) -> Vec<u8> {
    let mut attributes = Attributes::default();
    for (name, value) in resource {
        attributes.text(name, value);
    }
    if resource.iter().all(|(name, _)| name != PROCESS) {
        attributes.number(PROCESS, std::process::id());
    }
    let scope = InstrumentationScope {
        name: "wiregate".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = ScopeSpans {
        scope: Some(scope),
        spans: spans.into_iter().map(encoded).collect(),
        schema_url: SCHEMA.to_owned(),
    };
    let all = ResourceSpans {
        resource: Some(Resource {
            attributes: attributes.done(),
            ..Resource::default()
        }),
        scope_spans: vec![spans],
        schema_url: SCHEMA.to_owned(),
    };
    ExportTraceServiceRequest {
        resource_spans: vec![all],
    }
    .encode_to_vec()
}

/// What a kind of span makes of its facts.
struct Told {
    name: String,
    kind: SpanKind,
    attributes: Vec<KeyValue>,
    failed: bool,
}

fn encoded(span: Span) -> otlp::Span {
    let told = match span.what {
        What::Request(request) => request::told(request),
        What::Attempt(attempt) => attempt::told(attempt),
    };
    // Whoever asks is always another process, and an attempt's parent never is.
    let remote = span.parent.is_some() && told.kind == SpanKind::Server;
    let place = if remote { IS_REMOTE } else { 0 };
    let code = if told.failed {
        StatusCode::Error
    } else {
        StatusCode::Unset
    };
    otlp::Span {
        trace_id: span.context.trace.bytes().to_vec(),
        span_id: span.id.bytes().to_vec(),
        trace_state: span.state.as_deref().unwrap_or_default().to_owned(),
        parent_span_id: span.parent.map_or_else(Vec::new, |id| id.bytes().to_vec()),
        flags: u32::from(span.context.flags()) | HAS_IS_REMOTE | place,
        name: told.name,
        kind: told.kind.into(),
        start_time_unix_nano: nanoseconds(span.start, Duration::ZERO),
        end_time_unix_nano: nanoseconds(span.start, span.duration),
        attributes: told.attributes,
        status: Some(Status {
            message: String::new(),
            code: code.into(),
        }),
        ..otlp::Span::default()
    }
}

fn nanoseconds(start: SystemTime, later: Duration) -> u64 {
    let since = start.duration_since(UNIX_EPOCH).unwrap_or_default() + later;
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The method in a span's name: one of a few words, whatever clients send.
fn method_in_name(method: &Verb) -> &'static str {
    match method {
        Verb::Known(word) => word,
        Verb::Other(_) => "HTTP",
    }
}

fn add_method(attributes: &mut Attributes, method: &Verb) {
    match method {
        Verb::Known(word) => attributes.text("http.request.method", word),
        Verb::Other(word) => {
            attributes.text("http.request.method", "_OTHER");
            attributes.text("http.request.method_original", word);
        }
    }
}
