//! How large a store may grow, and where it is.

use std::io;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread::available_parallelism;

/// How large a store may grow, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of memory that everything together may take: bodies, heads, keys, the index, fills that
    /// run, and what was evicted but is still being read. At least [`Options::LEAST_MEMORY`].
    pub memory: usize,
    /// Bytes that one body may have; a larger one is not stored. At most half of `memory` counts.
    pub largest: u64,
    /// The disk behind the memory.
    pub disk: Option<Disk>,
}

/// A folder that belongs to one store of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The folder; made where it does not exist.
    pub path: PathBuf,
    /// Bytes that the files in it may take, in sixteen segments, or in as many of 2 MiB as fit. At least [`Disk::LEAST_SIZE`]. A body that is
    /// larger than a segment (a sixteenth of this; at least 2 MiB, at most 256 MiB) is kept in memory alone.
    pub size: u64,
}

/// The most parts that an index has.
const MOST_SHARDS: usize = 64;

impl Options {
    /// A store needs this much memory, 1 MiB, for its index alone.
    pub const LEAST_MEMORY: usize = 1024 * 1024;

    pub(super) fn check(&self) -> io::Result<()> {
        let small = |what, least, found| {
            let text = format!("expected at least {least} bytes of {what}, found {found}");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        };
        if self.memory < Self::LEAST_MEMORY {
            return small("memory", Self::LEAST_MEMORY as u64, self.memory as u64);
        }
        match &self.disk {
            Some(disk) if disk.size < Disk::LEAST_SIZE => {
                small("disk", Disk::LEAST_SIZE, disk.size)
            }
            _ => Ok(()),
        }
    }

    /// The parts of the index, about: more of them where there is memory for more, and where there are processors that could
    /// want the same one at once. Each has a little that every request touches: what is not needed is in the way of all else.
    pub(super) fn shards(&self) -> usize {
        let processors = available_parallelism().map_or(MOST_SHARDS, NonZero::get);
        (self.memory / (4 * 1024 * 1024))
            .clamp(1, MOST_SHARDS.min(4 * processors))
            .next_power_of_two()
    }
}

impl Disk {
    /// A disk has to have at least 16 MiB.
    pub const LEAST_SIZE: u64 = 16 * 1024 * 1024;
}
