//! Why a message is no request that may go on.

use std::borrow::Cow;

use http::StatusCode;

/// Why a message is no request that may go on; the connection ends with this reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reply's status.
    pub status: StatusCode,
    /// One word for it, the same in logs and in the problem's `type`.
    pub reason: &'static str,
    /// One sentence for whoever wrote the client.
    pub detail: Cow<'static, str>,
}

impl Refused {
    /// A 400: this is not HTTP, or could be read in two ways.
    pub(super) fn bad(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "http_request_error", detail)
    }

    /// A 408: the head did not arrive in time (RFC 9110, 15.5.9).
    pub fn late() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "head_timeout",
            "the request's head did not arrive in time",
        )
    }

    /// A 400: the client ended in the middle of a head.
    pub(super) fn cut() -> Self {
        Self::bad("the request's head breaks off")
    }

    /// A 414 or 431: there is no end of the request line, or of the head, within the limit.
    pub(super) fn large(limit: usize, whole_line: bool) -> Self {
        let (status, what) = if whole_line {
            (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "a request's head",
            )
        } else {
            (StatusCode::URI_TOO_LONG, "a request's first line")
        };
        let detail = format!("{what} may have {limit} bytes");
        Self::new(status, "head_too_large", detail)
    }

    /// A 431: there are more fields than this.
    pub(super) fn many(limit: usize) -> Self {
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head_too_large",
            format!("a request may have {limit} fields"),
        )
    }

    /// A 501: the body is coded in a way that is not spoken here (RFC 9112, 6.1).
    pub(super) fn coding() -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "transfer_coding_unknown",
            "`chunked` is the only transfer coding here",
        )
    }

    /// A 505: another version of HTTP (RFC 9110, 15.6.6).
    pub(super) fn version() -> Self {
        Self::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "http_version_unsupported",
            "HTTP/1.1 and HTTP/1.0 are spoken here",
        )
    }

    fn new(status: StatusCode, reason: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            reason,
            detail: detail.into(),
        }
    }
}
