//! What is known of a stored response beside its body: what the store carries for the rules.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use pingora_cache::VarianceBuilder;
use pingora_cache::key::HashBinary;
use pingora_http::ResponseHeader;

use super::store::allocated;
use wire::{Reading, Writing};

mod wire;

/// What is known of a response beside its body. The store keeps all of it, in memory and on disk,
/// and reads nothing but its tags and which variant it is.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Status and fields, as they are to be served. Reason phrase and spelling of names are not kept.
    pub head: ResponseHeader,
    /// What `Vary` named, with what the request had there, in the form that the caller gives it. Of two entries
    /// under one key with the same `vary`, the later one replaces the earlier one.
    pub vary: Vec<Selector>,
    /// What it can be purged by.
    pub tags: Vec<Box<str>>,
    /// When it was fetched, and how long it may be used.
    pub times: Times,
    /// Bits whose meaning belongs to the rules.
    pub marks: u32,
}

/// A field that `Vary` named, with what a request had there.
pub type Selector = (HeaderName, Option<HeaderValue>);

/// Which of the variants under one key a response is: a hash of what `Vary` named, with what the
/// request had there; zero where it named nothing.
pub type Variant = HashBinary;

/// When a response was fetched, and how long it may be used (RFC 9111, 4.2; RFC 5861).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When its head arrived: `response_time`.
    pub received: SystemTime,
    /// How old it was by then: `corrected_initial_age`.
    pub age: Duration,
    /// How old it may become and still be fresh: `freshness_lifetime`.
    pub lifetime: Duration,
    /// How long after that it may be used while it is validated.
    pub while_revalidate: Duration,
    /// How long after that it may be used where the upstream fails.
    pub if_error: Duration,
}

/// What a field takes in a `HeaderMap`: its bucket (a hash, a name, a value, links), its index, and
/// the name's own memory.
const FIELD: usize = 160;

impl Stored {
    /// A copy that holds on to no buffer which it was read from.
    pub fn compact(&self) -> Self {
        let fields: Vec<_> = self.head.headers.iter().collect();
        let vary = self.vary.iter().map(|(name, value)| {
            let copy = |value: &HeaderValue| {
                HeaderValue::from_bytes(value.as_bytes()).expect("it was one before")
            };
            (name.clone(), value.as_ref().map(copy))
        });
        Self {
            head: compact(self.head.status, &fields),
            vary: vary.collect(),
            tags: self.tags.clone(),
            times: self.times,
            marks: self.marks,
        }
    }

    /// The memory that it takes beside its own size.
    pub fn allocated(&self) -> usize {
        let fields = &self.head.headers;
        let values: usize = fields.values().map(HeaderValue::len).sum();
        let names: usize = fields.keys().map(|name| name.as_str().len()).sum();
        let vary: usize = self
            .vary
            .iter()
            .map(|(name, value)| {
                let value = value.as_ref().map_or(0, HeaderValue::len);
                allocated(name.as_str().len() + 32) + allocated(value + 32)
            })
            .sum();
        let tags: usize = self.tags.iter().map(|tag| allocated(tag.len())).sum();
        allocated(values)
            + allocated(fields.capacity() * FIELD)
            + (fields.len() - fields.keys_len()) * FIELD
            + 2 * names
            + vary
            + allocated(self.vary.capacity() * size_of::<(HeaderName, Option<HeaderValue>)>())
            + tags
            + allocated(self.tags.capacity() * size_of::<Box<str>>())
    }

    /// What a purge by tag may name.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(|tag| &**tag)
    }

    /// Of two entries under one key, the later replaces one that has the same.
    pub fn variant(&self) -> Variant {
        let mut variance = VarianceBuilder::new();
        for (name, value) in &self.vary {
            match value {
                // No field's value has a line end in it, so this is none of them.
                None => variance.add_value(name.as_str(), "\n"),
                Some(value) => variance.add_value(name.as_str(), value),
            }
        }
        variance.finalize().unwrap_or_default()
    }

    /// Adds all of it to `bytes`, for [`Stored::decode`].
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        let mut to = Writing(bytes);
        to.u16(self.head.status.as_u16());
        to.u32(self.head.headers.len());
        for (name, value) in &self.head.headers {
            to.bytes(name.as_str().as_bytes());
            to.bytes(value.as_bytes());
        }
        to.u32(self.vary.len());
        for (name, value) in &self.vary {
            to.bytes(name.as_str().as_bytes());
            to.u16(u16::from(value.is_some()));
            to.bytes(value.as_ref().map_or(b"", HeaderValue::as_bytes));
        }
        to.u32(self.tags.len());
        for tag in &self.tags {
            to.bytes(tag.as_bytes());
        }
        to.time(self.times.received);
        to.duration(self.times.age);
        to.duration(self.times.lifetime);
        to.duration(self.times.while_revalidate);
        to.duration(self.times.if_error);
        to.u32(self.marks as usize);
    }

    /// What [`Stored::encode`] wrote; `None` where it is something else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reading(bytes);
        let mut head = ResponseHeader::build_no_case(from.u16()?, None).ok()?;
        for _ in 0..from.u32()? {
            let name = HeaderName::from_bytes(from.bytes()?).ok()?;
            let value = HeaderValue::from_bytes(from.bytes()?).ok()?;
            head.append_header(name, value).ok()?;
        }
        let mut vary = Vec::new();
        for _ in 0..from.u32()? {
            let name = HeaderName::from_bytes(from.bytes()?).ok()?;
            let (some, value) = (from.u16()? != 0, from.bytes()?);
            let value = HeaderValue::from_bytes(value).ok()?;
            vary.push((name, some.then_some(value)));
        }
        let mut tags = Vec::new();
        for _ in 0..from.u32()? {
            tags.push(std::str::from_utf8(from.bytes()?).ok()?.into());
        }
        let times = Times {
            received: from.time()?,
            age: from.duration()?,
            lifetime: from.duration()?,
            while_revalidate: from.duration()?,
            if_error: from.duration()?,
        };
        let marks = from.u32()?;
        from.0.is_empty().then_some(Self {
            head,
            vary,
            tags,
            times,
            marks,
        })
    }
}

