//! Files that are put aside when they are large or old enough, and only so many of them kept.
//!
//! Several processes may write to one file, as they do during an upgrade. Whoever finds that it is
//! time locks the file itself and looks once more whether it is still the one at the path: so one of them
//! renames it, and the others see at their next write that another file is there, and go on with that.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::{open_file, time};

/// How long nothing is tried after it failed.
const PAUSE: Duration = Duration::from_secs(10);

/// When a file is put aside, and how many of those are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Before it would be larger than that, in bytes.
    pub size: Option<u64>,
    /// When it is that old.
    pub every: Option<Duration>,
    /// How many are kept.
    pub keep: usize,
}

/// The rotation of one file.
#[derive(Debug)]
pub(super) struct Rotating {
    rotation: Rotation,
    /// As it is configured: a link may be moved.
    path: PathBuf,
    /// When the present file was begun.
    began: SystemTime,
    /// When something failed, until it works again.
    failed: Option<Instant>,
}

impl Rotating {
    /// Begins with a file that was opened at this path.
    ///
    /// # Errors
    /// The system's, or that it is no file.
    pub(super) fn new(rotation: Rotation, path: &Path, file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            let message = format!(
                "expected a file to rotate, `{}` is a device",
                path.display()
            );
            return Err(io::Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Self {
            rotation,
            path: path.to_owned(),
            began: begun(&metadata),
            failed: None,
        })
    }

    /// Goes on with another file, if it is time to, before `more` bytes are written. True if it has.
    pub(super) fn look(&mut self, file: &mut File, more: usize, now: SystemTime) -> bool {
        if self.failed.is_some_and(|since| since.elapsed() < PAUSE) {
            return false;
        }
        match self.change(file, more as u64, now) {
            Ok(changed) => {
                self.failed = None;
                changed
            }
            Err(error) => {
                if self.failed.replace(Instant::now()).is_none() {
                    let path = self.path.display();
                    tracing::error!(%path, %error, "the access log cannot be rotated, and goes on in the same file");
                }
                false
            }
        }
    }

    /// The file was exchanged by somebody else.
    pub(super) fn begin(&mut self, file: &File) {
        if let Ok(metadata) = file.metadata() {
            self.began = begun(&metadata);
        }
    }

    fn change(&mut self, file: &mut File, more: u64, now: SystemTime) -> io::Result<bool> {
        let metadata = file.metadata()?;
        if !self.is_at_path(&metadata)? {
            *file = open_file(&self.path)?;
            self.begin(file);
            return Ok(true);
        }
        if metadata.len() == 0 {
            self.began = now; // there is nothing in it that could be old
            return Ok(false);
        }
        if !self.is_due(metadata.len() + more, now) {
            return Ok(false);
        }
        match flock(&*file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false), // another one is at it
            Err(error) => return Err(error.into()),
        }
        let changed = self.put_aside(file, &metadata);
        if !matches!(changed, Ok(true)) {
            // With a new file, the lock went with the old one.
            let _ = flock(&*file, FlockOperation::Unlock);
        }
        changed
    }

    fn is_due(&self, size: u64, now: SystemTime) -> bool {
        let age = now.duration_since(self.began).unwrap_or_default();
        self.rotation.size.is_some_and(|most| size > most)
            || self.rotation.every.is_some_and(|every| age >= every)
    }

    /// Renames the file, which this process has locked, and opens a new one.
    fn put_aside(&mut self, file: &mut File, metadata: &Metadata) -> io::Result<bool> {
        if !self.is_at_path(metadata)? {
            return Ok(false); // another one was faster
        }
        // Renaming a link would leave the file where it is.
        let path = fs::canonicalize(&self.path)?;
        if !is_at(&path, metadata)? {
            return Ok(false); // a link was moved this very moment
        }
        let aside = aside(&path)?;
        let last = aside.iter().map(|(stamp, _)| stamp).max();
        let stamp = Stamp::after(last, SystemTime::now());
        fs::rename(&path, stamp.of(&path))?;
        *file = open_file(&self.path)?;
        self.begin(file);
        self.thin_out(aside);
        Ok(true)
    }

    /// Removes the oldest of the files that were put aside before, so that with the one that has just been
    /// there are as many as are kept. To remove a large file takes a while: not here.
    fn thin_out(&self, mut aside: Vec<(Stamp, PathBuf)>) {
        aside.sort();
        let over = (aside.len() + 1).saturating_sub(self.rotation.keep);
        aside.truncate(over);
        if aside.is_empty() {
            return;
        }
        let thread = std::thread::Builder::new().name("access-log-old".into());
        let spawned = thread.spawn(move || {
            for (_, path) in aside {
                let removed = fs::remove_file(&path);
                if let Err(error) = removed.or_else(|error| match error.kind() {
                    ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                }) {
                    let path = path.display();
                    tracing::error!(%path, %error, "an old access log cannot be removed");
                }
            }
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "old access logs cannot be removed now");
        }
    }

    fn is_at_path(&self, file: &Metadata) -> io::Result<bool> {
        is_at(&self.path, file)
    }
}

fn is_at(path: &Path, file: &Metadata) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (file.dev(), file.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Since when there is a file, as far as the file system knows.
fn begun(metadata: &Metadata) -> SystemTime {
    let now = SystemTime::now();
    metadata.created().map_or(now, |created| created.min(now))
}

/// What a file that was put aside is called after the name that it had: when that was, and a number
/// where there is one with that time, or a later one, already: so the last one is always the newest,
/// whatever the clock did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp {
    time: String,
    number: u32,
}

impl Stamp {
    fn after(last: Option<&Self>, now: SystemTime) -> Self {
        let time = time::compact(now);
        match last {
            Some(last) if last.time >= time => Self {
                time: last.time.clone(),
                number: last.number.saturating_add(1),
            },
            _ => Self { time, number: 1 },
        }
    }

    /// Reads what comes after `access.log.`.
    fn read(text: &str) -> Option<Self> {
        let (time, number) = match text.split_once('-') {
            Some((time, number)) => (time, number.parse().ok().filter(|number| *number > 1)?),
            None => (text, 1),
        };
        let digits = |part: Option<&str>| {
            part.is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let whole = time.len() == 16
            && digits(time.get(..8))
            && time.get(8..9) == Some("T")
            && digits(time.get(9..15))
            && time.ends_with('Z');
        let stamp = whole.then(|| Self {
            time: time.to_owned(),
            number,
        })?;
        (stamp.text() == text).then_some(stamp)
    }

    fn text(&self) -> String {
        match self.number {
            1 => self.time.clone(),
            number => format!("{}-{number}", self.time),
        }
    }

    fn of(&self, path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(self.text());
        name.into()
    }
}

/// The files of a log that were put aside, and nothing else that may be beside it.
fn aside(path: &Path) -> io::Result<Vec<(Stamp, PathBuf)>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let other = entry.file_name();
        let rest = (other
            .as_encoded_bytes()
            .strip_prefix(name.as_encoded_bytes()))
        .and_then(|rest| rest.strip_prefix(b"."));
        let stamp = rest.and_then(|rest| Stamp::read(std::str::from_utf8(rest).ok()?));
        found.extend(stamp.map(|stamp| (stamp, entry.path())));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
