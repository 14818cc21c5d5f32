//! A file of records, written once from its start to its end, and the bodies in it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;

use super::super::body::{Broken, PIECE};
use super::super::room::{Charge, Room, allocated};
use super::record::sum_of_block;

/// So many blocks of a large body are read at a time: 256 KiB.
const AHEAD: usize = 4;

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Spot {
    pub(super) segment: u32,
    pub(super) offset: u32,
}

impl Spot {
    pub(super) const BYTES: usize = 8;

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let whole = u64::from(self.segment) << 32 | u64::from(self.offset);
        whole.to_le_bytes()
    }

    /// Of [`Spot::BYTES`] bytes.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let whole = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        Self {
            segment: (whole >> 32) as u32,
            offset: whole as u32,
        }
    }
}

/// A file of records. Whoever reads from it holds it: its bytes can be read when it is deleted, too.
#[derive(Debug)]
pub(super) struct Segment {
    id: u32,
    file: File,
    path: PathBuf,
    length: AtomicU64,
}

impl Segment {
    pub(super) fn create(folder: &Path, id: u32) -> io::Result<Self> {
        let path = path(folder, id);
        let mut options = File::options();
        // What is stored may be for some callers only.
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let length = AtomicU64::new(0);
        Ok(Self {
            id,
            file,
            path,
            length,
        })
    }

    /// One that is there. Nothing is written to it any more.
    pub(super) fn open(folder: &Path, id: u32) -> io::Result<Self> {
        let path = path(folder, id);
        let file = File::open(&path)?;
        let length = AtomicU64::new(file.metadata()?.len());
        Ok(Self {
            id,
            file,
            path,
            length,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    pub(super) fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }

    /// Writes pieces behind what is there: all of them, or none that counts.
    pub(super) fn append<'p>(&self, pieces: impl IntoIterator<Item = &'p [u8]>) -> io::Result<()> {
        let start = self.length();
        let mut at = start;
        for piece in pieces {
            if let Err(error) = self.file.write_all_at(piece, at) {
                self.file.set_len(start)?;
                return Err(error);
            }
            at += piece.len() as u64;
        }
        self.length.store(at, Ordering::Release);
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(super) fn delete(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

const ENDING: &str = ".segment";

pub(super) fn path(folder: &Path, id: u32) -> PathBuf {
    folder.join(format!("{id:08x}{ENDING}"))
}

/// The numbers of the segments in a folder.
pub(super) fn list(folder: &Path) -> io::Result<Vec<u32>> {
    let mut ids = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let name = file?.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(ENDING));
        ids.extend(id.and_then(|id| u32::from_str_radix(id, 16).ok()));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// A body on disk, behind the head of its record, in blocks that have a checksum each.
#[derive(Clone, Debug)]
pub(in super::super) struct Stretch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    segment: Arc<Segment>,
    at: u64,
    length: u64,
    sums: Box<[u64]>,
    corrupt: Arc<AtomicU64>,
    damaged: AtomicBool,
    _charge: Charge,
}

impl Stretch {
    pub(super) fn new(
        room: &Arc<Room>,
        segment: Arc<Segment>,
        at: u64,
        length: u64,
        sums: Box<[u64]>,
        corrupt: Arc<AtomicU64>,
    ) -> Self {
        let own = allocated(size_of::<Inner>() + 2 * size_of::<usize>());
        let charge = Charge::new(room, own + allocated(size_of_val(&*sums)));
        Self(Arc::new(Inner {
            segment,
            at,
            length,
            sums,
            corrupt,
            damaged: AtomicBool::new(false),
            _charge: charge,
        }))
    }

    pub(in super::super) fn length(&self) -> u64 {
        self.0.length
    }

    /// Whether a block of it could not be read.
    pub(in super::super) fn is_damaged(&self) -> bool {
        self.0.damaged.load(Ordering::Acquire)
    }

    /// The body from `at` on, some blocks of it, but nothing from `to` on. Each was checked.
    pub(in super::super) async fn read(&self, at: u64, to: u64) -> Result<VecDeque<Bytes>, Broken> {
        let body = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let first = (at / PIECE as u64) as usize;
            let end = to.min(body.length()).div_ceil(PIECE as u64) as usize;
            let mut blocks = body.blocks(first..end.min(first + AHEAD))?;
            let skipped = (at % PIECE as u64) as usize;
            if let Some(first) = blocks.front_mut() {
                *first = first.slice(skipped.min(first.len())..);
            }
            Some(blocks)
        });
        // A runtime that ends gives up what is being read.
        reading.await.ok().flatten().ok_or(Broken)
    }

    /// All of it; `None` where it is damaged.
    pub(super) fn read_whole(&self) -> Option<Vec<Bytes>> {
        Some(self.blocks(0..self.0.sums.len())?.into())
    }

    fn blocks(&self, numbers: std::ops::Range<usize>) -> Option<VecDeque<Bytes>> {
        let blocks: Option<VecDeque<Bytes>> = numbers.map(|number| self.block(number)).collect();
        if blocks.is_none() {
            self.0.corrupt.fetch_add(1, Ordering::Relaxed);
            self.0.damaged.store(true, Ordering::Release);
        }
        blocks
    }

    fn block(&self, number: usize) -> Option<Bytes> {
        let start = (number * PIECE) as u64;
        let length = (self.0.length - start).min(PIECE as u64);
        let mut block = vec![0; length as usize];
        let read = self.0.segment.read(&mut block, self.0.at + start);
        let good = read.is_ok() && sum_of_block(&block, number) == self.0.sums[number];
        good.then(|| block.into())
    }
}
