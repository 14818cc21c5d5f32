//! How a response is framed on an HTTP/1.1 connection (RFC 9112, 6).

use std::io::Write;

use bytes::{BufMut, Bytes};
use http::{HeaderMap, Method, StatusCode, Version, header};
use pingora_core::protocols::http::date::get_cached_date;
use pingora_http::{RequestHeader, ResponseHeader};

/// How the body of a response is framed, and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is no response yet.
    Awaited,
    /// This many bytes are left of a body of known length, or of none.
    Length(u64),
    /// In chunks.
    Chunks,
    /// To the end of the connection; it is a tunnel, or its client knows no chunks.
    Rest,
    /// It has ended as it was announced.
    Whole,
}

impl Framing {
    /// The framing that follows from a head.
    pub(super) fn of(request: &RequestHeader, head: &ResponseHeader) -> Self {
        let bodiless = request.method == Method::HEAD
            || head.status == StatusCode::NO_CONTENT
            || head.status == StatusCode::NOT_MODIFIED;
        if bodiless {
            return Self::Length(0);
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Self::Rest;
        }
        if head.headers.contains_key(header::TRANSFER_ENCODING) {
            return Self::Chunks;
        }
        length(&head.headers).map_or(Self::Rest, Self::Length)
    }

    /// Puts the next piece of the body into its frame: what comes before it, how much of it is
    /// sent, and what comes behind it.
    pub(super) fn frame(&mut self, data: &Bytes, before: &mut Vec<u8>) -> (usize, &'static [u8]) {
        match self {
            Self::Length(left) => {
                let count = usize::try_from(*left).map_or(data.len(), |left| left.min(data.len()));
                *left -= count as u64;
                (count, b"")
            }
            Self::Chunks => {
                // Into memory: it cannot fail.
                let _ = write!(before, "{:x}\r\n", data.len());
                (data.len(), b"\r\n")
            }
            Self::Rest => (data.len(), b""),
            Self::Awaited | Self::Whole => (0, b""),
        }
    }

    /// Ends the body; whether it is whole.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Chunks => out.extend_from_slice(b"0\r\n\r\n"),
            Self::Length(0) | Self::Rest | Self::Whole => {}
            Self::Length(_) | Self::Awaited => return false,
        }
        *self = Self::Whole;
        true
    }
}

/// The length that a head tells. Where it tells several that are the same, that one is meant
/// (RFC 9112, 6.3); others are refused where a response is read.
fn length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?.as_bytes();
    let first = value.split(|byte| *byte == b',').next()?;
    std::str::from_utf8(first.trim_ascii()).ok()?.parse().ok()
}

/// Writes a head as it goes to the client; `goes_on` is whether the connection does.
pub(super) fn put_head(head: &ResponseHeader, old: bool, goes_on: bool, out: &mut Vec<u8>) {
    let line: &[u8] = match head.version {
        Version::HTTP_10 => b"HTTP/1.0 ",
        _ => b"HTTP/1.1 ",
    };
    out.extend_from_slice(line);
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.get_reason_phrase().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    head.header_to_h1_wire(&mut *out);
    if !head.status.is_informational() {
        if !head.headers.contains_key(header::DATE) {
            out.extend_from_slice(b"Date: ");
            out.put_slice(get_cached_date().as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if !goes_on {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if old {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a client wants its connection to go on (RFC 9112, 9.3).
pub(super) fn wants_more(head: &RequestHeader) -> bool {
    let old = head.version < Version::HTTP_11;
    let mut wish = !old;
    for value in head.headers.get_all(header::CONNECTION) {
        for option in value.as_bytes().split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"close") {
                return false;
            }
            wish |= old && option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    wish
}
