//! The fields of a response that the rules look at, found in one pass over its head.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use smallvec::SmallVec;

/// A field that the rules look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Age,
    CacheControl,
    CdnCacheControl,
    ContentLength,
    Date,
    Etag,
    Expires,
    /// It is for one hop, or for the caller's own proxy (3.1; RFC 9110, 7.6.1).
    Hop,
    LastModified,
    SetCookie,
    Vary,
    WiregateCacheControl,
}

impl Field {
    pub(super) fn of(name: &HeaderName) -> Option<Self> {
        Some(match *name {
            header::AGE => Self::Age,
            header::CACHE_CONTROL => Self::CacheControl,
            header::CDN_CACHE_CONTROL => Self::CdnCacheControl,
            header::CONNECTION
            | header::PROXY_AUTHENTICATE
            | header::PROXY_AUTHORIZATION
            | header::TE
            | header::TRAILER
            | header::TRANSFER_ENCODING
            | header::UPGRADE => Self::Hop,
            header::CONTENT_LENGTH => Self::ContentLength,
            header::DATE => Self::Date,
            header::ETAG => Self::Etag,
            header::EXPIRES => Self::Expires,
            header::LAST_MODIFIED => Self::LastModified,
            header::SET_COOKIE => Self::SetCookie,
            header::VARY => Self::Vary,
            _ => return Self::of_other(name.as_str()),
        })
    }

    fn bit(self) -> u32 {
        1 << self as u32
    }

    /// The field of a name for which there is no constant.
    fn of_other(name: &str) -> Option<Self> {
        Some(match name {
            "keep-alive" | "proxy-authentication-info" | "proxy-connection" => Self::Hop,
            "wiregate-cache-control" => Self::WiregateCacheControl,
            _ => return None,
        })
    }
}

/// The lines of a response that the rules look at. They are few: to look through them costs less than to look for each
/// field in the head.
pub struct Fields<'h> {
    lines: SmallVec<[Line<'h>; 8]>,
    /// A bit for each field that is there.
    there: u32,
}

struct Line<'h> {
    field: Field,
    name: &'h HeaderName,
    value: &'h HeaderValue,
}

impl<'h> Fields<'h> {
    /// Those of this head.
    pub fn of(headers: &'h HeaderMap) -> Self {
        let (mut lines, mut there) = (SmallVec::new(), 0);
        for (name, value) in headers {
            if let Some(field) = Field::of(name) {
                there |= field.bit();
                lines.push(Line { field, name, value });
            }
        }
        Self { lines, there }
    }

    /// All lines of a field, in their order.
    pub(super) fn all(&self, field: Field) -> impl Iterator<Item = &'h [u8]> {
        let there = if self.has(field) {
            &self.lines[..]
        } else {
            &[]
        };
        let lines = there.iter().filter(move |line| line.field == field);
        lines.map(|line| line.value.as_bytes())
    }

    /// The first line of a field.
    pub(super) fn first(&self, field: Field) -> Option<&'h [u8]> {
        self.all(field).next()
    }

    pub(super) fn has(&self, field: Field) -> bool {
        self.there & field.bit() != 0
    }

    /// The names of those lines that are one of these.
    pub(super) fn names(&self, of: impl Fn(Field) -> bool) -> impl Iterator<Item = &'h HeaderName> {
        let lines = self.lines.iter().filter(move |line| of(line.field));
        lines.map(|line| line.name)
    }
}
