//! A body: pieces in memory, or blocks on disk; complete, or still coming.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::disk::Stretch;
use super::room::{Charge, Room, allocated};

/// All pieces of a body have this many bytes, but the last.
pub(super) const PIECE: usize = 64 * 1024;
/// A body whose length is unknown begins with this much memory.
const FIRST: usize = 4 * 1024;
/// What a piece takes beside its bytes.
const OF_A_PIECE: usize = 64;

/// A body that ended before its end: its fill was discarded, or the disk has damaged it. What was sent
/// of it must not look complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// The bytes of an entry.
#[derive(Debug)]
pub(super) struct Body {
    announced: Option<u64>,
    whole: OnceLock<Whole>,
    growing: Mutex<Option<Growing>>,
    pub(super) more: Notify,
}

/// A body that has come to an end.
#[derive(Debug)]
pub(super) enum Whole {
    /// In memory.
    Pieces(Pieces),
    /// On disk, to be read block by block.
    Stretch(Stretch),
    /// It broke off: what had come of it by then, for those who follow.
    Part(Pieces),
}

/// Pieces in their order. Most bodies are one, which needs no list in memory of its own.
type List = SmallVec<[Bytes; 1]>;

/// A body in memory.
#[derive(Debug)]
pub(super) struct Pieces {
    pieces: List,
    length: u64,
    charge: Charge,
}

/// A body that is coming: pieces that are full, and the one that is not yet.
#[derive(Debug)]
struct Growing {
    full: List,
    last: BytesMut,
    charge: Charge,
}

impl Growing {
    fn length(&self) -> u64 {
        (self.full.len() * PIECE + self.last.len()) as u64
    }

    fn push(&mut self, mut bytes: &[u8], announced: Option<u64>) {
        while !bytes.is_empty() {
            if self.last.capacity() == 0 {
                let left = announced.map(|length| length.saturating_sub(self.length()));
                let first = left.map_or(FIRST, |left| usize::try_from(left).unwrap_or(PIECE));
                self.last
                    .reserve(first.clamp(bytes.len().min(PIECE), PIECE));
            }
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.last.len()));
            self.last.extend_from_slice(now);
            bytes = later;
            if self.last.len() == PIECE {
                let full = std::mem::take(&mut self.last);
                self.full.push(fitting(full));
            }
        }
        let full = self.full.len() * (allocated(PIECE) + OF_A_PIECE);
        self.charge.set(full + allocated(self.last.capacity()));
    }

    fn finish(mut self) -> Pieces {
        let length = self.length();
        if !self.last.is_empty() {
            self.full.push(fitting(std::mem::take(&mut self.last)));
        }
        Pieces::new(self.full, length, self.charge)
    }
}

/// Without memory that nothing will be written to.
fn fitting(bytes: BytesMut) -> Bytes {
    match bytes.capacity() > bytes.len() + bytes.len() / 8 {
        true => Bytes::copy_from_slice(&bytes),
        false => bytes.freeze(),
    }
}

impl Pieces {
    fn new(mut pieces: List, length: u64, mut charge: Charge) -> Self {
        let bytes = pieces
            .iter()
            .map(|piece| allocated(piece.len()) + OF_A_PIECE);
        charge.set(bytes.sum());
        pieces.shrink_to_fit();
        Self {
            pieces,
            length,
            charge,
        }
    }

    /// What a body of this length takes in memory.
    pub(super) fn bytes_of(length: usize) -> usize {
        let last = allocated(length % PIECE) + OF_A_PIECE;
        (length / PIECE).saturating_mul(allocated(PIECE) + OF_A_PIECE) + last
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }
}

impl Body {
    /// A body that is about to come.
    pub(super) fn coming(room: &Arc<Room>, announced: Option<u64>) -> Self {
        let growing = Growing {
            full: List::new(),
            last: BytesMut::new(),
            charge: Charge::new(room, 0),
        };
        Self {
            announced,
            whole: OnceLock::new(),
            growing: Mutex::new(Some(growing)),
            more: Notify::new(),
        }
    }

    /// A body of which all is there.
    fn complete(whole: Whole) -> Self {
        Self {
            announced: None,
            whole: OnceLock::from(whole),
            growing: Mutex::new(None),
            more: Notify::new(),
        }
    }

    /// A body that was read from disk, in pieces of [`PIECE`].
    pub(super) fn read(room: &Arc<Room>, pieces: Vec<Bytes>) -> Self {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let pieces = Pieces::new(pieces.into(), length, Charge::new(room, 0));
        Self::complete(Whole::Pieces(pieces))
    }

    /// A body that stays on disk.
    pub(super) fn on_disk(stretch: Stretch) -> Self {
        Self::complete(Whole::Stretch(stretch))
    }

    /// What is there, once it has ended.
    pub(super) fn whole(&self) -> Option<&Whole> {
        self.whole.get()
    }

    pub(super) fn is_filling(&self) -> bool {
        self.whole.get().is_none()
    }

    pub(super) fn length(&self) -> Option<u64> {
        match self.whole.get() {
            Some(Whole::Pieces(pieces)) => Some(pieces.length),
            Some(Whole::Stretch(stretch)) => Some(stretch.length()),
            Some(Whole::Part(_)) | None => self.announced,
        }
    }

    /// The memory that its pieces take.
    pub(super) fn bytes(&self) -> usize {
        match self.whole.get() {
            Some(Whole::Pieces(pieces)) => pieces.charge.bytes(),
            _ => 0,
        }
    }

    pub(super) fn push(&self, bytes: &[u8]) {
        if let Some(growing) = &mut *self.lock() {
            growing.push(bytes, self.announced);
        }
        self.more.notify_waiters();
    }

    pub(super) fn finish(&self) {
        self.end(Whole::Pieces);
    }

    /// It ends before its end. Those who follow read what there is, and get an error then.
    pub(super) fn abort(&self) {
        self.end(Whole::Part);
    }

    fn end(&self, how: impl FnOnce(Pieces) -> Whole) {
        // The first end holds.
        if let Some(growing) = self.lock().take() {
            drop(self.whole.set(how(growing.finish())));
        }
        self.more.notify_waiters();
    }

    /// What is in memory from `at` on, up to the end of a piece: `Some(Ok(None))` at the end of the body,
    /// `None` where it is still coming or on disk.
    pub(super) fn piece(&self, at: u64) -> Option<Result<Option<Bytes>, Broken>> {
        let number = usize::try_from(at / PIECE as u64).unwrap_or(usize::MAX);
        let skipped = (at % PIECE as u64) as usize;
        let rest = |piece: &Bytes| (skipped < piece.len()).then(|| piece.slice(skipped..));
        match self.whole.get() {
            Some(Whole::Pieces(whole)) => Some(Ok(whole.pieces.get(number).and_then(rest))),
            Some(Whole::Stretch(stretch)) => (at >= stretch.length()).then_some(Ok(None)),
            Some(Whole::Part(part)) => {
                let rest = part.pieces.get(number).and_then(rest);
                Some(rest.map(Some).ok_or(Broken))
            }
            None => {
                let growing = self.lock();
                // It has ended since it was looked at above: the caller looks again.
                let growing = growing.as_ref()?;
                if let Some(piece) = growing.full.get(number) {
                    return rest(piece).map(|rest| Ok(Some(rest)));
                }
                let coming = number == growing.full.len() && skipped < growing.last.len();
                coming.then(|| Ok(Some(Bytes::copy_from_slice(&growing.last[skipped..]))))
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Growing>> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
