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
    /// The framing that follows from a head, and from the method as the client sent it.
    pub(super) fn of(asked: &Method, head: &ResponseHeader) -> Self {
        let bodiless = asked == Method::HEAD
            || head.status == StatusCode::NO_CONTENT
            || head.status == StatusCode::NOT_MODIFIED;
        if bodiless {
            return Self::Length(0);
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Self::Rest;
        }
        let coding = head.headers.get_all(header::TRANSFER_ENCODING);
        match coding.iter().next_back() {
            Some(coding) if ends_chunked(coding.as_bytes()) => Self::Chunks,
            Some(_) => Self::Rest,
            None => length(&head.headers).map_or(Self::Rest, Self::Length),
        }
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

/// Whether `chunked` is the last of these transfer codings.
fn ends_chunked(codings: &[u8]) -> bool {
    let last = codings.rsplit(|byte| *byte == b',').next();
    last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// The length that a head tells. Where it tells several that are the same, that one is meant
/// (RFC 9112, 6.3); others are refused where a response is read.
fn length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?.as_bytes();
    let first = value.split(|byte| *byte == b',').next()?;
    std::str::from_utf8(first.trim_ascii()).ok()?.parse().ok()
}

/// Writes a head as it goes to the client, which may be an `old` one of HTTP/1.0; `goes_on` is
/// whether the connection does. Where there are `lines` for its fields, a date among them, they are written.
pub(super) fn put_head(
    head: &ResponseHeader,
    lines: Option<&[u8]>,
    old: bool,
    goes_on: bool,
    out: &mut Vec<u8>,
) {
    let line: &[u8] = match head.version {
        Version::HTTP_10 => b"HTTP/1.0 ",
        _ => b"HTTP/1.1 ",
    };
    out.extend_from_slice(line);
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.get_reason_phrase().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    match lines {
        Some(lines) => out.extend_from_slice(lines),
        None => head.header_to_h1_wire(&mut *out),
    }
    if !head.status.is_informational() {
        if lines.is_none() && !head.headers.contains_key(header::DATE) {
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
pub(in crate::proxy) fn wants_more(head: &RequestHeader) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, fields: &[(&'static str, &str)]) -> ResponseHeader {
        let mut head = ResponseHeader::build(status, None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    fn request(method: &str, version: Version, connection: &[&str]) -> RequestHeader {
        let mut head = RequestHeader::build(method, b"/", None).unwrap();
        head.set_version(version);
        for value in connection {
            head.append_header("connection", *value).unwrap();
        }
        head
    }

    #[test]
    fn a_head_says_how_its_body_is_framed() {
        for (status, fields, expected) in [
            (200, &[("content-length", "5")][..], Framing::Length(5)),
            (200, &[("content-length", "5, 5")], Framing::Length(5)),
            (200, &[("content-length", "x")], Framing::Rest),
            (200, &[], Framing::Rest),
            (200, &[("transfer-encoding", "chunked")], Framing::Chunks),
            (
                200,
                &[("transfer-encoding", "gzip, Chunked")],
                Framing::Chunks,
            ),
            (200, &[("transfer-encoding", "gzip")], Framing::Rest),
            (
                200,
                &[
                    ("transfer-encoding", "gzip"),
                    ("transfer-encoding", "chunked"),
                ],
                Framing::Chunks,
            ),
            (204, &[("transfer-encoding", "chunked")], Framing::Length(0)),
            (304, &[("content-length", "5")], Framing::Length(0)),
            (101, &[], Framing::Rest),
        ] {
            assert_eq!(
                Framing::of(&Method::GET, &head(status, fields)),
                expected,
                "{status} {fields:?}"
            );
        }
        let answer = head(200, &[("content-length", "5")]);
        assert_eq!(Framing::of(&Method::HEAD, &answer), Framing::Length(0));
    }

    #[test]
    fn no_more_than_was_announced_leaves_and_less_is_not_whole() {
        let (mut framing, mut out) = (Framing::Length(5), Vec::new());
        assert_eq!(
            framing.frame(&Bytes::from_static(b"abc"), &mut out),
            (3, &b""[..])
        );
        assert!(!framing.end(&mut out));
        assert_eq!(
            framing.frame(&Bytes::from_static(b"defg"), &mut out),
            (2, &b""[..])
        );
        assert!(framing.end(&mut out));
        assert_eq!(
            framing.frame(&Bytes::from_static(b"h"), &mut out),
            (0, &b""[..])
        );
        assert!(out.is_empty());
    }

    #[test]
    fn chunks_have_a_size_and_an_end() {
        let (mut framing, mut out) = (Framing::Chunks, Vec::new());
        let data = Bytes::from(vec![b'x'; 26]);
        assert_eq!(framing.frame(&data, &mut out), (26, &b"\r\n"[..]));
        assert_eq!(out, b"1a\r\n");
        assert!(framing.end(&mut out));
        assert_eq!(out, b"1a\r\n0\r\n\r\n");
        assert!(framing.end(&mut out), "it ends once");
        assert_eq!(out.len(), 9);
    }

    #[test]
    fn a_connection_goes_on_as_its_client_wishes() {
        for (version, connection, expected) in [
            (Version::HTTP_11, &[][..], true),
            (Version::HTTP_11, &["close"], false),
            (Version::HTTP_11, &["x, Close"], false),
            (Version::HTTP_11, &["x", "close"], false),
            (Version::HTTP_11, &["upgrade"], true),
            (Version::HTTP_10, &[], false),
            (Version::HTTP_10, &["Keep-Alive"], true),
            (Version::HTTP_10, &["keep-alive, close"], false),
        ] {
            let head = request("GET", version, connection);
            assert_eq!(wants_more(&head), expected, "{version:?} {connection:?}");
        }
    }

    #[test]
    fn a_head_is_written_with_what_the_connection_needs() {
        let write = |head: &ResponseHeader, old, goes_on| {
            let mut out = Vec::new();
            put_head(head, None, old, goes_on, &mut out);
            String::from_utf8(out).unwrap()
        };
        let plain = head(200, &[("date", "today"), ("x-own", "1")]);
        let fields = "Date: today\r\nx-own: 1\r\n";
        for (old, goes_on, more) in [
            (false, true, ""),
            (false, false, "Connection: close\r\n"),
            (true, true, "Connection: keep-alive\r\n"),
            (true, false, "Connection: close\r\n"),
        ] {
            let expected = format!("HTTP/1.1 200 OK\r\n{fields}{more}\r\n");
            let written = write(&plain, old, goes_on);
            assert_eq!(written.to_lowercase(), expected.to_lowercase());
        }
        assert!(write(&head(200, &[]), false, true).contains("\r\nDate: "));
        let interim = write(&head(103, &[("link", "</a>")]), false, false);
        assert_eq!(
            interim.to_lowercase(),
            "http/1.1 103 early hints\r\nlink: </a>\r\n\r\n"
        );
    }
}
