//! A request's head: where it ends, whether it is good, and how its body is framed.
//!
//! Whatever two servers could read in two ways is refused here, before anything else looks at it.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Uri, Version};
use httparse::{Error, Header, Request, Status};
use memchr::memchr_iter;
use pingora_http::RequestHeader;

use super::Body;
use super::authority;
use super::chunked::is_token;
use super::refused::Refused;

/// The fields that a request may have.
pub const MOST_FIELDS: usize = 100;

/// The fields that the gateway adds to a request: `x-forwarded-*`, `via`, and one more.
const ADDED: usize = 5;

/// A good head without a body behind it, as it stands in what was read: nothing has been made of it yet.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The method.
    pub method: &'a str,
    /// The target, in origin form.
    pub target: &'a str,
    /// The host, where there is one.
    pub host: Option<&'a [u8]>,
    /// Whether the client speaks HTTP/1.0.
    pub old: bool,
    /// The fields, as they came.
    pub fields: &'a [Header<'a>],
}

/// A head that may go on, and the body behind it.
#[derive(Debug)]
pub(super) struct Parsed {
    /// Nothing, where whoever saw it needs no more.
    pub(super) head: Option<RequestHeader>,
    pub(super) body: Body,
}

/// Looks for the end of a head, from where the last look ended.
///
/// # Errors
/// A 400, where a line ends without a carriage return.
pub(super) fn end(bytes: &[u8], looked_at: &mut usize) -> Result<Option<usize>, Refused> {
    if !bytes.first().is_none_or(|first| is_token(*first)) && bytes != b"\r" {
        return Err(Refused::bad("a request begins with its method"));
    }
    let from = *looked_at;
    for at in memchr_iter(b'\n', &bytes[from..]).map(|at| from + at) {
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(Refused::bad("a line ends with CR LF"));
        }
        if at >= 3 && bytes[at - 2] == b'\n' {
            return Ok(Some(at + 1));
        }
    }
    *looked_at = bytes.len();
    Ok(None)
}

/// Reads a whole head. `know` sees it before anything is made of it, where it has no body, and says whether it needs no
/// more.
///
/// # Errors
/// Why it may not go on.
pub(super) fn parse(
    bytes: &[u8],
    know: &mut dyn FnMut(&Seen<'_>) -> bool,
) -> Result<Parsed, Refused> {
    let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; MOST_FIELDS];
    let mut request = Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(Refused::bad("a head ends with an empty line")),
        Err(error) => return Err(explain(error, bytes)),
    }
    let (Some(method), Some(path), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Refused::bad(
            "a request has a method, a target and a version",
        ));
    };
    let facts = Facts::gather(request.headers)?;
    let body = facts.framing(minor)?;
    let line = Line {
        method,
        target: path.as_bytes(),
        minor,
    };
    if let Some(instead) = line.settle_target(&facts, request.headers)? {
        return parse(&instead, know);
    }
    let seen = Seen {
        method,
        target: path,
        host: facts.host,
        old: minor == 0,
        fields: request.headers,
    };
    let is_seen = matches!(body, Body::Done) && path.starts_with('/');
    let head = match is_seen && know(&seen) {
        true => None,
        false => Some(line.head(request.headers, bytes)?),
    };
    Ok(Parsed { head, body })
}

/// The part of some shared bytes that is where this one is in what they were copied from.
fn part(shared: &Bytes, copied: &[u8], part: &[u8]) -> Bytes {
    let start = part.as_ptr() as usize - copied.as_ptr() as usize;
    shared.slice(start..start + part.len())
}

fn explain(error: Error, head: &[u8]) -> Refused {
    match error {
        Error::TooManyHeaders => Refused::many(MOST_FIELDS),
        Error::HeaderName => Refused::bad("a field's name is a token with a colon right behind it"),
        Error::HeaderValue => Refused::bad("a field's value has no control characters"),
        Error::Version if is_another_version(head) => Refused::version(),
        Error::Version => Refused::bad("a request line is a method, a target and a version"),
        _ => Refused::bad("this is no valid HTTP request"),
    }
}

