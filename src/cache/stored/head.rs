//! The head of a stored response, in as little memory as can be.
//!
//! A `HeaderMap` has a table and links beside its fields, is made by hashing each name, and is taken apart again when the entry goes. What is
//! stored is never looked up by many names: it is a list, from which each response gets a map of its own.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, response::Parts};
use pingora_http::ResponseHeader;

use super::super::store::allocated;

/// What the values share beside their bytes, and so does a name of its own: the count of those who hold them.
const SHARED: usize = 32;

/// Names that take no memory, those that most responses have first. There are more in `http`, which does not tell
/// which; those that are not here are taken for names of their own.
static FREE: [HeaderName; 20] = [
    header::DATE,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CACHE_CONTROL,
    header::ETAG,
    header::LAST_MODIFIED,
    header::VIA,
    header::SERVER,
    header::VARY,
    header::ACCEPT_RANGES,
    header::EXPIRES,
    header::CONTENT_ENCODING,
    header::STRICT_TRANSPORT_SECURITY,
    header::X_CONTENT_TYPE_OPTIONS,
    header::X_FRAME_OPTIONS,
    header::CONTENT_SECURITY_POLICY,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::LINK,
    header::LOCATION,
    header::SET_COOKIE,
];

/// Status and fields of a stored response, those of one name in their order. Reason phrase and spelling of names are not
/// kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The values are parts of one allocation.
    fields: Box<[(HeaderName, HeaderValue)]>,
}

impl Head {
    /// A head of these fields, which holds on to no buffer that they were read from.
    pub fn new(status: StatusCode, fields: &[(&HeaderName, &HeaderValue)]) -> Self {
        let length = fields.iter().map(|(_, value)| value.len()).sum();
        let mut values = Vec::with_capacity(length);
        for (_, value) in fields {
            values.extend_from_slice(value.as_bytes());
        }
        let mut values = Bytes::from(values);
        let fields = fields.iter().map(|(name, value)| {
            let copy = HeaderValue::from_maybe_shared(values.split_to(value.len()));
            let mut copy = copy.expect("it was a field's value before");
            copy.set_sensitive(value.is_sensitive());
            ((*name).clone(), copy)
        });
        let fields = fields.collect();
        Self { status, fields }
    }

    /// Names and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&HeaderName, &HeaderValue)> {
        self.fields.iter().map(|(name, value)| (name, value))
    }

    /// The first value under a name.
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        let mut fields = self.iter();
        fields.find_map(|(own, value)| (own == name).then_some(value))
    }

    /// As the head of a response, with room for so many fields more.
    pub fn parts(&self, room: usize) -> Parts {
        let mut parts = Response::new(()).into_parts().0;
        parts.status = self.status;
        // There may be as many as a map can have.
        let map = HeaderMap::try_with_capacity(self.fields.len() + room);
        parts.headers = map.unwrap_or_default();
        for (name, value) in self.iter() {
            parts.headers.append(name, value.clone());
        }
        parts
    }

    /// The same, as Pingora has it.
    pub fn response(&self) -> ResponseHeader {
        self.parts(0).into()
    }

    /// The memory that it takes beside its own size, at most.
    pub(super) fn allocated(&self) -> usize {
        let (mut names, mut values) = (0, 0);
        for (name, value) in self.iter() {
            if !FREE.contains(name) {
                names += allocated(name.as_str().len()) + SHARED;
            }
            values += value.len();
        }
        allocated(size_of_val(&*self.fields)) + allocated(values) + SHARED + names
    }
}

/// A name as it stands in a message over HTTP/1.1, where responses that are made of maps have the same.
pub fn spelled(name: &HeaderName) -> &str {
    match *name {
        header::ACCEPT_RANGES => "Accept-Ranges",
        header::CACHE_CONTROL => "Cache-Control",
        header::CONTENT_ENCODING => "Content-Encoding",
        header::CONTENT_TYPE => "Content-Type",
        header::DATE => "Date",
        header::SERVER => "Server",
        header::SET_COOKIE => "Set-Cookie",
        _ => name.as_str(),
    }
}

impl From<&ResponseHeader> for Head {
    fn from(head: &ResponseHeader) -> Self {
        let fields: Vec<_> = head.headers.iter().collect();
        Self::new(head.status, &fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let mut map = HeaderMap::new();
        for (name, value) in [
            ("date", "today"),
            ("x-own", "a"),
            ("set-cookie", "a=1"),
            ("x-own", ""),
            ("set-cookie", "b=2"),
            ("proxy-status", "\u{fc}"),
        ] {
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map.get_mut("date").unwrap().set_sensitive(true);
        let head = Head::new(StatusCode::NOT_FOUND, &map.iter().collect::<Vec<_>>());
        let (parts, again) = (head.parts(9), head.response());
        assert_eq!((parts.status, again.status.as_u16()), (head.status, 404));
        assert_eq!((&parts.headers, &again.headers), (&map, &map));
        let is_sensitive = |name| parts.headers[name].is_sensitive();
        assert!(is_sensitive("date") && !is_sensitive("x-own"));
        let own = HeaderName::from_static("x-own");
        assert!(head.get(&own).is_some_and(|value| value == "a"));
        assert_eq!(head.get(&http::header::ETAG), None);
        assert_eq!(Head::from(&again), head);
    }

    #[test]
    fn a_head_may_have_as_many_fields_as_a_map() {
        let mut map = HeaderMap::new();
        while map.len() < 24_000 {
            map.append(http::header::LINK, HeaderValue::from_static("a"));
        }
        let head = Head::new(StatusCode::OK, &map.iter().collect::<Vec<_>>());
        assert_eq!(head.parts(9_000).headers.len(), map.len());
    }
}