/// A head of these fields, those of a name in a row, that holds on to no buffer which they were read from: the values
/// share one allocation.
pub fn compact(status: StatusCode, fields: &[(&HeaderName, &HeaderValue)]) -> ResponseHeader {
    let length = fields.iter().map(|(_, value)| value.len()).sum();
    let names = fields.chunk_by(|(one, _), (next, _)| one == next).count();
    let mut values = Vec::with_capacity(length);
    (fields.iter()).for_each(|(_, value)| values.extend_from_slice(value.as_bytes()));
    let mut values = Bytes::from(values);
    let mut parts = Response::new(()).into_parts().0;
    parts.status = status;
    parts.headers = HeaderMap::with_capacity(names);
    for (name, value) in fields {
        let copy = HeaderValue::from_maybe_shared(values.split_to(value.len()));
        let mut copy = copy.expect("it was a field's value before");
        copy.set_sensitive(value.is_sensitive());
        parts.headers.append(*name, copy);
    }
    parts.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        let mut head = ResponseHeader::build(203, None).unwrap();
        for (name, value) in [("via", "a"), ("x-a", "b"), ("via", "c"), ("etag", "")] {
            head.append_header(name, value).unwrap();
        }
        let language = HeaderValue::from_static("de");
        Stored {
            head,
            vary: vec![
                (http::header::ACCEPT_LANGUAGE, Some(language)),
                (http::header::ACCEPT, None),
            ],
            tags: vec!["t".into(), "ü".into()],
            times: Times {
                received: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123_456_789),
                age: Duration::from_millis(1_500),
                lifetime: Duration::MAX,
                while_revalidate: Duration::ZERO,
                if_error: Duration::from_secs(9),
            },
            marks: u32::MAX,
        }
    }

    #[test]
    fn what_was_encoded_is_decoded_and_nothing_shorter_or_longer() {
        let stored = stored().compact();
        let mut bytes = Vec::new();
        stored.encode(&mut bytes);
        let again = Stored::decode(&bytes).unwrap();
        assert_eq!(again.head.status, stored.head.status);
        assert_eq!(again.head.headers, stored.head.headers);
        assert_eq!(again.vary, stored.vary);
        assert_eq!(again.tags, stored.tags);
        assert_eq!((again.times, again.marks), (stored.times, stored.marks));
        assert_eq!(again.variant(), stored.variant());
        for length in 0..bytes.len() {
            assert!(Stored::decode(&bytes[..length]).is_none(), "{length}");
        }
        bytes.push(0);
        assert!(Stored::decode(&bytes).is_none());
    }

    /// Which variant this makes a response, by field.
    fn variant(vary: &[(&'static str, Option<&'static str>)]) -> Variant {
        let vary = vary.iter().map(|(name, value)| {
            let value = value.map(HeaderValue::from_static);
            (HeaderName::from_static(name), value)
        });
        let vary = vary.collect();
        Stored { vary, ..stored() }.variant()
    }

    #[test]
    fn variants_are_the_same_when_all_fields_are() {
        let one = variant(&[("accept", Some("a")), ("dnt", Some("b"))]);
        assert_eq!(one, variant(&[("dnt", Some("b")), ("accept", Some("a"))]));
        for other in [
            variant(&[("accept", Some("a")), ("dnt", Some("c"))]),
            variant(&[("accept", Some("b")), ("dnt", Some("a"))]),
            variant(&[("accept", Some("a"))]),
            variant(&[("accept", Some("adntb"))]),
            variant(&[("accept", Some("a")), ("dnt", None)]),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_field_that_was_there_and_empty_is_another_variant_than_one_that_was_not() {
        let nothing_named = variant(&[]);
        let (empty, absent) = (
            variant(&[("accept", Some(""))]),
            variant(&[("accept", None)]),
        );
        assert!(empty != absent && empty != nothing_named && absent != nothing_named);
    }

    /// Records on disk hold it: where it has to change, the format of the disk does too.
    #[test]
    fn variants_do_not_change_from_one_release_to_the_next() {
        let known: u128 = 0x35af4cb7b922a22c711bb23193a9a010;
        assert_eq!(stored().variant(), known.to_be_bytes());
        assert_eq!(variant(&[]), Variant::default());
    }

    #[test]
    fn a_compact_one_says_the_same() {
        let one = stored();
        let same = one.compact();
        assert_eq!(one.head.headers, same.head.headers);
        let order = |one: &Stored| -> Vec<_> {
            let all = one.head.headers.get_all("via").iter();
            all.map(|value| value.to_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(order(&same), ["a", "c"]);
        assert_eq!((one.vary, one.tags), (same.vary, same.tags));
    }
}
