//! A stored response.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use tokio::sync::futures::Notified;

use super::body::{Body, Broken, Whole};
use super::disk::Stretch;
use super::key::{Facts, Name};
use super::reader::Reader;
use super::room::{Charge, Room, allocated};
use crate::cache::Stored;

/// A stored response: immutable but for its body, while that is filling. Most are two blocks of memory: this, and the text
/// of the head, which the name is [behind](crate::cache::Head::behind), and the body behind that.
#[derive(Debug)]
pub struct Entry {
    /// Of the name. The text is behind the head of the entry that the body is of.
    name: Facts,
    /// No two entries of a store have the same.
    number: u64,
    meta: Stored,
    body: Bodied,
    /// When a soft purge has hit it, in seconds since 1970; 0 where none has.
    soft: AtomicU64,
    /// For all that it takes.
    charge: Charge,
}

/// A body of no more than this stands behind its head. A larger one gains nothing by that, and where it is as long as a block of
/// memory can be (8, 16, 32 KiB), a block for both is a fifth larger than two.
const SMALL: usize = 4 * 1024;

/// Where the body of an entry is.
#[derive(Debug)]
enum Bodied {
    /// So many bytes behind the name: it was there at once, and is [small](SMALL).
    Behind(usize),
    /// By itself.
    Own(Box<Body>),
    /// In another entry, whose head it had before.
    Of(Arc<Entry>),
}

