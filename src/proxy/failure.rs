//! What Pingora's errors mean: a status, and one word.

use std::io;

use http::StatusCode;
use pingora_error::{Error, ErrorSource, ErrorType};

use crate::descriptors;
use crate::listen::until::Over;
use crate::upstream::{Cause, Misframed};

/// An endpoint that has been silent for as long as it may be.
pub(super) const SILENT_ENDPOINT: ErrorType = ErrorType::Custom("silent endpoint");

/// A response has left whole, and the rest of its request is not wanted: no failure.
pub(super) const ANSWERED: ErrorType = ErrorType::Custom("answered");

/// More of an error's text is not written to the log.
const SHOWN: usize = 300;

/// What went wrong, in the terms of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The status to answer with; `None` where nobody is there to answer to.
    pub(super) status: Option<StatusCode>,
    /// One word, the same in logs, metrics and the problem's `type`.
    pub(super) reason: &'static str,
}

/// The meaning of an error, before or after a response has `begun`.
pub(super) fn of(error: &Error, begun: bool) -> Failure {
    match error.esource() {
        _ if is_over(error) => Failure {
            status: Some(StatusCode::GATEWAY_TIMEOUT),
            reason: "http_response_timeout",
        },
        ErrorSource::Downstream => downstream(error),
        ErrorSource::Upstream => {
            let cause = upstream(error, begun);
            Failure {
                status: Some(cause.status()),
                reason: cause.word(),
            }
        }
        _ => internal(error),
    }
}

/// Why an attempt failed (RFC 9209, 2.3).
pub(super) fn upstream(error: &Error, begun: bool) -> Cause {
    use ErrorType as E;
    match error.etype() {
        _ if lacks_descriptor(error) => Cause::ConnectionLimitReached,
        E::ConnectTimedout | E::TLSHandshakeTimedout => Cause::ConnectionTimeout,
        E::ConnectRefused => Cause::ConnectionRefused,
        E::ConnectNoRoute => Cause::DestinationIpUnroutable,
        E::InvalidCert => Cause::TlsCertificateError,
        E::TLSHandshakeFailure | E::HandshakeError | E::TLSWantX509Lookup => handshake(error),
        E::ReadError | E::WriteError if is_alert(error) => Cause::TlsAlertReceived,
        E::ReadError if is_misframed(error) => Cause::ProtocolError,
        E::ReadTimedout if begun => Cause::ConnectionReadTimeout,
        E::ReadTimedout => Cause::ResponseTimeout,
        E::WriteTimedout => Cause::ConnectionWriteTimeout,
        E::ConnectionClosed | E::ReadError if begun || partly_read(error) => {
            Cause::ResponseIncomplete
        }
        E::ConnectionClosed | E::ReadError | E::WriteError => Cause::ConnectionTerminated,
        E::H2Error if broken_off(error) => match begun {
            true => Cause::ResponseIncomplete,
            false => Cause::ConnectionTerminated,
        },
        E::InvalidHTTPHeader if too_large(error) => Cause::ResponseHeadSize,
        E::Custom(UNASKED_UPGRADE) => Cause::UpgradeFailed,
        // Pingora has nothing but connecting behind these.
        E::ConnectError
        | E::ConnectProxyFailure
        | E::SocketError
        | E::BindError
        | E::InternalError => Cause::ConnectionFailed,
        _ => Cause::ProtocolError,
    }
}

/// Whether there was no descriptor for a connection to an endpoint, which is not the endpoint's fault.
pub(super) fn lacks_descriptor(error: &Error) -> bool {
    descriptors::is_lack(error.root_cause())
}

/// A 101 to a request that did not ask for an upgrade.
pub(super) const UNASKED_UPGRADE: &str = "unasked upgrade";

/// What was wrong with a handshake. Pingora hands down what rustls said of it, but as text.
fn handshake(error: &Error) -> Cause {
    let said = error.to_string();
    if said.contains("invalid peer certificate") {
        Cause::TlsCertificateError
    } else if said.contains("received fatal alert") {
        Cause::TlsAlertReceived
    } else {
        Cause::TlsProtocolError
    }
}

/// Whether an endpoint has ended a handshake since it knows none of the protocols that it was offered (RFC 7301, 3.2).
pub(super) fn lacks_protocol(error: &Error) -> bool {
    *error.etype() == ErrorType::TLSHandshakeFailure
        && error.to_string().contains("NoApplicationProtocol")
}

/// Whether an endpoint has ended a connection by an alert of TLS. Where it wants a certificate,
/// TLS 1.3 shows that to the client only after the handshake.
fn is_alert(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    let cause = cause.and_then(|cause| cause.get_ref()?.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::AlertReceived(_)))
}

/// Whether nobody can tell where a response of an endpoint ends.
pub(super) fn is_misframed(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.get_ref().is_some_and(|inner| inner.is::<Misframed>()))
}

fn context(error: &Error) -> &str {
    error
        .context
        .as_ref()
        .map_or("", |context| context.as_str())
}

/// Pingora tells only in words that a head had begun.
fn partly_read(error: &Error) -> bool {
    context(error)
        .split_once("bytes already read: ")
        .is_some_and(|(_, count)| !count.starts_with('0'))
}

/// The same for a head beyond 1 MiB or 256 fields.
fn too_large(error: &Error) -> bool {
    context(error).starts_with("Response header larger than")
        || (error.root_cause())
            .downcast_ref::<httparse::Error>()
            .is_some_and(|error| *error == httparse::Error::TooManyHeaders)
}

