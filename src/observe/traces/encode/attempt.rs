//! The span of an attempt: that of a client.

use std::net::SocketAddr;

use http::Version;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::value::Attributes;
use super::{Told, add_method, method_in_name};
use crate::observe::traces::Attempt;

pub(super) fn told(attempt: Attempt) -> Told {
    let failed = attempt.error.is_some() || attempt.status.is_some_and(|status| status >= 400);
    let mut attributes = Attributes::default();
    add_method(&mut attributes, &attempt.method);
    add_endpoint(&mut attributes, &attempt);
    if let Some(status) = attempt.status {
        attributes.number("http.response.status_code", status);
    }
    if attempt.number > 1 {
        attributes.number("http.request.resend_count", attempt.number - 1);
    }
    if failed {
        let status = attempt.status.map(|status| status.to_string());
        attributes.some("error.type", attempt.error.or(status.as_deref()));
    } else if attempt.status.is_none() {
        // Another one was faster, or the client left.
        attributes.yes("wiregate.abandoned");
    }
    attributes.text("wiregate.upstream", &attempt.upstream);
    Told {
        name: method_in_name(&attempt.method).to_owned(),
        kind: SpanKind::Client,
        attributes: attributes.done(),
        failed,
    }
}

/// Where the request went. The query is left out: filters put keys of services into it.
fn add_endpoint(attributes: &mut Attributes, attempt: &Attempt) {
    let endpoint = &*attempt.endpoint;
    if let Ok(address) = endpoint.parse::<SocketAddr>() {
        let host = address.ip().to_string();
        attributes.text("server.address", &host);
        attributes.number("server.port", address.port());
        attributes.text("network.peer.address", &host);
        attributes.number("network.peer.port", address.port());
    } else {
        attributes.text("server.address", endpoint.trim_start_matches("unix:"));
        attributes.text("network.transport", "unix");
    }
    let Some((path, version)) = &attempt.sent else {
        return;
    };
    let scheme = if attempt.tls { "https" } else { "http" };
    let authority = match endpoint.starts_with("unix:") {
        true => "localhost",
        false => endpoint,
    };
    attributes.text("url.full", &format!("{scheme}://{authority}{path}"));
    let version = match *version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    attributes.text("network.protocol.version", version);
}
