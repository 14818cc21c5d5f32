//! The disk behind the memory: a log of segments, the oldest of which goes when there is no room.
//!
//! Entries are written behind each other, each with its body and with checksums, by one thread. Purges, too, are
//! written into the log, behind whatever they hit: so the log alone says what may be served, at whatever
//! moment the process is killed, and a purge is forgotten when all that it could have hit is gone. What is asked for
//! again is written anew before its segment goes.
//!
//! The index is found again by reading the heads of the records, the newest first, while requests are
//! answered already. Where something cannot be read, so that a purge may have been lost, whatever is older does not
//! count.

mod dead;
mod index;
mod load;
mod look;
mod record;
mod recover;
mod segment;
mod writer;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::key::Name;
use super::options::Disk;
use super::{Entry, Mode, Store, What};
use crate::cache::Variant;
use dead::Dead;
pub(super) use record::{Head, Kind, Record, sum_of_block, sums_of};
use segment::Segment;
pub(super) use segment::{Spot, Stretch};

/// Whether an entry is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// No.
    None,
    /// It waits to be written; its body may be there already.
    Queued(Option<At>),
    /// It is.
    At(At),
}

/// Where on disk an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// The record whose head counts.
    head: Spot,
    /// The record with the body: the same, unless the entry was refreshed.
    body: Spot,
}

/// Bytes that wait to be written, at most, and at most a quarter of the memory, since they are not evicted as
/// long; entries beyond that are not written.
const WAITING: usize = 64 * 1024 * 1024;
/// Purges that wait to be written, and the bytes of their texts, at most: beyond that, everything on disk is dropped
/// instead.
const COMMANDS: usize = 100_000;
const TEXTS: usize = 16 << 20;
/// Loads that run at the same time, at most; and of one key, only one.
const LOADS: usize = 64;

/// The disk of a store.
#[derive(Debug)]
pub(super) struct Engine {
    folder: PathBuf,
    seed: u64,
    /// Locked for as long as the file is open, or until the folder is given up.
    lock: File,
    /// How many segments there may be, and how long one may become.
    count: usize,
    length: u64,
    segments: Mutex<BTreeMap<u32, Arc<Segment>>>,
    /// The segments of earlier runs.
    at_start: Vec<u32>,
    queue: Mutex<Queue>,
    waiting: usize,
    wake: Condvar,
    /// What is being found may not come back, while something is still being found.
    dead: Mutex<Option<Dead>>,
    finding: AtomicBool,
    loads: Box<[Arc<tokio::sync::Mutex<()>>]>,
    corrupt: Arc<AtomicU64>,
    unwritten: AtomicU64,
    /// The disk has failed: nothing is on it.
    failed: AtomicBool,
    /// It was told that the disk is full.
    told: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    commands: VecDeque<Command>,
    /// Of the entries that wait.
    bytes: usize,
    /// Of the texts of the purges that wait.
    texts: usize,
    closing: bool,
    /// The folder is another process's, or about to be.
    given_up: bool,
}

/// What the writer is asked to do.
#[derive(Debug)]
enum Command {
    /// An entry is to be written, in its newest state, unless it is gone.
    Store(Arc<Entry>, Variant),
    Purge(What, Mode),
    Void(u128, Variant),
    /// Nothing on disk counts any more.
    Clear,
    /// Whatever was asked before is to be on disk.
    Sync(oneshot::Sender<io::Result<()>>),
    /// The same, and then the folder is free for somebody else.
    GiveUp(SyncSender<io::Result<()>>),
}

impl Command {
    /// The bytes of its text.
    fn text(&self) -> usize {
        match self {
            Self::Purge(what, _) => what.text().len(),
            _ => 0,
        }
    }
}

impl Engine {
    pub(super) fn open(disk: &Disk, memory: usize) -> io::Result<Arc<Self>> {
        let mut folder = DirBuilder::new();
        folder.recursive(true).mode(0o700);
        let made = folder.create(&disk.path);
        made.map_err(|error| at(&disk.path, &error))?;
        let lock = lock(&disk.path)?;
        let (seed, same) = seed(&disk.path)?;
        let mut segments = BTreeMap::new();
        for id in segment::list(&disk.path)? {
            let segment = Segment::open(&disk.path, id)?;
            match same {
                true => drop(segments.insert(id, Arc::new(segment))),
                false => segment.delete()?,
            }
        }
        let length = (disk.size / 16).clamp(2 << 20, 256 << 20);
        Ok(Arc::new(Self {
            folder: disk.path.clone(),
            seed,
            lock,
            count: usize::try_from(disk.size / length).unwrap_or(usize::MAX),
            length,
            at_start: segments.keys().copied().collect(),
            segments: Mutex::new(segments),
            queue: Mutex::default(),
            waiting: WAITING.min(memory / 4),
            wake: Condvar::new(),
            dead: Mutex::new(Some(Dead::default())),
            finding: AtomicBool::new(true),
            loads: (0..LOADS).map(|_| Arc::default()).collect(),
            corrupt: Arc::default(),
            unwritten: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            told: AtomicBool::new(false),
        }))
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn corrupt(&self) -> u64 {
        self.corrupt.load(Ordering::Relaxed)
    }

    pub(super) fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        let segments = self.segments();
        segments.values().map(|segment| segment.length()).sum()
    }

    /// Whether what is on disk is still being found.
    pub(super) fn is_finding(&self) -> bool {
        self.finding.load(Ordering::Acquire)
    }

