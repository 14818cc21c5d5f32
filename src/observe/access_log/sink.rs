//! What takes lines: a file, or a syslog receiver.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use super::rotate::Rotating;
use super::syslog::Link;
use super::writer::PAUSE;
use super::{Entry, Plan, format};

/// What takes lines.
pub(super) enum Sink {
    /// A file, or standard output.
    File(Lines),
    /// A syslog receiver.
    Syslog(Link),
}

/// Lines or messages that go out together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Where each ends.
    pub(super) ends: Vec<usize>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn lines(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Takes out the first few lines.
    pub(super) fn forget(&mut self, lines: usize) {
        let Some(bytes) = lines.checked_sub(1).map(|last| self.ends[last]) else {
            return;
        };
        self.bytes.drain(..bytes);
        self.ends.drain(..lines);
        self.ends.iter_mut().for_each(|end| *end -= bytes);
    }
}

/// What came of a batch.
pub(super) struct Passed {
    pub(super) written: u64,
    pub(super) dropped: u64,
    pub(super) result: Result<(), Failed>,
}

/// Why not all of a batch has gone out.
pub(super) struct Failed {
    /// What happened, where something has.
    pub(super) error: Option<io::Error>,
    /// How long to wait, where the rest of the batch is kept.
    pub(super) wait: Option<Duration>,
}

impl Sink {
    /// Adds the line of an entry to a batch.
    pub(super) fn add(&mut self, plan: &Plan, entry: &Entry, batch: &mut Batch) {
        match self {
            Self::File(_) => {
                format::line(plan, entry, &mut batch.bytes);
                batch.bytes.push(b'\n');
            }
            Self::Syslog(link) => link.add(plan, entry, &mut batch.bytes),
        }
        batch.ends.push(batch.bytes.len());
    }

    /// Sends a batch out. What is left in it then is to be tried again.
    pub(super) fn pass(&mut self, batch: &mut Batch, closing: &AtomicBool) -> Passed {
        match self {
            Self::File(lines) => lines.pass(batch, closing),
            Self::Syslog(link) => link.pass(batch, closing.load(Ordering::Relaxed)),
        }
    }

    /// Goes on with another file.
    pub(super) fn exchange(&mut self, file: File) {
        if let Self::File(lines) = self {
            lines.exchange(file);
        }
    }
}

/// A file with lines.
pub(super) struct Lines {
    file: File,
    rotating: Option<Rotating>,
    /// The last write stopped within a line.
    torn: bool,
}

impl Lines {
    pub(super) fn new(file: File, rotating: Option<Rotating>) -> Self {
        Self {
            file,
            rotating,
            torn: false,
        }
    }

    fn exchange(&mut self, file: File) {
        self.file = file;
        self.torn = false;
        if let Some(rotating) = &mut self.rotating {
            rotating.begin(&self.file);
        }
    }

    /// What cannot be written is dropped: a full disk would be full for long.
    fn pass(&mut self, batch: &mut Batch, closing: &AtomicBool) -> Passed {
        if batch.is_empty() {
            return Passed {
                written: 0,
                dropped: 0,
                result: Ok(()),
            };
        }
        if let Some(rotating) = &mut self.rotating
            && rotating.look(&mut self.file, batch.len(), SystemTime::now())
        {
            self.torn = false;
        }
        let (sent, result) = self.send(&batch.bytes, closing);
        let written = batch.ends.partition_point(|end| *end <= sent);
        let dropped = batch.lines() - written;
        batch.clear();
        Passed {
            written: written as u64,
            dropped: dropped as u64,
            result: result.map_err(|error| Failed {
                error: Some(error),
                wait: None,
            }),
        }
    }

    /// Sends bytes: how many got through, and what stopped the rest.
    fn send(&mut self, bytes: &[u8], closing: &AtomicBool) -> (usize, io::Result<()>) {
        if self.torn {
            // The line break that ends a torn line stands for no entry.
            match self.send_all(b"\n", closing) {
                (1, _) => self.torn = false,
                (_, result) => return (0, result),
            }
        }
        let (sent, result) = self.send_all(bytes, closing);
        if let Some(last) = bytes[..sent].last() {
            self.torn = *last != b'\n';
        }
        (sent, result)
    }

    fn send_all(&mut self, bytes: &[u8], closing: &AtomicBool) -> (usize, io::Result<()>) {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.file.write(&bytes[sent..]) {
                Ok(0) => return (sent, Err(ErrorKind::WriteZero.into())),
                Ok(some) => sent += some,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A pipe that somebody else made non-blocking.
                Err(error)
                    if error.kind() == ErrorKind::WouldBlock
                        && !closing.load(Ordering::Relaxed) =>
                {
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return (sent, Err(error)),
            }
        }
        (sent, Ok(()))
    }
}
