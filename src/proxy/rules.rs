//! What a request's head alone decides, in front of the choice of a route and behind it.

use std::time::Duration;

use http::{Method, StatusCode, header};
use pingora_http::RequestHeader;
use wiregate_sdk::Reply;

use super::{forwarded, grpc, heads, trusted};
use crate::config::model::UnderscoresInFields;

/// Settles the head of a client that is no trusted proxy, up to the choice of a route.
///
/// # Errors
/// The reply that ends the request.
pub fn before_route(
    head: &mut RequestHeader,
    underscores: UnderscoresInFields,
) -> Result<(), Reply> {
    if underscores == UnderscoresInFields::Drop {
        heads::drop_underscores(head);
    }
    trusted::distrust(head, |_| false);
    heads::settle_connection(head)?;
    no_tunnel(head)
}

/// What is asked of a request once it has a route, before its first filter runs.
///
/// # Errors
/// The reply that ends it.
pub fn behind_route(head: &mut RequestHeader) -> Result<(), Reply> {
    deadline(head)?;
    forwarded::limit_hops(head)
}

/// There are no tunnels here (RFC 9110, 9.3.6).
pub(super) fn no_tunnel(head: &RequestHeader) -> Result<(), Reply> {
    if head.method != Method::CONNECT {
        return Ok(());
    }
    Err(
        Reply::problem(StatusCode::METHOD_NOT_ALLOWED, "http_request_denied")
            .detail("CONNECT is not served")
            .header(header::ALLOW, forwarded::ALLOW),
    )
}

/// How long a gRPC call may take, where it says so.
pub(super) fn deadline(head: &RequestHeader) -> Result<Option<Duration>, Reply> {
    grpc::deadline(head).transpose().map_err(|()| {
        Reply::problem(StatusCode::BAD_REQUEST, "invalid_grpc_timeout")
            .detail("`grpc-timeout` is not valid")
    })
}
