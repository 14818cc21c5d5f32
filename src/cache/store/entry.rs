//! A stored response.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::body::{Body, Whole};
use super::key::Name;
use super::reader::Reader;
use super::room::{Charge, Room, allocated};
use crate::cache::Stored;

/// A stored response: immutable but for its body, while that is filling.
#[derive(Debug)]
pub struct Entry {
    name: Name,
    /// No two entries of a store have the same.
    number: u64,
    meta: Stored,
    body: Arc<Body>,
    /// When a soft purge has hit it, in seconds since 1970; 0 where none has.
    soft: AtomicU64,
    charge: Charge,
}

impl Entry {
    pub(super) fn new(
        room: &Arc<Room>,
        name: Name,
        number: u64,
        meta: Stored,
        body: Arc<Body>,
    ) -> Self {
        let arc = 2 * size_of::<usize>();
        let own = allocated(size_of::<Self>() + arc) + allocated(size_of::<Body>() + arc);
        let charge = Charge::new(room, own + meta.allocated());
        Self {
            name,
            number,
            meta,
            body,
            soft: AtomicU64::new(0),
            charge,
        }
    }

    /// The URL of its key.
    pub fn url(&self) -> &str {
        self.name.url()
    }

    /// What is known of it beside its body.
    pub fn meta(&self) -> &Stored {
        &self.meta
    }

    /// Whether a soft purge has hit it: it is stale, whatever its times say.
    pub fn is_purged(&self) -> bool {
        self.purged().is_some()
    }

    /// When a soft purge has hit it; long ago, where that is not known any more.
    pub fn purged(&self) -> Option<SystemTime> {
        let at = self.soft.load(Ordering::Acquire);
        (at > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(at))
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

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn body(&self) -> &Arc<Body> {
        &self.body
    }

    /// Whether its fill was discarded, or the disk has damaged it: it is not found any more.
    pub(super) fn is_broken(&self) -> bool {
        match self.body.whole() {
            Some(Whole::Part(_)) => true,
            Some(Whole::Stretch(stretch)) => stretch.is_damaged(),
            Some(Whole::Pieces(_)) | None => false,
        }
    }

    /// A soft purge has hit it some time ago.
    pub(super) fn soften(&self) {
        self.soften_at(SystemTime::UNIX_EPOCH);
    }

    /// A soft purge hits it. The first one counts.
    pub(super) fn soften_at(&self, at: SystemTime) {
        let since = at.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.unwrap_or_default().as_secs().max(1);
        let first = |known: u64| (known == 0 || seconds < known).then_some(seconds);
        let _ = self
            .soft
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, first);
    }

    /// The memory that goes when the entry does.
    pub(super) fn bytes(&self) -> usize {
        self.charge.bytes() + self.body.bytes()
    }
}
