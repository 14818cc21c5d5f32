//! A body: pieces in memory, or blocks on disk; complete, or still coming.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::disk::Stretch;
use super::room::{Charge, allocated};

/// All pieces of a body have this many bytes, but the last.
pub(super) const PIECE: usize = 64 * 1024;
/// A body whose length is unknown begins with this much memory.
const FIRST: usize = 4 * 1024;
/// What a piece takes beside its bytes, where there are several.
const OF_A_PIECE: usize = 64;

/// A body that ended before its end: its fill was discarded, or the disk has damaged it. What was sent
/// of it must not look complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// The bytes of an entry.
#[derive(Debug)]
pub(super) struct Body {
    whole: OnceLock<Whole>,
    /// Of one that was not there at once. It stays where its readers may look for it.
    coming: Option<Box<Coming>>,
}

/// A body that comes piece by piece.
#[derive(Debug)]
struct Coming {
    announced: Option<u64>,
    growing: Mutex<Option<Growing>>,
    more: Notify,
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

/// A body in memory.
#[derive(Debug)]
pub(super) enum Pieces {
    /// It is no longer than one piece. Whoever reads it holds its entry.
    One(Box<[u8]>),
    /// Pieces in their order, each of which can be held by itself.
    More(Vec<Bytes>),
}

impl Pieces {
    /// What a body of this length takes in memory.
    pub(super) fn bytes_of(length: usize) -> usize {
        let last = allocated(length % PIECE) + OF_A_PIECE;
        (length / PIECE).saturating_mul(allocated(PIECE) + OF_A_PIECE) + last
    }

    /// All of it: in one piece, or in several.
    fn parts(&self) -> (&[u8], &[Bytes]) {
        match self {
            Self::One(bytes) => (bytes, &[]),
            Self::More(pieces) => (&[], pieces),
        }
    }

    fn length(&self) -> u64 {
        match self {
            Self::One(bytes) => bytes.len() as u64,
            Self::More(pieces) => {
                let last = pieces.last().map_or(0, Bytes::len);
                (pieces.len().saturating_sub(1) * PIECE + last) as u64
            }
        }
    }

    /// A piece from some byte of it on, which does not hold the entry.
    fn rest(&self, number: usize, skipped: usize) -> Option<Bytes> {
        match self {
            Self::One(bytes) => {
                let rest = bytes.get(skipped..).filter(|_| number == 0)?;
                (!rest.is_empty()).then(|| Bytes::copy_from_slice(rest))
            }
            Self::More(pieces) => rest(pieces.get(number)?, skipped),
        }
    }

    fn allocated(&self) -> usize {
        match self {
            Self::One(bytes) => allocated(bytes.len()),
            Self::More(pieces) => {
                let each = pieces.iter().map(|piece| allocated(piece.len()));
                each.sum::<usize>() + pieces.len() * OF_A_PIECE
            }
        }
    }
}

impl From<Vec<Bytes>> for Pieces {
    fn from(mut pieces: Vec<Bytes>) -> Self {
        match pieces.len() {
            0 | 1 => Self::One(Vec::from(pieces.pop().unwrap_or_default()).into()),
            _ => Self::More(pieces),
        }
    }
}

fn rest(piece: &Bytes, skipped: usize) -> Option<Bytes> {
    (skipped < piece.len()).then(|| piece.slice(skipped..))
}

/// A body that is coming: pieces that are full, and the one that is not yet.
#[derive(Debug, Default)]
struct Growing {
    full: Vec<Bytes>,
    last: Vec<u8>,
}

impl Growing {
    fn length(&self) -> u64 {
        (self.full.len() * PIECE + self.last.len()) as u64
    }

    fn allocated(&self) -> usize {
        self.full.len() * (allocated(PIECE) + OF_A_PIECE) + allocated(self.last.capacity())
    }

    fn push(&mut self, mut bytes: &[u8], announced: Option<u64>) {
        while !bytes.is_empty() {
            if self.last.capacity() == 0 {
                let left = announced.map(|length| length.saturating_sub(self.length()));
                let first = left.map_or(FIRST, |left| usize::try_from(left).unwrap_or(PIECE));
                self.last = Vec::with_capacity(first.clamp(bytes.len().min(PIECE), PIECE));
            }
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.last.len()));
            self.last.extend_from_slice(now);
            bytes = later;
            if self.last.len() == PIECE {
                let full = std::mem::take(&mut self.last);
                self.full.push(fitting(full).into());
            }
        }
    }

    fn finish(mut self) -> Pieces {
        if self.full.is_empty() {
            return Pieces::One(fitting(self.last));
        }
        if !self.last.is_empty() {
            self.full.push(fitting(self.last).into());
        }
        self.full.shrink_to_fit();
        Pieces::More(self.full)
    }
}

/// Without memory that nothing will be written to.
fn fitting(bytes: Vec<u8>) -> Box<[u8]> {
    match bytes.capacity() > bytes.len() + bytes.len() / 8 {
        true => Box::from(&*bytes),
        false => bytes.into(),
    }
}