/// Whether the request line is whole, but names a version that is neither 1.0 nor 1.1.
fn is_another_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or(head);
    let mut words = line.split(|byte| *byte == b' ');
    let (_, _, version, more) = (words.next(), words.next(), words.next(), words.next());
    let digits = version.and_then(|version| version.strip_prefix(b"HTTP/"));
    more.is_none()
        && matches!(digits, Some([major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// What decides about the framing and the host.
#[derive(Default)]
struct Facts<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    coding: Option<&'a [u8]>,
}

impl<'a> Facts<'a> {
    fn gather(fields: &[Header<'a>]) -> Result<Self, Refused> {
        let mut facts = Self::default();
        for field in fields {
            // Nearly all fields are told apart by their length.
            let twice = match field.name.len() {
                4 if field.name.eq_ignore_ascii_case("host") => {
                    facts.host.replace(field.value).is_some()
                }
                14 if is_named(field.name, "content-length")? => {
                    facts.length.replace(length(field.value)?).is_some()
                }
                17 if is_named(field.name, "transfer-encoding")? => {
                    facts.coding.replace(field.value).is_some()
                }
                _ => false,
            };
            if twice {
                return Err(Refused::bad(
                    "`host`, `content-length` and `transfer-encoding` may come once",
                ));
            }
        }
        Ok(facts)
    }

    /// How the body is framed (RFC 9112, 6.3), where there is one way only to read it.
    fn framing(&self, minor: u8) -> Result<Body, Refused> {
        let Some(coding) = self.coding else {
            return Ok(Body::of_length(self.length.unwrap_or(0)));
        };
        if self.length.is_some() {
            return Err(Refused::bad(
                "`content-length` and `transfer-encoding` exclude each other",
            ));
        }
        if minor == 0 {
            return Err(Refused::bad("HTTP/1.0 has no `transfer-encoding`"));
        }
        if coding.eq_ignore_ascii_case(b"chunked") {
            return Ok(Body::chunked());
        }
        let mut codings = coding.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let last = codings.next().unwrap_or_default();
        let known = |coding: &[u8]| !coding.is_empty() && coding.iter().all(|b| is_token(*b));
        let mut others = codings.peekable();
        if last.eq_ignore_ascii_case(b"chunked")
            && others.peek().is_some()
            && others.all(|other| known(other) && !other.eq_ignore_ascii_case(b"chunked"))
        {
            return Err(Refused::coding());
        }
        Err(Refused::bad(
            "`chunked` is the last transfer coding, and comes once",
        ))
    }
}

/// Whether a field has this name.
///
/// # Errors
/// With `_` for `-` it is another one, which some servers take for the same.
pub fn is_named(name: &str, wanted: &str) -> Result<bool, Refused> {
    if name.eq_ignore_ascii_case(wanted) {
        return Ok(true);
    }
    let alike = (name.bytes().zip(wanted.bytes()))
        .all(|(one, two)| one.eq_ignore_ascii_case(&two) || (one == b'_' && two == b'-'));
    if alike {
        return Err(Refused::bad(
            "a field frames the body for some servers only",
        ));
    }
    Ok(false)
}

/// A body's length: digits, without leading zeros, which some servers take for octal.
///
/// # Errors
/// It is no such number.
pub fn length(value: &[u8]) -> Result<u64, Refused> {
    let digits =
        value.iter().all(u8::is_ascii_digit) && (value.len() == 1 || value.first() != Some(&b'0'));
    std::str::from_utf8(value)
        .ok()
        .filter(|_| digits)
        .and_then(|text| text.parse::<i64>().ok())
        .and_then(|length| u64::try_from(length).ok())
        .ok_or(Refused::bad("`content-length` is a number of bytes"))
}

struct Line<'a> {
    method: &'a str,
    target: &'a [u8],
    minor: u8,
}

impl Line<'_> {
    /// Checks the target and the host against each other (RFC 9112, 3.2). Returns the head in
    /// origin form, where it came in absolute form.
    fn settle_target(
        &self,
        facts: &Facts<'_>,
        fields: &[Header<'_>],
    ) -> Result<Option<Vec<u8>>, Refused> {
        match facts.host {
            // An empty one means no host at all (RFC 9112, 3.2).
            Some(host) if !host.is_empty() && !authority::is_valid(host) => {
                return Err(Refused::bad("`host` is a name or an address, and a port"));
            }
            None if self.minor > 0 => return Err(Refused::bad("HTTP/1.1 needs a `host`")),
            _ => {}
        }
        let is_text = self.target.is_ascii() || std::str::from_utf8(self.target).is_ok();
        if self.target.contains(&b'#') || !is_text {
            return Err(Refused::bad("a target has no fragment, and is valid UTF-8"));
        }
        if self.method == Method::CONNECT.as_str() {
            return self.check_tunnel(facts).map(|()| None);
        }
        match self.target {
            [b'/', ..] => Ok(None),
            b"*" if self.method == Method::OPTIONS.as_str() => Ok(None),
            _ => self.in_origin_form(fields).map(Some),
        }
    }

    /// The head as filters and endpoints get it. Field names are kept in lower case only: in any
    /// other spelling they mean the same (RFC 9110, 5.1).
    fn head(&self, fields: &[Header<'_>], bytes: &[u8]) -> Result<RequestHeader, Refused> {
        let invalid = || Refused::bad("this is no valid HTTP request");
        if !self.target.starts_with(b"/") {
            // Such a target is kept as it is, beside what a URI can hold of it.
            let head = RequestHeader::build_no_case(self.method, self.target, Some(fields.len()));
            let mut head = head.map_err(|_| invalid())?;
            head.set_version(self.version());
            for field in fields {
                let (name, value) = (field.name.to_owned(), field.value);
                let appended = head.append_header(name, value);
                appended.map_err(|_| invalid())?;
            }
            return Ok(head);
        }
        let shared = Bytes::copy_from_slice(bytes);
        let target = PathAndQuery::from_maybe_shared(part(&shared, bytes, self.target));
        let mut parts: Parts = http::Request::new(()).into_parts().0;
        parts.method = Method::from_bytes(self.method.as_bytes()).map_err(|_| invalid())?;
        parts.uri = Uri::from(target.map_err(|_| invalid())?);
        parts.version = self.version();
        parts.headers.reserve(fields.len() + ADDED);
        for field in fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| invalid())?;
            let value = HeaderValue::from_maybe_shared(part(&shared, bytes, field.value));
            parts.headers.append(name, value.map_err(|_| invalid())?);
        }
        Ok(parts.into())
    }

    fn version(&self) -> Version {
        match self.minor {
            0 => Version::HTTP_10,
            _ => Version::HTTP_11,
        }
    }

    /// CONNECT names a host and a port (RFC 9112, 3.2.3), and `host` says no other.
    fn check_tunnel(&self, facts: &Facts<'_>) -> Result<(), Refused> {
        let named = authority::host_before_port(self.target);
        let named = named.ok_or(Refused::bad("CONNECT asks for a host and a port"))?;
        match facts.host {
            Some(host) if host != self.target && host != named => {
                Err(Refused::bad("`host` and the target differ"))
            }
            _ => Ok(()),
        }
    }

    /// The head in origin form: the target's authority takes the place of `host`, whatever that
    /// said (RFC 9112, 3.2.2).
    fn in_origin_form(&self, fields: &[Header<'_>]) -> Result<Vec<u8>, Refused> {
        let no_target = Refused::bad("a target is a path, or begins with `http://` or `https://`");
        let rest = [&b"http://"[..], b"https://"]
            .into_iter()
            .find_map(|scheme| {
                let (start, rest) = self.target.split_at_checked(scheme.len())?;
                start.eq_ignore_ascii_case(scheme).then_some(rest)
            });
        let rest = rest.ok_or(no_target)?;
        let end = rest.iter().position(|byte| b"/?".contains(byte));
        let (host, path) = rest.split_at(end.unwrap_or(rest.len()));
        if !authority::is_valid(host) {
            return Err(Refused::bad("a target names a host, and no user"));
        }
        let root: &[u8] = match path {
            [] if self.method == Method::OPTIONS.as_str() => b"*", // RFC 9112, 3.2.4
            [b'/', ..] => b"",
            _ => b"/",
        };
        let version = [b"HTTP/1.", &[b'0' + self.minor][..]].concat();
        let parts: [&[u8]; 10] = [
            self.method.as_bytes(),
            b" ",
            root,
            path,
            b" ",
            &version,
            b"\r\n",
            b"host: ",
            host,
            b"\r\n",
        ];
        let mut head = parts.concat();
        for field in fields
            .iter()
            .filter(|field| !field.name.eq_ignore_ascii_case("host"))
        {
            for part in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }
}

#[cfg(test)]
mod tests;
