//! The head of a stored response, in one piece of memory.
//!
//! A `HeaderMap` of eight fields is four allocations and some twenty cache lines, which would all be touched again when
//! the entry goes. Here a field is eight bytes (what its name is, and how long its value), then the name, where that is none of
//! [`KNOWN`], and the value. Whoever needs a map makes one, whose values are parts of this memory.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, response::Parts};
use pingora_http::ResponseHeader;

use super::super::store::allocated;

/// Names that need no text, what is most frequent first. The place of a name is not written to disk.
static KNOWN: [HeaderName; 40] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::DATE,
    header::SERVER,
    header::VIA,
    header::ETAG,
    header::LAST_MODIFIED,
    header::CACHE_CONTROL,
    header::ACCEPT_RANGES,
    header::VARY,
    header::CONTENT_ENCODING,
    header::EXPIRES,
    header::AGE,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::X_CONTENT_TYPE_OPTIONS,
    header::X_FRAME_OPTIONS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::CONTENT_SECURITY_POLICY,
    header::LINK,
    header::REFERRER_POLICY,
    header::X_XSS_PROTECTION,
    header::ALT_SVC,
    header::CONTENT_LANGUAGE,
    header::CONTENT_DISPOSITION,
    header::LOCATION,
    header::PRAGMA,
    header::CACHE_STATUS,
    header::CDN_CACHE_CONTROL,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::CONTENT_SECURITY_POLICY_REPORT_ONLY,
    header::ALLOW,
    header::RETRY_AFTER,
    header::WARNING,
];
/// What begins a field: in the lower half, what its name is, and in the upper half, how long its value is.
const BEGINNING: usize = 8;
/// The value is marked as one that must not get into tables of HPACK.
const SENSITIVE: u32 = 1 << 31;

/// Status and fields of a stored response, in an order in which those of one name stand in theirs. Reason phrase and
/// spelling of names are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    count: u32,
    fields: Box<[u8]>,
}

/// One field of a head.
struct Field<'h> {
    name: Name<'h>,
    sensitive: bool,
    /// Where in the head its value begins.
    at: usize,
    value: &'h [u8],
}

enum Name<'h> {
    Known(&'static HeaderName),
    Text(&'h [u8]),
}

impl<'h> Name<'h> {
    fn as_bytes(&self) -> &'h [u8] {
        match self {
            Self::Known(name) => name.as_str().as_bytes(),
            Self::Text(text) => text,
        }
    }
}

