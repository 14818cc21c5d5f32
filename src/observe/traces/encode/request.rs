//! The span of a request: that of a server.

use std::borrow::Cow;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::value::Attributes;
use super::{Told, add_method, method_in_name};
use crate::observe::traces::Request;

/// A client that leaves has had no error here.
const CLIENT_GONE: &str = "client_gone";
/// The parameters whose values are signatures or keys of the services that have them in URLs.
const SIGNATURES: [&str; 7] = [
    "AWSAccessKeyId",
    "Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Goog-Signature",
    "sig",
];

pub(super) fn told(request: Request) -> Told {
    let failed = match (request.status, request.error) {
        (Some(500..), _) => true,
        // One that breaks off has its status sent already.
        (None | Some(100..400), Some(why)) => why != CLIENT_GONE,
        _ => false,
    };
    let template = request.pattern.as_deref().or(request.route.as_deref());
    let method = method_in_name(&request.method);
    let name = match template {
        Some(template) => format!("{method} {template}"),
        None => method.to_owned(),
    };
    let mut attributes = Attributes::default();
    add_method(&mut attributes, &request.method);
    add_target(&mut attributes, &request);
    attributes.some("http.route", template);
    if let Some(status) = request.status {
        attributes.number("http.response.status_code", status);
    }
    if failed {
        let status = request.status.map(|status| status.to_string());
        attributes.some("error.type", request.error.or(status.as_deref()));
    }
    let version = request.protocol.trim_start_matches("HTTP/");
    attributes.text("network.protocol.version", version);
    add_host(&mut attributes, &request);
    add_client(&mut attributes, &request);
    add_own(&mut attributes, &request);
    Told {
        name,
        kind: SpanKind::Server,
        attributes: attributes.done(),
        failed,
    }
}

fn add_target(attributes: &mut Attributes, request: &Request) {
    attributes.text("url.path", &request.path);
    if let Some(query) = &request.query {
        attributes.text("url.query", &without_signatures(query));
    }
    attributes.text("url.scheme", request.scheme);
}

/// The query, without what OpenTelemetry names as never to be kept.
fn without_signatures(query: &str) -> Cow<'_, str> {
    let signs = |part: &str| {
        let name = part.split_once('=').map(|(name, _)| name);
        name.filter(|name| SIGNATURES.contains(name)).is_some()
    };
    if !query.split('&').any(signs) {
        return query.into();
    }
    let each = query.split('&').map(|part| match part.split_once('=') {
        Some((name, _)) if signs(part) => Cow::Owned(format!("{name}=REDACTED")),
        _ => Cow::Borrowed(part),
    });
    each.collect::<Vec<_>>().join("&").into()
}

/// The host that was asked for; the port is that of the scheme where none was named.
fn add_host(attributes: &mut Attributes, request: &Request) {
    if let Some((host, port)) = &request.host {
        attributes.text("server.address", host);
        let usual = if request.scheme == "https" { 443 } else { 80 };
        attributes.number("server.port", port.unwrap_or(usual));
    }
}

fn add_client(attributes: &mut Attributes, request: &Request) {
    let client = request.client.to_canonical();
    attributes.text("client.address", &client.to_string());
    let (peer, port) = (request.peer.0.to_canonical(), request.peer.1);
    // A Unix socket has no other end that would have an address.
    if port != 0 {
        attributes.text("network.peer.address", &peer.to_string());
        attributes.number("network.peer.port", port);
    }
    attributes.some("user_agent.original", request.user_agent.as_deref());
}

fn add_own(attributes: &mut Attributes, request: &Request) {
    attributes.text("wiregate.request_id", &request.id);
    attributes.some("wiregate.route", request.route.as_deref());
    attributes.some("wiregate.refused_by", request.refused_by.as_deref());
    attributes.some("wiregate.error", request.error);
    attributes.some("wiregate.consumer", request.consumer.as_deref());
    attributes.some("wiregate.cache", request.cache);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_in_queries_are_left_out() {
        for (query, kept) in [
            ("a=1&b", "a=1&b"),
            ("sig=abc", "sig=REDACTED"),
            (
                "a=1&X-Amz-Signature=ab=c&b=sig",
                "a=1&X-Amz-Signature=REDACTED&b=sig",
            ),
            ("sig&Signature=", "sig&Signature=REDACTED"),
            ("design=1", "design=1"),
        ] {
            assert_eq!(without_signatures(query), kept);
        }
    }
}