/// Whether an endpoint has given up a stream, or the connection below it was lost.
fn broken_off(error: &Error) -> bool {
    (error.root_cause())
        .downcast_ref::<h2::Error>()
        .is_some_and(|error| error.is_io() || error.is_remote())
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
        E::WriteTimedout => Failure {
            status: None,
            reason: "client_too_slow",
        },
        // Over HTTP/2 it has reset the stream, or closed the connection below it.
        E::WriteError | E::ReadError | E::ConnectionClosed | E::H2Error => Failure {
            status: None,
            reason: "client_gone",
        },
        _ => Failure {
            status: Some(StatusCode::BAD_REQUEST),
            reason: "http_request_error",
        },
    }
}

/// Whether a stream over HTTP/2 has ended, and not the connection below it.
pub(super) fn is_of_stream(error: &Error) -> bool {
    (error.root_cause())
        .downcast_ref::<h2::Error>()
        .is_some_and(|error| !error.is_io())
}

/// Whether the exchange has taken as long as it may.
pub(super) fn is_over(error: &Error) -> bool {
    let cause = error.root_cause();
    let inner = cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    cause.is::<Over>() || inner.is_some_and(|inner| inner.is::<Over>())
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

/// What an error has to say to the operator: its start, on one line. Of a head that cannot be read Pingora shows all,
/// and so the cookies that an endpoint has set: what was wrong with it has to do.
pub(super) fn detail(error: &Error) -> String {
    let text = match error.root_cause().downcast_ref::<httparse::Error>() {
        Some(cause) => format!("the head of a response cannot be read: {cause}"),
        None => error.to_string(),
    };
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use pingora_error::ErrorType as E;

    fn word(error: Box<Error>, begun: bool) -> &'static str {
        of(&error.into_up(), begun).reason
    }

    #[test]
    fn each_error_of_an_endpoint_has_its_word() {
        for (kind, status, reason) in [
            (E::ConnectTimedout, 504, "connection_timeout"),
            (E::TLSHandshakeTimedout, 504, "connection_timeout"),
            (E::ConnectRefused, 502, "connection_refused"),
            (E::ConnectNoRoute, 502, "destination_ip_unroutable"),
            (E::ConnectError, 502, "connection_failed"),
            (E::BindError, 502, "connection_failed"),
            (E::SocketError, 502, "connection_failed"),
            (E::TLSHandshakeFailure, 502, "tls_protocol_error"),
            (E::InvalidCert, 502, "tls_certificate_error"),
            (E::ReadTimedout, 504, "http_response_timeout"),
            (E::WriteTimedout, 504, "connection_write_timeout"),
            (E::ConnectionClosed, 502, "connection_terminated"),
            (E::ReadError, 502, "connection_terminated"),
            (E::WriteError, 502, "connection_terminated"),
            (E::InvalidHTTPHeader, 502, "http_protocol_error"),
            (E::H1Error, 502, "http_protocol_error"),
            (E::InvalidH2, 502, "http_protocol_error"),
            (E::Custom(UNASKED_UPGRADE), 502, "http_upgrade_failed"),
        ] {
            let failure = of(&Error::new(kind.clone()).into_up(), false);
            let status = StatusCode::from_u16(status).ok();
            assert_eq!(
                (failure.status, failure.reason),
                (status, reason),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn what_breaks_off_in_the_middle_is_incomplete() {
        for kind in [E::ConnectionClosed, E::ReadError] {
            assert_eq!(word(Error::new(kind), true), "http_response_incomplete");
        }
        assert_eq!(
            word(Error::new(E::ReadTimedout), true),
            "connection_read_timeout"
        );
        let head = |read: &str| {
            let text = format!("while reading response headers, bytes already read: {read}");
            word(Error::explain(E::ConnectionClosed, text), false)
        };
        assert_eq!(head("0"), "connection_terminated");
        assert_eq!(head("17"), "http_response_incomplete");
    }

    #[test]
    fn handshakes_fail_for_reasons() {
        let failed = |error: rustls::Error| {
            let error = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
            word(
                Error::because(E::TLSHandshakeFailure, "tls connect error", error),
                false,
            )
        };
        let certificate = rustls::CertificateError::Expired;
        assert_eq!(
            failed(rustls::Error::InvalidCertificate(certificate)),
            "tls_certificate_error"
        );
        let alert = rustls::AlertDescription::HandshakeFailure;
        assert_eq!(
            failed(rustls::Error::AlertReceived(alert)),
            "tls_alert_received"
        );
        assert_eq!(
            failed(rustls::Error::HandshakeNotComplete),
            "tls_protocol_error"
        );
    }

    #[test]
    fn a_head_that_is_too_large_is_told_apart() {
        let error = Error::explain(E::InvalidHTTPHeader, "Response header larger than 1048576");
        assert_eq!(word(error, false), "http_response_header_section_size");
        let many = httparse::Error::TooManyHeaders;
        let error = Error::because(E::InvalidHTTPHeader, "buf: …", many);
        assert_eq!(word(error, false), "http_response_header_section_size");
    }

    #[test]
    fn a_head_that_cannot_be_read_is_not_shown() {
        let cause = httparse::Error::HeaderName;
        let text = "buf: HTTP/1.1 200 OK\\r\\nset-cookie: sid=SECRET";
        let error = Error::because(E::InvalidHTTPHeader, text, cause);
        for error in [
            error.into_up(),
            Error::because(
                E::ReadError,
                "more",
                Error::because(E::InvalidHTTPHeader, text, cause),
            ),
        ] {
            assert_eq!(
                detail(&error),
                "the head of a response cannot be read: invalid header name"
            );
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        let error = Error::explain(E::InvalidHTTPHeader, "é".repeat(100_000));
        assert!(detail(&error).chars().count() <= SHOWN + 1);
    }
}