impl Head {
    /// A head of these fields, which holds on to nothing that they were read from.
    pub fn new<'f>(
        status: StatusCode,
        fields: impl IntoIterator<Item = (&'f HeaderName, &'f HeaderValue)> + Clone,
    ) -> Self {
        let each = fields.clone().into_iter();
        let most = each.map(|(name, value)| BEGINNING + name.as_str().len() + value.len());
        let (mut bytes, mut count) = (Vec::with_capacity(most.sum()), 0);
        for (name, value) in fields {
            let known = KNOWN.iter().position(|known| known == name);
            let text = known.map_or(name.as_str(), |_| "");
            // What is no number of a known name is the length of a text.
            let name = known.unwrap_or(KNOWN.len() + text.len()) as u32;
            let name = name | if value.is_sensitive() { SENSITIVE } else { 0 };
            let beginning = u64::from(name) | (value.len() as u64) << 32;
            bytes.extend_from_slice(&beginning.to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
            bytes.extend_from_slice(value.as_bytes());
            count += 1;
        }
        Self {
            status,
            count,
            fields: Box::from(&*bytes),
        }
    }

    /// How many fields it has.
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// Names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields()
            .map(|field| (field.name.as_bytes(), field.value))
    }

    /// The first value under a name.
    pub fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        let mut fields = self.fields();
        let field = fields.find(|field| field.name.as_bytes() == name.as_str().as_bytes());
        field.map(|field| field.value)
    }

    /// As a head of its own, which shares nothing with this one.
    pub fn response(&self) -> ResponseHeader {
        self.parts(&Bytes::copy_from_slice(&self.fields), 0).into()
    }

    /// The same, with room for so many fields more, whose values are parts of `shared`: of the memory of [`Head::bytes`].
    pub(in super::super) fn parts(&self, shared: &Bytes, room: usize) -> Parts {
        let mut parts = Response::new(()).into_parts().0;
        parts.status = self.status;
        // There may be as many as a map can have.
        let map = HeaderMap::try_with_capacity(self.len() + room);
        parts.headers = map.unwrap_or_default();
        for field in self.fields() {
            let value = shared.slice(field.at..field.at + field.value.len());
            let value = HeaderValue::from_maybe_shared(value);
            let mut value = value.expect("it was a field's value before");
            value.set_sensitive(field.sensitive);
            match field.name {
                Name::Known(name) => parts.headers.append(name, value),
                Name::Text(text) => {
                    let name = HeaderName::from_lowercase(text);
                    parts
                        .headers
                        .append(name.expect("it was one before"), value)
                }
            };
        }
        parts
    }

    /// Its memory.
    pub(in super::super) fn bytes(&self) -> &[u8] {
        &self.fields
    }

    /// What that takes.
    pub(super) fn allocated(&self) -> usize {
        allocated(self.fields.len())
    }

    fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let mut rest = &*self.fields;
        std::iter::from_fn(move || {
            let (beginning, more) = rest.split_first_chunk::<BEGINNING>()?;
            let beginning = u64::from_le_bytes(*beginning);
            let (name, length) = (beginning as u32, (beginning >> 32) as usize);
            let (sensitive, number) = (name & SENSITIVE != 0, (name & !SENSITIVE) as usize);
            let (name, more) = match KNOWN.get(number) {
                Some(name) => (Name::Known(name), more),
                None => {
                    let (text, more) = more.split_at_checked(number - KNOWN.len())?;
                    (Name::Text(text), more)
                }
            };
            let at = self.fields.len() - more.len();
            let value;
            (value, rest) = more.split_at_checked(length)?;
            Some(Field {
                name,
                sensitive,
                at,
                value,
            })
        })
    }
}

impl From<&ResponseHeader> for Head {
    fn from(head: &ResponseHeader) -> Self {
        Self::new(head.status, &head.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> HeaderMap {
        let mut map = HeaderMap::new();
        let lines = [
            ("date", "today"),
            ("x-own", "a"),
            ("set-cookie", "a=1"),
            ("x-own", ""),
            ("set-cookie", "b=2"),
            ("proxy-status", "\u{fc}"),
        ];
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            map.append(name, value);
        }
        map.get_mut("date").unwrap().set_sensitive(true);
        map
    }

    #[test]
    fn what_goes_in_comes_out() {
        let map = map();
        let head = Head::new(StatusCode::NOT_FOUND, &map);
        let (again, shared) = (head.response(), Bytes::copy_from_slice(head.bytes()));
        assert_eq!(
            (again.status, &again.headers),
            (StatusCode::NOT_FOUND, &map)
        );
        assert!(again.headers["date"].is_sensitive() && !again.headers["x-own"].is_sensitive());
        assert_eq!(head.parts(&shared, 9).headers, map);
        assert_eq!((head.len(), head.iter().count()), (map.len(), map.len()));
        assert_eq!(head.get(&header::SET_COOKIE), Some(&b"a=1"[..]));
        assert_eq!(head.get(&HeaderName::from_static("x-own")), Some(&b"a"[..]));
        assert_eq!(head.get(&header::ETAG), None);
    }

    #[test]
    fn each_name_that_is_known_stands_once_and_takes_no_text() {
        for (number, name) in KNOWN.iter().enumerate() {
            assert_eq!(KNOWN.iter().position(|known| known == name), Some(number));
            let value = HeaderValue::from_static("1");
            let head = Head::new(StatusCode::OK, [(name, &value)]);
            assert_eq!(head.bytes().len(), 9);
            assert_eq!(head.response().headers[name], "1");
        }
    }

    #[test]
    fn a_head_may_have_as_many_fields_as_a_map() {
        let mut map = HeaderMap::new();
        while map
            .try_append(header::LINK, HeaderValue::from_static("a"))
            .is_ok()
            && map.len() < 20_000
        {}
        let head = Head::new(StatusCode::OK, &map);
        let shared = Bytes::copy_from_slice(head.bytes());
        assert_eq!(head.parts(&shared, 9_000).headers.len(), map.len());
    }
}
