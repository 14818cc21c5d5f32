//! The access log: a line for each exchange, written by a thread of its own.
//!
//! A worker only pushes an [`Entry`] onto a bounded queue; formatting, masking and writing happen
//! elsewhere, in batches. When the queue is full, because the disk, the reader of standard
//! output or the receiver is too slow, entries are dropped and counted: traffic never waits for its log.
//!
//! What a line is made of is a [`Plan`], which belongs to one log: a configuration with another plan has
//! another log.

mod entry;
mod escape;
mod fact;
mod format;
mod plan;
mod redact;
mod rotate;
mod sink;
mod syslog;
#[cfg(test)]
mod tests;
mod time;
mod writer;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::mpsc::{Receiver as Queued, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

pub use self::entry::{Entry, Target};
pub use self::fact::Fact;
pub use self::plan::{Choice, Column, Ended, Format, Output, Plan, Sample, Source};
pub use self::redact::{Mask, Redaction, is_always_masked, names_secret, plain};
use self::rotate::Rotating;
pub use self::rotate::Rotation;
use self::sink::{Lines, Sink};
use self::syslog::Link;
pub use self::syslog::{Address, Facility, Header, Receiver, Severity};
pub use self::time::day;
use self::writer::Writer;

/// How many entries wait at most, about 600 bytes each with ordinary targets, 3 KiB with the
/// longest, and up to 4 KiB more with fields that have names of their own: usually 5 MiB, and never
/// more than 60 MiB.
pub const CAPACITY: usize = 8192;
/// How long dropping an [`AccessLog`] that was not closed waits for what is still queued.
const LAST_WAIT: Duration = Duration::from_secs(1);
const IN_MEMORY: &str = "memory takes every byte";
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// A running access log.
#[derive(Debug)]
pub struct AccessLog {
    plan: Arc<Plan>,
    queue: SyncSender<Entry>,
    shared: Arc<Shared>,
    writer: Thread,
    ended: Mutex<Queued<()>>,
}

/// What the workers and the writer tell each other beside the queue.
#[derive(Debug, Default)]
struct Shared {
    /// The writer is parked, or about to be: whoever adds work has to wake it.
    parked: AtomicBool,
    closing: AtomicBool,
    /// A file to continue with.
    next: Mutex<Option<File>>,
    written: AtomicU64,
    dropped: AtomicU64,
}

impl AccessLog {
    /// Opens the output and starts the writer, with room for [`CAPACITY`] entries. A syslog receiver
    /// may be away: its connection is opened by the writer, again and again.
    ///
    /// # Errors
    /// A file that cannot be opened, or a thread that cannot be started.
    pub fn open(plan: Arc<Plan>) -> io::Result<Self> {
        Self::with_capacity(plan, CAPACITY)
    }

    /// The same with room for `capacity` entries.
    ///
    /// # Errors
    /// As [`AccessLog::open`].
    pub fn with_capacity(plan: Arc<Plan>, capacity: usize) -> io::Result<Self> {
        let sink = plan.output.open()?;
        Self::start(plan, sink, capacity)
    }

    fn start(plan: Arc<Plan>, sink: Sink, capacity: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (queue, entries) = sync_channel(capacity);
        let (ending, ended) = sync_channel(0);
        let writer = Writer::new(plan.clone(), sink, entries, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || {
                writer.run();
                drop(ending);
            })?;
        Ok(Self {
            plan,
            queue,
            shared,
            writer: thread.thread().clone(),
            ended: Mutex::new(ended),
        })
    }

    /// What it is to be.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Hands over an entry. Never waits: without room, or after [`AccessLog::close`], the entry
    /// is dropped and counted.
    pub fn write(&self, entry: Entry) {
        if self.shared.closing.load(Ordering::Relaxed) || self.queue.try_send(entry).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // Pairs with the fence in `Writer::park`: either this sees that the writer is parked, or
        // the writer sees the entry before it parks.
        fence(Ordering::SeqCst);
        if self.shared.parked.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Opens the output's path again, after a rotation has moved the file away. The new file is
    /// there when this returns; entries that are still queued go to the one or the other, and
    /// none is lost. Standard output, and a receiver, stay as they are.
    ///
    /// # Errors
    /// A path that cannot be opened; the log then continues with the file that it has.
    pub fn reopen(&self) -> io::Result<()> {
        if let Output::File(path, _) = &self.plan.output {
            *self.shared.next() = Some(open_named(path)?);
            self.wake();
        }
        Ok(())
    }

    /// Ends the log: takes nothing more and waits until everything queued is written, but not
    /// longer than `deadline`. False if that was not enough.
    pub fn close(&self, deadline: Duration) -> bool {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.wake();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.recv_timeout(deadline) == Err(RecvTimeoutError::Disconnected)
    }

    /// How many entries were written.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// How many entries were not: for want of room, by an error of the output, or because the log
    /// was closed.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        self.shared.parked.store(false, Ordering::Relaxed);
        self.writer.unpark();
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close(LAST_WAIT);
    }
}

impl Shared {
    fn next(&self) -> std::sync::MutexGuard<'_, Option<File>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a file, or a device such as `/dev/null`. A pipe without a reader would hold up whoever opens
/// it, for ever: it is opened without waiting, and refused.
fn open_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640);
    let file = options.custom_flags(NONBLOCK).open(path)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() && !kind.is_char_device() {
        let message = "expected a file, or a device such as `/dev/null`";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(file)
}

/// The same, with the path in what goes wrong.
fn open_named(path: &Path) -> io::Result<File> {
    open_file(path).map_err(|error| {
        let path = path.display();
        io::Error::new(error.kind(), format!("cannot open {path}: {error}"))
    })
}

impl Output {
    fn open(&self) -> io::Result<Sink> {
        Ok(match self {
            // A descriptor of our own, without the standard library's buffer in between.
            Self::Stdout => {
                let file = io::stdout().as_fd().try_clone_to_owned()?.into();
                Sink::File(Lines::new(file, None))
            }
            Self::File(path, rotation) => {
                let file = open_named(path)?;
                let rotating = rotation.clone();
                let rotating = rotating.map(|rotation| Rotating::new(rotation, path, &file));
                Sink::File(Lines::new(file, rotating.transpose()?))
            }
            Self::Syslog(receiver) => Sink::Syslog(Link::new(receiver)),
        })
    }
}
