//! A stored response that leaves as it is stored: its head is a text already, and takes no map of fields.
//!
//! Where a cache alone has a say in a response, and a request asks for nothing special (`at_once.rs` tells), the lines that are stored
//! are what its client gets, and a few more: that is so for a hit, and for the one whose response comes into the store just now.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use pingora_core::protocols::http::ServerSession;
use pingora_error::Result;
use wiregate_sdk::Origin;
use wiregate_sdk::cache::Policy;

use super::super::context::Context;
use super::super::heads::{self, REQUEST_ID};
use super::super::http1::Lines;
use crate::cache::rules::status::{CACHE_STATUS, Told};
use crate::cache::store::Entry;

/// What the head of a stored response is made of, but for its age.
pub(super) struct AsStored<'a> {
    pub(super) entry: &'a Entry,
    pub(super) policy: &'a Policy,
    pub(super) told: Told,
    /// The request's.
    pub(super) id: &'a str,
}

impl AsStored<'_> {
    /// Adds what is stored to a text, each field as a line with its end.
    pub(super) fn put_stored(&self, out: &mut Vec<u8>) {
        let tags = self.policy.tags.as_ref();
        self.entry.meta().head.put_without(tags, out);
    }

    /// Adds what is added to that.
    pub(super) fn put_own(&self, out: &mut Vec<u8>) {
        let mut number = itoa::Buffer::new();
        let length = self.entry.small_body().map_or(0, <[u8]>::len);
        put("Content-Length", number.format(length).as_bytes(), out);
        if self.policy.tells {
            out.extend_from_slice(CACHE_STATUS.as_str().as_bytes());
            out.extend_from_slice(b": ");
            self.told.put(out);
            out.extend_from_slice(b"\r\n");
        }
        put(REQUEST_ID.as_str(), self.id.as_bytes(), out);
    }
}

/// Adds how old it is.
pub(super) fn put_age(age: Duration, out: &mut Vec<u8>) {
    put(
        "Age",
        itoa::Buffer::new().format(age.as_secs()).as_bytes(),
        out,
    );
}

pub(super) fn put(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether a stored response can leave as it is: all of its body is there in one piece.
pub(super) fn is_whole(entry: &Entry) -> bool {
    let status = entry.meta().head.status;
    let bodiless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    !bodiless && entry.small_body().is_some()
}

impl Context {
    /// Whether this stored response is what the request gets, as it is.
    pub(super) fn leaves_as_stored(&self, entry: &Entry) -> bool {
        let plain = self.caching.as_ref().is_some_and(|caching| caching.plain);
        plain && is_whole(entry) && !self.shared.logs_heads()
    }

    /// Sends a stored response as it is.
    pub(super) async fn send_as_stored(
        &mut self,
        session: &mut ServerSession,
        entry: Arc<Entry>,
        age: Option<Duration>,
        told: Told,
    ) -> Result<()> {
        let status = entry.meta().head.status;
        let body = entry.small_body().map_or(0, <[u8]>::len);
        let mut text = Vec::with_capacity(MORE + entry.meta().head.wire().len());
        let head = AsStored {
            entry: &entry,
            policy: &self.caching().plan.policy,
            told,
            id: &self.exchange.id,
        };
        head.put_stored(&mut text);
        head.put_own(&mut text);
        if let Some(age) = age {
            put_age(age, &mut text);
        }
        let length = body as u64;
        self.peer.lent.lend_lines(Lines { text, length });
        self.end.origin = Origin::Cache;
        self.end.status = Some(status);
        let body = Entry::small_bytes(entry).unwrap_or_default();
        let head = heads::without_fields(status);
        self.send_whole(session, head, body).await
    }
}

/// So much is added to the lines of a stored head, as a rule.
const MORE: usize = 192;