/// A body, as it is looked at.
enum Held<'e> {
    Behind(&'e [u8]),
    Apart(&'e Body),
}

impl Entry {
    /// What one takes, and what counts who has it.
    const BYTES: usize = allocated(size_of::<Self>() + 2 * size_of::<usize>());

    pub(super) fn new(
        room: &Arc<Room>,
        name: Name<'_>,
        number: u64,
        mut meta: Stored,
        body: Body,
    ) -> Self {
        meta.head.put_behind([name.parts().0]);
        let beside = allocated(size_of::<Body>()) + body.allocated();
        let body = Bodied::Own(body.into());
        Self::with(room, name.facts(), number, meta, body, beside)
    }

    /// One whose body is there.
    pub(super) fn whole(
        room: &Arc<Room>,
        name: Name<'_>,
        number: u64,
        mut meta: Stored,
        body: &[u8],
    ) -> Self {
        if body.len() > SMALL {
            return Self::new(room, name, number, meta, Body::copied(body));
        }
        meta.head.put_behind([name.parts().0, body]);
        let body = Bodied::Behind(body.len());
        Self::with(room, name.facts(), number, meta, body, 0)
    }

    /// What an entry puts behind its head, in bytes, where all of its body is there.
    pub(super) fn behind(name: Name<'_>, body: &[u8]) -> usize {
        let body = Some(body.len()).filter(|length| *length <= SMALL);
        name.parts().0.len() + body.unwrap_or(0)
    }

    /// What one takes whose body is there, and which has room for what it [puts behind](Self::behind) its head: all of its
    /// [`bytes`](Self::bytes).
    pub(super) fn bytes_of(meta: &Stored, body: &[u8]) -> usize {
        Self::own_bytes(meta) + Self::beside(body)
    }

    /// What a body takes that is there, beside what is behind the head.
    fn beside(body: &[u8]) -> usize {
        match body.len() > SMALL {
            true => allocated(size_of::<Body>()) + allocated(body.len()),
            false => 0,
        }
    }

    /// What it takes without its body.
    fn own_bytes(meta: &Stored) -> usize {
        Self::BYTES + meta.allocated()
    }

    /// About what one will take whose body is there, and whose head takes so much with what is behind it.
    pub(super) fn bytes_about(head: usize, body: &[u8]) -> usize {
        Self::BYTES + allocated(head) + Self::beside(body)
    }

    /// The memory that its head was in.
    pub(super) fn into_spare(self) -> Vec<u8> {
        self.meta.head.into_spare()
    }

    /// With another head, and the same body.
    pub(super) fn renewed(room: &Arc<Room>, number: u64, meta: Stored, old: &Arc<Self>) -> Self {
        let body = Bodied::Of(old.bearer().clone());
        Self::with(room, old.name, number, meta, body, 0)
    }

    fn with(
        room: &Arc<Room>,
        name: Facts,
        number: u64,
        meta: Stored,
        body: Bodied,
        beside: usize,
    ) -> Self {
        let charge = Charge::new(room, Self::own_bytes(&meta) + beside);
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
        self.name().url()
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

    /// Its body, where that is complete, in memory, and in one piece.
    pub fn small_body(&self) -> Option<&[u8]> {
        match self.body() {
            Held::Behind(bytes) => Some(bytes),
            Held::Apart(body) => body.one(),
        }
    }

    /// The same, which holds on to the entry.
    pub fn small_bytes(entry: Arc<Self>) -> Option<Bytes> {
        entry.small_body()?;
        let bearer = match &entry.body {
            Bodied::Behind(_) | Bodied::Own(_) => entry,
            Bodied::Of(bearer) => bearer.clone(),
        };
        Some(Bytes::from_owner(BodyOf(bearer)))
    }

    /// Whether its body is still coming.
    pub fn is_filling(&self) -> bool {
        matches!(self.body(), Held::Apart(body) if body.is_filling())
    }

    /// The length of its body; `None` while that is unknown.
    pub fn length(&self) -> Option<u64> {
        match self.body() {
            Held::Behind(bytes) => Some(bytes.len() as u64),
            Held::Apart(body) => body.length(),
        }
    }

    /// Reads its body from the start to the end.
    pub fn reader(self: &Arc<Self>) -> Reader {
        self.reader_of(0, u64::MAX)
    }

    /// Reads a part of its body: `from` the first byte to the one before `to`. What is behind the
    /// end of the body is left out.
    pub fn reader_of(self: &Arc<Self>, from: u64, to: u64) -> Reader {
        Reader::new(self.bearer().clone(), from, to)
    }

    pub(super) fn name(&self) -> Name<'_> {
        let text = match &self.body {
            Bodied::Behind(length) => self.parted(*length).0,
            Bodied::Own(_) => self.meta.head.behind(),
            Bodied::Of(entry) => return entry.name(),
        };
        Name::new(text, self.name)
    }

    /// What is behind its head: the text of the name, and a body of this length.
    fn parted(&self, length: usize) -> (&[u8], &[u8]) {
        let behind = self.meta.head.behind();
        behind.split_at(behind.len() - length)
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    fn body(&self) -> Held<'_> {
        match &self.body {
            Bodied::Behind(length) => Held::Behind(self.parted(*length).1),
            Bodied::Own(body) => Held::Apart(body),
            Bodied::Of(entry) => entry.body(),
        }
    }

    /// The pieces of its body, where that is complete and in memory.
    pub(super) fn pieces(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let (one, more) = match self.body() {
            Held::Behind(bytes) => (bytes, &[][..]),
            Held::Apart(body) => body.pieces()?,
        };
        let one = Some(one).filter(|bytes| !bytes.is_empty());
        Some(one.into_iter().chain(more.iter().map(|piece| &**piece)))
    }

    /// Where its body is read from, where that is on disk alone.
    pub(super) fn stretch(&self) -> Option<&Stretch> {
        match self.body() {
            Held::Apart(body) => body.stretch(),
            Held::Behind(_) => None,
        }
    }

    /// Hears of the next piece of its body that comes; nothing does where all was there at once.
    pub(super) fn more(&self) -> Option<Notified<'_>> {
        match self.body() {
            Held::Apart(body) => body.more(),
            Held::Behind(_) => None,
        }
    }

    /// The entry that its body is in.
    fn bearer(self: &Arc<Self>) -> &Arc<Self> {
        match &self.body {
            Bodied::Behind(_) | Bodied::Own(_) => self,
            Bodied::Of(entry) => entry,
        }
    }

    /// Adds a piece to its body.
    pub(super) fn push(&self, bytes: &[u8]) {
        if let Held::Apart(body) = self.body() {
            body.push(bytes, self.charge_of_body());
        }
    }

    /// Its body has come to its end.
    pub(super) fn finish(&self) {
        if let Held::Apart(body) = self.body() {
            body.finish(self.charge_of_body());
        }
    }

    /// Its body ends before its end.
    pub(super) fn abort(&self) {
        if let Held::Apart(body) = self.body() {
            body.abort(self.charge_of_body());
        }
    }

    fn charge_of_body(&self) -> &Charge {
        match &self.body {
            Bodied::Behind(_) | Bodied::Own(_) => &self.charge,
            Bodied::Of(entry) => &entry.charge,
        }
    }

    /// What is in memory of its body from `at` on: see [`Body::piece`].
    pub(super) fn piece(self: &Arc<Self>, at: u64) -> Option<Result<Option<Bytes>, Broken>> {
        let one = match self.body() {
            Held::Behind(bytes) => bytes,
            Held::Apart(body) => match body.one() {
                Some(bytes) => bytes,
                None => return body.piece(at),
            },
        };
        let at = usize::try_from(at).ok().filter(|at| *at < one.len());
        Some(Ok(at.map(|at| {
            let whole = Bytes::from_owner(BodyOf(self.bearer().clone()));
            match at {
                0 => whole,
                _ => whole.slice(at..),
            }
        })))
    }

    /// Whether its fill was discarded, or the disk has damaged it: it is not found any more.
    pub(super) fn is_broken(&self) -> bool {
        let Held::Apart(body) = self.body() else {
            return false;
        };
        match body.whole() {
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
        let body = match &self.body {
            Bodied::Behind(_) | Bodied::Own(_) => 0,
            Bodied::Of(entry) => entry.charge.bytes(),
        };
        self.charge.bytes() + body
    }
}

/// The memory of a body that is complete, and in one piece, held by way of its entry.
struct BodyOf(Arc<Entry>);

impl AsRef<[u8]> for BodyOf {
    fn as_ref(&self) -> &[u8] {
        self.0.small_body().unwrap_or_default()
    }
}
