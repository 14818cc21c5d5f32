//! What is known of a stored response beside its body: what the store carries for the rules.

use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue, StatusCode};
use pingora_cache::VarianceBuilder;
use pingora_cache::key::HashBinary;

use super::store::allocated;
pub use head::{Draft, Head};
use wire::{Reading, Writing};

mod head;
mod names;
mod wire;

/// What is known of a response beside its body. The store keeps all of it, in memory and on disk,
/// and reads nothing but its tags and which variant it is.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Status and fields, as they are to be served.
    pub head: Head,
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

/// A response with more fields than this is not read from disk: no map could have them.
const MOST_FIELDS: usize = 1 << 14;

impl Stored {
    /// The memory that it takes beside its own size.
    pub fn allocated(&self) -> usize {
        let vary: usize = self
            .vary
            .iter()
            .map(|(name, value)| {
                let value = value.as_ref().map_or(0, HeaderValue::len);
                allocated(name.as_str().len() + 32) + allocated(value + 32)
            })
            .sum();
        let tags: usize = self.tags.iter().map(|tag| allocated(tag.len())).sum();
        self.head.allocated()
            + vary
            + allocated(self.vary.capacity() * size_of::<Selector>())
            + tags
            + allocated(self.tags.capacity() * size_of::<Box<str>>())
    }

    /// What a purge by tag may name.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(|tag| &**tag)
    }

    /// Of two entries under one key, the later replaces one that has the same.
    pub fn variant(&self) -> Variant {
        if self.vary.is_empty() {
            return Variant::default();
        }
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
        to.u32(self.head.iter().len());
        for line in self.head.iter() {
            to.bytes(line.name());
            to.bytes(line.value);
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
        let status = StatusCode::from_u16(from.u16()?).ok()?;
        let count = from.u32().filter(|count| *count as usize <= MOST_FIELDS)?;
        let fields = (0..count).map(|_| {
            let name = HeaderName::from_bytes(from.bytes()?).ok()?;
            Some((name, HeaderValue::from_bytes(from.bytes()?).ok()?))
        });
        let fields: Option<Vec<_>> = fields.collect();
        let fields = fields?;
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name, value)).collect();
        let head = Head::new(status, &fields);
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

#[cfg(test)]
mod tests {
    use pingora_http::ResponseHeader;

    use super::*;

    fn stored() -> Stored {
        let mut head = ResponseHeader::build(203, None).unwrap();
        for (name, value) in [("via", "a"), ("x-a", "b"), ("via", "c"), ("etag", "")] {
            head.append_header(name, value).unwrap();
        }
        let language = HeaderValue::from_static("de");
        Stored {
            head: Head::from(&head),
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
        let stored = stored();
        let mut bytes = Vec::new();
        stored.encode(&mut bytes);
        let again = Stored::decode(&bytes).unwrap();
        assert_eq!(again.head, stored.head);
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
    fn mangled_records_panic_nowhere() {
        let mut bytes = Vec::new();
        stored().encode(&mut bytes);
        let mut good = 0;
        for seed in 0..50_000_u64 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut mangled = bytes.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..mangled.len());
                mangled[at] = random.u8(..);
            }
            if random.u8(..) < 20 {
                let at = random.usize(..mangled.len());
                mangled.insert(at, random.u8(..));
            }
            let Some(mut again) = Stored::decode(&mangled) else {
                continue;
            };
            good += 1;
            let _ = (again.variant(), again.allocated());
            again.head.put_behind([b"name"]);
            let mut text = Vec::new();
            again.head.put_without(Some(&http::header::VIA), &mut text);
            let parts = again.head.parts(9);
            assert_eq!(parts.headers.len(), again.head.iter().len());
            assert!(!again.head.wire().windows(4).any(|four| four == b"\r\n\r\n"));
            let mut twice = Vec::new();
            again.encode(&mut twice);
            assert_eq!(Stored::decode(&twice).unwrap().head, again.head);
        }
        assert!(good > 100, "{good}");
    }
}