    /// A purge begins: what it hits must not be found any more.
    pub(super) fn purging(&self, what: &What, mode: Mode) {
        self.bury(|dead| dead.purge(what, mode, self.seed));
    }

    /// The purge is done in memory: it is written, behind all that it has hit.
    pub(super) fn purge(&self, what: &What, mode: Mode) {
        self.say(Command::Purge(what.clone(), mode));
    }

    /// Asks for what must not be lost.
    fn say(&self, command: Command) {
        let mut queue = self.queue();
        let text = command.text();
        if queue.commands.len() < COMMANDS && queue.texts + text <= TEXTS {
            queue.texts += text;
            queue.commands.push_back(command);
        } else {
            // A flood: to drop everything says more than all of these.
            let waits =
                |command: &Command| matches!(command, Command::Sync(_) | Command::GiveUp(_));
            queue.commands.retain(waits);
            (queue.bytes, queue.texts) = (0, 0);
            queue.commands.push_front(Command::Clear);
        }
        self.wake.notify_one();
    }

    /// What is found under this name and variant is older than what is there now.
    pub(super) fn superseding(&self, name: Name<'_>, variant: Variant) {
        self.bury(|dead| dead.void(name.hash(), variant));
    }

    fn bury(&self, bury: impl FnOnce(&mut Dead)) {
        if self.finding.load(Ordering::Acquire)
            && let Some(dead) = &mut *self.dead.lock().unwrap_or_else(PoisonError::into_inner)
        {
            bury(dead);
        }
    }

    /// What is on disk under this name and variant does not count any more.
    pub(super) fn void(&self, name: Name<'_>, variant: Variant) {
        self.say(Command::Void(name.hash(), variant));
    }

    /// An entry is to be written, in its turn; `false` where too many wait.
    pub(super) fn store(&self, entry: &Arc<Entry>, variant: Variant) -> bool {
        let mut queue = self.queue();
        let full = queue.bytes >= self.waiting;
        if full || queue.given_up || self.failed.load(Ordering::Relaxed) {
            return false;
        }
        queue.bytes += entry.bytes();
        let store = Command::Store(entry.clone(), variant);
        queue.commands.push_back(store);
        self.wake.notify_one();
        true
    }

    pub(super) async fn settled(&self) -> io::Result<()> {
        let (told, hear) = oneshot::channel();
        {
            let mut queue = self.queue();
            if queue.given_up {
                let message = "another process is about to have the folder: ask that one";
                return Err(io::Error::other(message));
            }
            queue.commands.push_back(Command::Sync(told));
        }
        self.wake.notify_one();
        hear.await
            .unwrap_or_else(|_| Err(io::Error::other("the store is closed")))
    }

    /// Has what waits written, and the folder let go of: from then on nothing is written to it. What is read
    /// from it can still be. What comes back tells when that is done.
    pub(super) fn give_up(&self) -> Receiver<io::Result<()>> {
        let (told, hear) = sync_channel(1);
        {
            let mut queue = self.queue();
            queue.given_up = true;
            queue.commands.push_back(Command::GiveUp(told));
        }
        self.wake.notify_one();
        hear
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.queue().given_up
    }

    /// Whoever wants the folder may have it.
    fn unlock(&self) -> io::Result<()> {
        self.lock.unlock()
    }

    pub(super) fn close(&self) {
        self.queue().closing = true;
        self.wake.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn segments(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Segment>>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn segment(&self, id: u32) -> Option<Arc<Segment>> {
        self.segments().get(&id).cloned()
    }
}

/// Starts the threads that write, and that find what is there. They end with the store.
pub(super) fn start(store: &Arc<Store>) -> io::Result<()> {
    let Some(engine) = &store.disk else {
        return Ok(());
    };
    let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let (writing, finding) = (engine.clone(), engine.clone());
    let stores = (Arc::downgrade(store), Arc::downgrade(store));
    thread("cache-write").spawn(move || writing.write(&stores.0))?;
    thread("cache-find").spawn(move || finding.find(&stores.1))?;
    Ok(())
}

/// Takes the folder for this store alone.
fn lock(folder: &Path) -> io::Result<File> {
    let path = folder.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| at(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let text = format!(
                "another store or process uses the folder {}",
                folder.display()
            );
            Err(io::Error::new(io::ErrorKind::ResourceBusy, text))
        }
        Err(TryLockError::Error(error)) => Err(at(&path, &error)),
    }
}

/// The first line of the file `store`: the version of the format. The second one is the seed of all hashes.
pub(super) const FORMAT: &str = "wiregate cache 3";

/// The seed of the folder, and whether what is in the folder goes with it.
fn seed(folder: &Path) -> io::Result<(u64, bool)> {
    let path = folder.join("store");
    if let Ok(text) = fs::read_to_string(&path)
        && let Some((FORMAT, seed)) = text.trim_end().split_once('\n')
        && let Ok(seed) = u64::from_str_radix(seed, 16)
    {
        return Ok((seed, true));
    }
    let seed = fastrand::u64(..);
    let aside = folder.join("store.new");
    let text = format!("{FORMAT}\n{seed:016x}\n");
    let mut options = File::options();
    let file = options.create(true).write(true).truncate(true).mode(0o600);
    file.open(&aside)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&aside, &path))
        .map_err(|error| at(&path, &error))?;
    Ok((seed, false))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
