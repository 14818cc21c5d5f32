//! What Pingora's errors mean: a status, and one of the words of RFC 9209, 2.3.

use std::io;

use http::StatusCode;
use pingora_error::{Error, ErrorSource, ErrorType};

/// The error of an exchange that has taken as long as it may.
pub(super) const DEADLINE: ErrorType = ErrorType::Custom("deadline");

/// What went wrong, in the terms of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The status to answer with; `None` where nobody is there to answer to.
    pub(super) status: Option<StatusCode>,
    /// One word, the same in logs, metrics and the problem's `type`.
    pub(super) reason: &'static str,
}

/// The meaning of an error.
pub(super) fn of(error: &Error) -> Failure {
    match error.esource() {
        _ if *error.etype() == DEADLINE => Failure {
            status: Some(StatusCode::GATEWAY_TIMEOUT),
            reason: "http_response_timeout",
        },
        ErrorSource::Downstream => downstream(error),
        ErrorSource::Upstream => upstream(error),
        _ => internal(error),
    }
}

fn upstream(error: &Error) -> Failure {
    use ErrorType as E;
    let (status, reason) = match error.etype() {
        E::ConnectTimedout | E::TLSHandshakeTimedout => {
            (StatusCode::GATEWAY_TIMEOUT, "connection_timeout")
        }
        E::ConnectRefused => (StatusCode::BAD_GATEWAY, "connection_refused"),
        E::ConnectNoRoute => (StatusCode::BAD_GATEWAY, "destination_ip_unroutable"),
        E::ConnectError | E::ConnectProxyFailure | E::SocketError | E::BindError => {
            (StatusCode::BAD_GATEWAY, "destination_unavailable")
        }
        E::TLSHandshakeFailure | E::InvalidCert | E::HandshakeError => {
            (StatusCode::BAD_GATEWAY, tls(error))
        }
        E::ReadTimedout => (StatusCode::GATEWAY_TIMEOUT, "http_response_timeout"),
        E::WriteTimedout => (StatusCode::GATEWAY_TIMEOUT, "connection_write_timeout"),
        E::ReadError | E::WriteError if is_alert(error) => {
            (StatusCode::BAD_GATEWAY, "tls_alert_received")
        }
        E::ConnectionClosed | E::ReadError | E::WriteError => {
            (StatusCode::BAD_GATEWAY, "connection_terminated")
        }
        _ => (StatusCode::BAD_GATEWAY, "http_protocol_error"),
    };
    Failure {
        status: Some(status),
        reason,
    }
}

/// What was wrong with a handshake. Pingora hands down what rustls said of it, but as text.
fn tls(error: &Error) -> &'static str {
    let said = error.to_string();
    if said.contains("invalid peer certificate") {
        "tls_certificate_error"
    } else if said.contains("received fatal alert") {
        "tls_alert_received"
    } else {
        "tls_protocol_error"
    }
}

/// Whether an endpoint has ended a connection by an alert of TLS. Where it wants a certificate,
/// TLS 1.3 shows that to the client only after the handshake.
fn is_alert(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    let cause = cause.and_then(|cause| cause.get_ref()?.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::AlertReceived(_)))
}

fn downstream(error: &Error) -> Failure {
    use ErrorType as E;
    match error.etype() {
        E::ReadTimedout => Failure {
            status: Some(StatusCode::REQUEST_TIMEOUT),
            reason: "body_timeout",
        },
        E::ReadError if is_malformed(error) => Failure {
            status: Some(StatusCode::BAD_REQUEST),
            reason: "http_request_error",
        },
        E::WriteError | E::ReadError | E::ConnectionClosed | E::WriteTimedout => Failure {
            status: None,
            reason: "client_gone",
        },
        _ => Failure {
            status: Some(StatusCode::BAD_REQUEST),
            reason: "http_request_error",
        },
    }
}

/// Whether the client's bytes came, but break the rules of a body.
fn is_malformed(error: &Error) -> bool {
    (error.root_cause().downcast_ref::<io::Error>())
        .is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}

fn internal(error: &Error) -> Failure {
    let status = match error.etype() {
        ErrorType::HTTPStatus(code) => StatusCode::from_u16(*code).ok(),
        _ => None,
    };
    Failure {
        status: Some(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)),
        reason: "proxy_internal_error",
    }
}
