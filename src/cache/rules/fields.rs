//! The fields of a response that the rules read, found in one pass over its head.

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

/// A field that the rules read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Age,
    CacheControl,
    CdnCacheControl,
    Date,
    Etag,
    Expires,
    LastModified,
    SetCookie,
    Vary,
    WiregateCacheControl,
}

impl Field {
    fn of(name: &HeaderName) -> Option<Self> {
        Some(match name.as_str() {
            "age" => Self::Age,
            "cache-control" => Self::CacheControl,
            "cdn-cache-control" => Self::CdnCacheControl,
            "date" => Self::Date,
            "etag" => Self::Etag,
            "expires" => Self::Expires,
            "last-modified" => Self::LastModified,
            "set-cookie" => Self::SetCookie,
            "vary" => Self::Vary,
            "wiregate-cache-control" => Self::WiregateCacheControl,
            _ => return None,
        })
    }
}

/// The lines of a response that the rules read. They are few: to look through them costs less than to look for each
/// field in the head.
pub struct Fields<'h>(SmallVec<[(Field, &'h HeaderValue); 8]>);

impl<'h> Fields<'h> {
    /// Those of this head.
    pub fn of(headers: &'h HeaderMap) -> Self {
        let read = |(name, value)| Some((Field::of(name)?, value));
        Self(headers.iter().filter_map(read).collect())
    }

    /// All lines of a field, in their order.
    pub(super) fn all(&self, field: Field) -> impl Iterator<Item = &'h [u8]> {
        let lines = self.0.iter().filter(move |(is, _)| *is == field);
        lines.map(|(_, value)| value.as_bytes())
    }

    /// The first line of a field.
    pub(super) fn first(&self, field: Field) -> Option<&'h [u8]> {
        self.all(field).next()
    }

    pub(super) fn has(&self, field: Field) -> bool {
        self.0.iter().any(|(is, _)| *is == field)
    }
}
