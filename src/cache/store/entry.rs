//! A stored response.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue};
use pingora_http::ResponseHeader;

use super::body::{Body, Reader};
use super::key::Key;

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

/// A stored response: immutable but for its body, while that is filling.
#[derive(Debug)]
pub struct Entry {
    key: Key,
    meta: Meta,
    body: Arc<Body>,
    soft: AtomicBool,
}

impl Entry {
    pub(super) fn new(key: Key, meta: Meta, body: Arc<Body>) -> Self {
        Self {
            key,
            meta,
            body,
            soft: AtomicBool::new(false),
        }
    }

    /// What it is stored under.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What is known of it beside its body.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Whether a soft purge has hit it: it is stale, whatever its times say.
    pub fn is_purged(&self) -> bool {
        self.soft.load(Ordering::Acquire)
    }

    /// Whether its body is still coming.
    pub fn is_filling(&self) -> bool {
        self.body.is_filling()
    }

    /// The length of its body; `None` while that is unknown.
    pub fn length(&self) -> Option<u64> {
        self.body.length()
    }

    /// Reads its body from the start to the end.
    pub fn reader(&self) -> Reader {
        Reader::new(self.body.clone(), 0, u64::MAX)
    }

    /// Reads a part of its body: `from` the first byte to the one before `to`. What is behind the
    /// end of the body is left out.
    pub fn reader_of(&self, from: u64, to: u64) -> Reader {
        Reader::new(self.body.clone(), from, to)
    }

    pub(super) fn body(&self) -> &Arc<Body> {
        &self.body
    }

    pub(super) fn soften(&self) {
        self.soft.store(true, Ordering::Release);
    }
}