impl Body {
    /// A body that is about to come.
    pub(super) fn coming(announced: Option<u64>) -> Self {
        let coming = Coming {
            announced,
            growing: Mutex::new(Some(Growing::default())),
            more: Notify::new(),
        };
        Self {
            whole: OnceLock::new(),
            coming: Some(Box::new(coming)),
        }
    }

    /// A body of which all is there.
    fn complete(whole: Whole) -> Self {
        Self {
            whole: OnceLock::from(whole),
            coming: None,
        }
    }

    /// A body of which all is there, copied.
    pub(super) fn copied(bytes: &[u8]) -> Self {
        let pieces = match bytes.len() <= PIECE {
            true => Pieces::One(bytes.into()),
            false => Pieces::More(bytes.chunks(PIECE).map(Bytes::copy_from_slice).collect()),
        };
        Self::complete(Whole::Pieces(pieces))
    }

    /// A body that was read from disk, in pieces of [`PIECE`].
    pub(super) fn read(pieces: Vec<Bytes>) -> Self {
        Self::complete(Whole::Pieces(pieces.into()))
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
            Some(Whole::Pieces(pieces)) => Some(pieces.length()),
            Some(Whole::Stretch(stretch)) => Some(stretch.length()),
            Some(Whole::Part(_)) | None => self.coming.as_ref()?.announced,
        }
    }

    /// The memory that it takes beside its own size, but for what is still growing.
    pub(super) fn allocated(&self) -> usize {
        let coming = self.coming.as_deref().map_or(0, size_of_val);
        let pieces = match self.whole.get() {
            Some(Whole::Pieces(pieces) | Whole::Part(pieces)) => pieces.allocated(),
            Some(Whole::Stretch(_)) | None => 0,
        };
        allocated(coming) + pieces
    }

    /// Its bytes, where it is complete, in memory, and no longer than one piece.
    pub(super) fn one(&self) -> Option<&[u8]> {
        match self.whole.get() {
            Some(Whole::Pieces(Pieces::One(bytes))) => Some(bytes),
            _ => None,
        }
    }

    /// All of it, in one piece or in several, where it is complete and in memory.
    pub(super) fn pieces(&self) -> Option<(&[u8], &[Bytes])> {
        match self.whole.get() {
            Some(Whole::Pieces(pieces)) => Some(pieces.parts()),
            _ => None,
        }
    }

    /// Where it is read from, where it is on disk alone.
    pub(super) fn stretch(&self) -> Option<&Stretch> {
        match self.whole.get() {
            Some(Whole::Stretch(stretch)) => Some(stretch),
            _ => None,
        }
    }

    /// Hears of the next piece that comes; nothing does where all was there at once.
    pub(super) fn more(&self) -> Option<Notified<'_>> {
        Some(self.coming.as_ref()?.more.notified())
    }

    /// What it takes is added to the charge of its entry.
    pub(super) fn push(&self, bytes: &[u8], charge: &Charge) {
        let Some(coming) = &self.coming else {
            return;
        };
        if let Some(growing) = &mut *coming.lock() {
            let before = growing.allocated();
            growing.push(bytes, coming.announced);
            charge.change(before, growing.allocated());
        }
        coming.more.notify_waiters();
    }

    pub(super) fn finish(&self, charge: &Charge) {
        self.end(Whole::Pieces, charge);
    }

    /// It ends before its end. Those who follow read what there is, and get an error then.
    pub(super) fn abort(&self, charge: &Charge) {
        self.end(Whole::Part, charge);
    }

    fn end(&self, how: impl FnOnce(Pieces) -> Whole, charge: &Charge) {
        let Some(coming) = &self.coming else {
            return;
        };
        // The first end holds.
        if let Some(growing) = coming.lock().take() {
            let before = growing.allocated();
            let pieces = growing.finish();
            charge.change(before, pieces.allocated());
            drop(self.whole.set(how(pieces)));
        }
        coming.more.notify_waiters();
    }

    /// What is in memory from `at` on, up to the end of a piece: `Some(Ok(None))` at the end of the body,
    /// `None` where it is still coming or on disk.
    pub(super) fn piece(&self, at: u64) -> Option<Result<Option<Bytes>, Broken>> {
        let number = usize::try_from(at / PIECE as u64).unwrap_or(usize::MAX);
        let skipped = (at % PIECE as u64) as usize;
        match self.whole.get() {
            Some(Whole::Pieces(whole)) => Some(Ok(whole.rest(number, skipped))),
            Some(Whole::Stretch(stretch)) => (at >= stretch.length()).then_some(Ok(None)),
            Some(Whole::Part(part)) => {
                let rest = part.rest(number, skipped);
                Some(rest.map(Some).ok_or(Broken))
            }
            None => {
                let growing = self.coming.as_ref()?.lock();
                // It has ended since it was looked at above: the caller looks again.
                let growing = growing.as_ref()?;
                if let Some(piece) = growing.full.get(number) {
                    return rest(piece, skipped).map(|rest| Ok(Some(rest)));
                }
                let coming = number == growing.full.len() && skipped < growing.last.len();
                coming.then(|| Ok(Some(Bytes::copy_from_slice(&growing.last[skipped..]))))
            }
        }
    }
}

impl Coming {
    fn lock(&self) -> MutexGuard<'_, Option<Growing>> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
