//! What is known of a response beside its body.

use std::time::{Duration, SystemTime};

use bytes::{BufMut, BytesMut};
use http::{HeaderName, HeaderValue};
use pingora_http::ResponseHeader;
use xxhash_rust::xxh3::Xxh3;

use super::room::allocated;

/// What is known of a response beside its body. The store keeps all of it, in memory and on disk,
/// and reads nothing but `tags` and `vary`.
#[derive(Clone, Debug)]
pub struct Meta {
    /// Status and fields, as they are to be served. Reason phrase and spelling of names are not kept.
    pub head: ResponseHeader,
    /// What `Vary` named, with what the request had there, normalised by the caller. Of two entries
    /// under one key with the same `vary`, the later one replaces the earlier one.
    pub vary: Vec<(HeaderName, Option<HeaderValue>)>,
    /// What it can be purged by.
    pub tags: Vec<Box<str>>,
    /// When it was fetched, and how long it may be used.
    pub times: Times,
    /// Bits whose meaning belongs to the rules.
    pub marks: u32,
}

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

impl Meta {
    /// A copy that holds on to no buffer which it was read from: the values share one allocation.
    pub(super) fn compact(self) -> Self {
        let fields = &self.head.headers;
        let length = fields.values().map(HeaderValue::len).sum();
        let mut values = BytesMut::with_capacity(length);
        let mut head = ResponseHeader::build_no_case(self.head.status, Some(fields.keys_len()))
            .expect("the status is one");
        for (name, value) in fields {
            values.put_slice(value.as_bytes());
            let copy = HeaderValue::from_maybe_shared(values.split().freeze());
            let mut copy = copy.expect("it was a field's value before");
            copy.set_sensitive(value.is_sensitive());
            let appended = head.append_header(name.clone(), copy);
            appended.expect("they are a name and a value");
        }
        let vary = self.vary.into_iter().map(|(name, value)| {
            let value = value
                .map(|value| HeaderValue::from_bytes(value.as_bytes()).expect("it was one before"));
            (name, value)
        });
        let vary = vary.collect();
        Self { head, vary, ..self }
    }

    /// The memory that it takes beside its own size.
    pub(super) fn allocated(&self) -> usize {
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

    /// A hash of `vary`: of two entries under one key, the later replaces one that has the same.
    pub(super) fn variant(&self, seed: u64) -> u64 {
        let mut hash = Xxh3::with_seed(seed);
        for (name, value) in &self.vary {
            hash.update(name.as_str().as_bytes());
            match value {
                None => hash.update(b"\n-"),
                Some(value) => {
                    hash.update(b"\n+");
                    hash.update(&(value.len() as u64).to_le_bytes());
                    hash.update(value.as_bytes());
                }
            }
        }
        hash.digest()
    }
}
